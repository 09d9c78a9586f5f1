# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Devices that fail on demand (tests/env/faulty_icd.c).

case_believed() { # a device that takes every dispatch and computes nothing, or one kernel not
    faulty
    plain=(quantize "$model" -o o.gguf --method rtn -q)
    tuned=(quantize "$model" -o o.gguf --method signround "${tiny[@]}" "${calib[@]}" -q)
    evaluate=(eval "$model" --text "$text" --window 32 --max-windows 2 -q)
    generate=(run "$model" -p 'ROMEO: what is' -n 2 -q)
    # wrong FAULT ARGUMENT...: refused, and no result
    wrong() {
        AR_FAULT=$1 run 5 "${@:2}"; says 'computes wrongly'
        [ ! -s out ] || { cat out >&2; die "a result in spite of $1"; }
        nothing_left o.gguf
        rm -rf o.gguf.part # what was finished before
    }
    mkdir -p cache/anyround # programs of other tests, but nothing that was tried
    cp "$XDG_CACHE_HOME"/anyround/cl-*.bin cache/anyround 2>/dev/null
    export XDG_CACHE_HOME=$dir/cache
    for command in plain tuned evaluate generate; do
        declare -n arguments=$command
        wrong nothing "${arguments[@]}"; says 'kernel fill: found 0, expected 17.5'
    done
    # each kernel before its first use
    unseen() { rm -f cache/anyround/checked-*; wrong "$@"; }
    unseen nothing:fq_codes "${plain[@]}"; says 'kernel fq_codes'
    unseen nothing:sign_step16 "${tuned[@]}"; says 'kernel sign_step16'
    unseen nothing:rms_norm "${evaluate[@]}"; says 'kernel rms_norm'
    # a variant that computes wrongly gives way to the next of its family
    run 0 "${evaluate[@]}"; cp out sound; rm cache/anyround/checked-*
    AR_FAULT=nothing:attention_across run 0 "${evaluate[@]}"
    cmp <(cut -c1-10 out) <(cut -c1-10 sound) || die 'a variant that does nothing was believed'
    rm cache/anyround/checked-*
    unseen nothing:gemv "${generate[@]}"; says 'kernel linear_resident'
    wrong nothing:gemv "${generate[@]}"; says 'kernel linear_resident' # what failed is not remembered
    rm cache/anyround/checked-*
    for command in plain tuned evaluate generate; do
        declare -n arguments=$command
        run 0 "${arguments[@]}"; rm -f o.gguf
    done
    [ "$(find cache -name 'checked-*' | wc -l)" = 1 ] || die 'expected one file of what was tried'
    # afterwards: whether anything happens, and what the result itself tells
    for command in plain tuned evaluate generate; do
        declare -n arguments=$command
        wrong nothing "${arguments[@]}"
    done
    for kernel in group_range fq_scale fq_codes; do
        wrong nothing:$kernel "${plain[@]}"; says 'is not what the host computes'
    done
    wrong nothing:fq_codes "${tuned[@]}"; says 'is not what the host computes'
    wrong nothing:best "${tuned[@]}" --select batch; says 'found a best loss of inf'
    run 0 "${plain[@]}" --type q4_k_s; rm o.gguf
    wrong nothing:fq_super_codes "${plain[@]}" --type q4_k_s; says 'is not what the host computes'
    wrong nothing:super_scan "${plain[@]}" --type q4_k_s; says 'found a cosine of'
    AR_FAULT=nothing:super_scan run 5 "${plain[@]}" --type q4_k_s; nothing_left o.gguf.part
    # one that stops to compute on the way
    for command in evaluate generate; do
        declare -n arguments=$command
        AR_FAULT_COUNT=$dir/count run 0 "${arguments[@]}"
        AR_FAULT=nothing@$(($(cut -d ' ' -f 1 count) / 2)) run 5 "${arguments[@]}" --json
        says 'computes wrongly'; [ ! -s out ] || die 'a result of half a device'
    done
    # the device for tests is none to be used, and is not offered
    for command in "quantize $model -o o.gguf" "eval $model --text $text" "run $model -p a"; do
        # shellcheck disable=SC2086 # words of their own
        run 2 $command --device null; says 'computes nothing'
        "$program" "${command%% *}" --help | grep -q null && die 'null is offered'
    done
    run 2 selftest --device cuda; ! grep -q null err || die 'null is offered'
    nothing_left o.gguf o.gguf.part
}

