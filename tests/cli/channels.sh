#!/usr/bin/env bash
# channels.sh PROGRAM WRITER: a model with planted outlier channels (tests/write_channel_outliers.c) computes
# the same in floats; 8-bit inputs cost little where every token has a grid of its own, and spoil it where all
# have one. Exit 77 = skipped.
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
model=$root/examples/demo-model

ratio() { # ratio MODEL ACTS: of its perplexity to the float model's
    "$program" eval "$1" --ref "$model" --text "$root/examples/demo-heldout.txt" --window 128 \
        --max-windows 8 --acts "$2" --json -q | sed -n 's/.*"ppl_ratio":\([-0-9.e]*\).*/\1/p'
}
holds() { # holds TEXT CONDITION: of awk
    awk "BEGIN { exit !($2) }" || die "$1: $2"
    echo "ok: $1: $2"
}

"$writer" "$model" planted 3 120 || die 'no planted model'
free=$(ratio planted 16)
holds 'floats, planted over not' "$free - 1 < 1e-5 && 1 - $free < 1e-5"
for sign in sym asym; do
    plain=$(ratio "$model" 8:tensor:$sign)
    tensor=$(ratio planted 8:tensor:$sign)
    token=$(ratio planted 8:token:$sign)
    holds "A8 $sign, a grid for all, planted and not" "$tensor > 1.5 && $plain < 1.02"
    holds "A8 $sign, a grid for each token" "$token < 1.25"
done
"$program" quantize planted -o static --method rtn --bits 8 --group -1 --acts 8:static:asym \
    --calib "$root/examples/demo-heldout.txt" -q >/dev/null || die 'static'
static=$("$program" eval static --ref "$model" --text "$root/examples/demo-heldout.txt" --window 128 \
    --max-windows 8 --json -q | sed -n 's/.*"ppl_ratio":\([-0-9.e]*\).*/\1/p')
holds 'W8A8, one grid from calibration' "$static > 1.5"
