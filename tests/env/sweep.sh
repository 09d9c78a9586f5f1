#!/usr/bin/env bash
# sweep.sh PROGRAM WRITE_RANDOM_MODEL FAULTS CASE [EVERY]: the program on a tiny model, once for each request
# that can fail (faults.c), or each EVERY-th. It must end with a documented status and a line of error, never
# with exit 0 and another result; after a failed quantize --resume must give the undisturbed file. Exit 77 =
# skipped.
set -u
program=$1 faults=$3 case=$4 every=${5:-1}
# shellcheck disable=SC2034 # for tiny_model.sh
writer=$2
here=$(cd "$(dirname "$0")" && pwd)
base=$(mktemp -d -p "$(if [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)")
zygotes=()
# shellcheck disable=SC2317 # by the trap
ended() { kill "${zygotes[@]}" 2>/dev/null; wait; rm -rf "$base"; }
trap ended EXIT
cd "$base" || exit 1
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$base/cache}
die() { echo "FAILED: $*" >&2; exit 1; }

# shellcheck source=tests/env/tiny_model.sh
. "$here/tiny_model.sh"

# ---- the device: PoCL, in one thread where it can ----

device() {
    local icd
    export POCL_CACHE_DIR=$XDG_CACHE_HOME/pocl/kcache # where it is anyway
    mkdir -p "$POCL_CACHE_DIR"
    if POCL_DEVICES=basic "$program" devices -q 2>/dev/null | grep -q '^cl:'; then
        export POCL_DEVICES=basic FAULT_OPEN=1
    fi
    "$program" devices -q 2>/dev/null | grep -q '^cl:' || { echo 'skipped: no OpenCL device'; exit 77; }
    FAULT_LOAD=libOpenCL.so.1
    for icd in /etc/OpenCL/vendors/pocl*.icd; do [ -f "$icd" ] && FAULT_LOAD="$FAULT_LOAD $(cat "$icd")"; done
    kernels
    export FAULT_LOAD
}
# Kernels that are compiled: mapped and linked once for all runs.
kernels() { # nothing without a device
    FAULT_LOAD="${FAULT_LOAD:-}"
    FAULT_LOAD="${FAULT_LOAD%%|*}| $(find "${POCL_CACHE_DIR:-$base}" -name '*.so' -printf '%p ' 2>/dev/null)"
}

# ---- runs ----

# zygote NAME KIND ARGUMENT...: a process that runs the program with these whenever it is asked to.
declare -A ask tell
zygote() {
    local name=$1 kind=$2 fd
    shift 2
    mkfifo "$name.ask" "$name.tell"
    (
        exec 8<"$name.ask" 9>"$name.tell" </dev/null
        FAULT_KIND=$kind LD_PRELOAD=$faults exec "$program" "$@"
    ) &
    zygotes+=($!)
    exec {fd}>"$name.ask"
    ask[$name]=$fd
    exec {fd}<"$name.tell"
    tell[$name]=$fd
}
# once NAME N: runs it with its N-th request failing; $status and $count.
once() {
    local n
    echo "$2" >&"${ask[$1]}"
    read -r -t 600 n status count <&"${tell[$1]}" || die "$1: nothing came back for $2"
    [ "$n" = "$2" ] || die "$1: $n came back for $2"
}
report() { echo "request $n of $last, exit $status:" >&2; cat err >&2; die "$*"; }

