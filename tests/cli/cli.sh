#!/usr/bin/env bash
# cli.sh PROGRAM CASE: one claim about the program, tried as a user would. Exit 77 = skipped.
set -u
program=$1
case=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
model=$root/examples/demo-model
text=$root/examples/demo-heldout.txt
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}

die() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "skipped: $*"; exit 77; }
[ -f "$model/config.json" ] || skip "examples/demo-model is missing"

# run EXPECTED ARGUMENT...: the exit code must be EXPECTED; stdout and stderr are kept in out and err.
run() {
    local expected=$1 found
    shift
    "$program" "$@" >out 2>err
    found=$?
    [ "$found" = "$expected" ] || { cat err >&2; die "exit $found, expected $expected: anyround $*"; }
    if [ "$expected" != 0 ]; then
        [ "$(grep -c '^anyround: ' err)" = 1 ] || { cat err >&2; die "expected one error line: anyround $*"; }
    fi
}
# refused ARGUMENT...: exit code 4, and nothing but one line on stderr.
refused() {
    run 4 "$@"
    [ "$(wc -l <err)" = 1 ] || { cat err >&2; die "expected one line: anyround $*"; }
    says 'no usable device'
}
# hide LIBRARY...: the loader finds these first, and no library in them.
hide() {
    mkdir -p hidden
    for library in "$@"; do echo none >"hidden/$library"; done
    export LD_LIBRARY_PATH=$dir/hidden
}
says() { grep -q -- "$1" err || { cat err >&2; die "expected '$1' in the error"; }; }
only() {
    local found
    found=$(LC_ALL=C ls -A -I cache | xargs)
    [ "$found" = "$*" ] || die "found $found, expected $*"
}
# holds FOLDER KEY NUMBER…: its quantization_config.json says so.
holds() {
    local json=$1/quantization_config.json
    shift
    while [ $# -gt 0 ]; do
        grep -Eq "\"$1\":[[:space:]]*$2,?\$" "$json" || { cat "$json" >&2; die "expected $1 $2"; }
        shift 2
    done
}
devices() { # the devices there are, as $devices: one of each kind
    local device
    devices=()
    for device in vk cl; do
        if "$program" devices -q 2>/dev/null | grep -q "^$device:"; then devices+=("$device"); fi
    done
    [ ${#devices[@]} -gt 0 ] || skip 'no device'
}
microseconds() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }
nothing_left() { local f; for f in "$@"; do [ ! -e "$f" ] || die "$f was left behind"; done; }

tiny=(--iters 12 --lr 0.01 --samples 6 --seqlen 32 --batch 2) # small steps, so that they are kept
calib=(--calib "$text")

case $case in
usage)
    run 2 nonsense
    run 2 quantize "$model"; says '-o OUT'
    run 2 quantize "$model" -o o --bits 9; says 'from 2 to 8'
    run 2 quantize "$model" -o o --frobnicate; says 'unknown option'
    run 2 quantize "$model" -o o --method gptqq; says "expected rtn, signround, search or anneal"
    run 2 quantize "$model" -o o --method rtn --iters 5; says 'no effect'
    for flag in '--lr 1' '--no-minmax' '--samples 4' '--recipe light' '--calib x'; do
        run 2 quantize "$model" -o o --method rtn $flag
        says "^anyround: .*${flag%% *} has no effect with --method rtn"
    done
    run 2 quantize "$model" -o o --calib x --iters 0; says 'calib has no effect with --iters 0'
    run 2 quantize "$model" -o o --recipe best --iters 0; says 'recipe has no effect with --iters 0'
    run 2 quantize "$model" -o o --iters 5x; says "iters: found '5x', expected a whole number from 0 to 5792"
    run 2 quantize "$model" -o o --iters 0 --samples 5; says 'samples has no effect with --iters 0'
    run 2 quantize "$model" -o o --type f16 --lr 0.1; says 'lr has no effect with --type f16'
    run 2 quantize "$model" -o o --type f16 --iters 5; says 'no effect'
    run 2 quantize "$model" -o o --type f32 --method rtn; says 'no effect'
    run 2 quantize "$model" -o o --type f16 --group 32; says 'no effect'
    run 2 quantize "$model" -o o --recipe light --batch 2 --iters 5 --seqlen 32 --samples 4; says 'no effect'
    run 2 quantize "$model" -o o --no-minmax --minmax-lr 0.1; says 'no effect'
    run 2 quantize "$model" -o o --select last --heldout 2; says 'no effect'
    run 2 quantize "$model" -o o --optimizer sgd; says 'one of sign, adam'
    run 2 quantize "$model" -o o --optimizer adam --state i16; says 'expected auto or f32'
    run 2 quantize "$model" -o o --method rtn --optimizer adam; says 'no effect'
    run 2 quantize "$model" -o o --loss mse; says 'one of plain, root, shift, root+shift'
    run 2 quantize "$model" -o o --loss shift --no-quantized-input --samples 4 --seqlen 16
    says 'expected plain or root with --no-quantized-input'
    run 2 quantize "$model" -o o --samples 8 --heldout 8; says 'found 8, expected fewer than the 8 samples'
    run 2 quantize "$model" -o o --group 0; says 'found 0'
    run 2 quantize "$model" -o o --sym --asym
    run 2 quantize "$model" -o o --recipe heavy; says 'light, default or best'
    run 2 quantize "$model" -o o --vram lots; says 'such as 256M'
    for bad in 0 -3 20000 soon 5x nan; do
        run 2 eval "$model" --text "$text" --submit-ms "$bad"
        says 'submit-ms.*from 1 to 10000'
    done
    run 2 run "$model" --submit-ms; says 'needs a value'
    run 2 devices --variant gemn=gemm; says \
        "found kernel 'gemn', expected one of gemm, gemv, attention_cached"
    run 2 eval "$model" --text "$text" --variant gemm
    says "variant gemm: found '', expected one of gemm_lanes, gemm"
    run 2 selftest --variant gemv=gemv,gemm=fast; says "variant gemm: found 'fast'"
    if "$program" devices -q | grep -q '^cl:'; then
        run 2 selftest --device cl --variant gemm=gemm_lanes
        says 'variant gemm=gemm_lanes: .* lacks what it needs, Vulkan'
    fi
    run 0 devices --variant attention_cached=attention_one,gemm=gemm
    for asked in gemm=gemm attention_cached=attention_one; do
        grep -q "kernel $asked: asked for" out || die "$asked is not in the plan"
    done
    run 0 devices --json -q; grep -q '"variants":' out || die 'no variants in devices --json'
    run 0 devices --submit-ms 7 --json -q
    grep -q '"submit_ms":[[:space:]]*7,' out && ! grep '"submit_ms"' out | grep -qv '[[:space:]]7,' ||
        die '--submit-ms 7 is not in the plan'
    for command in devices selftest info quantize convert eval run bench; do
        run 0 $command --help; grep -q -- '--submit-ms N' out || die "$command --help without --submit-ms"
    done
    for size in 4GB 1.5g 2gib 512M 512mb 3Gi 1e9 1T 123456789B; do run 0 devices --vram $size -q; done
    for bad in 0x10 0x10M inf nan ' 5G' 4GX 4XB 0 -1G '' 5Gbb; do
        run 2 devices --vram "$bad"; says 'such as 256M, 1.5g or 2GB'
    done
    for bad in 0x10 0x1p3 ' 7' inf nan; do # in every option that takes a number, of commands and of methods
        for option in --iters --lr --samples --minmax-lr --bits --seed --submit-ms; do
            run 2 quantize "$model" -o o $option "$bad"; says "^anyround: .*${option#--}: found '$bad', exp"
        done
    done
    run 2 selftest --kernel NOSUCH; says "holds 'NOSUCH' (--kernel)"
    run 0 selftest --kernel half_check -q
    run 2 quantize -o o; says 'found 0 arguments'
    run 2 convert "$model"; says '-o DST'
    run 2 convert "$model" -o o --type q4_0; says 'f32, f16 or bf16'
    run 2 convert "$model" -o o --format gptq; says 'gguf or hf'
    run 2 quantize "$model" -o o.gguf --embedding-type q9_k; says 'embedding-type'
    run 2 eval "$model"; says '--text'
    run 2 eval "$model" --text "$text" --protocol dream; says 'llamacpp'
    run 2 eval "$model" --text "$text" --device cuda
    run 2 run "$model" --greedy --temp 1; says 'no effect'
    run 2 run "$model" --greedy --min-p 0.1; says 'no effect'
    run 2 run "$model" -p a -f b; says 'one of them'
    run 2 run "$model" -i --json; says 'no effect'
    run 2 run "$model" -p a --system b; says 'no effect'
    run 2 bench; says 'tune or --model'
    run 0 bench --kernels --types Q4_0 --size 256 --n 1 --json -q; grep -q '"percent_of_roof"' out ||
        die 'no percent_of_roof'
    run 0 --help
    run 0 quantize --help; grep -q -- --resume out || die 'help without --resume'
    grep -q -- '--minmax-lr X' out || die "help without a method's option"
    run 0 quantize --method signround --help
    grep -q -- '--minmax-lr X' out || die "signround's help without its option"
    run 0 quantize --method=rtn --help
    ! grep -q -- '--minmax-lr' out || die "rtn's help with signround's option"
    nothing_left o o.part ;;
formats)
    run 2 quantize "$model" -o o --format gptq,gptq; says 'named twice'
    run 2 quantize "$model" -o o --format tarball; says 'expected one of'
    run 2 quantize "$model" -o o --format gptq --bits 5; says 'cannot store 5 bits (--format, --bits)'
    run 2 quantize "$model" -o o --format awq,compressed_tensors --bits 8
    says 'awq cannot store 8 bits (--format, --bits)'
    run 2 quantize "$model" -o o.gguf --bits 3; says 'stores 4 bits'
    says '(--type, --bits, --widen)'
    run 2 quantize "$model" -o o.gguf --type q4_0 --asym; says 'symmetric'
    run 2 quantize "$model" -o o.gguf --type q8_0 --bits 8 --asym
    run 2 quantize "$model" -o o.gguf --group 48; says 'multiple of 32'
    run 2 quantize "$model" -o o --format gguf,gptq --asym; says 'share no value'
    run 2 quantize "$model" -o o --format gptq --type q4_0; says 'format gguf'
    nothing_left o o.part o.gguf o.gguf.part ;;
