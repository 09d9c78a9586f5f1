# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# What is done with a model there is: its figures, its text, a talk with it, what its files say.

case_eval() { # every protocol, in parts and whole, on each device
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
    run 0 eval "$model" "${evaluate[@]}" --progress json -q; cp err events
    ! grep -v '^{' events || die 'lines beside the events'
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
        'BEGIN { printf "%.12g", (a * n + b * (m - n)) / m }')" "$whole" 1e-8 'a long text in parts'
}

case_generate() {
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
    run 0 bench --model "$model" --pp 8 --tg 2 --reps 1 --md -q; grep -q '| *tg2 |' out || die 'no table'
}

case_ends() {
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
    done
}

case_chat() {
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
    [ "$(grep -c 'decode' err)" = 6 ] || die 'expected six answers'
}

case_json() { # single bytes are tokens, so hot sampling gives text that is no UTF-8
    run 0 run "$model" -p é --temp 100 --top-k 0 --top-p 1 --min-p 0 -n 150 --json
    iconv -f UTF-8 -t UTF-8 out >/dev/null || die 'JSON is not UTF-8'
    grep -q $'\xef\xbf\xbd' out || die 'expected bytes that are no character'
}

case_reader() { # who reads stdout goes away: the end, at once and without a word
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
    "$program" quantize "$model" -o o.gguf --method rtn -q >/dev/full 2>err
    grep -q 'are kept' err && die 'a state that is gone is said to be kept'
    # the bar is as wide as the terminal at most
    script --version >out 2>&1 || skip 'no program script here'
    for width in 40 133; do
        script -qec "stty cols $width
            '$program' quantize '$model' -o o.gguf ${tiny[*]} --calib '$text'" typed </dev/null >out ||
            die 'no run in a terminal'
        tr '\r' '\n' <typed | sed -n 's/\x1b\[K//p' | grep '\[[#-]*' | grep -v ^block | awk -v w=$width '
            { if (length > most) most = length } END { print most; exit !(most > 20 && most < w) }' ||
            die "a bar of other than $width columns"
    done
}

case_info() {
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
    run 3 info cut.safetensors; says 'cut.safetensors'
    # a name may hold anything, and is shown in one line that does not steer a terminal
    local header='{"a\u001b[31m\nb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    printf '%b' "\\0$(printf %03o ${#header})\\0\\0\\0\\0\\0\\0\\0" >name.safetensors
    printf '%s1234' "$header" >>name.safetensors
    run 0 info name.safetensors; grep -q '^  a?\[31m b  *F32' out || die "$(cat out)"
    head -c -1 name.safetensors >cut.safetensors
    run 3 info cut.safetensors; says 'tensor a?\[31m b: found data_offsets'
    [ "$(grep -c . err)" = 1 ] || die 'an error of several lines'
}
