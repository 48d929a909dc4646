#!/usr/bin/env bash
# READMEs are true: lines of at most 100 columns but for tables, links that lead somewhere, files that exist; and the commands of
# README.md's walk run as they are typed.
# usage: test_readmes.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
cd "$source"
failures=0
complain() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}
mapfile -t texts < <(find README.md frontend ir models passes runtime tests -name '*.md' | sort)
[ "${#texts[@]}" -gt 12 ] || complain "only ${#texts[@]} texts were found"

# A file's name alone stands for any of that name; a path begins at the root, at the text's folder or at one above it.
exists() { # NAME FOLDER
    local from=$2
    [[ $1 == */* ]] || { [ -n "$(find frontend ir models passes runtime tests -name "$1" -print -quit)" ]; return; }
    while [ ! -e "$from/$1" ]; do
        [ "$from" != . ] || return 1
        from=$(dirname "$from")
    done
}
named=0
unwrapped=' frontend/OPS.md ' # as a program prints it
for text in "${texts[@]}"; do
    folder=$(dirname "$text")
    while IFS=: read -r line _; do
        [[ $unwrapped == *" $text "* ]] || complain "$text:$line is longer than 100 columns"
    done < <(LC_ALL=C.UTF-8 grep -nE '^[^|].{100}' "$text" || true) # a row of a table cannot be wrapped
    while read -r link; do
        [ -e "$folder/$link" ] || complain "$text links to $link, which is not there"
    done < <(grep -oE '\]\([^):#]+' "$text" | sed 's/](//' || true)
    while read -r name; do
        named=$((named + 1))
        exists "$name" "$folder" || complain "$text names $name, which is not there"
    done < <(grep -oE '`[A-Za-z0-9_./-]+\.(c|h|def|inc|sh|py|proto)`' "$text" | tr -d '`' | grep -v NAME | sort -u || true)
done
[ "$named" -gt 100 ] || complain "only $named names of files were found in the texts"
# Each folder of the runtime says what its files do.
for folder in runtime/*/; do
    text=${folder}README.md
    [ -f "$text" ] || continue
    for file in "$folder"*.c; do
        [ -e "$file" ] || continue # the Python module has none
        stem=$(basename "$file")
        grep -qF "$stem" "$text" || complain "$text says nothing of $stem"
    done
done
[ "$failures" -eq 0 ] || { echo "$failures failures"; exit 1; }

# The walk, with fewer epochs: what needs data that is not here, or minutes, is left out.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$source/models" "$source/tests" "$work"
cd "$work"
export PATH=$build:$PATH XDG_CACHE_HOME=$work/cache OMP_NUM_THREADS=2
ran=0
while read -r command; do
    case $command in
    *DIR* | *picture.png* | *mpirun* | *sweep* | *compare* | *"--entry train"*) continue ;;
    esac
    command=${command/--epochs 10/--epochs 1}
    bash -c "$command" >log 2>&1 || { echo "README.md: $command"; cat log; exit 1; }
    ran=$((ran + 1))
done < <(sed -n '/^## A walk through/,/^## Concepts/p' "$source/README.md" | sed -n '/^    \$ /{s/^    \$ //; :more; /\\$/{N; s/\\\n */ /; b more}; p}')
[ "$ran" -ge 9 ] || { echo "only $ran commands of README.md were run"; exit 1; }
[ -s run/report.html ] && [ -s memory.svg ]
echo "${#texts[@]} texts name $named files; $ran commands of README.md run as they are typed"