convert)
    run 0 convert "$model" -o m.gguf
    run 0 convert m.gguf -o back --format hf
    run 0 convert back -o again.gguf
    cmp m.gguf again.gguf || die "the second GGUF file differs"
    run 1 convert m.gguf -o nowhere/x; says 'does not exist'
    run 3 convert /dev/null -o x.gguf
    # ids that GGUF would change: a remark with the cause, or with --strict an error before the work
    cp -r "$model" other
    sed 's/"byte_fallback": *true/"byte_fallback": false/' "$model/tokenizer.json" >other/tokenizer.json
    run 5 convert other -o o.gguf --strict; says 'GGUF cannot say: no byte fallback (--strict)'
    run 5 quantize other -o o.gguf --method rtn --strict; says 'other ids for .* of .* texts, first for'
    [ -e o.gguf ] && die 'written all the same'
    run 0 convert other -o o.gguf; says 'note: other: as a GGUF file it gives other ids'
    run 0 convert "$model" -o o.gguf --strict --type BF16; grep -q ', bf16,' out || die 'not bf16'
    rm -r o.gguf other
    only again.gguf back err m.gguf out
    ;;
model)
    run 1 info "$dir/absent"
    mkdir bad && cp "$model"/* bad/
    echo '{"model_type": "mamba"}' >bad/config.json
    run 3 info bad; says mamba
    sed 's/"hidden_size": *[0-9]*/"hidden_size": -4/' "$model/config.json" >bad/config.json
    run 3 quantize bad -o o --method rtn; says hidden_size
    cp "$model/config.json" bad/; head -c 100 "$model/model.safetensors" >bad/model.safetensors
    run 3 info bad; says model.safetensors
    cp "$model/model.safetensors" bad/; echo '{"model": {"type": "Unigram"}}' >bad/tokenizer.json
    run 3 eval bad --text "$text"; says Unigram
    echo 'not json' >bad/tokenizer.json
    run 3 eval bad --text "$text"
    nothing_left o o.part ;;
text)
    printf 'fine \xff\xfe not fine' >broken.txt
    run 3 eval "$model" --text broken.txt; says 'UTF-8'
    run 1 eval "$model" --text absent.txt
    printf 'too short' >short.txt
    run 2 eval "$model" --text short.txt; says 'at least one window'
    run 3 quantize "$model" -o o --calib broken.txt; says 'UTF-8'
    nothing_left o o.part ;;
