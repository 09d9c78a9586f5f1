#!/usr/bin/env bash
# demo.sh PROGRAM: examples/demo.sh shows what it is meant to show. Tuning costs less KL than rounding to
# nearest at both widths, at 2 bits at most 0.6 of it; the model speaks; model and text are small. Exit 77 =
# skipped.
set -u
program=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "FAILED: $*" >&2; exit 1; }
"$program" devices -q >/dev/null 2>&1 || { echo 'skipped: no device'; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}

at_most() { # at_most BYTES FILE
    local bytes
    bytes=$(wc -c <"$2")
    [ "$bytes" -le "$1" ] || die "$2 has $bytes bytes, expected at most $1"
}
at_most $((40 << 10)) "$root/examples/demo-heldout.txt"
at_most $((6 << 20)) "$root/examples/demo-model/model.safetensors"

mkdir "$dir/demo" && echo mine >"$dir/demo/notes"
"$root/examples/demo.sh" "$program" "$dir/demo" >"$dir/out" 2>"$dir/err" ||
    { cat "$dir/err" >&2; die "exit $?"; }
cat "$dir/demo/table"
grep -q mine "$dir/demo/notes" || die 'a file that was in the folder is gone'
shown=$(<"$dir/out") table=$(<"$dir/demo/table") prompt=$'\nROMEO:\nThe night'
[[ $shown == *"$prompt"*"$table"* ]] || die 'the demo does not show the prompt, then its table'
text=${shown#*"$prompt"}
[[ ${text%%"$table"*} == *[[:alpha:]]*[[:alpha:]]* ]] || die 'the model said nothing'
awk '
    function finite(x) { return x ~ /^[0-9]+(\.[0-9]+)?$/ }
    # LABEL MiB perplexity KL top1 %: the label may have spaces
    NR > 1 {
        for (i = 1; i <= 4; i++) if (!finite($(NF - i))) { print "no number: " $0; failed = 1 }
        if ($(NF - 2) > 20 || $(NF - 3) < 1 || $(NF - 4) <= 0 || $(NF - 1) > 100) {
            print "no sensible numbers: " $0
            failed = 1
        }
        label = $0; sub(/  .*/, "", label); kl[label] = $(NF - 2); rows++
    }
    function below(what, nearest, share) {
        if (!(what in kl && nearest in kl && kl[what] > 0 && kl[what] <= share * kl[nearest])) {
            print what ": KL " kl[what] ", expected at most " share " of " kl[nearest]; failed = 1
        }
    }
    END {
        if (rows != 5) { print rows + 0 " rows, expected 5"; failed = 1 }
        if (kl["half precision"] > 1e-3) { print "the original differs from itself"; failed = 1 }
        below("4 bits q4_0, tuned", "4 bits q4_0, nearest", 0.999)
        below("2 bits g32, tuned", "2 bits g32, nearest", 0.6)
        exit failed
    }' "$dir/demo/table" || die 'the table is not what the demo promises'
echo ok
