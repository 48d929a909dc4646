# Shared by the end-to-end tests: sourced with the source and build folders as arguments.
# Sets SOURCE, BUILD, WORK (removed at the end) and PROGRAM (lvt-tiny, compiled); cd's into WORK.
set -euo pipefail
SOURCE=$1 BUILD=$2
. "$SOURCE/tests/expect.bash"
[ -x "$BUILD/lvtc" ] && [ -x "$BUILD/lvt-run" ] || { echo "lvtc or lvt-run is not built"; exit 77; }
WORK=$(mktemp -d)
clean_up() { # what fails here must not become the result of the test
    jobs -p | xargs -r kill -9 2>/dev/null || true
    umount "$WORK/tmpfs" 2>/dev/null || true
    rm -rf "$WORK"
}
trap clean_up EXIT
cd "$WORK"
export XDG_CACHE_HOME=$WORK/cache
PROGRAM=tiny.lvtx
"$BUILD/lvtc" "$SOURCE/models/lvt-tiny.lvt" -o "$PROGRAM"

run() { "$BUILD/lvt-run" "$@"; }

# tensors FILE: the data of a checkpoint without its header, which holds the settings.
tensors() {
    local n
    n=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    tail -c "+$((n + 9))" "$1"
}
same() { cmp <(tensors "$1") <(tensors "$2") || fail "$1 and $2 differ"; }
identical() { # every byte: checkpoints of equal runs
    [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] || fail "$1 and $2 are not the same file"
}
differ() { ! cmp -s <(tensors "$1") <(tensors "$2") || fail "$1 and $2 are equal"; }