# meanwhile N CHANGE ARGUMENT...: the run stops before dispatch N, CHANGE happens, and it goes on; exit 1.
meanwhile() {
    local at=$1 change=$2 id found
    shift 2
    AR_FAULT=stop@$at "$program" "$@" >out 2>err &
    id=$!
    until grep -q '^State:[[:space:]]*T' /proc/$id/status 2>/dev/null; do
        kill -0 $id 2>/dev/null || { cat err >&2; die "ended before dispatch $at: anyround $*"; }
        sleep 0.02
    done
    eval "$change"
    kill -CONT $id
    wait $id
    found=$?
    [ $found = 1 ] || { cat err >&2; die "exit $found, expected 1: anyround $* ($change)"; }
    [ "$(grep -c '^anyround: ' err)" = 1 ] || { cat err >&2; die "expected one error line: anyround $*"; }
    [ ! -s out ] || { cat out >&2; die "a result of what had changed: $change"; }
}
# What a run with warm caches dispatches.
dispatches() {
    AR_FAULT_COUNT=$dir/count run 0 "$@"
    cut -d " " -f 1 "$dir/count"
}

# A model of two small blocks, as m.
small_model() {
    mkdir m && cp "$model"/tokenizer*.json m
    sed -E 's/("hidden_size"): *[0-9]*/\1: 32/; s/("head_dim"): *[0-9]*/\1: 16/
        s/("num_(attention|key_value)_heads"): *[0-9]*/\1: 2/
        s/("intermediate_size"): *[0-9]*/\1: 32/; s/("num_hidden_layers"): *[0-9]*/\1: 2/' \
        "$model/config.json" >m/config.json
    "$AR_RANDOM_MODEL" m || die 'no model'
}

case_changes() { # files that change while they are read: nothing of it gets a name, or is resumed
    faulty
    small_model
    mv m kept
    again() { rm -rf m && cp -r kept m && cp "$text" t.txt; }
    # spoil FILE: a few weights become others
    spoil() { dd if="$text" of="$1" bs=1 seek=60000 count=64 conv=notrunc status=none; }
    again
    tuned=(quantize m -o o.gguf --method signround --iters 2 --samples 2 --select last --seqlen 16 --batch 1
        --calib t.txt -q)
    run 0 "${tuned[@]}"
    n=$(dispatches "${tuned[@]}")
    mv o.gguf whole.gguf
    late=$((n * 5 / 6)) # the first of two blocks is finished
    # resumed WORD: with the changed file it is refused, with the old one nothing of the change is left
    resumed() {
        says "$1"; says 'continue with --resume'
        nothing_left o.gguf
        [ -f o.gguf.part/block-00000.safetensors ] || die 'no finished blocks'
        "$program" "${tuned[@]}" --resume >out 2>err && die "resumed in spite of $1"
        says 'cannot resume, model\|m/model.safetensors: '
        again
        run 0 "${tuned[@]}" --resume
        cmp o.gguf whole.gguf || die "another file after $1"
        rm o.gguf
    }
    meanwhile $late 'spoil m/model.safetensors' "${tuned[@]}"; resumed 'm/model.safetensors: was written to'
    meanwhile $late 'cp m/model.safetensors new; spoil new; mv new m/model.safetensors' "${tuned[@]}"
    resumed 'm/model.safetensors: was replaced'
    meanwhile $late 'echo >>m/config.json' "${tuned[@]}"; resumed 'm/config.json: grew'
    meanwhile $late 'echo {} >m/added_tokens.json' "${tuned[@]}"; resumed 'm/added_tokens.json: appeared'
    meanwhile $late 'truncate -s 9000 m/model.safetensors' "${tuned[@]}"
    resumed 'm/model.safetensors: .*shrank'
    meanwhile $late 'echo more >>t.txt' "${tuned[@]}"; says 't.txt: grew'
    nothing_left o.gguf; rm -r o.gguf.part; again
    meanwhile 2 'spoil m/model.safetensors' quantize m -o o.gguf --method rtn -q
    says 'm/model.safetensors: was written to'
    nothing_left o.gguf; again
    # what is no part of a model may change, such as what this run tells
    "$program" quantize m -o o.gguf --method rtn 2>m/log >m/out || die 'its own log stopped a run'
    evaluate=(eval m --ref kept --text t.txt --window 32 --max-windows 2 -q)
    for change in 'touch m/config.json' 'echo >>t.txt' 'spoil m/model.safetensors' \
        'mv m/model.safetensors new' 'truncate -s 5000 m/model.safetensors'; do
        again
        meanwhile 1 "$change" "${evaluate[@]}"
        says 'm/model.safetensors: \|m/config.json: \|t.txt: '
    done
    again
    meanwhile 1 'touch m/model.safetensors' eval m --text t.txt --window 32 --max-windows 2 -q \
        --protocol llamacpp --save-logits l
    nothing_left l
    meanwhile 1 'echo >>t.txt' imatrix m -o i.gguf --calib t.txt --samples 2 --seqlen 16 -q
    says 't.txt: grew'
    nothing_left i.gguf; again
    meanwhile 9 'touch m/config.json' imatrix m -o i.gguf --calib t.txt --samples 2 --seqlen 16 -q
    says 'm/config.json: was written to'
    nothing_left i.gguf
    for change in 'touch m/model.safetensors' 'truncate -s 5000 m/model.safetensors'; do
        again
        meanwhile 1 "$change" run m -p a -n 2 --json -q; says 'm/model.safetensors: '
    done
}

