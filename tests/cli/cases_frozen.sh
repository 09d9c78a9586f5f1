# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Codes between two (docs/frozen.md).

# same seed, same file; resumed, the same; every kind of grid; what is refused
case_frozen() {
    command=(quantize "$model" "${calib[@]}" --method frozen --iters 6 --samples 6 --seqlen 32 --batch 2
        --select last --type q4_1)
    run 0 "${command[@]}" -o whole.gguf --json --report r.html
    for key in '"method":"frozen"' '"iters":"6"' '"loss":"shift"'; do
        tr -d ' \t' <out | grep -Eq "^$key,?\$" || { cat out >&2; die "expected $key"; }
    done
    grep -q '<td>lr</td><td>0\.125</td>' r.html || die "the report's rate: $(grep '<td>lr<' r.html)"
    "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.gguf.part/block-00000.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${command[@]}" -o o.gguf --resume --lr 1; says "lr is '0' there, expected '1'"
    run 0 "${command[@]}" -o o.gguf --resume
    cmp whole.gguf o.gguf || die 'what was resumed differs'
    nothing_left o.gguf.part
    # held-out samples, which see nearest codes, choose the step
    run 0 quantize "$model" "${calib[@]}" --method frozen --iters 16 --samples 16 --seqlen 32 --batch 2 \
        --type q2_k -o k.gguf --json
    tr -d ' \t' <out | awk -F: '/"heldout_first"/ { first += $2 } /"heldout_best"/ { best += $2 }
        END { exit !(best > 0 && best < first) }' || { cat out >&2; die 'nothing gained'; }
    run 0 "${command[@]}" -o n.gguf --no-minmax -q
    ! same_weights whole.gguf n.gguf || die '--no-minmax gave the same file'
    run 0 quantize "$model" "${calib[@]}" -o s.gguf --method search --type q4_1 -q
    run 0 quantize "$model" "${calib[@]}" -o n.gguf --method frozen --iters 0 --type q4_1 -q
    same_weights s.gguf n.gguf || die 'no steps are not the search'
    run 0 quantize --method frozen --help
    for option in lr minmax minmax-lr select window-blocks; do
        grep -q -- "--$option" out || die "no $option"
    done
    run 2 "${command[@]}" -o x.gguf --select batch; says 'expected one of heldout, last'
    run 2 "${command[@]}" -o x.gguf --no-minmax --minmax-lr 0.1; says 'no effect with --no-minmax'
    run 2 "${command[@]}" -o x.gguf --optimizer adam; says 'no effect with --method frozen'
    nothing_left x.gguf x.gguf.part
}

case_frozen_agree() { # on both devices, within 2 % of KL
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
    done
    for device in vk cl; do
        run 0 quantize "$model" -o $device "${calib[@]}" --method frozen --iters 20 --samples 24 --seqlen 64 \
            --batch 8 --format auto_round --bits 2 --group 32 --asym --select last --device $device -q
        run 0 eval $device --ref "$model" --text "$text" --window 128 --max-windows 16 --device cl --json -q
        tr -d ' \n\t' <out | sed 's/.*"kl":\([-0-9.e]*\).*/\1/' >kl_$device
    done
    echo "KL $(cat kl_vk) and $(cat kl_cl)"
    paste kl_vk kl_cl | awk '{ d = $1 / $2 - 1; exit !($1 > 0 && d < 0.02 && d > -0.02) }' ||
        die 'devices differ'
}

# scales at the end: same file again and resumed, and what it says of itself
case_finish() {
    command=(quantize "$model" "${calib[@]}" --method search --finish scales --samples 16 --seqlen 32
        --type q2_k)
    run 0 "${command[@]}" -o whole.gguf --json
    tr -d ' \t' <out >flat
    grep -q '^"finish":"scales",\?$' flat || { cat out >&2; die 'no option in the JSON'; }
    awk -F: '/"kl_first"/ { first = $2 + 0 } /"kl_best"/ { best = $2 + 0 }
        END { exit !(best > 0 && best < first) }' flat || { cat out >&2; die 'nothing gained'; }
    "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.gguf.part/block-00002.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${command[@]}" -o o.gguf --resume --finish none; says "finish is 'scales' there, expected 'none'"
    run 2 "${command[@]}" -o o.gguf --resume --finish-iters 90; says "iters is '60' there, expected"
    run 0 "${command[@]}" -o o.gguf --resume
    cmp whole.gguf o.gguf || die 'what was resumed differs'
    says 'scales: KL divergence held out'
    nothing_left o.gguf.part
    run 0 "${command[@]}" -o own.gguf --finish-samples 24
    ! cmp -s whole.gguf own.gguf || die 'samples of its own changed nothing'
    run 0 "${command[@]}" -o own.gguf --finish-samples 16
    same_weights whole.gguf own.gguf || die 'as many samples are others'
    run 2 "${command[@]}" -o x.gguf --finish codes; says 'expected one of none, scales'
    run 2 quantize "$model" "${calib[@]}" -o x --acts 8 --bits 8 --finish scales; says 'it is not for --acts'
    run 2 quantize "$model" -o x.gguf --method rtn --finish scales; says 'no effect with --method rtn'
    for option in --finish-iters --finish-samples; do
        run 2 quantize "$model" "${calib[@]}" -o x.gguf $option 9; says 'no effect without --finish scales'
    done
    nothing_left x.gguf x.gguf.part
}

# --start like: the other file's codes and scales stand where nothing moves; what is refused
case_start_like() {
    for type in q4_1 q3_k_s; do
        run 0 quantize "$model" -o a.gguf --method rtn --type $type -q
        for method in anneal frozen; do
            command=(quantize "$model" "${calib[@]}" --like a.gguf --method $method --iters 2 --batch 2
                --samples 4 --seqlen 16 --select last)
            run 0 "${command[@]}" -o b.gguf --start like --lr 1e-9 --minmax-lr 1e-9 -q
            same_weights a.gguf b.gguf || die "$method, $type: another start than the file's codes"
            [ $type = q4_1 ] || continue
            run 0 "${command[@]}" -o c.gguf --lr 1e-9 --minmax-lr 1e-9 --start search -q
            ! same_weights a.gguf c.gguf || die "$method: a search came to the same"
        done
    done
    command=(quantize "$model" "${calib[@]}" -o x.gguf)
    run 2 "${command[@]}" --start like; says '--start like needs --like FILE.gguf'
    run 2 "${command[@]}" --like a.gguf --start here; says "found 'here', expected search or like"
    run 2 "${command[@]}" --like a.gguf --start like --method signround
    says '--start like has no effect with --method signround'
    nothing_left x.gguf x.gguf.part
}
