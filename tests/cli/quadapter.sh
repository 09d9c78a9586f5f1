#!/usr/bin/env bash
# quadapter.sh PROGRAM WRITER DEVICE: a model with planted outlier channels (tests/write_channel_outliers.c),
# which 8-bit inputs of one static grid spoil, keeps within 2 % of its floats where scales are learned; so it
# does from SmoothQuant's start. DEVICE: vk or cl. Exit 77 = skipped.
set -u
program=$1
writer=$2
device=$3:0
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "FAILED: $*" >&2; exit 1; }
"$program" devices --device "$device" -q >/dev/null 2>&1 || { echo 'skipped: no device'; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}
cd "$dir" || exit 1
model=$root/examples/demo-model
text=$root/examples/demo-heldout.txt

ratio() { # ratio MODEL: of its perplexity to the float model's
    "$program" eval "$1" --ref "$model" --text "$text" --window 128 --max-windows 8 --device "$device" \
        --json -q | sed -n 's/.*"ppl_ratio":\([-0-9.e]*\).*/\1/p'
}
holds() { # holds TEXT CONDITION: of awk
    awk "BEGIN { exit !($2) }" || die "$1: $2"
    echo "ok: $1: $2"
}
make() { # make OUT ARGUMENT...
    "$program" quantize planted -o "$1" --bits 8 --group -1 --acts 8:static:asym --calib "$text" --samples 8 \
        --seqlen 64 --batch 4 --device "$device" -q "${@:2}" >/dev/null || die "$1"
}

"$writer" "$model" planted 3 120 || die 'no planted model'
"$program" quantize planted -o nearest --method rtn --bits 8 --group -1 --acts 8:static:asym --calib "$text" \
    --device "$device" -q >/dev/null || die 'nearest'
nearest=$(ratio nearest)
holds 'A8, one static grid' "$nearest > 1.5"
make learned --method quadapter --iters 40 --lr 0.2
learned=$(ratio learned)
holds 'A8, scales learned' "$learned < 1.02"
make smooth --method quadapter --iters 0 --scales smooth
smooth=$(ratio smooth)
holds 'A8, from the closed form' "$smooth < 1.02"
