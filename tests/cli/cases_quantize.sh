# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# What quantize reads, tells before, during and after, and refuses.

case_not_finite() { # little-endian f32 into one weight of a layer, and of the embedding
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
    spoil model.layers.1.mlp.up_proj.weight "$inf" # evaluated as it is stored
    run 3 eval bad --text "$text" --max-windows 1 -q
    says 'model.layers.1.mlp.up_proj.weight: found Inf at row 0, column 5, expected finite weights'
    spoil model.layers.1.input_layernorm.weight "$nan"
    run 3 quantize bad -o o --format fake --bits 4 --group 32 --recipe light --samples 4 --seqlen 32 \
        --batch 2 -q
    says 'model.layers.1.input_layernorm.weight: found NaN at element 5, expected finite weights'
    nothing_left o o.part
    run 3 eval bad --text "$text" --max-windows 1 -q; says 'input_layernorm.weight: found NaN'
    run 3 eval "$model" --ref bad --text "$text" --max-windows 1 -q
    says ': bad: .*input_layernorm.weight: found NaN'
    run 3 run bad -p 'ROMEO:' -n 4 -q; says 'input_layernorm.weight: found NaN'
    spoil model.layers.1.post_attention_layernorm.weight '\xe7\x84\x11\x55' # 1e13: activations near 1e23
    run 3 quantize bad -o o --format fake --bits 4 --group 32 --recipe light --samples 4 --seqlen 32 \
        --batch 2 -q
    says 'model.layers.1: found a loss of inf in the first of'
    nothing_left o o.part
    spoil model.layers.1.post_attention_layernorm.weight '\xff\xff\x7f\x7f'
    run 3 eval bad --text "$text" --max-windows 1 -q
    says 'model.layers.1: found .* at token 0, column .*, expected finite activations'
    run 3 eval bad --text "$text" --protocol llamacpp --max-windows 1 --save-logits logits -q
    nothing_left logits logits.part
    spoil model.norm.weight "$nan"
    run 3 eval "$model" --ref bad --text "$text" --max-windows 1 -q
    says ': bad: model.norm.weight: found NaN at element 5'
}

case_calib() { # several files, conversations; what the samples are is part of the state
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
    nothing_left o.part
}

case_samples() { # what is done with fewer samples than the options speak of
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
    nothing_left s s.part
}

case_self() {
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" --calib self --progress json
    # drawing tells how many of the 6 x 32 tokens there are, sequences side by side, and how fast they come
    grep '"stage":"calibrate"' err |
        sed 's/.*"step":\([0-9]*\),"steps":\([0-9]*\),.*"tokens_per_s":\([0-9.e+]*\),.*/\1 \2 \3/' >told
    awk '$1 < last || $1 % 6 || $2 != 192 || ($3 <= 0 && NR > 1) { exit 1 } { last = $1 }
        END { exit last == 0 }' told || { cat told >&2; die 'expected tokens drawn, of 192'; }
    run 0 run o.gguf -p 'ROMEO:' -n 12 --greedy
    [ -s out ] || die 'no text'
    run 0 info o.gguf --json; grep -q 'Q4_0' out || die 'info without Q4_0'
}

case_kept_float() { # what a format cannot hold is named in the remarks, the report and the config
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
    says '280 of 280 linears (100 % of their weights) stay float: gptq holds columns in multiples of 32, f'
    says 'found 16; --allow-float'
    run 0 quantize many -o q --method rtn --format gptq --report r.html -q --allow-float
    names=()
    for block in {0..39}; do
        for part in self_attn.{q,k,v,o}_proj mlp.{gate,up,down}_proj; do
            names+=("$block $part")
        done
    done
    grep -qF "<td>280 of 280$(printf ', %s' "${names[@]}")</td>" r.html ||
        die 'the list of 280 is not whole'
    kept_by_one_format
}