output)
    run 1 quantize "$model" -o /proc/anyround/o --method rtn
    touch file; run 1 quantize "$model" -o file/o --method rtn
    [ ! -s file ] || die 'file was written'
    # Refused before the tuning, which would take an hour.
    mkdir folder other && cp "$model"/* folder && echo dear >other/letter
    long=("${calib[@]}" --iters 5792 --samples 64)
    run 1 quantize folder -o other "${long[@]}" --type q4_0; says 'found a folder'
    run 1 quantize folder -o other "${long[@]}"; says 'found letter'
    run 1 quantize folder -o folder "${long[@]}"; says 'the model itself'
    run 1 quantize folder -o folder/o.gguf "${long[@]}"; says 'inside the model'
    run 1 quantize folder -o folder "${long[@]}" --format gguf,gptq; says 'inside the model'
    run 1 quantize folder -o absent/o.gguf "${long[@]}"; says 'does not exist'
    run 1 quantize folder -o o.gguf "${long[@]}" --report absent/r.html; says 'does not exist'
    run 1 quantize folder -o o.gguf "${long[@]}" --report other; says 'found a folder'
    run 2 quantize folder -o o.gguf "${long[@]}" --report ./o.gguf; says 'the output itself'
    mkdir o.gguf.part && echo mine >o.gguf.part/mine
    run 2 quantize folder -o o.gguf "${long[@]}"; says 'move it away'
    [ -f o.gguf.part/mine ] || die 'something was removed'
    only err file folder o.gguf.part other out ;;
places) # nothing that is read is written, whatever its name; what is no file is written through
    cp -r "$model" model && cp "$text" text.txt && cp "$text" calib.txt
    run 0 convert model -o m.gguf -q
    ln m.gguf hard.gguf && ln -s m.gguf soft.gguf && mkfifo fifo
    sums() { find . -type f -not -name out -not -name err -not -name before -exec md5sum {} + | sort; }
    sums >before
    few=(--method rtn -q) logits=(--text text.txt --protocol llamacpp --window 32 --max-windows 1 -q)
    for name in m.gguf hard.gguf soft.gguf ./model/../m.gguf; do
        run 1 quantize m.gguf -o $name "${few[@]}"; says 'the model itself'
        run 1 convert m.gguf -o $name -q; says 'the model itself'
        run 1 quantize m.gguf -o o.gguf --report $name "${few[@]}"; says 'the model itself'
        run 1 eval m.gguf "${logits[@]}" --save-logits $name; says 'the model itself'
        run 1 eval model --ref m.gguf "${logits[@]}" --save-logits $name; says 'the reference model itself'
    done
    run 1 eval model "${logits[@]}" --save-logits text.txt; says 'the text itself'
    run 1 eval model "${logits[@]}" --save-logits absent/l; says 'does not exist'
    for name in model/config.json model/new model/model.safetensors; do
        run 1 eval model "${logits[@]}" --save-logits $name; says 'inside the model'
        run 1 quantize model -o o.gguf --report $name "${few[@]}"; says 'inside the model'
        run 1 convert model -o $name --format gguf; says 'inside the model'
    done
    for option in -o --report; do
        places=($option calib.txt); [ $option = -o ] || places+=(-o o.gguf)
        run 1 quantize model --type q4_0 "${places[@]}" --calib "$text" --calib calib.txt --iters 5792 -q
        says 'the calibration text itself'
    done
    run 1 quantize model -o o.gguf --report o.gguf.part/r.html "${few[@]}"; says 'does not exist'
    run 1 quantize model -o o.gguf --report o.gguf.part "${few[@]}"; says 'which is removed'
    sums | diff before - || die 'an input was touched'
    nothing_left o.gguf o.gguf.part
    # written through, not replaced
    run 0 quantize model -o whole.gguf "${few[@]}"
    for name in fifo link.gguf /dev/stdout /dev/fd/3; do
        rm -f got
        case $name in fifo) cat fifo >got & ;; link.gguf) ln -s got link.gguf ;; esac
        "$program" quantize model -o $name --format gguf "${few[@]}" >piped 2>err 3>third ||
            { cat err >&2; die "cannot write to $name"; }
        wait
        case $name in /dev/stdout) mv piped got ;; /dev/fd/3) mv third got ;; esac
        cmp whole.gguf got || die "$name holds something else"
    done
    [ -p fifo ] && [ -L link.gguf ] && [ -L /dev/stdout ] || die 'something was replaced'
    "$program" quantize model -o /dev/stdout --format gguf "${few[@]}" 2>err | cmp - whole.gguf ||
        die 'a pipe got something else'
    run 0 quantize model -o r.gguf "${few[@]}" --report /dev/stdout; grep -q '</html>' out || die 'no report'
    ! grep -q ', read back and compared$' out || die 'more than the report'
    run 0 quantize model -o /dev/null --type q4_0 "${few[@]}"
    [ -c /dev/null ] || die '/dev/null was replaced'
    run 1 quantize model -o /dev/full --type q4_0 "${few[@]}"; says 'No space left'
    rm -rf full.part
    run 0 eval model "${logits[@]}" --save-logits l
    run 0 eval model "${logits[@]}" --save-logits /dev/stdout; cmp l out || die 'other logits on stdout'
    nothing_left null.part stdout.part fifo.part 3.part
    # a folder that is replaced holds nothing but what a run wrote
    run 0 quantize model -o folder --format gptq "${few[@]}"
    run 0 quantize model -o folder --format awq "${few[@]}"
    for name in notes.txt .hidden model.safetensors.bak model-extra.safetensors inner/letter; do
        mkdir -p folder/inner && echo dear >folder/$name
        [ -f folder/inner/letter ] || rmdir folder/inner
        run 1 quantize model -o folder --format gptq "${calib[@]}" --iters 5792
        says "found ${name%%/*}, which"
        [ "$(cat folder/$name)" = dear ] || die "$name was touched"
        rm folder/$name
    done
    rm -rf folder/inner; ln -sf "$text" folder/vocab.json
    run 1 quantize model -o folder --format gptq "${few[@]}"; says 'found vocab.json, which'
    cp -r "$model" foreign && rm -f foreign/README.md
    run 1 quantize model -o foreign --format gptq "${few[@]}"; says 'did not write'
    diff -r "$model" foreign || die 'a model that was there was touched'
    mkdir o.gguf.part && echo mine >o.gguf.part/manifest.json
    run 2 quantize model -o o.gguf "${few[@]}"; says 'move it away'
    run 2 convert model -o o.gguf -q; says 'move it away'
    grep -q mine o.gguf.part/manifest.json || die 'a manifest of somebody else was removed'
    mkdir x.gguf.replaced x.gguf.part && echo mine >x.gguf.part/mine
    run 2 convert model -o x.gguf -q; says 'found mine, which'
    [ -f x.gguf.part/mine ] && [ -d x.gguf.replaced ] || die 'a folder of somebody else was removed' ;;
together) # two runs for one output: one of them works, the other says which
    tuned=("$model" "${tiny[@]}" "${calib[@]}" --iters 3 --group 32 -q)
    for format in gguf auto_round; do
        for seed in 1 2; do
            run 0 quantize "${tuned[@]}" --format $format --select last --seed $seed -o $format-$seed
        done
    done
    for i in 1 2 3 4 5 6; do
        format=gguf; [ $((i % 2)) = 0 ] || format=auto_round
        both=(quantize "${tuned[@]}" --format $format --select last)
        "$program" "${both[@]}" --seed 1 -o both 2>first >&2 & one=$!
        sleep 0.$((RANDOM % 10 * (i > 2)))
        "$program" "${both[@]}" --seed 2 -o ./both 2>second >&2 & two=$!
        wait $one; code=$?; wait $two; codes=$code$?
        case $codes in 00 | 01 | 10) ;; *) cat first second >&2; die "exits $codes" ;; esac
        [ $codes != 01 ] || grep -q "both.part: process $one works there" second || die "$(cat second)"
        [ $codes != 10 ] || grep -q "both.part: process $two works there" first || die "$(cat first)"
        diff -rq $format-1 both >/dev/null || diff -rq $format-2 both || die 'a file of two runs'
        nothing_left both.part
        rm -rf both
    done
    # also convert, beside the state of a run
    "$program" quantize "${tuned[@]}" --iters 3000 -o o.gguf 2>err & pid=$!
    for _ in $(seq 600); do [ -f o.gguf.part/manifest.json ] && break; sleep 0.1; done
    run 1 convert "$model" -o o.gguf; says "process $pid works there"
    kill -INT $pid; wait $pid
    run 0 convert "$model" -o o.gguf -q
    [ -f o.gguf.part/manifest.json ] || die 'the state of another run was removed' ;;
full_disk)
    unshare -m true 2>/dev/null || skip 'no mount namespaces here'
    mkdir small
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare -m bash -c 'mount -t tmpfs -o size=600k none "$1/small" || exit 77
        "$2" quantize "$3" -o "$1/small/o.gguf" --method rtn -q >"$1/out" 2>"$1/err"; code=$?
        [ ! -e "$1/small/o.gguf" ] || exit 99; exit $code' _ "$dir" "$program" "$model"
    code=$?
    [ $code != 77 ] || skip 'no tmpfs here'
    [ $code = 1 ] || { cat err >&2; die "exit $code, expected 1"; }
    says 'No space left'
    tail -n 1 err | grep -q 'o.gguf.part; continue with --resume$' || { cat err >&2; die 'how to go on?'; } ;;
no_device)
    mkdir empty
    export VK_DRIVER_FILES=$dir/absent.json VK_ICD_FILENAMES=$dir/absent.json OCL_ICD_VENDORS=$dir/empty
    for loaders in there absent; do
        [ $loaders = there ] || hide libvulkan.so.1 libvulkan.so libOpenCL.so.1 libOpenCL.so
        for command in devices 'devices -q' 'devices --json' "quantize $model -o o --method rtn" \
            "eval $model --text $text" 'selftest' \
            'devices --verbose' "run $model -p a --device vk" \
            "quantize $model -o o --method rtn --device cl:0"; do
            # shellcheck disable=SC2086 # words of their own
            refused $command
            case $command in *--device*) continue ;; esac
            says 'vk: .*; cl: '
            [ $loaders = there ] || says 'vk: no Vulkan loader (libvulkan) found; cl: no OpenCL loader'
        done
    done
    nothing_left o ;;
fake_devices) # devices that nobody here has, from a Vulkan loader of our own
    [ -f "$AR_FAKE/libvulkan.so.1" ] || die 'no fake Vulkan loader'
    mkdir empty
    export LD_LIBRARY_PATH=$AR_FAKE OCL_ICD_VENDORS=$dir/empty
    # fake DEVICE MEMORY ACCESS
    fake() {
        AR_FAKE_VULKAN=$1 run 0 devices
        { grep -q "^vk:0 *fake $1$" out && grep -q "$2, one binding" out && grep -q "$3, " out; } ||
            { cat out >&2; die "expected $2 and $3"; }
    }
    fake mali '4.00 GiB (unified)' 'direct access'
    fake adreno '6.00 GiB (unified)' 'direct access'
    fake moltenvk '16.00 GiB (unified)' 'direct access'
    fake v3d '4.00 GiB (unified)' 'direct access'
    fake rdna '15.75 GiB' 'staged copies'
    fake rebar '24.00 GiB' 'staged copies'
    AR_FAKE_VULKAN=minimum run 0 devices; grep -q 'not usable: .*max_bindings is 4, at least 8' out ||
        die 'expected 4 bindings to be refused'
    export AR_FAKE_VULKAN=minimum # the only device, below the floor
    refused quantize "$model" -o o --method rtn; says 'max_bindings is 4'
    refused eval "$model" --text "$text" --device vk:0; says 'max_bindings is 4'
    refused selftest; says 'max_bindings is 4'
    nothing_left o
    AR_FAKE_VULKAN=special run 0 devices; grep -q 'not usable: .*no usable memory type among 3' out ||
        die 'expected special memory to be refused' ;;
cache) # kept by default, used when there; --no-cache neither reads nor writes it
    devices
    for device in "${devices[@]}"; do
        export XDG_CACHE_HOME=$dir/cache/$device
        mkdir -p "$XDG_CACHE_HOME"
        kept=$XDG_CACHE_HOME/anyround
        command=(quantize "$model" -o o.gguf --method rtn --device "$device" -q)
        run 0 "${command[@]}" --no-cache; rm o.gguf
        nothing_left "$kept"
        run 0 "${command[@]}"; rm o.gguf
        [ -n "$(find "$kept" -name "$device-*.bin" -size +0)" ] ||
            die "no file of $device in the cache folder"
        find "$kept" -printf '%P %i %s %T@\n' | sort >before
        run 0 "${command[@]}"; rm o.gguf # what was not loaded would be compiled and stored anew
        find "$kept" -printf '%P %i %s %T@\n' | sort >after
        diff before after || die 'a second run changed the cache folder'
        for file in "$kept"/*; do rm "$file" && mkfifo "$file"; done # who reads it waits for ever
        timeout 60 "$program" "${command[@]}" --no-cache >out 2>err ||
            { cat err >&2; die "exit $? with --no-cache"; }
        for file in "$kept"/*; do [ -p "$file" ] || die "$file was written in spite of --no-cache"; done
        rm o.gguf
    done ;;
rtn_is_iters_0)
    run 0 quantize "$model" -o a.gguf --method rtn
    run 0 quantize "$model" -o b.gguf --iters 0
    cmp a.gguf b.gguf || die 'files differ'
    run 0 quantize "$model" -o a --method rtn --format auto_round --bits 2 --group 32 --asym
    run 0 quantize "$model" -o b --iters 0 --format auto_round --bits 2 --group 32 --asym
    diff -r a b || die 'folders differ' ;;
repeatable) # six steps do not beat rounding to nearest, which would be kept for every seed: keep the last
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --select last --format "auto_round,gguf" --group 32)
    for i in a b; do run 0 "${command[@]}" -o $i; done
    diff -r a b || die 'two runs of one seed differ'
    run 0 "${command[@]}" -o d --submit-ms 1; diff -r a d || die 'shorter submissions changed the result'
    nothing_left a.part b.part
    run 0 "${command[@]}" -o c --seed 1
    ! diff -rq a c >/dev/null || die 'another seed gave the same files' ;;
resume) # killed at a random moment of each fifth of its run: a file and a folder from one run, on each device
    devices
    for device in "${devices[@]}"; do
        command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 6 --samples 2 --batch 1
            --format "auto_round,gguf" --group 32 --device "$device")
        run 0 "${command[@]}" --iters 1 -o whole # compiles what is not in the cache yet
        rm -rf whole; start=$(microseconds)
        run 0 "${command[@]}" -o whole
        took=$(($(microseconds) - start)) blocks=$(grep -c '^block [0-9]*: loss' err) used=0
        for i in 0 1 2 3 4; do
            for ((code = 0, try = 0; code == 0; try++)); do # a run that ended before it was killed is no try
                [ $try -lt 10 ] || die "no run was alive when it was to be killed"
                rm -rf killed
                "$program" "${command[@]}" -o killed -q >/dev/null 2>&1 &
                pid=$!
                sleep "$(awk -v us=$took -v part="$i.$(printf '%05d' $((RANDOM * 3)))" \
                    'BEGIN { print us / 5e6 * part }')"
                kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; code=$?
                [ $code = 137 ] || took=$((took * 3 / 4))
            done
            [ $code = 137 ] || die "exit $code, expected 137"
            kept=$(find killed.part -name 'block-*.safetensors' 2>/dev/null | wc -l)
            if [ -f killed.part/manifest.json ]; then # as a kill while writing leaves it
                mkdir -p killed.part/out && echo rest >killed.part/out/gguf.tmp-1-0
            fi
            run 0 "${command[@]}" -o killed --resume
            diff -r whole killed || die "killed in part $i of 5 on $device: what was resumed differs"
            only err killed out whole
            tuned=$(grep -c '^block [0-9]*: loss' err)
            [ $((tuned + kept)) = "$blocks" ] || die "$kept blocks were kept and $tuned tuned, of $blocks"
            used=$((used + kept))
            echo "$device, killed in part $i of 5: $kept of $blocks blocks kept, the same files"
        done
        [ $used -gt 0 ] || die 'no kill left a finished block'
        rm -rf whole killed
    done ;;
interrupt)
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 100 --lr 0.01 --format gptq,gguf --group 32)
    run 0 "${command[@]}" -o whole --json
    blocks=$(grep -c '"block":' out)
    "$program" "${command[@]}" -o o --vram 1912345678 >out 2>err &
    pid=$!
    for _ in $(seq 600); do [ -f o.part/block-00000.safetensors ] && break; sleep 0.1; done
    kill -INT $pid; wait $pid; code=$?
    [ $code = 130 ] || { cat err >&2; die "exit $code, expected 130"; }
    [ "$(tail -n 1 err)" = 'finished blocks are kept in o.part; continue with --resume' ] ||
        { cat err >&2; die 'how to go on?'; }
    nothing_left o
    [ -d o.part ] || die 'the state was lost'
    find o.part -type f -printf '%P %s %T@\n' | sort >before
    run 0 "${command[@]}" -o o --resume --dry-run --json
    grep -Eq '"finished_blocks":[[:space:]]*[1-9]' out || { cat out >&2; die 'no finished block'; }
    find o.part -type f -printf '%P %s %T@\n' | sort | diff before - || die 'the plan changed the state'
    run 2 "${command[@]}" -o o --resume --vram 2G; says 'vram'
    # what a device reports as its memory may vary: the budget is the state's
    run 0 "${command[@]}" -o o --resume --json
    diff -r whole o || die 'what was resumed differs'
    [ "$(grep -c '"block":' out)" = "$blocks" ] || die "expected $blocks blocks in the JSON"
    nothing_left o.part
    # also while a large model is hashed
    mkdir large && cp "$model"/* large && truncate -s 64G large/zeros.bin
    "$program" quantize large -o l.gguf --method rtn >out 2>err &
    pid=$!
    for _ in $(seq 600); do grep -q '^device:' err && break; sleep 0.1; done
    sleep 1; kill -INT $pid
    start=$SECONDS; wait $pid; code=$?
    [ $code = 130 ] || { cat err >&2; die "exit $code, expected 130"; }
    [ $((SECONDS - start)) -lt 10 ] || die 'hashing was not interrupted'
    nothing_left l.gguf l.gguf.part ;;
damaged) # one turned bit, a cut, another block's file: done again, and the same file; a lost manifest too
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 4 --lr 0.01 --type q4_0)
    run 0 "${command[@]}" -o whole.gguf
    run 0 "${command[@]}" -o o.gguf --resume; says 'o.gguf.part: no state to resume, starts anew'
    cmp whole.gguf o.gguf; rm o.gguf
    begin() { # a state of two blocks, as a kill leaves it
        rm -rf o.gguf o.gguf.part
        if [ ! -d kept ]; then
            "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
            for _ in $(seq 6000); do [ -f o.gguf.part/block-00001.safetensors ] && break; sleep 0.01; done
            kill -9 $pid; wait $pid 2>/dev/null
            [ -f o.gguf.part/block-00001.safetensors ] || die 'no state'
            mv o.gguf.part kept
        fi
        cp -r kept o.gguf.part
    }
    turn() { # FILE BYTE: its lowest bit
        local old
        old=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
        printf %b "\\x$(printf %02x $((old ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
    }
    again() { # REMARK: resumed, it gives the same file
        run 0 "${command[@]}" -o o.gguf --resume; says "$1"
        cmp whole.gguf o.gguf || die "another file: $1"
        nothing_left o.gguf.part
    }
    begin; bytes=$(stat -c %s o.gguf.part/block-00000.safetensors)
    for at in 3 200 $((bytes / 2)) $((bytes - 1)); do
        begin; turn o.gguf.part/block-00000.safetensors "$at"
        again 'block-00000.safetensors: found a damaged file of the state: the block is done again'
        [ "$(grep -c '^block [0-9]*: loss' err)" -lt 3 ] || die 'a block was lost that was whole'
    done
    begin; truncate -s 5000 o.gguf.part/block-00001.safetensors; again 'block-00001.*is done again'
    begin; cp o.gguf.part/block-0000{0,1}.safetensors; again 'block-00001.*is done again'
    begin; turn o.gguf.part/manifest.json 40; again 'manifest.json is damaged: written anew, each of'
    begin; rm o.gguf.part/manifest.json; again 'manifest.json is missing: written anew, each of'
    begin; run 2 "${command[@]}" -o o.gguf --resume --seed 7; says "seed is '42' there, expected '7'"
    # what ends in the midst says how to go on, last of all
    begin; (ulimit -f 30; run 1 "${command[@]}" -o o.gguf --resume -q); says 'too large'
    [ "$(tail -n 1 err)" = 'finished blocks are kept in o.gguf.part; continue with --resume' ] ||
        { cat err >&2; die 'how to go on?'; }
    again '^block' ;;
resume_mismatch)
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 3000 --lr 0.001 --type q4_0)
    "$program" "${command[@]}" -o o.gguf >out 2>err &
    pid=$!
    for _ in $(seq 100); do [ -f o.gguf.part/manifest.json ] && break; sleep 0.1; done
    kill -INT $pid; wait $pid
    run 2 "${command[@]}" -o o.gguf --resume --seed 43; says 'seed'
    run 2 "${command[@]}" -o o.gguf --resume --calib "$root/README.md"; says 'calibration'
    run 2 "${command[@]}" -o o.gguf --resume --loss plain; says "loss is 'shift' there, expected 'plain'"
    [ -f o.gguf.part/manifest.json ] || die 'the state was lost' ;;
not_finite) # little-endian f32 into one weight of a layer, and of the embedding
    spoil() { # NAME BYTES: element 5 of tensor NAME in the folder bad
        local header begin
        rm -rf bad && cp -r plain bad
        header=$(od -An -tu8 -N8 bad/model.safetensors | tr -d ' ')
        begin=$(head -c $((8 + header)) bad/model.safetensors | tail -c "$header" |
            sed -n "s/.*\"$1\":{[^}]*\"data_offsets\":\[\([0-9]*\).*/\1/p")
        [ -n "$begin" ] || die "no tensor $1"
        printf %b "$2" | dd of=bad/model.safetensors bs=1 \
            seek=$((8 + header + begin + 20)) conv=notrunc status=none
    }
    nan='\x00\x00\xc0\x7f' inf='\x00\x00\x80\x7f' million='\x00\x24\x74\x49'
    q_proj=model.layers.1.self_attn.q_proj.weight
    run 0 convert "$model" -o plain --format hf --type f32
    spoil $q_proj "$nan"
    for method in '--method rtn' '--recipe light --samples 4 --seqlen 32 --batch 2'; do
        # shellcheck disable=SC2086 # several options
        run 3 quantize bad -o o --format fake --bits 4 --group 32 $method -q
        says "$q_proj: found NaN at row 0, column 5"
        nothing_left o o.part
    done
    spoil $q_proj "$inf"
    run 3 quantize bad -o o --format auto_round --method rtn -q; says "$q_proj: found Inf at row 0, column 5"
    spoil $q_proj "$million"
    run 3 quantize bad -o o.gguf --method rtn -q
    says "$q_proj: found weights from row 0, column 0 on whose scale"
    spoil model.embed_tokens.weight "$nan"
    run 3 quantize bad -o o.gguf --method rtn -q; says 'token_embd.weight: found NaN at row 0, column 5'
    spoil model.embed_tokens.weight "$million"
    run 3 quantize bad -o o.gguf --embedding-type q4_0 --head-type q4_0 --method rtn -q
    says 'token_embd.weight: found weights from row 0, column 0 on whose scale'
    nothing_left o o.part o.gguf o.gguf.part
    run 0 convert bad -o floats.gguf --type f32
    spoil model.layers.1.input_layernorm.weight "$nan"
    run 3 quantize bad -o o --format fake --bits 4 --group 32 --recipe light --samples 4 --seqlen 32 \
        --batch 2 -q
    says 'model.layers.1: found NaN at token 0, column 0, expected finite activations'
    nothing_left o o.part
    run 3 eval bad --text "$text" --max-windows 1 -q; says 'model.layers.1: found NaN'
    spoil model.layers.1.post_attention_layernorm.weight '\xe7\x84\x11\x55' # 1e13: activations near 1e23
    run 3 quantize bad -o o --format fake --bits 4 --group 32 --recipe light --samples 4 --seqlen 32 \
        --batch 2 -q
    says 'model.layers.1: found a loss of inf in the first of'
    nothing_left o o.part
    spoil model.norm.weight "$nan"
    run 3 eval bad --text "$text" --max-windows 1 -q
    says 'bad: found a loss of -*nan, expected finite logits'
    run 3 eval bad --text "$text" --protocol llamacpp --max-windows 1 --save-logits logits -q
    says 'bad: found a loss'
    nothing_left logits logits.part
    run 3 eval "$model" --ref bad --text "$text" --max-windows 1 -q; says 'bad: found a loss of -*nan'
    run 3 run bad -p 'ROMEO:' -n 4 -q; says 'bad: found only NaN among the logits of token' ;;
