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
    unseen nothing:attention "${evaluate[@]}"; says 'kernel attention'
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
