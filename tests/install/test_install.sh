#!/usr/bin/env bash
# Installs into a temporary prefix and uses the result as a stranger would: the example built through pkg-config and
# through find_package, the installed lvtc on an installed model, man pages, completion, what there is to read; and makes
# the Debian packages, where that can be done.
# usage: test_install.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
if grep -q '^LVT_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then
    echo "an installed library under sanitizers needs a program under sanitizers: checked in other builds"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }

# The models are found beside the program, wherever the prefix lies, and the file says the same as before.
cd "$work"
"$prefix/bin/lvtc" "$prefix/share/lvt/models/lvt-tiny.lvt" -o tiny.lvtx
"$prefix/bin/lvt-run" info tiny.lvtx | grep train >/dev/null
# A model of the user's own, elsewhere, still finds nn.lvt.
mkdir own && cp "$source/models/lvt-tiny.lvt" own/
"$prefix/bin/lvtc" own/lvt-tiny.lvt -o own/tiny.lvtx

# A program alone says where the rest of it is, and runs when it is told.
mkdir alone && cp "$prefix/bin/lvt-run" alone/
alone() { XDG_CACHE_HOME=$work/cache alone/lvt-run bench tiny.lvtx --steps 2 --threads 1 >alone.log 2>&1; }
alone && { echo "there was no code generator to load"; exit 1; }
grep -q 'error E903: .*liblvt-codegen' alone.log && grep -q 'name that folder in LD_LIBRARY_PATH' alone.log ||
    { cat alone.log; exit 1; }
LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name 'liblvt-codegen.so*')") alone || { cat alone.log; exit 1; }

cp "$source/tests/install/user.c" .
libdir=$(dirname "$(find "$prefix" -name 'liblvt.so')")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
[ "$(pkg-config --modversion lvt)" = "$("$prefix/bin/lvtc" --version | sed 's/.* //')" ]
cc -std=c11 -Wall -Wextra -Wpedantic -Werror user.c $(pkg-config --cflags --libs lvt) -o user-pkgconfig
./user-pkgconfig tiny.lvtx | tee user.log
grep -q 'step 200: loss 0\.' user.log # it has learned: its exit code says how well it answers
cmp -s user.c "$prefix/share/doc/lvt/examples/user.c" || { echo "the example is not installed"; exit 1; }

# The public interface is what the installed headers declare: each can be included alone, nobody has to include another
# one, and the shared library exports their functions and no others.
(cd "$prefix/include/lvt" && find . -name '*.h' | sort) >headers
diff headers - <<<'./ir/base/diag.h
./ir/base/version.h
./ir/type.h
./lvt.h' || { echo "these headers are installed, and others were expected"; exit 1; }
while read -r header; do
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c $(pkg-config --cflags lvt) - <<<"#include <$header>
int main(void) { return 0; }" || { echo "$header cannot be included alone"; exit 1; }
done <headers
cc -E -P $(pkg-config --cflags lvt) -x c - <<<'#include <lvt.h>' | grep -oE '\blvt_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >declared
nm -D --defined-only "$libdir/liblvt.so" | awk '$2 == "T" {sub(/@.*/, "", $3); print $3}' | sort -u >exported
[ "$(wc -l <declared)" -gt 40 ] || { echo "the headers declare hardly anything"; exit 1; }
diff declared exported || { echo "left: declared in the installed headers, right: exported by liblvt.so"; exit 1; }
models=$(pkg-config --variable=modelsdir lvt)
[ -f "$models/nn.lvt" ] || { echo "modelsdir of lvt.pc has no nn.lvt: $models"; exit 1; }

mkdir with-cmake
cat >with-cmake/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.20)
project(user C)
find_package(lvt 0.1 REQUIRED)
add_executable(user ../user.c)
target_link_libraries(user PRIVATE lvt::lvt)
CMAKE
cmake -S with-cmake -B with-cmake/build -DCMAKE_PREFIX_PATH="$prefix" >cmake.log 2>&1 || { cat cmake.log; exit 1; }
cmake --build with-cmake/build >cmake.log 2>&1 || { cat cmake.log; exit 1; }
with-cmake/build/user tiny.lvtx

