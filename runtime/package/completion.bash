# Completion of lvtc and lvt-run in bash. It asks the program itself, whose `--completion` prints its table of options:
# an option a line, then `=` when it takes a value (`?`: it may), then the values there are, or `@` for a file.

_lvt() {
    local IFS=$' \t\n' cur=${COMP_WORDS[COMP_CWORD]} before='' about=() table line option kind values
    COMPREPLY=()
    # bash takes `--name=value` for three words
    if [[ $cur == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 1]} cur=''
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    else
        before=${COMP_WORDS[COMP_CWORD - 1]}
    fi
    if [[ ${1##*/} == lvt-run && $COMP_CWORD -gt 1 ]]; then
        about=("${COMP_WORDS[1]}")
    fi
    table=$("$1" "${about[@]}" --completion 2>/dev/null) || return
    while read -r option kind values; do
        [[ $option == "$before" && $kind == = || $option == "$before" && ${COMP_WORDS[COMP_CWORD]} == = ]] || continue
        if [[ $values == @ ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames 2>/dev/null
        else
            mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
        fi
        return
    done <<<"$table"
    if [[ $cur == -* || ${1##*/} == lvt-run && $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(while read -r line _; do echo "$line"; done <<<"$table")" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames 2>/dev/null
    fi
}
complete -F _lvt lvtc lvt-run