# What one format cannot hold is float in the others too, rows that GGUF permutes among it.
kept_by_one_format() {
    mkdir rows && cp "$model"/tokenizer*.json rows
    sed -E 's/("hidden_size"): *[0-9]*/\1: 32/; s/("head_dim"): *[0-9]*/\1: 16/
        s/("num_attention_heads"): *[0-9]*/\1: 2/; s/("num_key_value_heads"): *[0-9]*/\1: 1/
        s/("intermediate_size"): *[0-9]*/\1: 32/; s/("num_hidden_layers"): *[0-9]*/\1: 2/' \
        "$model/config.json" >rows/config.json
    "$AR_RANDOM_MODEL" rows || die 'no model'
    run 0 quantize rows -o two --method rtn --format gptq,gguf --group 32
    says '^note: 4 of 14 linears .* stay float: gptq holds rows in multiples of 32, found 16$'
    run 0 info two/model.gguf
    [ "$(grep -c '[kv]_proj.weight  *F16 ' out)" = 4 ] || { cat out >&2; die 'expected k and v as floats'; }
    [ "$(grep -c '_proj.weight  *Q4_0 ' out)" = 10 ] || { cat out >&2; die 'expected ten of Q4_0'; }
    same_weights two/gptq two/model.gguf || { cat compared >&2; die 'expected the same weights in both'; }
}

case_dry_run() { # says what it would do and take, and leaves nothing
    for format in 'gguf q4_0' 'gguf q4_1' 'auto_round ' 'auto_round,gguf '; do
        what=("${tiny[@]}" "${calib[@]}" --blocks 2 --group 32 --format ${format% *})
        [ -z "${format#* }" ] || what+=(--type "${format#* }")
        run 0 quantize "$model" -o o "${what[@]}" --dry-run --json
        nothing_left o o.part
        for key in '"dry_run":true' '"method":"signround"' '"blocks":3' '"tuned_blocks":2' '"steps":12' \
            '"batch":2' '"samples":6' '"seqlen":32' '"tokens":1536' '"finished_blocks":0' \
            '"precision":"f32"'; do
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
    ! grep -q '^precision' out || die 'precision of f32'
    run 0 quantize "$model" -o o.gguf --method rtn --precision bf16 --dry-run
    grep -q '^precision: operands of products rounded to bf16$' out || { cat out >&2; die 'no precision'; }
    run 0 quantize "$model" -o o.gguf --type f16 --dry-run
    grep -q '^plan: 3 blocks, 3 stored as floats$' out || { cat out >&2; die 'no plan of floats'; }
    run 1 quantize "$model" -o absent/o.gguf --dry-run; says 'does not exist'
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" "${calib[@]}" # a run says it too, on stderr
    grep -q '^plan: 3 blocks, 3 by signround' err || { cat err >&2; die 'no plan before the run'; }
    run 0 quantize "$model" -o o.gguf "${tiny[@]}" "${calib[@]}" -q; [ ! -s err ] || die 'expected quiet'
    rm o.gguf; only err out pairs said
}

case_progress() { # over the whole job: its share never falls and ends at 1, its time left ends at 0
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
    grep -q 'write \[#*\] 100 %' bar || { cat bar >&2; die 'no progress of convert'; }
}

# verdict: r.html's is that of the blocks in the JSON.
verdict() {
    awk -F'[:,]' '/"heldout_nearest"/ { nearest = $2 } /"heldout_best"/ { share = $2 / nearest; n++
            better += share < 1; logs += log(share); if (share > most) most = share }
        END { printf "%.1f&nbsp;%%|<b>%d of %d</b>|keeps %.1f&nbsp;%%\n", 100 * exp(logs / n), better, n,
              100 * most }' out | tr '|' '\n' >want
    while read -r what; do grep -qF "$what" r.html || die "no '$what': $(grep verdict r.html)"; done <want
}

