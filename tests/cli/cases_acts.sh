# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Inputs of linears in few bits: eval, quantize and run --acts.

acts_kl() { # acts_kl MODEL ARGUMENT...: its KL
    run 0 eval "$1" --ref "$model" --text "$text" --window 128 --max-windows 4 --json -q "${@:2}"
    tr -d ' \n\t' <out | sed 's/.*"kl":\([-0-9.e]*\).*/\1/'
}
acts_holds() { awk "BEGIN { exit !($1) }" || die "$1"; }

case_acts() {
    local token tensor four coarse
    token=$(acts_kl "$model" --acts 8)
    tensor=$(acts_kl "$model" --acts 8:tensor:asym)
    four=$(acts_kl "$model" --acts 4:token:asym)
    coarse=$(acts_kl "$model" --acts 4:tensor:asym)
    acts_holds "0 < $token && $token < $tensor && $tensor < $four && $four < $coarse"
    run 0 eval "$model" --text "$text" --window 128 --max-windows 1 --acts 8 --json -q
    grep -q '"acts":[[:space:]]*"8:token:sym"' out || die 'eval does not say how inputs are quantized'
    for wrong in 9 1 8:row 8:sym:token 8:static:static 16:sym '' 8: x; do
        run 2 eval "$model" --text "$text" --acts "$wrong"; says '--acts'
        run 2 quantize "$model" -o n.gguf --method rtn --acts "$wrong"; says '--acts'
    done
    run 2 eval "$model" --text "$text" --acts 8:static; says 'those that a model records'
    run 2 eval "$model" --text "$text" --int-products; says 'no quantized activations'
    run 3 eval "$model" --text "$text" --acts 8 --int-products; says 'expected codes'
    run 2 quantize "$model" -o n.gguf --type f16 --acts 8; says '--acts has no effect'
    run 0 quantize --help; grep -q -- '--acts A' out || die 'no --acts in the help'
    only err out
}

case_acts_recorded() { # files say it, and are run so
    local own plain whole
    run 0 quantize "$model" -o w8 --method rtn --bits 8 --group -1 --acts 8 --json --report r.html
    grep -q '"acts":[[:space:]]*"8:token:sym"' out || die 'not in the JSON'
    grep -q '"acts":[[:space:]]*"8:token:sym"' w8/anyround.json || die 'not in the passport'
    grep -q '<td>activations</td><td>8:token:sym</td>' r.html || die 'not in the report'
    own=$(acts_kl w8)
    plain=$(acts_kl w8 --acts 16)
    acts_holds "$plain > 0 && $own > 1.5 * $plain && $own == $(acts_kl w8 --acts 8)"
    whole=$(acts_kl w8 --int-products)
    acts_holds "$whole < 1.1 * $own && $whole > 0.9 * $own"
    run 0 run w8 -p 'Once upon a time' -n 8 --greedy -q
    cp out by_file
    run 0 run w8 -p 'Once upon a time' -n 8 --greedy --int-products -q
    cmp out by_file || die 'integer products give another text'
    for out_file in s.gguf s; do
        run 0 quantize "$model" -o $out_file --method rtn --acts 8:static:asym --calib "$text" -q
        own=$(acts_kl $out_file)
        plain=$(acts_kl $out_file --acts 16)
        acts_holds "$own > $plain && $own < 0.05"
        run 2 eval $out_file --text "$text" --acts 8:static:sym; says 'has 8:static:asym'
        run 0 run $out_file -p 'Once' -n 4 --greedy -q
    done
    head -c 3000 "$text" >few # what is measured with quantized inputs, in a folder as well
    run 0 quantize "$model" -o e --method rtn --format gptq --group 32 --acts 4 --eval few -q
    run 0 verify e --text few --ref "$model"
    sed 's/q_proj":\t\[/&-/' s/anyround.json >a && cp a s/anyround.json
    run 3 eval s --text "$text"; says 'input_grids: model.layers.0.self_attn.q_proj'
    sed 's/"input_grids"/"grids"/' a >s/anyround.json
    run 3 eval s --text "$text"; says 'expected those of static inputs'
    sed 's/8:static:asym/8:statc/' a >s/anyround.json
    run 3 eval s --text "$text"; says "found '8:statc'"
    LC_ALL=C sed 's/8:static:asym/8:statix:asym/' s.gguf >t.gguf
    run 3 eval t.gguf --text "$text"; says "found '8:statix:asym'"
    LC_ALL=C sed 's/anyround\.input_grids/anyround.input_gridz/' s.gguf >t.gguf
    run 3 eval t.gguf --text "$text"; says 'input_grids: found 0 numbers'
    run 2 quantize "$model" -o n --method rtn --acts 8 --calib "$text"; says '--calib has no effect'
}

case_acts_percentile() { # static ranges that leave a few tokens out
    quantized=(quantize "$model" --method rtn --type q8_0 "${calib[@]}" --acts 4:static:asym)
    run 0 "${quantized[@]}" -o whole.gguf -q
    run 0 "${quantized[@]}" -o cut.gguf --acts-percentile 99 --report r.html -q
    acts_holds "$(acts_kl cut.gguf) < 0.9 * $(acts_kl whole.gguf)"
    grep -q '<td>their range</td><td>of 99 % of the tokens</td>' r.html || die 'not in the report'
    run 0 "${quantized[@]}" -o all.gguf --acts-percentile 100 -q
    cmp whole.gguf all.gguf || die 'a range of all tokens is another one'
    run 2 "${quantized[@]}" -o n.gguf --acts-percentile 10; says '--acts-percentile'
    run 2 quantize "$model" -o n.gguf --method rtn --acts 8 --acts-percentile 99; says 'has no effect'
}

