# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Where output may go, what is left there, and a disk that is full.

case_output() {
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
    run 1 quantize folder -o file/ "${long[@]}"; says 'found a file'
    run 1 quantize folder -o absent/o.gguf "${long[@]}"; says 'does not exist'
    run 1 quantize folder -o o.gguf "${long[@]}" --report absent/r.html; says 'does not exist'
    run 1 quantize folder -o o.gguf "${long[@]}" --report other; says 'found a folder'
    run 2 quantize folder -o o.gguf "${long[@]}" --report ./o.gguf; says 'the output itself'
    mkdir o.gguf.part && echo mine >o.gguf.part/mine
    run 2 quantize folder -o o.gguf "${long[@]}"; says 'move it away'
    [ -f o.gguf.part/mine ] || die 'something was removed'
    only err file folder o.gguf.part other out
}

case_places() { # nothing that is read is written, whatever its name; what is no file is written through
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
    ln -s folder link # as a shell completes it
    run 0 quantize model -o link/ --format gptq "${few[@]}"
    [ -L link ] && [ -d folder ] && grep -q gptq folder/config.json || die 'not what the link leads to'
    nothing_left folder.part link.part; rm link
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
    mkdir two && touch two/model.gguf
    run 1 quantize model -o two --format gptq "${few[@]}"; says 'two: found model.gguf in it, as several f'
    diff -r "$model" foreign || die 'a model that was there was touched'
    mkdir o.gguf.part && echo mine >o.gguf.part/manifest.json
    run 2 quantize model -o o.gguf "${few[@]}"; says 'move it away'
    run 2 convert model -o o.gguf -q; says 'move it away'
    grep -q mine o.gguf.part/manifest.json || die 'a manifest of somebody else was removed'
    mkdir x.gguf.replaced x.gguf.part && echo mine >x.gguf.part/mine
    run 2 convert model -o x.gguf -q; says 'found mine, which'
    [ -f x.gguf.part/mine ] && [ -d x.gguf.replaced ] || die 'a folder of somebody else was removed'
}

case_together() { # two runs for one output: one of them works, the other says which
    tuned=("$model" "${tiny[@]}" "${calib[@]}" --iters 3 --group 32 -q)
    for format in gguf auto_round; do
        for seed in 1 2; do
            run 0 quantize "${tuned[@]}" --format $format --select last --seed $seed -o $format-$seed
        done
    done
    for ((i = 1; i <= ${AR_TEST_TIMES:-6}; i++)); do
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
    [ -f o.gguf.part/manifest.json ] || die 'the state of another run was removed'
}

case_full_disk() {
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
    tail -n 1 err | grep -q 'o.gguf.part; continue with --resume$' || { cat err >&2; die 'how to go on?'; }
}
