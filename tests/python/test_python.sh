#!/usr/bin/env bash
# The Python module: its structures against a C compiler, what it does against lvt-run, a first session as a newcomer types
# it, PyTorch where that is, installed by CMake and by pip.
# usage: test_python.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
if grep -q '^LVT_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then
    echo "a library under sanitizers needs a Python under sanitizers: checked in other builds"
    exit 77
fi
[ -f "$build/liblvt.so" ] || { echo "liblvt.so is not built"; exit 77; }
python=
for one in ${LVT_PYTHON:-} python3 /usr/bin/python3; do
    if "$one" -c 'import numpy' 2>/dev/null; then python=$one && break; fi
done
[ -n "$python" ] || { echo "there is no Python with numpy"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LVT_LIBRARY=$build/liblvt.so XDG_CACHE_HOME=$work/cache PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=2
here() { PYTHONPATH=$source/runtime/python "$@"; }

# The structures as ctypes has them and as C has them: size, and place and size of every field.
here "$python" - >layout.c <<'P'
import ctypes
from lvt import _library as l
all = dict(l.STRUCTURES, **(l.LEARNER_STRUCTURES if l.lib.has_learner else {}))
print("#include <stddef.h>\n#include \"runtime/lvt.h\"")
if l.lib.has_learner:
    print("#include \"runtime/learner/learner.h\"")
for name, s in all.items():
    print(f"_Static_assert(sizeof({name}) == {ctypes.sizeof(s)}, \"size of {name}\");")
    for field, _ in s._fields_:
        f, c = getattr(s, field), field.rstrip("_")
        print(f"_Static_assert(offsetof({name}, {c}) == {f.offset} && sizeof((({name} *)0)->{c}) == {f.size}, \"{name}.{c}\");")
P
[ "$(grep -c offsetof layout.c)" -gt 40 ] || { echo "no structures were compared"; exit 1; }
cc -std=c11 -fsyntax-only -I"$source" layout.c

"$build/lvtc" "$source/models/lvt-tiny.lvt" -o tiny.lvtx
export LVT_RUN=$build/lvt-run SOURCE=$source
here "$python" -W error "$source/tests/python/module.py"
here "$python" -W error "$source/tests/python/first_session.py" "$source/models/lvt-tiny.lvt"
for one in "$python" ${LVT_PYTHON:-}; do
    "$one" -c 'import torch' 2>/dev/null || continue
    here "$one" "$source/tests/python/with_torch.py" && break
    exit 1
done

# Installed by CMake: found without being told where.
if grep -q '^LVT_PYTHON:BOOL=ON' "$build/CMakeCache.txt"; then
    cmake --install "$build" --prefix "$work/prefix" >install.log
    installed=$(dirname "$(dirname "$(find "$work/prefix" -path '*/lvt/__init__.py')")")
    (unset LVT_LIBRARY LD_LIBRARY_PATH
     PYTHONPATH=$installed "$python" -c '
import lvt, sys
assert sys.argv[1] in lvt.library_path() and lvt.version() == lvt.__version__, lvt.library_path()
print(lvt.compile(sys.argv[2], classes=4).session(threads=1).run("predict", x=lvt.program.np.zeros((64, 8, 8, 1)))["logits"].shape)' \
         "$work/prefix" "$work/prefix/share/lvt/models/lvt-tiny.lvt")
fi
# By pip, where it and setuptools are: nothing is fetched.
if "$python" -c 'import pip, setuptools' 2>/dev/null; then
    cp -r "$source/runtime/python" package
    "$python" -m pip install --quiet --no-index --no-build-isolation --no-deps --target site ./package >pip.log 2>&1 ||
        { cat pip.log; exit 1; }
    [ -f site/lvt/py.typed ] || { echo "py.typed is not installed by pip"; exit 1; }
    PYTHONPATH=site "$python" -c 'import lvt; assert lvt.__file__.endswith("site/lvt/__init__.py"); lvt.Program("tiny.lvtx")'
fi
# Without a library the words say what to do.
LVT_LIBRARY=$work/none.so here "$python" -c 'import lvt' 2>none.log && { echo "a library that is not there"; exit 1; }
grep -q "LVT_LIBRARY" none.log
echo "the Python module works with $("$python" --version)"
