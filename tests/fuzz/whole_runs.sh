#!/usr/bin/env bash
# whole_runs.sh PROGRAM WRITE_RANDOM_MODEL MUTATE KIND COUNT [FIRST]: COUNT runs of the program, each on a
# file changed by another seed (mutate.c). It ends with exit 0 or 3 and a line of error, and no sanitizer
# speaks. Of a state and of a cache, which are only there to save work, nothing may come into the result.
# Exit 77 = skipped.
set -u
program=$1 writer=$2 mutate=$3 kind=$4 count=$5 first=${6:-1}
here=$(cd "$(dirname "$0")" && pwd)
base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
cd "$base" || exit 1
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$base/cache}
die() { echo "FAILED: $*" >&2; exit 1; }
# shellcheck source=tests/env/tiny_model.sh
. "$here/../env/tiny_model.sh"
"$program" devices -q 2>/dev/null | grep -q '^cl:' || { echo 'skipped: no OpenCL device'; exit 77; }

seconds=600 # the first runs may compile kernels
refused=0 same=0
# attempt ALLOWED ARGUMENT...: $found is one of the exit codes ALLOWED.
attempt() {
    local allowed=$1
    shift
    timeout -k 5 $seconds "$program" "$@" >out 2>err </dev/null
    found=$?
    if [[ " $allowed " != *" $found "* ]] || grep -qE 'Sanitizer|runtime error:' err; then
        tail -n 30 err >&2
        die "seed $seed: $(cat changed): exit $found, expected one of $allowed: anyround $*"
    fi
    [ "$found" = 0 ] || grep -q '^anyround: ' err || die "seed $seed: exit $found without a line of error"
    if [ "$found" = 0 ]; then same=$((same + 1)); else refused=$((refused + 1)); fi
}
change() { "$mutate" "$seed" "$@" >changed || die "seed $seed: cannot change $*"; }
# A model: read for a conversion, or to run or to tell it.
try_model() { # MODEL
    case $((seed % 4)) in
    0) attempt '0 3' convert "$1" -o converted --format "$([ -d "$1" ] && echo gguf || echo hf)" -q ;;
    1) attempt '0 3' run "$1" -p 'cab abd' -n 2 --ids --device cl -q ;;
    2) attempt '0 3' info "$1" --json ;;
    3) attempt '0 3' eval "$1" --text text --window 16 --max-windows 1 --device cl -q ;;
    esac
}
each() {
    seconds=120 refused=0 same=0
    for ((seed = first; seed < first + count; seed++)); do "$@"; done
}
warm() { # MODEL: what is tried of a model
    attempt 0 run "$1" -p 'cab abd' -n 2 --ids --device cl -q
    attempt 0 eval "$1" --text text --window 16 --max-windows 1 --device cl -q
}

folder_file() { # FILE of the model's folder
    rm -rf w converted* && cp -r m w
    change "w/$1"
    try_model w
}
gguf_file() {
    rm -rf converted* && cp m.gguf w.gguf
    change w.gguf
    try_model w.gguf
}
packed() { # a folder in this format: its settings, or its tensors
    rm -rf w converted* && cp -r p w
    change w/*.json w/*.safetensors
    try_packed
}
try_packed() {
    case $((seed % 3)) in
    0) attempt '0 3' info w --json ;;
    1) attempt '0 3' run w -p 'cab abd' -n 2 --ids --device cl -q ;;
    2) attempt '0 3' eval w --text text --window 16 --max-windows 1 --device cl -q ;;
    esac
}
tuned=(quantize m --format "auto_round,gguf" --group 32 --device cl -q --calib text --iters 2 --lr 0.01
    --samples 3 --seqlen 8 --batch 1)
state() {
    rm -rf o o.part && cp -r kept o.part
    change o.part/*.safetensors o.part/manifest.json
    attempt '0 3' "${tuned[@]}" -o o --resume
    [ "$found" != 0 ] || diff -r whole o >&2 || die "seed $seed: $(cat changed): another file"
}
cache() {
    rm -rf o cached && cp -r full cached
    # shellcheck disable=SC2046 # names of ours
    change $(find cached -type f | sort)
    XDG_CACHE_HOME=$base/cached attempt '0' "${tuned[@]}" -o o
    diff -r whole o >&2 || die "seed $seed: $(cat changed): another file"
}
few=(train --recipe maqd --lr 0.01 --device cl -q)
net() { # a net of few states: told, or run on images
    rm -rf w && cp -r n w
    change w/config.json w/model.safetensors w/params.safetensors
    case $((seed % 3)) in
    0) attempt '0 3' info w --json ;;
    1) attempt '0 3' eval w --images images --device cl -q ;;
    2) attempt '0 3 5' eval w --images images --codes --device cl -q ;; # 5: other numbers than were trained
    esac
}
bytes=("${few[@]}" --arch byte-mlp --widths 8 --text text --batch 4 --steps 24 --eval-every 12
    --checkpoint-every 2)
checkpoint() { # of training, which is the same whether one is taken or not
    rm -rf o o.part && cp -r kept o.part
    change o.part/checkpoint.safetensors
    attempt 0 "${bytes[@]}" -o o --resume
    diff -r whole o >&2 || die "seed $seed: $(cat changed): another net"
}

seed=0
echo nothing >changed
case $kind in
config.json | tokenizer.json | model.safetensors)
    warm m
    each folder_file "$kind"
    ;;
gguf)
    attempt 0 convert m -o m.gguf --type f16 -q
    warm m.gguf
    each gguf_file
    ;;
auto_round | gptq | awq | compressed_tensors)
    attempt 0 quantize m -o p --method rtn --format "$kind" --bits 4 --group 32 --device cl -q
    warm p
    each packed
    ;;
state)
    attempt 0 "${tuned[@]}" -o whole
    # shellcheck disable=SC2016 # the inner shell's
    (ulimit -f 14; attempt 1 "${tuned[@]}" -o o) || exit 1
    [ -f o.part/block-00001.safetensors ] || die 'no state of two blocks'
    mv o.part kept
    each state
    ;;
cache)
    export POCL_CACHE_DIR=$XDG_CACHE_HOME/pocl/kcache # its own is no business of ours
    XDG_CACHE_HOME=$base/full attempt 0 "${tuned[@]}" -o whole
    each cache
    ;;
states)
    for label in '\0' '\1' '\2' '\3' '\4' '\5'; do
        printf '%b' "$label" && yes "picture $label" | head -c 3072
    done >images
    attempt 0 "${few[@]}" --arch cnn --channels '2,2' --widths 3 --mw 3 --ma 3 --steps 3 --batch 4 \
        --images images -o n
    attempt 0 eval n --images images --codes --device cl -q
    each net
    ;;
checkpoint)
    attempt 0 "${bytes[@]}" -o whole
    for ((i = 0; i < 50; i++)); do # until one was killed between its checkpoints and its end
        rm -rf o o.part
        "$program" "${bytes[@]}" -o o >out 2>err & pid=$!
        for ((k = 0; k < 2000; k++)); do
            [ ! -f o.part/checkpoint.safetensors ] || break
            sleep 0.01
        done
        kill -9 $pid; wait $pid 2>/dev/null
        [ -f o.part/checkpoint.safetensors ] && break
    done
    mv o.part kept || die 'no checkpoint is left'
    each checkpoint
    ;;
*) die "no such kind: $kind" ;;
esac
echo "$kind: $count changes, $refused runs refused, $same ended well"
