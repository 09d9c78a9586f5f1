#!/usr/bin/env bash
# The demo: quantizes the bundled model to 4 and to 2 bits, by rounding to nearest and tuned, and shows
# what each costs in perplexity and in KL divergence on a text that the model has never seen.
#   examples/demo.sh PROGRAM FOLDER [OPTION...] options go to every command: --device cl, --device vk:1, ...
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 PROGRAM FOLDER [OPTION...]" >&2; exit 2; }
program=$1
out=$2
shift 2
options=("$@")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$here/demo-model
text=$here/demo-heldout.txt
light=(--recipe light --seqlen 256) # 50 steps per block
mkdir -p "$out" # what else is in it stays

step() { printf '\n==> %s\n' "$*" >&2; }
run() { "$program" "$@" "${options[@]}"; }
number() { sed -n 's/.*"'"$1"'" *: *\([-+0-9.eE]*\).*/\1/p' "$2" | head -n 1; }
weigh() { # the bytes of a file, or of a folder's weights
    local file=$1
    if [ -d "$file" ]; then file=$file/model.safetensors; fi
    wc -c <"$file"
}

row() { # row LABEL MODEL: measures it against the original and adds a line to the table
    local result=$out/eval.json
    run eval "$2" --text "$text" --ref "$model" --window 256 --json -q >"$result"
    weigh "$2" | awk -v label="$1" -v ppl="$(number ppl "$result")" -v kl="$(number kl "$result")" \
        -v top1="$(number top1 "$result")" \
        '{ printf "%-28s %9.2f %12.3f %10.4f %9.1f %%\n", label, $1 / 1048576, ppl, kl, top1 * 100 }' \
        >>"$out/table"
}

step "the device"
run devices

step "the original, in half precision"
printf '%-28s %9s %12s %10s %11s\n' "" "MiB" "perplexity" "KL" "same top-1" >"$out/table"
row "half precision" "$model"

step "4 bits (GGUF q4_0), rounding to nearest"
run quantize "$model" -o "$out/rtn-q4_0.gguf" --method rtn --type q4_0 --format gguf
row "4 bits q4_0, nearest" "$out/rtn-q4_0.gguf"

step "4 bits (GGUF q4_0), tuned"
run quantize "$model" -o "$out/tuned-q4_0.gguf" --type q4_0 --format gguf "${light[@]}"
row "4 bits q4_0, tuned" "$out/tuned-q4_0.gguf"

step "2 bits, groups of 32 (AutoRound), rounding to nearest"
run quantize "$model" -o "$out/rtn-2bit" --method rtn --bits 2 --group 32 --format auto_round
row "2 bits g32, nearest" "$out/rtn-2bit"

step "2 bits, groups of 32 (AutoRound), tuned"
run quantize "$model" -o "$out/tuned-2bit" --bits 2 --group 32 --format auto_round "${light[@]}"
row "2 bits g32, tuned" "$out/tuned-2bit"

step "the 4-bit model speaks"
run run "$out/tuned-q4_0.gguf" -p $'ROMEO:\nThe night' -n 60 --seed 7

step "the four against the original, on $(basename "$text")"
cat "$out/table"
printf '\nThe files are in %s. Next: %s quantize YOUR-MODEL -o out.gguf\n' "$out" "$program"
