#!/usr/bin/env bash
# cli.sh PROGRAM CASE: one claim about the program, tried as a user would. Exit 77 = skipped.
# What the cases share; they are the functions case_CASE of cases_*.sh.
set -u
program=$1
case=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
model=$root/examples/demo-model
text=$root/examples/demo-heldout.txt
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}

die() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "skipped: $*"; exit 77; }
[ -f "$model/config.json" ] || skip "examples/demo-model is missing"

# run EXPECTED ARGUMENT...: the exit code must be EXPECTED; stdout and stderr are kept in out and err.
run() {
    local expected=$1 found
    shift
    "$program" "$@" >out 2>err
    found=$?
    [ "$found" = "$expected" ] || { cat err >&2; die "exit $found, expected $expected: anyround $*"; }
    if [ "$expected" != 0 ]; then
        [ "$(grep -c '^anyround: ' err)" = 1 ] || { cat err >&2; die "expected one error line: anyround $*"; }
    fi
}
# refused ARGUMENT...: exit code 4, and nothing but one line on stderr.
refused() {
    run 4 "$@"
    [ "$(wc -l <err)" = 1 ] || { cat err >&2; die "expected one line: anyround $*"; }
    says 'no usable device'
}
# hide LIBRARY...: the loader finds these first, and no library in them.
hide() {
    mkdir -p hidden
    for library in "$@"; do echo none >"hidden/$library"; done
    export LD_LIBRARY_PATH=$dir/hidden
}
says() { grep -q -- "$1" err || { cat err >&2; die "expected '$1' in the error"; }; }
only() {
    local found
    found=$(LC_ALL=C ls -A -I cache | xargs)
    [ "$found" = "$*" ] || die "found $found, expected $*"
}
# holds FOLDER KEY NUMBER…: its quantization_config.json says so.
holds() {
    local json=$1/quantization_config.json
    shift
    while [ $# -gt 0 ]; do
        grep -Eq "\"$1\":[[:space:]]*$2,?\$" "$json" || { cat "$json" >&2; die "expected $1 $2"; }
        shift 2
    done
}
# same_weights A B: of every linear, whatever else the files say of themselves.
same_weights() {
    "${AR_COMPARE:?}" "$1" "$2" >compared 2>&1 || { cat compared >&2; die "cannot compare $1 and $2"; }
    grep -q '^0 of' compared
}
devices() { # the devices there are, as $devices: one of each kind
    local device
    devices=()
    for device in vk cl; do
        if "$program" devices -q 2>/dev/null | grep -q "^$device:"; then devices+=("$device"); fi
    done
    [ ${#devices[@]} -gt 0 ] || skip 'no device'
}
faulty() { # OpenCL by way of a driver that fails as AR_FAULT says, and no other
    [ -n "${AR_FAULTY:-}" ] || skip 'no faulty driver was built'
    AR_FAULTY_ICD=$(cat "$AR_POCL_ICD")
    export OCL_ICD_VENDORS=$AR_FAULTY AR_FAULTY_ICD VK_DRIVER_FILES=$dir/absent VK_ICD_FILENAMES=$dir/absent
    "$program" devices -q 2>/dev/null | grep -q '^cl:' || skip 'no PoCL'
}
posing() { # OpenCL by way of a driver whose device poses as a GPU, as AR_POSE says, and no other
    [ -n "${AR_POSING:-}" ] || skip 'no posing driver was built'
    AR_POSING_ICD=$(cat "$AR_POCL_ICD")
    export OCL_ICD_VENDORS=$AR_POSING AR_POSING_ICD VK_DRIVER_FILES=$dir/absent VK_ICD_FILENAMES=$dir/absent
    AR_POSE=arc "$program" devices -q 2>/dev/null | grep -q '^cl:' || skip 'no PoCL'
}
microseconds() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }
nothing_left() { local f; for f in "$@"; do [ ! -e "$f" ] || die "$f was left behind"; done; }

tiny=(--method "${AR_METHOD:-signround}" --iters 12 --lr 0.01 --samples 6 --seqlen 32
    --batch 2) # small steps, so that they are kept
calib=(--calib "$text")

for file in "$root"/tests/cli/cases_*.sh; do
    # shellcheck source=/dev/null # each of them
    . "$file"
done
declare -F "case_$case" >/dev/null || die "no such case"
"case_$case"
echo ok