case_stopped_at_work() { # Ctrl-C that a driver's compiler or dispatch does not survive is still Ctrl-C
    faulty
    small_model
    tuned=(quantize m -o o.gguf --method signround --iters 2 --samples 2 --select last --seqlen 16 --batch 1
        "${calib[@]}" -q)
    run 0 "${tuned[@]}"
    n=$(dispatches "${tuned[@]}")
    mv o.gguf whole.gguf
    AR_FAULT=interrupted@$((n * 5 / 6)) run 130 "${tuned[@]}"
    says 'interrupted'; says 'continue with --resume'; nothing_left o.gguf
    run 0 "${tuned[@]}" --resume
    cmp o.gguf whole.gguf || die 'another file'
    AR_FAULT=interrupted@4 run 130 eval m --text "$text" --window 32 --max-windows 2 -q
}

# each_lost WORKER WORKERS NAME TOTAL: in a folder of its own, command NAME with every submission lost in
# turn; what it leaves is resumed, if it is a quantization.
each_lost() {
    local worker=$1 workers=$2 name=$3 total=$4 n code
    declare -n arguments=$name
    mkdir -p "w$worker" && cd "w$worker" || exit 1
    export XDG_CACHE_HOME=$PWD/cache # no other test's
    rm -rf cache && cp -r ../cache cache
    for ((n = worker + 1; n <= total; n += workers)); do
        [ "$name" != unseen ] || rm -f cache/anyround/checked-*
        AR_FAULT=lost@$n "$program" "${arguments[@]}" >out 2>err
        code=$?
        [ $code = 1 ] || { cat err >&2; die "$name, submission $n lost: exit $code, expected 1"; }
        [ "$(grep -c '^anyround: ' err)" = 1 ] || { cat err >&2; die "$name, $n: expected one error line"; }
        [ ! -s out ] || { cat out >&2; die "$name: a result in spite of submission $n"; }
        nothing_left o.gguf
        case $name in evaluate | generate) continue ;; esac
        if [ -f o.gguf.part/manifest.json ]; then
            tail -n 1 err | grep -q 'continue with --resume' || die "$name, $n: does not say how to go on"
        fi
        "$program" "${arguments[@]}" --resume >out 2>err || { cat err >&2; die "$name, $n: not resumed"; }
        cmp -s o.gguf "../$name.gguf" || die "$name: another file after submission $n was lost"
        rm o.gguf
    done
}

case_lost() { # every submission in turn, through whole commands
    faulty
    small_model
    plain=(quantize ../m -o o.gguf --method rtn -q)
    unseen=("${plain[@]}") # and every kernel tried
    tuned=(quantize ../m -o o.gguf --method signround --iters 1 --samples 1 --select last --seqlen 8
        --batch 1 --calib "$text" -q)
    evaluate=(eval ../m --text "$text" --window 8 --max-windows 2 -q)
    generate=(run ../m -p ab -n 2 --json -q)
    mkdir first
    shared=$XDG_CACHE_HOME
    for name in plain unseen tuned evaluate generate; do
        declare -n command=$name
        cd "$dir/first" || exit 1
        XDG_CACHE_HOME=$shared run 0 "${command[@]}" # compiles what is not in the cache yet
        rm -rf o.gguf ../cache && mkdir ../cache && cp -r "$shared/anyround" ../cache
        export XDG_CACHE_HOME=$dir/cache
        [ $name != unseen ] || rm ../cache/anyround/checked-*
        total=$(dispatches "${command[@]}")
        cd "$dir" || exit 1
        [ ! -f first/o.gguf ] || mv first/o.gguf $name.gguf
        (each_lost 0 2 $name "$total") &
        other=$!
        (each_lost 1 2 $name "$total"); code=$?
        wait $other && [ $code = 0 ] || exit 1
        echo "$name: each of $total submissions was lost"
    done
}