calib) # several files, conversations; what the samples are is part of the state
    quantize=(quantize "$model" -o o --format fake --group 32 --iters 1 --samples 4 --seqlen 32 --batch 2
        --blocks 1)
    printf '%s\n' '{"text": "The night is dark, and I am far from home. The night is long, my lord."}' \
        '{"messages": [{"role": "user", "content": "Who is there in the dark, and far from home?"}]}' \
        '{"text": "I am, and always was, a man of the night; the day is for others."}' >l.jsonl
    head -c 3000 "$text" >a.txt
    run 0 "${quantize[@]}" --calib a.txt --calib l.jsonl
    says 'calibration: a.txt, l.jsonl, up to 4 samples of 32 tokens'
    says 'no known chat template'
    run 2 "${quantize[@]}" --calib a.txt --calib self; says 'found self beside a file'
    printf '{"prompt": "a"}\n' >bad.jsonl
    run 3 "${quantize[@]}" --calib bad.jsonl; says 'bad.jsonl: line 1: found neither messages nor text'
    run 1 "${quantize[@]}" --calib a.txt --calib none.txt; says none.txt
    nothing_left o.part ;;
samples) # what is done with fewer samples than the options speak of
    few=(quantize "$model" --format auto_round --group 32 --iters 2 --seqlen 32)
    head -c 400 "$text" >short.txt
    run 2 "${few[@]}" -o o --calib short.txt --samples 64 --heldout 20
    says 'found 20, expected fewer than the [1-9]* samples'
    nothing_left o o.part
    run 0 "${few[@]}" -o o "${calib[@]}" --samples 8 --batch 8 --report r.html
    says 'note: --batch: 7 samples a step, not 8: there are 8, and 1 of them held out'
    holds o batch_size 7
    grep -q '<td>batch</td><td>7</td>' r.html || die 'expected the batch of 7 in the report'
    run 0 "${few[@]}" -o p "${calib[@]}" --samples 8; holds p batch_size 7
    ! grep -q batch err || die 'a remark about a batch that nobody asked for'
    run 0 "${few[@]}" -o q "${calib[@]}" --samples 9 --heldout 3 --batch 6; holds q batch_size 6
    ! grep -q batch err || die 'a remark about a batch that is what was asked for'
    run 0 "${few[@]}" -o r "${calib[@]}" --samples 1; says 'note: one sample leaves none to hold out'
    holds r batch_size 1
    run 2 "${few[@]}" -o s "${calib[@]}" --samples 1 --heldout 1; says 'fewer than the 1 samples'
    nothing_left s s.part ;;
