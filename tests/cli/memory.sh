#!/usr/bin/env bash
# memory.sh PROGRAM WRITE_RANDOM_MODEL DEVICE: a model of 1.5 GB is quantized with --vram 256M by rtn and by
# signround. The device's high-water mark must stay within the budget, and the program's own memory within
# 768 MB: the peak of RssAnon + RssShmem (peak_memory.sh). Exit 77 = skipped.
set -u
. "$(dirname "$0")/peak_memory.sh"
program=$1
maker=$2
device=$3
root=$(cd "$(dirname "$0")/../.." && pwd)
demo=$root/examples/demo-model
budget=$((256 << 20))
limit_kb=$((768000000 / 1024))
skip() { echo "skipped: $*"; exit 77; }
grep -q '^RssAnon:' /proc/self/status 2>/dev/null || skip 'no RssAnon in /proc here'
"$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
free_kb=$(df -Pk "$dir" | awk 'END { print $4 }')
[ "$free_kb" -gt $((3 << 20)) ] || skip "$dir has $free_kb KiB free, expected 3 GiB"

# 104 blocks of 7 million weights; the vocabulary is padded far beyond the tokenizer's.
mkdir "$dir/model"
cp "$demo"/tokenizer*.json "$dir/model/"
cat >"$dir/model/config.json" <<'JSON'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 768, "intermediate_size": 2048,
 "num_hidden_layers": 104, "num_attention_heads": 12, "num_key_value_heads": 12, "vocab_size": 16384,
 "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
 "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"}
JSON
"$maker" "$dir/model" || exit 1
echo "model: $(($(wc -c <"$dir/model/model.safetensors") / 1000000)) MB, device $device"

failed=0
quantize() { # NAME OPTION...: quantizes, and compares both peaks with their limits
    local name=$1
    shift
    SECONDS=0
    peak_memory "$dir/json" "$program" quantize "$dir/model" -o "$dir/out.gguf" --device "$device" \
        --vram 256M --json -q "$@" ||
        { echo "WRONG $name: exit $?"; failed=1; }
    rm -f "$dir/out.gguf"
    echo "$name: device high-water ${high:-unknown} bytes of $budget;" \
        "peak RssAnon + RssShmem $((peak_kb / 1024)) MiB; $SECONDS s"
    if [ -z "$high" ] || [ "$high" -gt "$budget" ] || [ "$high" = 0 ]; then
        echo "WRONG $name: device memory"
        failed=1
    fi
    if [ "$peak_kb" -gt "$limit_kb" ] || [ "$peak_kb" = 0 ]; then
        echo "WRONG $name: resident memory"
        failed=1
    fi
}

quantize rtn --method rtn
quantize signround --method signround --blocks 2 --iters 5 --calib "$root/examples/demo-heldout.txt" \
    --seqlen 256 --samples 32
exit $failed
