#!/usr/bin/env bash
# accuracy.sh PROGRAM CASE DEVICE: the program's figures against those of independent implementations
# (PyTorch and numpy, on larger models than those here). Exit 77 = skipped. DEVICE is vk or cl.
set -u
program=$1
case=$2
device=$3
root=$(cd "$(dirname "$0")/../.." && pwd)
shared=${AR_SHARED:-$root/../shared}
data=$shared/data
text=$data/text/tinystories/tinystories_v1_sample.txt
[ -f "$text" ] || { echo 'skipped: no shared data'; exit 77; }
"$program" devices -q 2>/dev/null | grep -q "^$device:" || { echo "skipped: no $device device"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

value() { sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p" | head -n 1; }
# close WHAT FOUND EXPECTED RELATIVE
close() {
    if awk -v a="$2" -v b="$3" -v r="$4" 'BEGIN { d = a / b - 1; exit !(a != "" && d < r && d > -r) }'; then
        echo "ok    $1: $2, expected $3"
    else
        echo "WRONG $1: $2, expected $3 within $4"
        failed=1
    fi
}
ppl() { "$program" eval "$1" --text "$text" --device "$device" --json -q "${@:2}" | value ppl; }
rtn() { # MODEL BITS GROUP EXPECTED
    "$program" quantize "$data/$1" -o "$dir/m" --method rtn --format fake --bits "$2" --group "$3" --asym \
        --device "$device" -q >/dev/null || failed=1
    close "$1 W$2g$3" "$(ppl "$dir/m" --max-windows 40)" "$4" 0.001
}
signround() { # BITS GROUP SYM KL KLBAND PPL PPLBAND : mean of two seeds
    local seed out kl=0 p=0
    head -c 132166 "$text" >"$dir/head.txt" # 64 windows and less than another
    for seed in 42 1; do
        "$program" quantize "$data/tinystories-656K-hf" -o "$dir/m" --method signround --format fake \
            --bits "$1" --group "$2" "--$3" --device "$device" -q \
            --calib "$dir/head.txt" --samples 64 --seqlen 512 --iters 200 --batch 8 --select batch \
            --loss plain --seed $seed >/dev/null || failed=1
        out=$("$program" eval "$dir/m" --text "$text" --ref "$data/tinystories-656K-hf" --skip-windows 64 \
            --device "$device" --json -q)
        echo "      W$1g$2 $3 seed $seed: KL $(value kl <<<"$out") ppl $(value ppl <<<"$out")"
        kl=$(awk -v a="$kl" -v b="$(value kl <<<"$out")" 'BEGIN { printf "%.8g", a + b / 2 }')
        p=$(awk -v a="$p" -v b="$(value ppl <<<"$out")" 'BEGIN { printf "%.8g", a + b / 2 }')
    done
    close "W$1g$2 $3 KL" "$kl" "$4" "$5"
    close "W$1g$2 $3 ppl" "$p" "$6" "$7"
}

case $case in
float)
    close 260K "$(ppl "$data/stories260K-hf")" 6.27253 1e-4
    close 656K "$(ppl "$data/tinystories-656K-hf")" 40.89075 1e-4
    # llama-perplexity's protocol; the 656K model on text inside its vocabulary (testing-root.md 4.3)
    close '260K llamacpp' "$(ppl "$data/stories260K-hf" --protocol llamacpp --max-windows 40)" 4.1945 2e-5
    LC_ALL=C.UTF-8 sed 's/[œ“™€â”]//g' "$text" >"$dir/inside.txt"
    text=$dir/inside.txt
    close '656K llamacpp' "$(ppl "$data/tinystories-656K-hf" --protocol llamacpp --max-windows 40)" 39.3134 \
        2e-5 ;;
rtn)
    while read -r model bits g32 g128; do
        rtn "$model" "$bits" 32 "$g32"
        rtn "$model" "$bits" 128 "$g128"
    done <<'ROWS' ;;
stories260K-hf 8 4.2944 4.2985
stories260K-hf 4 4.6910 4.7712
stories260K-hf 3 7.6737 10.6465
stories260K-hf 2 346.588 470.592
tinystories-656K-hf 8 41.7204 41.7993
tinystories-656K-hf 4 43.3392 45.2126
tinystories-656K-hf 3 53.7663 70.6129
tinystories-656K-hf 2 291.349 1045.97
ROWS
signround)
    signround 4 32 sym 0.02720 0.08 39.831 0.015
    signround 3 32 asym 0.11318 0.08 42.468 0.02
    signround 2 32 asym 0.48494 0.06 58.029 0.06
    signround 2 128 asym 0.59659 0.06 64.868 0.06 ;;
*) echo 'no such case'; exit 1 ;;
esac
exit $failed
