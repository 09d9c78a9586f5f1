#!/usr/bin/env bash
# cost.sh PROGRAM DEVICE: what `quantize --dry-run` says of the demo model is what a run then takes: device
# and host memory (RssAnon + RssShmem) within 10 %, with room for all and with little; time within 30 % and
# disk within 10 % in one of three tries, since other work may come and go on this machine and since the
# moment when state and files lie side by side is short. With the model AR_REAL_MODEL the same of the first
# two blocks of that. Exit 77 = skipped.
set -u
. "$(dirname "$0")/peak_memory.sh"
program=$1
device=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
text=$root/examples/demo-heldout.txt
skip() { echo "skipped: $*"; exit 77; }
grep -q '^RssAnon:' /proc/self/status 2>/dev/null || skip 'no RssAnon in /proc here'
"$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

figure() { sed -n "s/.*\"$2\":[[:space:]]*\([0-9.e+]*\).*/\1/p" "$1" | tail -1; }
# within SHARE EXPECTED FOUND
within() {
    awk -v s="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(b > 0 && a >= (1 - s) * b && a <= (1 + s) * b) }'
}
# near WHAT SHARE EXPECTED FOUND
near() { within "$2" "$3" "$4" || { echo "WRONG $1: expected $3, found $4"; failed=1; }; }

# Runs with stdout to run.json; sets peak_disk, the most bytes of o* in samples taken as fast as du goes.
watch_disk() {
    "$@" >run.json 2>run.err &
    local pid=$! now
    peak_disk=0
    while kill -0 $pid 2>/dev/null; do
        now=$(du -sbc o* 2>/dev/null | awk 'END { print $1 + 0 }')
        if [ "$now" -gt "$peak_disk" ]; then peak_disk=$now; fi
        sleep 0.002
    done
    wait $pid
}

# compare NAME ARGUMENT...
compare() {
    local name=$1 try
    shift
    # Once unread: the plan and the run below both find the kernels compiled, or one alone holds the compiler.
    "$program" quantize "$@" -o o.out --device "$device" --dry-run -q >/dev/null 2>&1
    for try in 1 2 3; do
        rm -rf o*
        "$program" quantize "$@" -o o.out --device "$device" --json --dry-run >plan.json 2>plan.err ||
            { cat plan.err; echo "WRONG $name: no plan"; failed=1; return; }
        [ -z "$(ls -d o* 2>/dev/null)" ] || { echo "WRONG $name: a plan wrote"; failed=1; }
        watch_disk "$program" quantize "$@" -o o.out --device "$device" --json ||
            { cat run.err; echo "WRONG $name: exit $?"; failed=1; return; }
        local said took disk
        said=$(figure plan.json seconds) took=$(figure run.json seconds)
        disk=$(figure plan.json disk_high_water)
        echo "$name: $said s expected, $took s; $disk bytes of disk expected, $peak_disk"
        within 0.3 "$said" "$took" && within 0.1 "$disk" "$peak_disk" && break
        [ $try != 3 ] || { echo "WRONG $name: time or disk"; failed=1; }
    done
    local key
    for key in device_high_water host_high_water; do
        near "$name: $key" 0.1 "$(figure plan.json $key)" "$(figure run.json $key)"
    done
    near "$name: the file" 0.1 "$(sed -n 's/.*"bytes":[[:space:]]*\([0-9]*\).*/\1/p' plan.json)" \
        "$(sed -n 's/.*"bytes":[[:space:]]*\([0-9]*\).*/\1/p' run.json)"
}

demo=("$root/examples/demo-model" --calib "$text" --samples 32)
compare 'demo model' "${demo[@]}" --seqlen 64 --iters 24 --type q4_0
compare 'two blocks' "${demo[@]}" --seqlen 64 --iters 24 --blocks 2 --type q4_1
compare 'a folder' "${demo[@]}" --seqlen 64 --iters 16 --format auto_round
compare 'little memory' "${demo[@]}" --seqlen 256 --iters 6 --blocks 1 --vram 40M
grep -q '"micro_batches":[[:space:]]*4,' plan.json || { echo 'WRONG: expected a step in 4 parts'; failed=1; }
compare 'without steps' "${demo[@]}" --seqlen 256 --method gptq --type q4_0
compare 'drawn samples' "$root/examples/demo-model" --samples 32 --seqlen 64 --iters 16
if [ -n "${AR_REAL_MODEL:-}" ]; then
    compare 'real model' "$AR_REAL_MODEL" --calib "$text" --samples 24 --seqlen 128 --iters 16 --blocks 2 \
        --type q4_0
fi
exit $failed