recipes) # the tutorial's table, on a model of two tiny layers whose context is 40
    tiny_model=$root/tests/golden/families/llama
    while read -r recipe bits iters lr samples; do
        run 0 quantize "$tiny_model" -o "$recipe-$bits" --recipe "$recipe" --bits "$bits" --group 32 \
            --format auto_round -q
        holds "$recipe-$bits" iters "$iters" lr "$lr" minmax_lr "$lr" nsamples "$samples" seqlen 40 \
            batch_size 8
    done < <(printf '%s\n' 'light 4 50 0.005 128' 'light 2 50 0.005 128' 'default 2 200 0.005 128' \
        'best 4 1000 0.001 512' 'best 2 1000 0.002 512')
    # options win, and a rate of the recipe belongs to its steps
    run 0 quantize "$tiny_model" -o own --recipe light --iters 4 --samples 16 --seqlen 8 --minmax-lr 0.1 \
        --group 32 --format auto_round -q
    holds own iters 4 lr 0.25 minmax_lr 0.1 nsamples 16 seqlen 8 batch_size 8
    # samples are as long as the recipe says where the context is longer
    cp -r "$model" long && sed 's/"max_position_embeddings": *[0-9]*/"max_position_embeddings": 4096/' \
        "$model/config.json" >long/config.json
    head -c 400 "$text" >short.txt
    for recipe in light default best; do
        run 2 quantize long -o o --recipe $recipe --calib short.txt; says 'at least one sample of 2048'
    done
    # and flags say what they say
    flags=(quantize "$tiny_model" --iters 2 --samples 4 --seqlen 8 --batch 2 --group 32 --format fake -q)
    run 0 "${flags[@]}" -o with --report with.html
    run 0 "${flags[@]}" -o without --report without.html --no-minmax --no-quantized-input
    for field in minmax 'quantized input'; do
        grep -q "<td>$field</td><td>yes</td>" with.html || die "$field is not the default"
        grep -q "<td>$field</td><td>no</td>" without.html || die "$field is not off"
    done
    run 0 "${flags[@]}" -o plain --loss plain --report plain.html --json
    grep -q '"loss":.*"plain"' out || die 'the loss is not in the JSON'
    grep -q '<td>loss</td><td>plain</td>' plain.html || die 'the loss is not in the report'
    grep -q '<td>loss</td><td>shift</td>' with.html || die 'shift is not the default'
    grep -q '<td>loss</td><td>plain</td>' without.html || die 'shift without quantized input' ;;
report)
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" "${calib[@]}" --report r.html --json
    grep -q '<polyline' r.html || die 'no plot in the report'
    grep -q '"device_high_water"' out || die 'no memory in the JSON'
    grep -q '"samples":.*"6 x 32"' out || die 'no options in the JSON'
    ! grep -q "$dir" r.html || die 'the report names the output path'
    row() { grep -qE "<td>$1</td><td>$2</td>" r.html || die "no '$2' of $1 in $(grep "<td>$1<" r.html)"; }
    # weights of the linears and of the embedding, which is the head too
    bits=$(awk -v bytes="$(wc -c <o.gguf)" 'BEGIN { printf "%.2f", 8 * bytes / 2621440 }')
    row output "o\.gguf \(gguf q4_0\), [0-9.]+ MiB, ${bits/./\\.} bits per weight"
    row 'total time' '[0-9.]+ s'; row 'time in blocks' '[0-9.]+ s'; row 'layers kept float' '0 of 21'
    row lr '0\.[0-9]+'; row 'minmax lr' '0\.[0-9]+'; row select heldout; row optimizer sign
    row 'quantized input' yes; row weights '4 bits, groups of 32, symmetric'
    row calibration "$(basename "$text"): [0-9]+ samples of [0-9]+ tokens"
    ! grep -qE '[0-9a-f]{16}' r.html || die 'a hash in the report'
    # the verdict is that of the blocks in the JSON
    awk -F'[:,]' '/"heldout_first"/ { first = $2 } /"heldout_best"/ { share = $2 / first; n++
            better += share < 1; logs += log(share); if (share > most) most = share }
        END { printf "%.1f&nbsp;%%|<b>%d of %d</b>|keeps %.1f&nbsp;%%\n", 100 * exp(logs / n), better, n,
              100 * most }' out | tr '|' '\n' >want
    while read -r what; do grep -qF "$what" r.html || die "no '$what': $(grep verdict r.html)"; done <want
    [ "$(grep -c '<tr><td>[0-2]</td>' r.html)" = 3 ] || die 'expected a row for each of three blocks'
    run 0 quantize "$model" -o n.gguf --method rtn --report r.html -q
    grep -q 'nothing was tuned' r.html || die 'no verdict on round to nearest'
    ! grep -q '<polyline' r.html || die 'a plot without steps' ;;
kept_float) # what a format cannot hold is named in the remarks, the report and the config
    keeps=(quantize "$model" -o o --method rtn --format auto_round --group 96)
    what='18 of 21 linears (75 % of their weights) stay float: auto_round cannot hold groups of 96 there'
    run 2 "${keeps[@]}" # most weights: refused, with the way out
    says "$what; the largest group that fits all is 64: --group 64; --allow-float writes them as floats"
    nothing_left o o.part
    run 0 "${keeps[@]}" --allow-float --report r.html
    names=()
    for block in 0 1 2; do
        for part in self_attn.{q,k,v,o}_proj mlp.{gate,up}_proj; do names+=("$block $part"); done
    done
    list=$(printf ', %s' "${names[@]}")
    grep -qF "<td>layers kept float</td><td>18 of 21$list</td>" r.html ||
        die "expected 18 of 21$list in the report"
    [ "$(grep -c 'float' err)" = 1 ] || { cat err >&2; die 'expected one remark'; }
    says "^note: $what; the largest group that fits all is 64: --group 64$"
    for name in "${names[@]}"; do
        key="\"model.layers.${name/ /.}\":{\"bits\":16,\"data_type\":\"float\"}"
        tr -d ' \t\n' <o/config.json | grep -qF "$key" || die "expected $key in config.json"
    done
    ! grep -q 'down_proj' o/config.json || die 'down_proj is held'
    run 2 quantize "$model" -o p.gguf --type f16 --allow-float; says 'allow-float has no effect'
    run 0 quantize "$model" -o p --method rtn --format auto_round --report r.html
    grep -qF '<td>layers kept float</td><td>0 of 21</td>' r.html || die 'expected nothing kept float'
    # a list of any length
    mkdir many && cp "$model"/tokenizer*.json many
    sed -E 's/("hidden_size"): *[0-9]*/\1: 16/; s/("head_dim"): *[0-9]*/\1: 8/
        s/("num_(attention|key_value)_heads"): *[0-9]*/\1: 2/
        s/("intermediate_size"): *[0-9]*/\1: 16/; s/("num_hidden_layers"): *[0-9]*/\1: 40/' \
        "$model/config.json" >many/config.json
    "$AR_RANDOM_MODEL" many || die 'no model'
    run 2 quantize many -o q --method rtn --format gptq
    says '280 of 280 linears (100 % of their weights) stay float: gptq cannot hold groups of 128 there; --al'
    run 0 quantize many -o q --method rtn --format gptq --report r.html -q --allow-float
    names=()
    for block in {0..39}; do
        for part in self_attn.{q,k,v,o}_proj mlp.{gate,up,down}_proj; do
            names+=("$block $part")
        done
    done
    grep -qF "<td>280 of 280$(printf ', %s' "${names[@]}")</td>" r.html ||
        die 'the list of 280 is not whole' ;;
