# Shared by scripts that stop at the first failure.
fail() { echo "FAILED: $*"; exit 1; }
# expect CODE "words" command...: the exit code, and words that must be in the output, which expected.txt keeps.
expect() {
    local code=$1 words=$2 got=0
    shift 2
    "$@" >expected.txt 2>&1 || got=$?
    [ "$got" = "$code" ] || { cat expected.txt; fail "exit code $got, not $code: $*"; }
    grep -qF -- "$words" expected.txt || { cat expected.txt; fail "no \"$words\" in the output of: $*"; }
}
