#!/usr/bin/env bash
# Installs into a temporary prefix and uses the result as a stranger would: a C program built through pkg-config and
# one through find_package, the installed lvtc on an installed model, the man pages.
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
cc -std=c11 -Wall -Wextra -Werror user.c $(pkg-config --cflags --libs lvt) -o user-pkgconfig
./user-pkgconfig tiny.lvtx
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
echo "installed, compiled against, and run"
