#!/usr/bin/env bash
# outliers.sh PROGRAM WRITER: tuning of a model with planted outlier positions (tests/write_planted_model.c).
# The plain loss gives the ordinary positions up; the default one, and root, cost little more than where there
# are no outliers. Exit 77 = skipped.
set -u
program=$1
writer=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "FAILED: $*" >&2; exit 1; }
"$program" devices -q >/dev/null 2>&1 || { echo 'skipped: no device'; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}
cd "$dir" || exit 1
head -c 12000 "$root/examples/demo-heldout.txt" >seen.txt
tail -c +12001 "$root/examples/demo-heldout.txt" >unseen.txt

value() { sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p" | head -n 1; }
measure() { # measure FIELD MODEL REFERENCE
    "$program" eval "$2" --ref "$3" --text unseen.txt --window 128 --json -q | value "$1"
}
tuned() { # tuned MODEL LOSS...: its KL
    rm -rf tuned
    "$program" quantize "$1" -o tuned --method signround --format fake --bits 2 --group 32 --asym \
        --calib seen.txt --samples 32 --seqlen 64 --iters 40 -q "${@:2}" \
            >/dev/null 2>err || { cat err >&2; die "exit $?"; }
    measure kl tuned "$1"
}
holds() { # holds TEXT CONDITION: of awk
    awk "BEGIN { exit !($2) }" || die "$1: $2"
    echo "ok: $1: $2"
}

model=$root/examples/demo-model
"$writer" "$model" planted || die 'no planted model'
planted=$(measure ppl planted "$model")
holds 'perplexity, planted and not' "$planted < 1.1 * $(measure ref_ppl planted "$model")"
free=$(tuned "$model")
plain=$(tuned planted --loss plain)
robust=$(tuned planted)
root=$(tuned planted --loss root)
holds 'KL by the plain loss and by the default' "$plain > 1.6 * $robust"
holds 'KL by the plain loss and by root' "$plain > 1.6 * $root"
holds 'KL with outliers, by the default, and without' "$robust < 1.5 * $free"
holds 'KL with outliers, by root, and without' "$root < 1.3 * $free"
