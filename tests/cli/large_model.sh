#!/usr/bin/env bash
# large_model.sh PROGRAM LARGE_MODEL: a Llama of 13 B parameters in Q4_0, written sparse
# (tests/large_model.c). `info` lists it, `bench --layers 1` runs one block of it within --vram 2G on every
# kind of device, and the logits behind that block are those of scalar arithmetic. Beside what the device
# holds, the program's own memory stays within 512 MB: the peak of RssAnon + RssShmem (peak_memory.sh). How
# long things take is printed, not judged. Exit 77 = skipped.
set -u
. "$(dirname "$0")/peak_memory.sh"
program=$1
maker=$2
budget=$((2 << 30))
beside=$((512 << 20))
skip() { echo "skipped: $*"; exit 77; }
grep -q '^RssAnon:' /proc/self/status 2>/dev/null || skip 'no RssAnon in /proc here'
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
free_kb=$(df -Pk "$dir" | awk 'END { print $4 }')
[ "$free_kb" -gt $((1 << 20)) ] || skip "$dir has $free_kb KiB free, expected 1 GiB"
model=$dir/model.gguf
"$maker" write "$model" || exit 1
[ "$(du -k "$model" | cut -f 1)" -lt $((1 << 20)) ] || skip "$dir has no sparse files"

failed=0
wrong() { echo "WRONG $*"; failed=1; }
now_ms() { date +%s%3N; }

from=$(now_ms)
"$program" info "$model" -q >"$dir/info" || wrong "info: exit $?"
echo "info: $(($(now_ms) - from)) ms"
grep -q '363 tensors, 13015864320 weights' "$dir/info" || wrong 'info: other tensors'

one_block() { # DEVICE
    local from
    from=$(now_ms)
    peak_memory "$dir/json" "$program" bench --model "$model" --layers 1 --pp 8 --tg 2 --reps 1 \
        --device "$1" --vram 2G --json -q ||
        { wrong "$1: exit $?"; return; }
    local peak=$((peak_kb * 1024))
    echo "$1: device memory at most ${high:-unknown} bytes; peak RssAnon + RssShmem $peak bytes;" \
        "$(($(now_ms) - from)) ms"
    [ "${high:-0}" -gt 0 ] && [ "$high" -le "$budget" ] || { wrong "$1: device memory"; return; }
    [ "$peak" -gt 0 ] && [ "$peak" -le $((high + beside)) ] || wrong "$1: own memory"
    "$maker" check "$model" "$1" || wrong "$1: logits"
}

devices=0
for device in vk cl; do
    "$program" devices -q 2>/dev/null | grep -q "^$device:" || continue
    devices=$((devices + 1))
    one_block $device
done
[ "$devices" -gt 0 ] || skip 'no device'
exit $failed