case_acts_compressed() { # compressed-tensors' own words for it, by which its files are run
    local own
    for how in '8 -1 8 int token' '8 -1 8:static:asym int tensor' '4 32 8:static pack tensor' \
        '4 32 4:tensor pack tensor'; do
        read -r bits group acts form strategy <<<"$how"
        given=(); case $acts in *static*) given=("${calib[@]}") ;; esac
        run 0 quantize "$model" -o c --method rtn --format compressed_tensors --bits "$bits" \
            --group "$group" --acts "$acts" "${given[@]}" -q
        tr -d ' \n\t' <c/config.json >config
        grep -q "\"format\":\"$form-quantized\",\"quantization_status\"" config ||
            die "$how: no $form-quantized"
        grep -q "\"input_activations\":{\"num_bits\":${acts%%:*},.*\"strategy\":\"$strategy\"" config ||
            die "$how: its inputs"
        own=$(acts_kl c)
        rm c/anyround.json
        acts_holds "$own == $(acts_kl c) && $own != $(acts_kl c --acts 16)"
        case $acts in *static*) cp -r c static ;; esac
        rm -rf c
    done
    sed -i '0,/"int"/! s/"int"/"float"/' static/config.json # but the first: of the inputs
    tr -d ' \n\t' <static/config.json | grep -q '"input_activations":{"num_bits":8,"type":"float"' || die sed
    run 3 eval static --text "$text"; says 'type: found "float"'
}

case_acts_floats() { # W16A8: recorded by convert, and carried on
    local own
    own=$(acts_kl "$model" --acts 8:token:asym)
    run 0 convert "$model" -o a --acts 8:token:asym -q
    grep -q '"format":[[:space:]]*"dense"' a/config.json || die 'not in the library'"'"'s words'
    run 0 convert a -o a.gguf -q
    run 0 convert a.gguf -o b -q
    for made in a a.gguf b; do acts_holds "$own == $(acts_kl $made)"; done
    run 0 convert a -o c --acts 16 -q
    grep -q quantization_config c/config.json && die 'says more than it was told'
    rm a/anyround.json
    acts_holds "$own == $(acts_kl a)"
    run 0 quantize a -o q.gguf --method rtn --type q8_0 -q # of a float model
    acts_holds "$(acts_kl q.gguf) < 0.5 * $own"
    run 2 convert "$model" -o d --acts 8:static; says 'those that a model records'
}

case_acts_tuned() { # tuning sees it, and goes on with it
    local free seen
    command=(quantize "$model" "${calib[@]}" --method signround --iters 12 --samples 8 --seqlen 64 --batch 4
        --bits 4 --group 32 --format auto_round)
    run 0 "${command[@]}" -o free -q
    run 0 "${command[@]}" -o seen --acts 4:static:asym -q
    ! same_weights free seen || die 'tuning does not see quantized inputs'
    free=$(acts_kl free --acts 4:token:asym)
    run 0 "${command[@]}" -o token --acts 4:token:asym -q
    seen=$(acts_kl token)
    acts_holds "$seen < 0.95 * $free"
    "$program" "${command[@]}" -o o --acts 4:static:asym >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.part/block-00000.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${command[@]}" -o o --resume --acts 4:token:asym; says "acts is '4:static:asym' there"
    run 0 "${command[@]}" -o o --acts 4:static:asym --resume
    cmp o/model.safetensors seen/model.safetensors || die 'what was resumed differs'
    cmp o/anyround.json seen/anyround.json || die 'its grids differ'
}

case_acts_study() { # a column of a study
    study=(study "$model" "${calib[@]}" --text "$text" -o s.jsonl --samples 4 --seqlen 32 --max-windows 1 -q
        --methods rtn --bits 8 --groups -1 --schemes sym)
    run 0 "${study[@]}" --acts 16,8,4:static:asym
    [ "$(wc -l <s.jsonl)" = 3 ] || die "$(wc -l <s.jsonl) lines"
    kls=$(sed 's/.*"kl":\([-0-9.e]*\).*/\1/' s.jsonl | xargs | sed 's/ / < /g')
    # shellcheck disable=SC2086 # a < b < c
    acts_holds "$(echo $kls | sed 's/ < \(.*\) < / < \1 \&\& \1 < /')"
    grep -q 'rtn  *8 bits rows sym a4:static:asym' out || { cat out >&2; die 'no such row'; }
    before=$(cksum <s.jsonl)
    run 0 "${study[@]}" --acts 8
    [ "$(cksum <s.jsonl)" = "$before" ] || die 'what was done was done again'
    run 2 "${study[@]}" --acts 8,9; says "found '9'"
}

case_acts_agree() { # on both devices, within 2 % of KL
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
    done
    run 0 quantize "$model" -o w --method rtn --bits 8 --group -1 --acts 4:token:asym -q
    for how in '--acts 4:token:asym' '--acts 4:tensor' '--int-products'; do
        # shellcheck disable=SC2086 # words
        for device in vk cl; do acts_kl w --max-windows 16 $how --device $device >kl_$device; done
        echo "$how: KL $(cat kl_vk) and $(cat kl_cl)"
        paste kl_vk kl_cl | awk '{ d = $1 / $2 - 1; exit !($1 > 0 && d < 0.02 && d > -0.02) }' ||
            die 'devices differ'
    done
}