case_report() {
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
    row lr '0\.[0-9]+'; row 'minmax lr' '0\.[0-9]+'; row select heldout
    row 'quantized input' yes; row weights '4 bits, groups of 32, symmetric'
    row calibration "$(basename "$text"): [0-9]+ samples of [0-9]+ tokens"
    ! grep -qE '[0-9a-f]{16}' r.html || die 'a hash in the report'
    verdict
    cp out signround
    [ "$(grep -c '<tr><td>[0-2]</td>' r.html)" = 3 ] || die 'expected a row for each of three blocks'
    ! grep -q '<th>start' r.html || die 'another start than round to nearest'
    # from searched grids: beside round to nearest's loss all the same, which is the same for the first block
    run 0 quantize "$model" -o a.gguf "${tiny[@]}" --method anneal "${calib[@]}" --report r.html --json
    verdict
    loss() { sed -n "s/.*\"$1\":[[:space:]]*\([0-9.e+-]*\).*/\1/p" "$2" | head -n 1; }
    [ "$(loss heldout_nearest out)" = "$(loss heldout_first signround)" ] || die 'nearest differs by method'
    [ "$(loss heldout_first out)" != "$(loss heldout_nearest out)" ] || die 'expected another start'
    grep -q '<th>rounded to nearest</th><th>start: searched grids</th><th>tuned</th>' r.html ||
        die "no start in $(grep '<th>' r.html)"
    shown=$(printf '%.4g</td><td>%.4g</td><td>%.4g' "$(loss heldout_nearest out)" \
        "$(loss heldout_first out)" "$(loss heldout_best out)")
    grep -qF "<td>0</td><td>$shown</td>" r.html || die "no $shown of block 0 in the report"
    grep -q 'The searched grids, from which it began, leave' r.html || die 'no start in the verdict'
    run 0 quantize "$model" -o l.gguf "${tiny[@]}" --method anneal --select last "${calib[@]}" -q \
        --report r.html
    grep -q 'of rounding to nearest on the grids that it began from, on the batches' r.html ||
        die "not said what is left of what: $(grep verdict r.html)"
    grep -q '<tr><td>0</td><td>&ndash;</td><td>[0-9.e-]*</td>' r.html || die 'nearest, not held out'
    run 0 quantize "$model" -o n.gguf --method rtn --report r.html -q
    grep -q 'nothing was tuned' r.html || die 'no verdict on round to nearest'
    ! grep -q '<polyline' r.html || die 'a plot without steps'
}

# one setting one file, on from where it was killed, K types; figures of both devices within 2 %
case_gptq() {
    devices
    local few=("${calib[@]}" --samples 6 --seqlen 32)
    for device in "${devices[@]}"; do
        command=(quantize "$model" --method gptq --act-order "${few[@]}" --format "auto_round,gguf" --bits 4
            --group 32 --device "$device")
        run 0 "${command[@]}" -o a --report a.html
        grep -q '^block 0: loss [0-9.e-]* -> [0-9.e-]*, ' err || { cat err >&2; die 'no losses'; }
        grep -q 'Tuning leaves' a.html || die 'no losses in the report'
        run 0 "${command[@]}" -o b --dry-run; grep -q '^plan: 3 blocks, 3 by gptq$' out || die 'no plan'
        run 0 "${command[@]}" -o b --json
        grep -q '"act_order":[[:space:]]*"1"' out || { cat out >&2; die 'no options in --json'; }
        diff -r a b || die "two runs of one setting differ on $device"
        "$program" "${command[@]}" -o c >/dev/null 2>&1 &
        pid=$!
        for _ in $(seq 600); do [ -f c.part/block-00000.safetensors ] && break; sleep 0.01; done
        kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
        if [ -d c.part ]; then
            run 2 "${command[@]}" -o c --resume --damp 0.02; says 'damp'
            run 0 "${command[@]}" -o c --resume
        fi
        diff -r a c || die "what was resumed differs on $device"
        run 0 eval a/auto_round --ref "$model" --text "$text" --device "$device" --json -q
        sed -n 's/.*"kl":[[:space:]]*\([0-9.e-]*\).*/\1/p' out >>kl
        run 0 quantize "$model" --method gptq "${few[@]}" --type q4_k_m -o k.gguf --device "$device"
        rm -rf a b c k.gguf
    done
    awk 'NR == 1 { a = $1 } { bad += $1 > a * 1.02 || $1 < a / 1.02 } END { exit bad || !NR }' kl ||
        { cat kl >&2; die 'the devices disagree'; }
    run 2 quantize "$model" -o o --method gptq "${few[@]}" --type q4_k_m --grid range
    says 'double-quantized types have searched scales only'
    run 3 quantize "$model" -o o --method gptq "${calib[@]}" --samples 1 --seqlen 8 --damp 0 --bits 4
    says "q_proj.weight: found its inputs' Gram matrix singular at input [0-9]*, expected more damping"
}

