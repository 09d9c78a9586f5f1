# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# zq-global and zq-local: the weights themselves tuned.

case_zq() {
    for method in zq-global zq-local; do
        command=(quantize "$model" "${calib[@]}" --method $method --iters 6 --samples 6 --seqlen 32 --batch 2
            --select last --type q4_0)
        run 0 "${command[@]}" -o whole.gguf --json --report r.html
        for key in '"method":"zq-(global|local)"' '"minmax":"0"' '"iters":"6"'; do
            tr -d ' \t' <out | grep -Eq "^$key,?\$" || { cat out >&2; die "expected $key"; }
        done
        grep -q '<td>lr</td><td>0\.0444444</td>' r.html || die "the report's rate: $(grep '<td>lr<' r.html)"
        run 0 "${command[@]}" -o again.gguf -q
        cmp whole.gguf again.gguf || die "$method: two runs of one seed differ"
        run 0 "${command[@]}" -o again.gguf --seed 1 -q
        ! same_weights whole.gguf again.gguf || die "$method: another seed gave the same file"
        run 0 "${command[@]}" -o again.gguf --minmax -q
        ! same_weights whole.gguf again.gguf || die "$method: --minmax gave the same file"
        "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
        for _ in $(seq 6000); do [ -f o.gguf.part/block-00000.safetensors ] && break; sleep 0.01; done
        kill -9 $pid; wait $pid 2>/dev/null
        run 2 "${command[@]}" -o o.gguf --resume --minmax; says "minmax is '0' there, expected '1'"
        run 0 "${command[@]}" -o o.gguf --resume
        cmp whole.gguf o.gguf || die "$method: what was resumed differs"
        nothing_left o.gguf.part
        run 0 quantize --method $method --help
        for option in lr minmax minmax-lr select; do grep -q -- "--$option" out || die "no $option"; done
        run 2 "${command[@]}" -o n.gguf --minmax-lr 0.1; says 'minmax-lr has no effect without --minmax'
        run 2 "${command[@]}" -o n.gguf --state i16; says "no effect with --method $method"
        rm -f whole.gguf again.gguf o.gguf
    done
    run 2 quantize "$model" -o n.gguf --method zq-local --lookahead 1; says 'no effect with --method zq-local'
    run 2 quantize "$model" -o n.gguf --method zq-local --loss shift; says 'expected one of plain, root'
    run 2 quantize "$model" -o n.gguf --method zq-global --lr 0; says '--lr'
    run 0 quantize "$model" -o n.gguf --method rtn -q
    run 0 quantize "$model" -o m.gguf --method zq-global --iters 0 -q
    cmp n.gguf m.gguf || die 'no steps are not round to nearest'
}

case_zq_agree() { # on both devices, within 2 % of KL, at a rate that does not part them by ties
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
    done
    for method in zq-global zq-local; do
        for device in vk cl; do
            run 0 quantize "$model" -o $device "${calib[@]}" --method $method --iters 20 --lr 0.005 \
                --samples 24 --seqlen 64 --batch 8 --format auto_round --bits 2 --group 32 --asym \
                --select last \
                --device $device -q
            run 0 eval $device --ref "$model" --text "$text" --window 128 --max-windows 16 --device cl \
                --json -q
            tr -d ' \n\t' <out | sed 's/.*"kl":\([-0-9.e]*\).*/\1/' >kl_$device
        done
        echo "$method: KL $(cat kl_vk) and $(cat kl_cl)"
        paste kl_vk kl_cl | awk '{ d = $1 / $2 - 1; exit !($1 > 0 && d < 0.02 && d > -0.02) }' ||
            die 'devices differ'
    done
}
