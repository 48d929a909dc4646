#!/bin/bash
# A program and its kernels in a folder, run where there is no code generator: same answers; what is missing is said.
# LVT_DEVICE=FOLDER in the environment: the build of -DLVT_JIT=OFF there is the device's; else this one, which must not
# need to compile.
source "$1/tests/e2e/lib.bash"
run train $PROGRAM --data digits --tasks 2 --memory 20 --steps 20 --threads 1 --quiet --out run >/dev/null
last=run/task-02.safetensors
run step $PROGRAM --entry predict --weights $last --threads 1 --save-inputs in.safetensors --save-outputs wanted.safetensors >/dev/null
expect 0 "LVT_KERNELS=device/kernels" run pack $PROGRAM --out device --weights $last
cmp -s device/tiny.lvtx $PROGRAM && fail "the packed program does not begin with the weights"
mkdir alone && cp "${LVT_DEVICE:-$BUILD}/lvt-run" alone/
[ -z "${LVT_DEVICE:-}" ] || ! ldd alone/lvt-run | grep -i llvm || fail "the device's build needs LLVM"
# Nothing is in the user's cache, and nothing may be written beside the kernels.
device() { env XDG_CACHE_HOME="$WORK/none" LVT_KERNELS="${KERNELS-device/kernels}" alone/lvt-run "$@"; }
ls device/kernels >before
device step device/tiny.lvtx --entry predict --inputs in.safetensors --threads 1 --save-outputs got.safetensors >/dev/null
identical wanted.safetensors got.safetensors
# All entries, for one thread and for two.
for threads in 1 2; do
    device train device/tiny.lvtx --data digits --tasks 2 --memory 20 --steps 3 --threads $threads --quiet --out packed-$threads >/dev/null
    run train device/tiny.lvtx --data digits --tasks 2 --memory 20 --steps 3 --threads $threads --quiet --out compiled-$threads >/dev/null
    identical packed-$threads/task-02.safetensors compiled-$threads/task-02.safetensors
done
ls device/kernels | diff before - || fail "something was written beside the kernels"
[ ! -d none/lvt ] || [ -z "$(ls none/lvt)" ] || fail "something was compiled"

# What is missing is said.
KERNELS=nowhere expect 1 "nowhere is no folder of kernels" device bench $PROGRAM --entry predict --steps 1
KERNELS= expect 1 "lvt-run pack" device bench $PROGRAM --entry predict --steps 1
expect 0 "predict" run pack $PROGRAM --entry predict --out part
KERNELS=part/kernels expect 0 "median" device bench $PROGRAM --entry predict --steps 1 --threads 1
KERNELS=part/kernels expect 1 "kernels are not in part/kernels" device bench $PROGRAM --entry train --steps 1 --threads 1
cp -r device/kernels foreign && sed -i 's/LLVM/another/' foreign/processor
KERNELS=foreign expect 1 "of another processor" device bench $PROGRAM --entry predict --steps 1
cp -r device/kernels open && chmod 777 open
KERNELS=open expect 1 "others may write there" device bench $PROGRAM --entry predict --steps 1
cp -r device/kernels torn && for file in torn/[0-9a-f]*; do truncate -s -5 "$file"; done
KERNELS=torn expect 1 "kernels are not in torn" device bench $PROGRAM --entry predict --steps 1
expect 2 "--out is missing" run pack $PROGRAM
expect 1 "no such entry" run pack $PROGRAM --out other --entry prdict
