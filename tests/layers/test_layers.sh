#!/usr/bin/env bash
# The arrows between the link units and the promises of library code, checked on the sources and on what was built:
#   - who includes whom, folder by folder, and which folder alone may see LLVM, oneDNN, protobuf-c;
#   - whose symbols each library uses, which no include shows;
#   - no circle between files of different translation units, but where it is said why;
#   - lvt-run carries nothing of the passes;
#   - library objects never exit, abort or speak, have no mutable globals and no global constructors, and read and
#     print numbers the same way in every locale;
#   - the shared library exports our prefix only.
# usage: test_layers.sh SOURCE_FOLDER BUILD_FOLDER
set -uo pipefail
source=$1 build=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
failures=0
complain() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}
cd "$source" || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# ---- the arrows ------------------------------------------------------------------------------------------------
# UNIT  FOLDERS, OR FILES (comma)  UNITS IT MAY KNOW (comma; lvt.h is the public interface, compiled what lvt's own
# programs see beyond it)
cat >"$scratch/units" <<'END'
base       ir/base                                                              -
ir         ir,ir/op                                                             base
program    ir/program                                                           base,ir
passes     passes                                                               base,ir,program
onnx       frontend/onnx                                                        base,ir,program,passes
language   frontend/language                                                    base,ir,program,passes,onnx
lvtc       frontend/lvtc                                                        base,ir,program,passes,onnx,language,lvt.h,compiled
kernels    runtime/kernels                                                      base,ir,program,lvt.h
vector     runtime/kernels/vector                                               base,ir,program,kernels
jit        runtime/kernels/jit                                                  base,ir,program,kernels
codegen    runtime/kernels/codegen                                              base,ir,program,kernels,jit
onednn     runtime/kernels/onednn                                               base,ir,program,kernels,vector
session    runtime/session                                                      base,ir,program,kernels,lvt.h,compiled
data       runtime/data                                                         base
continual  runtime/continual                                                    base,ir,program,lvt.h,compiled,data
report     runtime/report,runtime/report/tensorboard                            base,ir,program,lvt.h,data,continual
sweep      runtime/sweep                                                        base,ir,program,lvt.h,data,continual,report
command    runtime/command,runtime/command/view,runtime/command/bench,runtime/command/main  base,ir,program,kernels,session,lvt.h,compiled,data,continual,report,sweep
mpi        runtime/mpi                                                          lvt.h
lvt.h      runtime/lvt.h                                                        base,ir
compiled   runtime/compiled.h                                                   base,ir,program,lvt.h
END
declare -A unit_of may
while read -r unit folders known; do
    for folder in ${folders//,/ }; do unit_of[$folder]=$unit; done
    may[$unit]=",$known,"
done <"$scratch/units"
unit() { # PATH -> $unit, of the file itself or of its folder; empty: none
    unit=${unit_of[$1]:-${unit_of[$(dirname "$1")]:-}}
}

# Every file stands in a folder of the table.
while read -r file; do
    unit "$file"
    [ -n "$unit" ] || complain "$file: its folder is in no link unit"
done < <(find ir passes frontend runtime -name '*.[ch]')

# Every quoted include of the layers, resolved as the compiler does (beside the file, then from the root).
includes() { # -> lines "file:line path"
    grep -rnoE --include='*.[ch]' --include='*.def' --include='*.inc' '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^"]+"' ir passes frontend runtime |
        sed -E 's/^([^:]+:[0-9]+):.*"([^"]+)"$/\1 \2/' |
        while read -r place name; do
            folder=$(dirname "${place%%:*}")
            if [ -f "$folder/$name" ]; then
                echo "$place $folder/$name"
            elif [ -f "$name" ]; then
                echo "$place $name"
            else
                echo "$place unresolved:$name"
            fi
        done
}
includes >"$scratch/includes"
arrows=0
: >"$scratch/arrows"
while read -r place path; do
    case $path in
    unresolved:*.pb-c.h) continue ;; # made by the build; check_foreign looks at these
    unresolved:*) complain "$place: ${path#unresolved:} is not found"; continue ;;
    esac
    unit "${place%%:*}"
    from=${unit:-none}
    unit "$path"
    to=${unit:-none}
    arrows=$((arrows + 1))
    [ "$from" = "$to" ] && continue
    [[ ${may[$from]:-} == *",$to,"* ]] || complain "$place: $from may not include $path ($to)"
    echo "$from $to" >>"$scratch/arrows"