dry_run) # says what it would do and take, and leaves nothing
    for format in 'gguf q4_0' 'gguf q4_1' 'auto_round ' 'auto_round,gguf '; do
        what=("${tiny[@]}" "${calib[@]}" --blocks 2 --group 32 --format ${format% *})
        [ -z "${format#* }" ] || what+=(--type "${format#* }")
        run 0 quantize "$model" -o o "${what[@]}" --dry-run --json
        nothing_left o o.part
        for key in '"dry_run":true' '"method":"signround"' '"blocks":3' '"tuned_blocks":2' '"steps":12' \
            '"batch":2' '"samples":6' '"seqlen":32' '"tokens":1536' '"finished_blocks":0'; do
            tr -d ' \t' <out | grep -q "^$key,\$" || { cat out >&2; die "expected $key"; }
        done
        for key in flops step_seconds seconds device_high_water device_budget disk_high_water; do
            grep -Eq "\"$key\":[[:space:]]*[1-9]|\"$key\":[[:space:]]*0\.0*[1-9]" out ||
                { cat out >&2; die "expected $key above 0"; }
        done
        sed -n 's/.*"bytes":[[:space:]]*\([0-9]*\).*/\1/p' out >said
        high=$(grep '"device_high_water"' out)
        run 0 quantize "$model" -o o "${what[@]}" --json
        [ "$(grep '"device_high_water"' out)" = "$high" ] || die "expected $high, found $(cat out)"
        sed -n 's/.*"bytes":[[:space:]]*\([0-9]*\).*/\1/p' out | paste said - >pairs
        awk '$1 < 0.98 * $2 || $1 > 1.02 * $2 || NF != 2 { exit 1 }' pairs || { cat pairs >&2; die 'sizes'; }
        case $format in gguf*) awk '$1 != $2 { exit 1 }' pairs || { cat pairs >&2; die 'the size'; } ;; esac
        rm -r o
    done
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" --dry-run -q
    [ ! -s err ] || { cat err >&2; die 'expected quiet'; }
    grep -q '^plan: 3 blocks, 3 by signround in 12 steps of 2 x 32 tokens each$' out ||
        { cat out >&2; die 'no plan'; }
    grep -q '^time: about .* to draw samples from the model$' out || { cat out >&2; die 'no time'; }
    grep -q '^memory: device .* of ' out || { cat out >&2; die 'no memory'; }
    grep -q '^disk: o.gguf [0-9.]* MiB, while it runs at most ' out || { cat out >&2; die 'no disk'; }
    run 0 quantize "$model" -o o.gguf --method rtn --dry-run
    grep -q '^plan: 3 blocks, 3 rounded to nearest$' out || { cat out >&2; die 'no plan of rtn'; }
    run 0 quantize "$model" -o o.gguf --type f16 --dry-run
    grep -q '^plan: 3 blocks, 3 stored as floats$' out || { cat out >&2; die 'no plan of floats'; }
    run 1 quantize "$model" -o absent/o.gguf --dry-run; says 'does not exist'
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" "${calib[@]}" # a run says it too, on stderr
    grep -q '^plan: 3 blocks, 3 by signround' err || { cat err >&2; die 'no plan before the run'; }
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" "${calib[@]}" -q; [ ! -s err ] || die 'expected quiet'
    rm o.gguf; only err out pairs said ;;
progress) # over the whole job: its share never falls and ends at 1, its time left ends at 0
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" --progress json
    grep '^{' err >events
    for stage in calibrate tune block write; do
        grep -q "\"stage\":\"$stage\"" events || die "no $stage among the events"
    done
    grep '"stage":"tune"' events | grep -v '"blocks":3,' && die 'expected 3 blocks in every event'
    grep -v measure events |
        sed 's/.*"stage":"\([a-z]*\)".*"job":\([^,]*\),"seconds_left":\([^,]*\),.*/\2 \3 \1/' >job
    awk '$1 < last || $1 > 1 || $2 < 0 { exit 1 } { last = $1; left = $2 }
        END { exit last != 1 || left != 0 }' job || { cat job >&2; die 'shares and times'; }
    awk '$3 == "tune" && $1 > 0 && $1 < 1 && $2 > 0 { n++ } END { exit n < 30 }' job ||
        { cat job >&2; die 'tuning is not most of it'; }
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" --progress bar
    tr '\r' '\n' <err >bar
    grep -q 'calibrate \[.*token [0-9]*/192, .* left, [0-9]* tok/s$' bar || { cat bar >&2; die 'no tokens'; }
    grep -q 'tune \[#*-*\] block 2 of 3, step 6/12, [0-9]* s left, loss .* tok/s, ' bar ||
        { cat bar >&2; die 'no blocks and steps'; }
    grep -q 'write \[#*\] 100 %, 0 s left$' bar || { cat bar >&2; die 'no writing'; }
    run 0 quantize "$model" -o o.gguf --method rtn --progress bar; tr '\r' '\n' <err >bar
    grep -q 'block \[.*block 2 of 3, ' bar || { cat bar >&2; die 'no blocks of rtn'; }
    run 0 convert "$model" -o m.gguf --progress bar; tr '\r' '\n' <err >bar
    grep -q 'write \[#*\] 100 %' bar || { cat bar >&2; die 'no progress of convert'; } ;;
self)
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" --calib self --progress json
    # drawing tells how many of the 6 x 32 tokens there are, sequences side by side, and how fast they come
    grep '"stage":"calibrate"' err |
        sed 's/.*"step":\([0-9]*\),"steps":\([0-9]*\),.*"tokens_per_s":\([0-9.e+]*\),.*/\1 \2 \3/' >told
    awk '$1 < last || $1 % 6 || $2 != 192 || ($3 <= 0 && NR > 1) { exit 1 } { last = $1 }
        END { exit last == 0 }' told || { cat told >&2; die 'expected tokens drawn, of 192'; }
    run 0 run o.gguf -p 'ROMEO:' -n 12 --greedy
    [ -s out ] || die 'no text'
    run 0 info o.gguf --json; grep -q 'Q4_0' out || die 'info without Q4_0' ;;
json) # single bytes are tokens, so hot sampling gives text that is no UTF-8
    run 0 run "$model" -p é --temp 100 --top-k 0 --top-p 1 --min-p 0 -n 150 --json
    iconv -f UTF-8 -t UTF-8 out >/dev/null || die 'JSON is not UTF-8'
    grep -q $'\xef\xbf\xbd' out || die 'expected bytes that are no character' ;;
info)
    run 0 quantize "$model" -o packed --method rtn --format auto_round --bits 2 --group 64 --asym -q
    run 0 info packed -q; grep -q '^quantization: auto.round, 2 bits, groups of 64, asymmetric$' out ||
        die 'no quantization shown'
    run 0 info packed --json; grep -q '"group":.64' out || die 'no group in the JSON'
    run 0 info packed/model.safetensors "$model"; grep -q 'q_proj.qweight *I32' out ||
        die 'no tensor of the bare file'
    run 0 info packed/model.safetensors --json; grep -q '"I32"' out || die 'no type in the JSON'
    # what files say besides: config.json, __metadata__, GGUF's key-values
    run 0 info "$model"; grep -q 'config.json: hidden_size  *[0-9]' out || die 'no config.json'
    grep -q '__metadata__: format  *"pt"' out || die 'no __metadata__'
    run 0 info packed/model.safetensors; grep -q '^  format  *"pt"$' out || die 'no metadata of the bare file'
    run 0 convert "$model" -o m.gguf -q
    run 0 info m.gguf; grep -q 'general.architecture  *"llama"' out || die 'no key-value'
    grep -q 'tokenizer.ggml.tokens  *"[0-9]* texts"' out || die 'no length of a long list'
    run 0 info m.gguf -q; grep -q general out && die 'metadata although quiet'
    run 0 info m.gguf --json; grep -q '"general.architecture":.*"llama"' out || die 'no key-value in the JSON'
    run 0 info "$model" --json; grep -q '"config.json":' out || die 'no config.json in the JSON'
    head -c 99 packed/model.safetensors >cut.safetensors
    run 3 info cut.safetensors; says 'cut.safetensors' ;;
