# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Windows of blocks: --window-blocks, --stride, --lookahead.

# what nobody asked for changes nothing; what reaches past the model's end is cut
case_windows() {
    for method in signround anneal; do
        command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 4 --lr 0.05 --method $method
            --select last --format "auto_round,gguf" --group 32)
        run 0 "${command[@]}" -q -o plain
        run 0 "${command[@]}" -q -o one --window-blocks 1 --stride 1 --lookahead 0
        diff -r plain one || die "$method: a window of one block is another method"
        run 0 "${command[@]}" -q -o two --window-blocks 2
        ! same_weights plain/auto_round two/auto_round || die "$method: two blocks together came to the same"
        run 0 "${command[@]}" -q -o ahead --lookahead 2
        ! same_weights plain/auto_round ahead/auto_round || die "$method: look-ahead came to the same"
        [ $method = signround ] || continue
        run 0 "${command[@]}" -q -o far --lookahead 9
        cmp ahead/auto_round/model.safetensors far/auto_round/model.safetensors ||
            die "look-ahead past the end was not cut"
        run 0 "${command[@]}" -q -o all --window-blocks 3 --lookahead 4
        run 0 "${command[@]}" -o more --window-blocks 9
        says 'window-blocks: 3 blocks are tuned together, not 9: there are no more'
        cmp all/auto_round/model.safetensors more/auto_round/model.safetensors ||
            die "what reaches past the end was not cut"
        rm -rf plain one two ahead
    done
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --method signround -o o.gguf)
    run 2 "${command[@]}" --stride 2; says '--stride: found 2, expected at most the 1 of --window-blocks'
    run 2 "${command[@]}" --window-blocks 2 --stride 3; says '--stride: found 3, expected at most the 2'
    run 2 "${command[@]}" --window-blocks 0; says '--window-blocks: found .0., expected a whole number from 1'
    run 2 "${command[@]}" --stride 0; says '--stride'
    run 2 "${command[@]}" --lookahead -1; says '--lookahead'
    run 2 quantize "$model" -o o.gguf --method rtn --lookahead 1; says 'no effect with --method rtn'
    run 2 quantize "$model" -o o.gguf --iters 0 --window-blocks 2
    says 'window-blocks has no effect with --iters 0'
    nothing_left o.gguf o.gguf.part
    # what it says of itself
    run 0 quantize --method anneal --help
    for option in window-blocks stride lookahead; do grep -q -- "--$option" out || die "no $option"; done
    command+=(--window-blocks 2 --stride 1 --lookahead 1)
    run 0 "${command[@]}" --dry-run
    grep -q '^plan: 3 blocks, 3 by signround, in 4 windows of 2, seen through 1 more in 12 steps' out ||
        { cat out >&2; die 'no windows in the plan'; }
    run 0 "${command[@]}" --dry-run --json
    for key in '"windows":4' '"tokens":3072'; do
        tr -d ' \t' <out | grep -q "^$key,\$" || { cat out >&2; die "expected $key"; }
    done
    run 0 "${command[@]}" --json --report r.html --progress json
    grep -q '"window":3,"windows":4,"window_blocks":1' err || die 'no window in the progress'
    tr -d ' \t' <out >flat
    for key in '"window_blocks":"2"' '"stride":"1"' '"lookahead":"1"' '"window_first":1' \
        '"window_blocks":2'; do
        grep -q "^$key,\?\$" flat || { cat out >&2; die "expected $key"; }
    done
    grep -q '<td>window blocks</td><td>2</td>' r.html || die 'no window in the report'
    grep -q 'Up to 2 blocks were tuned together, their error seen behind up to 1 blocks more' r.html ||
        die 'the report does not say what losses are'
    nothing_left o.gguf.part
}

# overlapping windows: killed behind every block, with and without what the windows left
case_windows_resume() {
    for method in signround anneal; do
        command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --method $method --select last --type q4_0
            --iters 4 --lr 0.05 --window-blocks 2 --stride 1)
        run 0 "${command[@]}" -o whole.gguf
        for block in 0 1; do
            rm -rf o.gguf o.gguf.part
            "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
            file=o.gguf.part/block-0000$block.safetensors
            for _ in $(seq 6000); do [ -f $file ] && break; sleep 0.01; done
            kill -9 $pid; wait $pid 2>/dev/null
            kept=$(find o.gguf.part -name 'block-*' | wc -l)
            [ -f o.gguf.part/window-0000$kept-0000$kept.safetensors ] || { ls o.gguf.part; die 'no window'; }
            cp -r o.gguf.part part
            run 2 "${command[@]}" -o o.gguf --resume --stride 2; says "stride is '1' there, expected '2'"
            run 0 "${command[@]}" -o o.gguf --resume
            cmp whole.gguf o.gguf || die "$method, killed behind block $block: another file"
            [ "$(grep -c '^block [0-9]*, ' err)" -lt 3 ] || die 'what was finished was done again'
            rm -rf o.gguf && cp -r part o.gguf.part && truncate -s 999 o.gguf.part/window-*
            run 0 "${command[@]}" -o o.gguf --resume
            says 'the state lacks what overlapping windows go on with'
            cmp whole.gguf o.gguf || die "$method, windows damaged behind block $block: another file"
            rm -rf part
            nothing_left o.gguf.part
        done
    done
}