# for any method and format: what is left over brings a quantized model nearer; used by eval and run
case_lorc() {
    devices
    run 2 quantize "$model" -o q.gguf --type f16 --lorc l.gguf; says 'lorc has no effect with --type f16'
    run 1 quantize "$model" -o q --method rtn --lorc "$model/config.json"; says 'lies inside the model'
    run 2 quantize "$model" -o q --method rtn --lorc l.gguf --report l.gguf; says 'found one file for both'
    kl() { # MODEL [--lora FILE]
        run 0 eval "$1" --ref "$model" --text "$text" --max-windows 4 --device "$device" --json -q "${@:2}"
        sed -n 's/.*"kl":[[:space:]]*\([0-9.e-]*\).*/\1/p' out
    }
    for device in "${devices[@]}"; do
        run 0 quantize "$model" -o q --method rtn --bits 2 --group 32 --asym --format auto_round,gptq \
            --lorc l.gguf --device "$device"
        grep -q "l.gguf: rank 8, 16 bits, leaves [0-9.]* % of the squares of W - W'" err || die 'no remark'
        run 0 quantize "$model" -o k.gguf --method rtn --type q2_k --lorc k8.gguf --device "$device"
        for pair in 'q/gptq l.gguf' 'k.gguf k8.gguf'; do
            found="$(kl "${pair% *}") $(kl "${pair% *}" --lora "${pair#* }")"
            echo "$device, ${pair% *}: KL divergence $found"
            awk '{ exit !($2 < 0.95 * $1) }' <<<"$found" || die 'the adapter does not help'
        done
        run 0 run k.gguf -p 'ROMEO:' -n 24 --greedy --device "$device" --lora k8.gguf; mv out with
        run 0 run k.gguf -p 'ROMEO:' -n 24 --greedy --device "$device"
        ! cmp -s out with || die 'run heeds no adapter'
        mv l.gguf "$device.gguf"
        rm -rf q k.gguf k8.gguf
    done
    cmp "${devices[0]}.gguf" "$device.gguf" || die 'the adapters of two devices differ'
    run 0 quantize "$model" -o q.gguf --method rtn --lorc l.gguf --lorc-rank 1
    run 3 eval q.gguf --text "$text" --lora "$model/config.json"
    run 3 eval q.gguf --text "$text" --lora q.gguf; says 'general.type: found model, expected adapter'
    run 1 eval q.gguf --text "$text" --lora l.gguf --protocol llamacpp --save-logits l.gguf
    says 'the adapter'
}

# the same in the folders that are written, in 16 or 8 bits: who opens them adds it, who reads weights refuses
case_factors() {
    devices
    run 2 quantize "$model" -o q --lorc-rank 257; says 'rank: found 257, expected at most 256'
    run 2 quantize "$model" -o q.gguf --lorc-rank 4; says 'format gguf, which is no folder to hold factors'
    run 2 quantize "$model" -o q --lorc-bits 9; says 'lorc-bits: found 9, expected 8 or 16'
    run 2 quantize "$model" -o q --lorc l.gguf --lorc-bits 8; says 'expected 16 bits in a GGUF adapter'
    local beside='--lorc l.safetensors --lorc-bits 8 --lorc-rank 4'
    for lorc in '' '--lorc-rank 4' '--lorc-rank 4 --lorc-bits 8' "$beside"; do
        # shellcheck disable=SC2086
        run 0 quantize "$model" -o q --method rtn --bits 2 --group 32 --asym --format fake,gptq $lorc
        run 0 eval q/gptq --ref "$model" --text "$text" --max-windows 2 --json -q
        [ "$lorc" ] || mv q plain
        sed -n 's/.*"kl":[[:space:]]*\([0-9.e-]*\).*/\1/p' out
    done >kls
    echo "KL divergence without, in 16 bits, in 8, beside: $(xargs <kls)"
    awk '{ kl[NR] = $1 } END { exit !(kl[2] < .97 * kl[1] && kl[3] < 1.01 * kl[2] && kl[4] == kl[1]) }' kls ||
        die 'the factors do not help'
    cmp plain/gptq/model.safetensors q/gptq/model.safetensors || die 'the weights changed'
    run 0 eval q/gptq --ref "$model" --text "$text" --max-windows 2 --json -q --lora l.safetensors
    grep -q "\"kl\":[[:space:]]*$(sed -n 3p kls)" out || die 'tensors beside are others'
    cp l.safetensors q/gptq/lorc.safetensors
    run 2 eval q/gptq --text "$text" --lora l.safetensors; says 'found corrections beside q/gptq already'
    run 3 quantize q/gptq -o r --method rtn; says 'expected a model without'
    run 3 convert q/gptq -o r.gguf; says 'lorc.safetensors'
    head -c 300 l.safetensors >q/gptq/lorc.safetensors
    run 3 run q/gptq -p x -n 1; says 'lorc.safetensors: '
}