# sweep KIND OUT ARGUMENT...: OUT is what the program writes, or out for what it prints.
sweep() {
    local kind=$1 out=$2 last n step=$every failed=0 resumed=0 fine=0
    shift 2
    [ "$kind" = memory ] || step=$(((every + 9) / 10)) # there are few of the others
    zygote warm "$kind" "$@"
    once warm 0 # compiles what is not in the cache yet
    eval "exec ${ask[warm]}>&- ${tell[warm]}<&-"
    [ "$out" = out ] || rm -rf "$out"
    kernels
    zygote swept "$kind" "$@"
    [ "$1" = quantize ] && zygote resumer "$kind" "$@" --resume
    once swept 0
    last=$count n=0
    [ "$status" = 0 ] || report 'undisturbed, it fails'
    untimed "$out"
    rm -rf whole && cp -r "$out" whole
    [ "$out" = out ] || rm -rf "$out"
    for ((n = 1; n <= last; n += step)); do
        once swept "$n"
        untimed "$out"
        check "$1"
        # most of what follows a finished block is to load it, as case_gguf tries throughout
        if [ "$case" = tuned ] && [ -e "$out.part/block-00000.safetensors" ]; then step=$((7 * every)); fi
        if [ "$out" != out ] && { [ -e "$out" ] || [ -e "$out.part" ]; }; then rm -rf "$out" "$out.part"; fi
    done
    [ "$failed" -gt 0 ] || [ "$step" -gt 1 ] || die 'no request failed'
    echo "$kind of $1: $last requests, $failed errors, $resumed resumed, $fine of no consequence"
    eval "exec ${ask[swept]}>&- ${tell[swept]}<&-"
    [ "$1" = quantize ] && eval "exec ${ask[resumer]}>&- ${tell[resumer]}<&-"
    rm -f ./*.ask ./*.tell
}
# What `run --json` tells of its speed is another each time.
untimed() {
    if [ "$1" = out ]; then sed -Ei 's/"(prefill_tps|decode_tps|decode_gbs)":[^,}]*/"\1":0/g' out; fi
}
same() { diff -r whole "$out" >/dev/null || report "$1"; }
# check COMMAND: what the run left.
check() {
    local errors
    [ "$status" -le 5 ] || report 'expected a documented status'
    if [ "$status" = 0 ]; then
        fine=$((fine + 1))
        same 'exit 0 with another result'
        [ ! -e "$out.part" ] || report 'a state is left'
        return
    fi
    failed=$((failed + 1))
    [ "$kind" != memory ] || [ "$status" = 1 ] || report 'expected exit 1, out of memory'
    errors=$(<err)
    case $out in logits | i.gguf) # read back before they get their names
        [ "$kind" = write ] || [ "$status" = 1 ] || report 'expected exit 1'
        [ "$(grep -c '^anyround: ' err)" = 1 ] || report 'expected one line of error' ;;
    esac
    [[ $'\n'$errors == *$'\n'anyround:\ * ]] || report 'expected a line of error'
    if [ "$out" != out ] && [ -e "$out" ] && # one of two outputs may be in its place
        LC_ALL=C diff -rq whole "$out" | grep -qv '^Only in whole: '; then
        report 'an incomplete file has its name'
    fi
    # of the many failures for want of memory, each sixth is resumed
    if [ "$1" = quantize ] && { [ "$kind" != memory ] || [ $((failed % 6)) = 1 ]; }; then
        once resumer 0
        [ "$status" = 0 ] || report 'it cannot be resumed'
        same 'what was resumed differs'
        resumed=$((resumed + 1))
    fi
}

tuned=(--calib text --iters 2 --lr 0.01 --samples 3 --seqlen 8 --batch 1)

# What each case sweeps; the models of the memory sweeps are the smallest that say something.
case_convert() {
    sweep memory o.gguf convert one -o o.gguf --type f16 -q
    mv whole kept.gguf
    sweep memory o convert kept.gguf -o o --format hf -q
    sweep memory o convert one -o o --format hf -q
}
case_gguf() { sweep memory o.gguf quantize bare -o o.gguf --method rtn --type q4_0 --device cl -q; }
case_tuned() {
    sweep memory o quantize one -o o --format gptq --group 32 --device cl -q "${tuned[@]}"
}
case_read() {
    sweep memory out eval one --text text --window 16 --max-windows 2 --device cl -q
    sweep memory out eval one --text text --window 16 --max-windows 2 --device cl -q --json --ref m
    sweep memory out run one -p cab -n 4 --device cl -q --json
    sweep memory out info one --json
}
files() { # KIND
    local kind=$1
    sweep "$kind" o.gguf convert m -o o.gguf --type f16 -q
    mv whole kept.gguf
    sweep "$kind" o convert kept.gguf -o o --format hf -q
    sweep "$kind" o convert m -o o --format hf -q
    sweep "$kind" o.gguf quantize m -o o.gguf --type q4_0 --device cl -q "${tuned[@]}"
    sweep "$kind" o quantize m -o o --format auto_round,gguf --group 32 --device cl -q "${tuned[@]}"
}
results() { # KIND
    sweep "$1" logits eval m --text text --protocol llamacpp --window 16 --max-windows 2 --device cl -q \
        --save-logits logits
    sweep "$1" i.gguf imatrix m --calib text --samples 2 --seqlen 8 --device cl -q -o i.gguf
}
case_write() { files write; results write; }
case_flip() { files flip; results flip; results short; } # all of it is read back

[ "$case" = convert ] || device
if [ "$case" = all ]; then
    for each in convert gguf tuned read write flip; do "case_$each"; done
else
    "case_$case"
fi
