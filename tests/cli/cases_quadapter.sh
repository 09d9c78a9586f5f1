# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# quantize --method quadapter: what it refuses, what it writes, and that it goes on as it was.

quad_ppl() { # quad_ppl MODEL ARGUMENT...: its perplexity
    run 0 eval "$1" --text "$text" --window 128 --max-windows 4 --json -q "${@:2}"
    tr -d ' \n\t' <out | sed 's/.*"ppl":\([-0-9.e]*\).*/\1/'
}
quad_holds() { awk "BEGIN { exit !($1) }" || die "$1"; }
quad=(--method quadapter --samples 4 --seqlen 32 --batch 2)
static=(--acts 8:static:asym --calib "$text")

case_quadapter() { # one run, its files, and what is wrong
    local plain folded sum
    sum=$(sha256sum "$model/model.safetensors")
    run 0 quantize "$model" -o w8 "${quad[@]}" "${static[@]}" --iters 4 --bits 8 --group -1 --json -q
    tr -d ' \n\t' <out >json
    grep -q '"scales":1536,' json || die 'not 2 d scales a block, with 3 blocks of d = 256'
    grep -q '"method":"quadapter"' json || die 'not in the JSON'
    run 0 quantize "$root/tests/golden/families/gpt2" -o g "${quad[@]}" --acts 8:static:asym --iters 2 \
        --bits 8 --group -1 --json -q
    grep -q '"scales":[[:space:]]*128,' out || die 'GPT-2: not 2 d scales a block, with 2 blocks of d = 32'
    [ "$sum" = "$(sha256sum "$model/model.safetensors")" ] || die 'the model changed'
    run 0 run w8 -p 'Once upon a time' -n 4 --greedy -q --int-products
    plain=$(quad_ppl "$model")
    for out_file in f.gguf f; do # floats: the same function, in other weights
        run 0 quantize "$model" -o $out_file "${quad[@]}" "${static[@]}" --iters 0 --scales smooth \
            --type f32 --format "$([ $out_file = f ] && echo hf || echo gguf)" -q
        folded=$(quad_ppl $out_file --acts 16)
        quad_holds "$folded / $plain - 1 < 1e-5 && 1 - $folded / $plain < 1e-5"
        folded=$(quad_ppl $out_file)
        quad_holds "$folded != $plain && $folded / $plain < 1.1"
    done
    grep -q '"acts":[[:space:]]*"8:static:asym"' f/anyround.json || die 'not in the passport'
    # The folded model, rounded by itself, has the codes that were made with the scales beside it.
    run 0 quantize "$model" -o beside "${quad[@]}" "${static[@]}" --iters 0 --scales smooth --bits 8 \
        --group -1 -q
    run 0 quantize f -o folded --method rtn --bits 8 --group -1 -q
    same_weights beside folded || die 'the folded model has other codes'
    run 2 quantize "$model" -o n "${quad[@]}"; says 'quadapter has no effect without --acts'
    run 2 quantize "$model" -o n "${quad[@]}" --acts 8 --iters 0; says 'without --scales smooth'
    run 2 quantize "$model" -o n "${quad[@]}" --acts 8 --scales ones2; says '--scales'
    run 2 quantize "$model" -o n --method rtn --acts 8 --scales smooth; says '--scales'
    run 2 quantize "$model" -o n "${quad[@]}" --acts 8 --lr 11; says '--lr'
    run 2 quantize "$model" -o n --format hf,gptq --type f16 --method rtn; says 'type f16'
    run 2 quantize "$model" -o n "${quad[@]}" --acts 8 --finish kl; says 'found --acts 8:token:sym, expected'
    run 2 quantize "$model" -o n "${quad[@]}" "${static[@]}" --finish scales; says 'one of none, kl, ce'
    run 2 quantize "$model" -o n "${quad[@]}" "${static[@]}" --finish-lr 1; says 'no effect without --finish'
    run 0 quantize --method quadapter --help; grep -q -- '--scales S' out || die 'no --scales in the help'
}

case_quadapter_resume() { # the same scales, codes and grids
    command=(quantize "$model" "${quad[@]}" "${static[@]}" --iters 4 --bits 8 --group -1 --scales smooth)
    run 0 "${command[@]}" -o whole -q
    "$program" "${command[@]}" -o o >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.part/block-00000.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${command[@]}" -o o --resume --lr 0.1; says "lr is '0.05' there"
    run 0 "${command[@]}" -o o --resume
    cmp o/model.safetensors whole/model.safetensors || die 'what was resumed differs'
    cmp o/anyround.json whole/anyround.json || die 'its grids differ'
}

# the second phase: what it says of itself, better on what is held out, resumed to the same file
case_quadapter_finish() {
    local sum
    sum=$(sha256sum "$model/model.safetensors")
    command=(quantize "$model" "${quad[@]}" "${static[@]}" --acts 4:static:asym --iters 0 --scales smooth
        --samples 12 --seqlen 64 --bits 8 --group -1 --finish-iters 32 --finish-lr .05)
    for loss in kl ce; do
        run 0 "${command[@]}" -o whole_$loss --finish $loss --json --report whole.html
        tr -d ' \n\t' <out >flat
        grep -q '"finish":{"'$loss'_first":' flat || die 'no loss in the JSON'
        grep -q '"parameters":1536,"weights_hash":"[0-9a-f]\{16\}"' flat || die 'no parameters, or no hash'
        sed 's/.*_first":\([-0-9.e]*\),.*_best":\([-0-9.e]*\).*/\1 \2/' flat >gain
        awk '{ exit !($2 > 0 && $2 < $1) }' gain || { cat gain >&2; die 'nothing gained'; }
        grep -q '1536 values tuned' whole.html || die 'not in the report'
        grep -q "finish $loss," whole_$loss/anyround.json || die 'not in the passport'
    done
    "$program" "${command[@]}" -o o --finish kl >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.part/block-00002.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${command[@]}" -o o --resume --finish ce; says "finish is 'kl' there, expected 'ce'"
    run 0 "${command[@]}" -o o --finish kl --resume
    cmp o/model.safetensors whole_kl/model.safetensors || die 'what was resumed differs'
    says 'scales: KL divergence held out'
    [ "$sum" = "$(sha256sum "$model/model.safetensors")" ] || die 'the model changed'
    # --blocks: the others have no scales, and are rounded
    run 0 quantize "$model" "${quad[@]}" "${static[@]}" -o first --iters 2 --blocks 1 --bits 8 --group -1 \
        --finish kl --finish-iters 2 --json
    grep -q '"scales":[[:space:]]*512,' out || die 'not the scales of one block'
    plain=$(quad_ppl "$model")
    quad_holds "$(quad_ppl first) / $plain < 1.1"
}