soname=$(readelf -d "$libdir/liblvt.so" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
[[ $soname =~ ^liblvt\.so\.[0-9]+\.[0-9]+$ ]] || { echo "unexpected soname: $soname"; exit 1; }
# The man pages know every option that --help knows.
for command in lvtc "lvt-run train" "lvt-run eval" "lvt-run predict" "lvt-run info" "lvt-run bench" "lvt-run check"; do
    page=$prefix/share/man/man1/${command%% *}.1
    options=$("$prefix"/bin/$command --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
    text=$(sed 's/\\-/-/g' "$page")
    [ -n "$options" ] || { echo "$command --help names no option"; exit 1; }
    for option in $options; do
        [[ $text == *"$option"* ]] || { echo "$page does not explain $option of $command"; exit 1; }
    done
done
for page in lvtc.1 lvt-run.1; do
    [ -s "$prefix/share/man/man1/$page" ] || { echo "no man page $page"; exit 1; }
    if command -v groff >/dev/null; then
        complaints=$(groff -man -Tutf8 -ww -z "$prefix/share/man/man1/$page" 2>&1)
        [ -z "$complaints" ] || { echo "$page: $complaints"; exit 1; }
    fi
done

# Completion knows every option that --help knows, asks the installed programs, and offers values.
complete_words() { # WORD...: the offers for the last of them, as bash cuts words
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _lvt "$1" 2>/dev/null # compopt speaks to a terminal only
    printf '%s\n' "${COMPREPLY[@]}"
}
offers() { # WANTED WORD...
    local wanted=$1
    shift
    complete_words "$@" | grep -xqF -- "$wanted" || { echo "completing '$*' does not offer $wanted"; exit 1; }
}
for program in lvtc lvt-run; do
    script=$prefix/share/bash-completion/completions/$program
    bash -n "$script"
    . "$script"
done
offers train "$prefix/bin/lvt-run" tr
offers --version "$prefix/bin/lvt-run" --v
commands=$("$prefix/bin/lvt-run" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
[ "$(wc -w <<<"$commands")" -ge 10 ] || { echo "lvt-run --help lists too few commands: $commands"; exit 1; }
check_options() { # WORDS of a command
    local options option
    options=$("$@" --help | grep -oE '^ +(-[a-z], )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+')
    [ -n "$options" ] || { echo "$* --help names no option"; exit 1; }
    complete_words "$@" -- >offered
    for option in $options; do
        grep -xqF -- "$option" offered || { echo "completion of $* does not know $option"; exit 1; }
    done
}
check_options "$prefix/bin/lvtc"
for command in $commands; do
    check_options "$prefix/bin/lvt-run" "$command"
done
offers onnx "$prefix/bin/lvtc" --emit = o
offers fuse-linear "$prefix/bin/lvtc" --dump-after fuse-l
offers cosine "$prefix/bin/lvt-run" train --lr-schedule = ''
offers tiny.lvtx "$prefix/bin/lvt-run" train ti
offers tiny.lvtx "$prefix/bin/lvtc" --weights = tiny

# What there is to read is there: links between the texts hold, and the man pages name files that exist.
texts=$prefix/share/doc/lvt
links=0
while IFS=: read -r file link; do
    links=$((links + 1))
    [ -f "$(dirname "$file")/$link" ] || { echo "$file: $link is not installed"; exit 1; }
done < <(grep -roE --include='*.md' '\]\([^):#]*\.md' "$texts" | sed 's/\](//')
[ "$links" -gt 5 ] || { echo "only $links links were found in $texts"; exit 1; }
for page in lvtc.1 lvt-run.1; do
    named=$(sed -n 's/^\.I share\/doc\/lvt\/\([^ ]*\).*/\1/p' "$prefix/share/man/man1/$page")
    [ -n "$named" ] || { echo "$page names nothing to read"; exit 1; }
    for file in $named; do
        [ -s "$texts/$file" ] || { echo "$page names $file, which is not installed"; exit 1; }
    done
done

# Packages: the same files, split in two; what they need is found by what is linked; Open MPI is asked of lvt-mpi alone.
if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null; then
    mkdir packages
    (cd "$build" && cpack -G DEB -B "$work/packages") >cpack.log 2>&1 || { cat cpack.log; exit 1; }
    for package in packages/lvt*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -t | sed -n 's/^\.\/usr\/\(.*[^/]\)$/\1/p'
    done | sort >packed
    (cd "$prefix" && find . ! -type d | sed 's/^\.\///' | sort) >installed
    diff installed packed || { echo "left: installed, right: in the packages"; exit 1; }
    depends=$(dpkg-deb -f packages/lvt_*.deb Depends)
    for library in libc6 libdnnl libllvm19 libgomp1 libprotobuf-c1 libcjson1; do
        [[ $depends == *"$library"* ]] || { echo "the package does not depend on $library: $depends"; exit 1; }
    done
    [[ $depends != *openmpi* ]] || { echo "the package asks for Open MPI: $depends"; exit 1; }
    if [ -f packages/lvt-mpi_*.deb ]; then
        [[ $(dpkg-deb -f packages/lvt-mpi_*.deb Depends) == *"lvt (= "*openmpi* ]]
    fi
else
    echo "dpkg-deb or dpkg-shlibdeps is missing: no packages were made"
fi
echo "installed, compiled against, and run"
