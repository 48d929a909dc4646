#!/usr/bin/env bash
# The arrows between the layers and the promises of library code, checked on the sources and on what was built:
#   - who includes whom, and which folder alone may see LLVM, oneDNN, protobuf-c;
#   - lvt-run carries nothing of the passes;
#   - library objects never exit, abort or speak, have no mutable globals and no global constructors;
#   - the shared library exports our prefix only.
# usage: test_layers.sh SOURCE_FOLDER BUILD_FOLDER
set -uo pipefail
source=$1 build=$2
failures=0
complain() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}
cd "$source" || exit 1

# ---- includes --------------------------------------------------------------------------------------------------
# For each file: every quoted include, resolved as the compiler does (beside the file, the root, runtime/).
includes() { # FOLDER -> lines "file:line resolved-path"
    grep -rnoE --include='*.[ch]' --include='*.def' '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^"]+"' "$1" |
        sed -E 's/^([^:]+:[0-9]+):.*"([^"]+)"$/\1 \2/' |
        while read -r place name; do
            folder=$(dirname "${place%%:*}")
            for candidate in "$folder/$name" "$name" "runtime/$name"; do
                if [ -f "$candidate" ]; then
                    echo "$place $(realpath --relative-to=. "$candidate")"
                    continue 2
                fi
            done
            echo "$place unresolved:$name"
        done
}
check_arrows() { # FOLDER ALLOWED-REGEX
    while read -r place path; do
        [[ $path =~ ^($2)$ ]] || complain "$place: $1 may not include $path"
    done < <(includes "$1")
}
check_arrows ir 'ir/.*'
check_arrows passes '(passes|ir)/.*'
check_arrows runtime '(runtime|ir)/.*'
check_arrows frontend '(frontend|passes|ir)/.*|runtime/lvt\.h'

check_foreign() { # INCLUDE-REGEX FOLDER: the only one that may include it
    while IFS=: read -r file line _; do
        [[ $file == $2/* ]] || complain "$file:$line: only $2 may include $1"
    done < <(grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($1)" ir passes runtime frontend)
}
check_foreign 'llvm(-c)?/' runtime/kernels/jit
check_foreign '(oneapi/)?dnnl' runtime/kernels/onednn
check_foreign '(protobuf-c/|onnx)' frontend/onnx
check_foreign 'event\.pb-c' runtime/report/tensorboard

# ---- symbols ---------------------------------------------------------------------------------------------------
defined() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-Z]/ {print $3}' | sort -u; }
archives=()
for layer in ir passes runtime frontend; do
    [ -f "$build/liblvt_$layer.a" ] || complain "liblvt_$layer.a was not built"
    archives+=("$build/liblvt_$layer.a")
done
# The folders hold what is meant by each check, so that none of them passes on nothing.
[ "$(defined "$build/liblvt_passes.a" | grep -c '^lvt_')" -gt 0 ] || complain "liblvt_passes.a defines nothing"
[ -x "$build/lvt-run" ] || complain "lvt-run was not built"
linked=$(comm -12 <(defined "$build/liblvt_passes.a") <(nm --defined-only "$build/lvt-run" | awk '{print $3}' | sort -u))
[ -z "$linked" ] || complain "lvt-run carries symbols of the passes:" $linked

for archive in "${archives[@]}"; do
    # Words: anything that ends the process or writes to the terminal.
    while IFS=: read -r _ object symbol; do
        complain "$(basename "$archive")($object) refers to ${symbol##* }"
    done < <(nm -A --undefined-only "$archive" |
        grep -E ' U (exit|_exit|_Exit|quick_exit|abort|__assert_fail|perror|psignal|err|errx|warn|warnx|v?printf|__printf_chk|puts|putchar|stdout|stderr|atexit|signal)$')
done
for archive in "${archives[@]}"; do
    for object in $(nm -A --undefined-only "$archive" | grep -E ' U LLVM' | cut -d: -f2 | sort -u); do
        [ -n "$(find runtime/kernels/jit -name "${object%.o}")" ] || complain "$object calls LLVM outside runtime/kernels/jit"
    done
    for object in $(nm -A --undefined-only "$archive" | grep -E ' U dnnl_' | cut -d: -f2 | sort -u); do
        [ -n "$(find runtime/kernels/onednn -name "${object%.o}")" ] || complain "$object calls oneDNN outside runtime/kernels/onednn"
    done
done

# AddressSanitizer adds constructors and tables of its own to every object.
if nm "$build/liblvt_ir.a" 2>/dev/null | grep __asan_ >/dev/null; then # not -q: it would end nm early, and pipefail take that for a failure
    echo "built with sanitizers: sections are checked in other builds"
else
    for archive in "${archives[@]}"; do
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
echo "all layers keep their arrows and promises"