bench)
    run 2 bench; says '--tune'
    run 2 bench --tune --dim 60 --heads 7; says 'heads that divide'
    run 0 bench --tune --dim 64 --hidden 96 --heads 4 --kv-heads 2 --seq 16 --batch 2 --steps 2 --json
    for key in format_version device driver api tune dim hidden seq batch us gflops; do
        grep -q "\"$key\":" out || { cat out >&2; die "no $key in the JSON"; }
    done
    awk -F: '/"(us|gflops)"/ { n += $2 + 0 > 0 } END { exit n != 2 }' out ||
        { cat out >&2; die 'expected times above 0'; }
    [ "$(grep -c '^device:' err)" = 1 ] || die 'remarks belong on stderr'
    grep -q '"timing":[[:space:]]*"wall"' out || die 'a tuning step without its clock'
    run 0 devices -q; expected=wall # of the device that auto takes
    grep -m 1 plan: out | grep -q 'device timing' && expected=device
    for device in auto null; do # null has no timestamps
        [ $device = auto ] || expected=wall
        run 0 bench --kernels --types Q4_0 --size 256 --n 64 --json -q --device $device
        for key in timing us wall_us cpu_us gflops gbs percent_of_roof kernels launches copy_timing \
            gflops_timing; do
            grep -q "\"$key\":" out || { cat out >&2; die "no $key in the JSON"; }
        done
        grep 'timing"' out | grep -qv ":[[:space:]]*\"$expected\"" &&
            { cat out >&2; die "expected every time of $device by $expected"; }
        awk -F: '/"(us|wall_us)"/ { gsub(/[^0-9.e+-]/, "", $2); t[n++] = $2 + 0 }
            END { exit n < 3 || t[0] > 30 * t[1] || t[1] > 1000 * t[0] }' out ||
            { cat out >&2; die 'the two clocks have different units'; }
        run 0 bench --kernels --types Q4_0 --size 256 --n 64 -q --device $device
        [ "$(grep -c "GB/s ($expected time), .* ($expected time)$\| us $expected " out)" = 2 ] ||
            { cat out >&2; die "expected $expected times"; }
    done
    hide libopenblas.so.0
    run 1 bench --tune --dim 64 --hidden 96 --heads 4 --kv-heads 2 --seq 16 --batch 2 --steps 2 --blas
    says 'libopenblas.so.0 not found' ;;
devices_agree) # on round to nearest, but for ties
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
    done
    data=${AR_SHARED:-$root/../shared}/data
    for source in "$model" "$data/tinystories-656K-hf" "$data/stories260K-hf"; do
        [ -f "$source/config.json" ] || continue
        while read -r bits group scheme; do
            for device in vk cl; do
                run 0 quantize "$source" -o $device --method rtn --format fake --bits "$bits" \
                    --group "$group" "--$scheme" --device $device -q
            done
            found=$("$AR_COMPARE" vk cl) || die "cannot compare W$bits g$group"
            echo "$(basename "$source") W$bits g$group $scheme, vk and cl: $found"
            awk -v share="${found##* }" 'BEGIN { exit !(share < 1e-4) }' || die 'expected a share below 1e-4'
        done < <(printf '%s\n' {2,3,4,8}\ {32,128}\ asym '2 32 sym' '4 32 sym')
    done ;;
eval) # every protocol, in parts and whole, on each device
    devices
    head -c 900 "$text" >part.txt
    figure() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" out; }
    near() { awk -v a="$1" -v b="$2" -v r="$3" \
        'BEGIN { d = a - b; exit !(a != "" && d * d <= r * r * b * b) }' ||
        die "found $1, expected $2 within $3: $4"; }
    printf 'fine\nnot \377 this\n' >bad.txt # errors name the file, whatever the protocol
    echo short >short.txt
    for protocol in window lines llamacpp; do
        run 3 eval "$model" --text bad.txt --protocol $protocol; says 'bad.txt: byte 9: found 0xff'
    done
    run 2 eval "$model" --text short.txt; says 'short.txt: found [0-9]* tokens'
    run 3 run "$model" -f bad.txt; says 'bad.txt: byte 9'
    run 3 run "$model" -p "$(printf 'a\377')"; says 'prompt: byte 1: found 0xff'
    run 3 quantize "$model" -o never --calib bad.txt; says 'bad.txt: byte 9'
    run 0 quantize "$model" -o coarse --method rtn --format fake --bits 2 --group 32 -q
    for protocol in window lines llamacpp; do
        expected=
        for device in "${devices[@]}"; do
            evaluate=(--text part.txt --protocol $protocol --window 32 --device "$device" --json -q)
            run 0 eval "$model" "${evaluate[@]}" --ref "$model"
            whole=$(figure nll) tokens=$(figure tokens) windows=$(figure windows)
            [ "$(figure kl)" = 0 ] && [ "$(figure top1)" = 1 ] && [ "$(figure ref_ppl)" = "$(figure ppl)" ] ||
                die "a model differs from itself: $(cat out)"
            near "$whole" "${expected:-$whole}" 1e-5 "${devices[*]}, $protocol"
            expected=$whole
            run 0 eval "$model" "${evaluate[@]}" --max-windows 3 --batch 2
            [ "$(figure windows)" = 3 ] || die "expected 3 windows: $(cat out)"
            part=$(figure nll) first=$(figure tokens)
            run 0 eval "$model" "${evaluate[@]}" --skip-windows 3
            [ $((first + $(figure tokens))) = "$tokens" ] && [ $((3 + $(figure windows))) = "$windows" ] ||
                die "3 windows and the others are not $windows: $(cat out)"
            near "$(awk -v a="$part" -v n="$first" -v b="$(figure nll)" -v m="$(figure tokens)" \
                'BEGIN { printf "%.12g", (a * n + b * m) / (n + m) }')" \
                "$whole" 1e-6 "parts on $device, $protocol"
            [ $protocol = window ] || continue
            run 0 eval coarse "${evaluate[@]}" --ref "$model"
            awk -v kl="$(figure kl)" -v top="$(figure top1)" \
                'BEGIN { exit !(kl > 0.02 && top > 0.3 && top < 0.95) }' ||
                die "2 bits differ so little, or so much: $(cat out)"
            awk -v kl="$(figure kl)" -v a="$(figure kl_first)" -v b="$(figure kl_later)" -v n="$tokens" \
                -v m="$(figure first_tokens)" -v p="$(figure ppl)" -v q="$(figure ref_ppl)" \
                -v ratio="$(figure ppl_ratio)" -v error="$(figure ppl_ratio_error)" -v w="$windows" \
                -v e="$(figure ppl_error)" -v p50="$(figure kl_median)" -v p90="$(figure kl_p90)" \
                -v p99="$(figure kl_p99)" -v p999="$(figure kl_p999)" -v top="$(figure kl_max)" \
                -v same="$(figure top1)" -v flipped="$(figure flipped)" \
                'function like(x, y) { return x > y * 0.999999 && x < y * 1.000001 }
                 BEGIN { exit !(m == 8 * w && like(kl * n, a * m + b * (n - m)) && like(ratio, p / q) &&
                     error > 0 && error < e && 0 <= p50 && p50 < kl && p50 < p90 && p90 < p99 && p99 < p999 &&
                     p999 < top && like(same + flipped, 1)) }' ||
                die "figures contradict each other: $(cat out)"
            near "$(figure ref_ppl)" "$(awk -v a="$whole" 'BEGIN { printf "%.12g", exp(a) }')" 1e-9 \
                "the reference on $device, $protocol"
            run 0 eval coarse --text part.txt --window 32 --device "$device" --ref "$model" -q
            for word in 'ppl .* +- ' 'ratio ' 'KL .* +- .* 99.9% ' 'KL at positions 0-7 .* from 8 on ' \
                'flipped '; do
                grep -q "$word" out || die "no $word in $(cat out)"
            done
        done
    done
    # A text of more tokens than walk through the model together: parts add up, and the bar tells the whole.
    for ((i = 0; i < 4; i++)); do cat "$text"; done >long.txt
    evaluate=(--text long.txt --window 512 --json)
    run 0 eval "$model" "${evaluate[@]}" --progress json; cp err events
    whole=$(figure nll) tokens=$(figure tokens)
    [ "$tokens" -gt 16384 ] || die "a text of $tokens tokens is not long"
    blocks=$(sed -n 's/.*"blocks":\([0-9]*\).*/\1/p' events | sort -u)
    grep -q "\"block\":$blocks,\"blocks\":$blocks," events || die "never at block $blocks"
    so_far=$(sed -n 's/.*"loss":\([0-9.]*\).*/\1/p' events | uniq)
    [ "$(wc -l <<<"$so_far")" = 3 ] || die "expected no loss, that of a part and all: $so_far"
    near "$(tail -n 1 <<<"$so_far")" "$whole" 1e-8 'the loss so far, at the end'
    run 0 eval "$model" "${evaluate[@]}" --max-windows 32 -q
    near "$(sed -n 2p <<<"$so_far")" "$(figure nll)" 1e-8 'the loss of the first part'
    part=$(figure nll) first=$(figure tokens)
    run 0 eval "$model" "${evaluate[@]}" --skip-windows 32 -q
    near "$(awk -v a="$part" -v n="$first" -v b="$(figure nll)" -v m="$tokens" \
        'BEGIN { printf "%.12g", (a * n + b * (m - n)) / m }')" "$whole" 1e-8 'a long text in parts' ;;