done <"$scratch/includes"
[ "$arrows" -gt 500 ] || complain "only $arrows includes were found"
echo "arrows between units (unit: what it includes):"
sort -u "$scratch/arrows" | awk '{to[$1] = to[$1] " " $2} END {for (u in to) print "  " u ":" to[u]}' | sort

check_foreign() { # INCLUDE-REGEX FOLDER: the only one that may include it
    while IFS=: read -r file line _; do
        [[ $file == $2/* ]] || complain "$file:$line: only $2 may include $1"
    done < <(grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($1)" ir passes runtime frontend)
}
check_foreign 'llvm(-c)?/' runtime/kernels/codegen
check_foreign '(oneapi/)?dnnl' runtime/kernels/onednn
check_foreign '(protobuf-c/|onnx)' frontend/onnx
check_foreign 'event\.pb-c' runtime/report/tensorboard

# ---- symbols ---------------------------------------------------------------------------------------------------
# One line for each external symbol: "unit object symbol", of definitions and of uses.
libraries=(base ir program passes onnx language kernels session data continual report sweep command)
archives=()
for library in "${libraries[@]}"; do
    archive=$build/liblvt_$library.a
    [ -f "$archive" ] || complain "liblvt_$library.a was not built"
    archives+=("$archive")
    nm -A --defined-only "$archive" 2>/dev/null | awk -v u="$library" '$(NF - 1) ~ /^[A-Z]$/ {n = split($1, p, ":"); print u, p[n - 1], $NF}' >>"$scratch/defined"
    nm -A --undefined-only "$archive" 2>/dev/null | awk -v u="$library" '{n = split($1, p, ":"); print u, p[n - 1], $NF}' >>"$scratch/used"
done
# The unit of a library for the symbols' arrows: the families share one library, so they are looked at by includes alone.
awk -v arrows="$(for unit in "${!may[@]}"; do echo "$unit${may[$unit]}"; done)" '
    BEGIN {
        n = split(arrows, line, "\n")
        for (i = 1; i <= n; i++) { split(line[i], part, ","); for (k = 2; k in part; k++) ok[part[1], part[k]] = 1 }
        ok["continual", "session"] = ok["report", "session"] = ok["sweep", "session"] = 1    # through lvt.h
        ok["continual", "kernels"] = ok["report", "kernels"] = 0
    }
    NR == FNR { where[$3] = $1; next }
    ($3 in where) && where[$3] != $1 && !ok[$1, where[$3]] { print $1 "/" $2 ": uses " $3 " of " where[$3] }
' "$scratch/defined" "$scratch/used" | sort -u >"$scratch/wrong"
while read -r line; do complain "$line"; done <"$scratch/wrong"

# Circles between objects, by symbols. allowed-circles says which may be, and why. The table of ops names its rows
# (lvt_op_def_NAME): that is no arrow, or every op would be in a circle with the builder that looks it up.
awk '
    NR == FNR { where[$3] = $1 "/" $2; next }
    ($3 in where) && where[$3] != $1 "/" $2 && $3 !~ /^lvt_op_def_/ { print $1 "/" $2, where[$3] }
' "$scratch/defined" "$scratch/used" | sort -u >"$scratch/edges"
[ "$(wc -l <"$scratch/edges")" -gt 300 ] || complain "the objects hardly know each other: the check of circles sees nothing"
# Whoever is left when objects that know nobody, or that nobody knows, are taken away again and again is in a circle or
# between two; tsort names those that are in one.
cp "$scratch/edges" "$scratch/core"
while :; do
    awk 'NR == FNR {from[$1]; to[$2]; next} ($1 in to) && ($2 in from)' "$scratch/core" "$scratch/core" >"$scratch/next"
    cmp -s "$scratch/core" "$scratch/next" && break
    mv "$scratch/next" "$scratch/core"
done
tsort "$scratch/core" 2>&1 >/dev/null | sed -n 's/^tsort: \([^ ]*\/[^ ]*\)\.o$/\1/p' | sort -u >"$scratch/circle"
sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$here/allowed-circles" | sort -u >"$scratch/allowed"
while read -r object; do complain "$object is part of a circle"; done < <(comm -23 "$scratch/circle" "$scratch/allowed")
while read -r object; do complain "allowed-circles names $object, which is in none"; done < <(comm -13 "$scratch/circle" "$scratch/allowed")

# The folders hold what is meant by each check, so that none of them passes on nothing.
defined() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-Z]/ {print $3}' | sort -u; }
[ "$(defined "$build/liblvt_passes.a" | grep -c '^lvt_')" -gt 0 ] || complain "liblvt_passes.a defines nothing"
[ -x "$build/lvt-run" ] || complain "lvt-run was not built"
linked=$(comm -12 <(defined "$build/liblvt_passes.a") <(nm --defined-only "$build/lvt-run" | awk '{print $3}' | sort -u))
[ -z "$linked" ] || complain "lvt-run carries symbols of the passes:" $linked

for archive in "${archives[@]}"; do
    [ "$(basename "$archive")" = liblvt_command.a ] && continue # commands talk to a terminal
    # Words: anything that ends the process or writes to the terminal.
    while IFS=: read -r _ object symbol; do
        complain "$(basename "$archive")($object) refers to ${symbol##* }"
    done < <(nm -A --undefined-only "$archive" |
        grep -E ' U (exit|_exit|_Exit|quick_exit|abort|__assert_fail|perror|psignal|err|errx|warn|warnx|v?printf|__printf_chk|puts|putchar|stdout|stderr|atexit|signal)$')
    # What follows the locale of the program around: ir/base/c_locale.h and ir/program/json.h have what is used instead. frontend/language
    # is part of programs alone.
    [ "$(basename "$archive")" = liblvt_language.a ] || while IFS=: read -r _ object symbol; do
        [[ $object =~ ^(c_locale|json)\.c\.o$ ]] || complain "$(basename "$archive")($object) calls ${symbol##* }, which follows the locale"
    done < <(nm -A --undefined-only "$archive" |
        grep -E ' U (strto(f|d|ld)|ato(f|i)?f|str(n)?casecmp|str(coll|xfrm)|vsn?printf|to(lower|upper)|isw?(alpha|alnum|space|upper|lower|print|punct)|__ctype_.*|setlocale|localeconv|cJSON_(Print|PrintUnformatted|Parse|ParseWithLength))$')
    for object in $(nm -A --undefined-only "$archive" | grep -E ' U LLVM' | cut -d: -f2 | sort -u); do
        complain "$object calls LLVM outside the code generator's module"
    done
    for object in $(nm -A --undefined-only "$archive" | grep -E ' U dnnl_' | cut -d: -f2 | sort -u); do
        [ -n "$(find runtime/kernels/onednn -name "${object%.o}")" ] || complain "$object calls oneDNN outside runtime/kernels/onednn"
    done
done

# External symbols of our libraries have the prefix (messages made by protoc-c have their own).
while read -r unit object symbol; do
    complain "liblvt_$unit.a($object) defines $symbol, which lacks the prefix lvt_"
done < <(awk '$3 !~ /^lvt_/ && $2 !~ /\.pb-c\.c\.o$/ && $3 !~ /^(__|DW\.ref|_GLOBAL)/' "$scratch/defined")

# AddressSanitizer adds constructors and tables of its own to every object.
if nm "$build/liblvt_ir.a" 2>/dev/null | grep __asan_ >/dev/null; then # not -q: it would end nm early, and pipefail take that for a failure
    echo "built with sanitizers: sections are checked in other builds"
else
    for archive in "${archives[@]}"; do
        [ "$(basename "$archive")" = liblvt_command.a ] && continue
        # Sections as "object section size"; tables of constant pointers (.data.rel.ro) are read-only once loaded.
        while read -r object section size; do
            complain "$(basename "$archive")($object) has $((16#$size)) bytes of $section"
        done < <(readelf -SW "$archive" | sed -E 's/^ *\[ *[0-9]+\] *//' | awk '
            /^File: / { object = $2; sub(/.*\(/, "", object); sub(/\)$/, "", object) }
            /^\.(data|bss|tdata|tbss|init_array|fini_array|ctors|dtors)/ && !/^\.data\.rel\.ro/ && $5 !~ /^0+$/ {
                print object, $1, $5
            }')
    done
fi

if [ -f "$build/liblvt.so" ]; then
    exported=$(nm -D --defined-only "$build/liblvt.so" | awk '{print $3}' | grep -vE '^(lvt_.*|LVT_[0-9.]+(@.*)?)$')
    [ -z "$exported" ] || complain "liblvt.so exports:" $exported
    nm -D --defined-only "$build/liblvt.so" | grep ' lvt_program_open' >/dev/null || complain "liblvt.so does not export lvt_program_open"
fi

[ "$failures" -eq 0 ] || { echo "$failures failures"; exit 1; }
echo "all units keep their arrows and promises"