generate)
    run 0 run "$model" -p 'ROMEO:' -n 12 --greedy -q; cp out greedy
    printf 'ROMEO:' >prompt.txt
    run 0 run "$model" -f prompt.txt -n 12 --greedy -q; cmp out greedy ||
        die 'a prompt from a file gives another text'
    # the prompt as an argument, and from stdin where that is a pipe or a file
    run 0 run "$model" 'ROMEO:' -n 12 --greedy -q; cmp out greedy || die 'a prompt as an argument'
    echo 'ROMEO:' | "$program" run "$model" -n 12 --greedy -q >out; cmp out greedy ||
        die 'a prompt from a pipe'
    run 0 run "$model" -n 12 --greedy -q <prompt.txt; cmp out greedy || die 'a prompt from a redirection'
    run 0 run "$model" -n 12 --greedy -q -f - <prompt.txt; cmp out greedy || die 'a prompt from -'
    printf 'a\377' | "$program" run "$model" -n 1 2>err; says 'stdin: byte 1: found 0xff'
    run 0 run "$model" -n 3 --greedy -q </dev/null # no prompt: from BOS on
    echo not this | "$program" run "$model" -p 'ROMEO:' -n 12 --greedy -q >out; cmp out greedy ||
        die 'stdin beside -p'
    run 2 run "$model" TEXT -p TEXT; says 'TEXT and --prompt'
    run 2 run "$model" TEXT MORE
    # why it stopped
    run 0 run "$model" -p 'ROMEO:' -n 5 --greedy; says 'stopped after 5 tokens (-n N'
    run 0 run "$model" -p 'ROMEO:' -n 50 -c 12 --greedy; says 'the context of 12 tokens is full'
    run 0 run "$model" -p 'ROMEO:' -n 5 --greedy --json -q; grep -q '"stop":"count"' out || die 'no count'
    run 0 run "$model" -p 'ROMEO:' -n 50 -c 12 --greedy --json -q; grep -q '"stop":"context"' out ||
        die 'no context'
    run 0 run "$model" -p 'ROMEO:' -n 12 --top-k 1 -q; cmp out greedy ||
        die 'the most likely of one is not the most likely'
    run 0 run "$model" -p 'ROMEO:' -n 12 --greedy --repeat-penalty 5 -q; ! cmp -s out greedy ||
        die 'a repetition penalty without effect'
    run 0 run "$model" -p 'ROMEO:' -n 12 --seed 3 -q; cp out drawn
    run 0 run "$model" -p 'ROMEO:' -n 12 --seed 3 -q; cmp out drawn || die 'one seed, two texts'
    run 0 run "$model" -p 'ROMEO:' -n 6 --greedy -c 300; grep -q 'decode 6 tokens, .* GB/s' err ||
        die 'no speeds'
    run 2 run "$model" -p 'ROMEO:' -c 2; says 'fewer than the context of 2'
    run 2 run "$model" -p 'ROMEO:' -c 5000; says "at most the model's 512"
    run 0 bench --model "$model" --pp 8 --tg 2 --reps 1 --json -q; grep -q '"pp"' out || die 'no pp'
    weights=$(sed -n 's/.*"weight_bytes":[[:space:]]*//p' out | tr -d ,)
    run 0 bench --model "$model" --layers 1 --pp 8 --tg 0 --reps 1 --json -q
    grep -q '"layers":[[:space:]]*1,' out || die 'no layers'
    [ "$(sed -n 's/.*"weight_bytes":[[:space:]]*//p' out | tr -d ,)" -lt "$weights" ] ||
        die 'one layer weighs what all do'
    run 2 bench --model "$model" --layers 1000; says "at most the model's"
    run 2 bench --model "$model" --layers 1 --md; says 'of whole models'
    run 2 bench --tune --layers 1; says '--layers without --model'
    run 0 bench --model "$model" --pp 8 --tg 2 --reps 1 --md -q; grep -q '| *tg2 |' out || die 'no table' ;;
reader) # who reads stdout goes away: the end, at once and without a word
    for options in '-n 400 -p a' '-n 400 -p a --json' '-n 400 -p a --ids' '-n 400 -p a -i'; do
        # shellcheck disable=SC2086 # several options
        timeout 60 "$program" run "$model" --temp 100 --top-k 0 --top-p 1 --min-p 0 $options -q 2>err \
            </dev/null | head -c 4 >out
        code=${PIPESTATUS[0]}
        [ "$code" = 0 ] && ! grep -q '^anyround:' err || { cat err >&2; die "exit $code: run $options"; }
    done
    "$program" info "$model" 2>err | true
    [ "${PIPESTATUS[0]}" = 0 ] && [ ! -s err ] || { cat err >&2; die 'info'; }
    "$program" run "$model" -p a -n 400 -q >/dev/full 2>err; code=$?
    [ $code = 1 ] || die "exit $code, expected 1"
    says 'stdout: cannot write: No space left'
    # the bar is as wide as the terminal at most
    script --version >out 2>&1 || skip 'no program script here'
    for width in 40 133; do
        script -qec "stty cols $width
            '$program' quantize '$model' -o o.gguf ${tiny[*]} --calib '$text'" typed </dev/null >out ||
            die 'no run in a terminal'
        tr '\r' '\n' <typed | sed -n 's/\x1b\[K//p' | grep '\[[#-]*' | grep -v ^block | awk -v w=$width '
            { if (length > most) most = length } END { print most; exit !(most > 20 && most < w) }' ||
            die "a bar of other than $width columns"
    done ;;
pocl) # its folder is named where it cannot be written, or is full
    "$program" devices -q 2>/dev/null | grep -q 'Portable Computing' || skip 'no PoCL'
    export POCL_CACHE_DIR=/proc/nowhere
    refused eval "$model" --text "$text" --device cl; says 'PoCL needs a cache folder that it can write'
    unshare -m true 2>/dev/null || skip 'no mount namespaces here'
    mkdir small
    for options in ro size=8k; do
        # shellcheck disable=SC2016 # expanded by the inner shell
        POCL_CACHE_DIR=$dir/small unshare -m bash -c 'mount -t tmpfs -o "$1" none "$POCL_CACHE_DIR" || exit 77
            "$2" eval "$3" --text "$4" --device cl --no-cache -q' _ \
            $options "$program" "$model" "$text" >out 2>err; code=$?
        [ $code != 77 ] || skip 'no tmpfs here'
        [ $code = 1 ] || { cat err >&2; die "exit $code, expected 1"; }
        says 'CL_BUILD_PROGRAM_FAILURE.*PoCL needs a cache folder that it can write'
    done ;;
ends)
    # any of the tokens that a model's files name ends a text
    "$program" run "$model" -p 'ROMEO:' -n 8 --greedy --ids >whole 2>err || die 'run failed'
    third=$(awk '{ print $(NF - 5) }' whole)
    for file in config.json generation_config.json; do
        rm -rf ended
        cp -r "$model" ended
        if [ "$file" = config.json ]; then
            sed -i "s/\"eos_token_id\": *[0-9]*/\"eos_token_id\": [2, $third]/" ended/config.json
        else
            printf '{"eos_token_id": [%s, 2]}' "$third" >ended/generation_config.json
        fi
        "$program" run ended -p 'ROMEO:' -n 8 --greedy --ids >found 2>err || die "$file: run failed"
        awk '{ NF -= 6; print }' whole | cmp -s - found || die "$file: its end was passed over"
        run 0 convert ended -o ended.gguf
        "$program" run ended.gguf -p 'ROMEO:' -n 8 --greedy --ids >gguf 2>err || die 'run failed'
        cmp -s found gguf || die "$file: the GGUF file does not know it"
        rm ended.gguf
    done ;;
chat)
    printf 'Who is there?\n\nAnd who are you?\n' | "$program" run "$model" -i -n 8 --greedy >out 2>err ||
        { cat err >&2; die 'chat failed'; }
    grep -q 'no chat template' err || die 'nothing about the missing template'
    [ "$(grep -c 'decode' err)" = 2 ] || die 'expected two answers'
    cp -r "$model" templated
    template='{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}'
    printf '{"chat_template": "%s"}' "$template" >templated/tokenizer_config.json
    printf 'Who is there?\n' | "$program" run templated -i -n 8 -c 128 --system Sing -p Hello >out 2>err ||
        { cat err >&2; die 'chat failed'; }
    grep -q "chat template: the model's own" err || die 'the template was not used'
    [ "$(grep -c 'decode' err)" = 2 ] || die 'expected two answers'
    # one that is not known is named once
    echo '{% for m in messages %}{{ m.content|nosuch }}{% endfor %}' >given.jinja
    printf 'Who is there?\nWho?\n' | "$program" run "$model" -i -n 4 --chat-template given.jinja >out 2>err ||
        { cat err >&2; die 'chat failed'; }
    [ "$(grep -c 'note: given.jinja: line 1: found the filter "nosuch".*plain lines' err)" = 1 ] ||
        { cat err >&2; die 'the filter was not named, or not once'; }
    printf 'Who?\n' >given.jinja
    run 0 run "$model" -i -n 4 -p Hello --chat-template given.jinja </dev/null
    says 'chat template: given.jinja'
    run 1 run "$model" -i -p Hello --chat-template nowhere.jinja; says nowhere.jinja
    run 2 run "$model" -p Hello --chat-template given.jinja; says '--chat-template has no effect'
    echo "{{ raise_exception('no such role') }}" >given.jinja
    run 1 run "$model" -i -p Hello --chat-template given.jinja; says 'the template refuses this: no such role'
    # a line that cannot be said does not end the conversation, nor does it make anything be forgotten
    long=$(yes 'and so on and on' | head -n 60 | tr '\n' ' ')
    printf 'Who is there?\nbad \377 line\n%s\nAnd who are you?\n' "$long" >lines
    "$program" run "$model" -i -n 8 -c 96 --greedy <lines >out 2>err ||
        { cat err >&2; die 'a bad line ended it'; }
    says 'anyround: this line: byte 4: found 0xff'
    says 'anyround: chat: found a message of'
    grep -q 'forgotten' err && die 'forgotten for a line that was not said'
    [ "$(grep -c 'decode' err)" = 2 ] || die 'expected two answers'
    # a conversation longer than the context goes on without its beginning
    for i in 1 2 3 4 5 6; do echo 'Tell me, what is the matter with the king of France today?'; done >lines
    "$program" run "$model" -i -n 12 -c 64 --greedy <lines >out 2>err ||
        { cat err >&2; die 'a long conversation failed'; }
    grep -q 'beginning is forgotten' err || die 'nothing was forgotten'
    [ "$(grep -c 'decode' err)" = 6 ] || die 'expected six answers' ;;
*) die "no such case" ;;
esac
echo ok
