# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# train --recipe maqd: nets of few states (docs/maqd.md).

# drawn COUNT SIDE: images that nobody drew, with ten classes, as some-images and some-labels
drawn() { "${AR_IMAGES:?}" some "$1" "$2" 7 || die 'cannot draw images'; }

# killed STEP ARGUMENT...: a run with --curve part.jsonl is killed in that step, and goes on to its end
killed() {
    local at=$1
    shift
    rm -rf part part.part
    "$program" "$@" -o part --curve part.jsonl >out 2>err & pid=$!
    for _ in $(seq 6000); do
        grep -q "\"step\":$at," part.part/curve.jsonl 2>/dev/null && break
        sleep 0.005
    done
    kill -9 $pid; wait $pid 2>/dev/null
    run 0 "$@" -o part --curve part.jsonl --resume --json -q
}

case_train_states_resume() { # killed at random steps and resumed: the same net, bit for bit
    devices
    drawn 400 10
    head -c 60000 "$text" >bytes
    for device in "${devices[@]}"; do
        for kind in images bytes text; do
            command=(train --recipe maqd --mw 3 --ma 7 --steps 40 --batch 16 --eval-every 8 --lr 0.01
                --checkpoint-every 3 --device "$device")
            if [ $kind = images ]; then
                command+=(--arch cnn --channels '4,6' --widths 12 --images some-images --labels some-labels)
            elif [ $kind = bytes ]; then
                command+=(--arch byte-mlp --widths '24,24' --text bytes)
            else
                command+=(--arch llama --tokenizer "$model" --layers 1 --hidden 16 --heads 2 --context 32
                    --seqlen 24 --text bytes)
            fi
            rm -rf whole
            run 0 "${command[@]}" -o whole --curve whole.jsonl -q
            resumed=0
            for _ in 1 2 3 4 5; do
                at=$((RANDOM % 38 + 1))
                killed $at "${command[@]}"
                grep -q '"resumed":0' out || resumed=$((resumed + 1))
                diff -r whole part || die "$device, $kind: resumed from step $at: another net"
                cmp whole.jsonl part.jsonl || die "$device, $kind: resumed from step $at: another curve"
            done
            [ $resumed -gt 0 ] || die "$device, $kind: no run found a checkpoint"
        done
    done
}

case_train_states_info() { # what a net reads, its states, its layers, bits per weight
    devices
    drawn 60 10
    command=(train --images some-images --labels some-labels --steps 2 --device "${devices[0]}" -q)
    run 0 "${command[@]}" --arch cnn --channels 4 --widths 12 -o floats
    run 0 info floats -q
    grep -qx 'floats: a net of floats, images of 10 x 10 x 1, 10 classes, channels 4, widths 12' out ||
        die "$(cat out)"
    grep -q '^6 tensors, 1382 weights, .*, 32.000 bits per weight$' out || die "$(cat out)"
    run 0 "${command[@]}" --recipe maqd --arch cnn --channels 4,5 --widths 12 --mw 3 --ma 6 -o net
    run 0 info net
    for line in '3 states of weights, 6 states of activations, norm layer-batch' \
        '  layer 1: 3 x 3 of 5 x 5 x 4, 5 outputs, weights of 3 states in 1.60 bits, gives 6 states' \
        '  layer 3: product of 1 x 1 x 12, 10 outputs, weights of 255 states in 8.00 bits, gives scores' \
        'whole numbers: 576 weights, 488 bytes (floats 2552), 6.778 bits per weight'; do
        grep -qxF "$line" out || die "expected '$line' in $(cat out)"
    done
    run 0 info floats net --json
    tr -d ' \n\t' <out >told
    for part in '"family":"anyround-image"' '"conv_channels":\[4,5\]' \
        '"weight_states":3,"activation_states":6' \
        '"outputs":12,"weight_states":3,"states":6,"bits_per_weight":1.6' '"bytes":488,"float_bytes":2552'; do
        grep -q "$part" told || die "expected $part in $(cat told)"
    done
    run 0 "${command[@]}" --recipe maqd --arch mlp --widths 6 --ma 0 --norm layer -o layer
    run 0 info layer -q
    grep -qx '7 states of weights, activations in floats, norm layer' out || die "$(cat out)"
    ! grep -q 'whole numbers' out || die 'floats have no whole numbers'
    head -c -1 net/model.safetensors >cut-file && cp cut-file net/model.safetensors
    run 3 info net; says 'model.safetensors'
}

case_train_states_text() { # a Llama of few states: it learns, and says what running statistics cost
    devices
    for device in "${devices[@]}"; do
        command=(train --recipe maqd --arch llama --tokenizer "$model" --layers 2 --hidden 32 --heads 4
            --kv-heads 2 --context 48 --seqlen 32 --text "$text" --batch 8 --lr 0.01 --device "$device")
        run 0 "${command[@]}" --steps 80 --eval-every 20 --mw 3 --ma 7 -o net --json -q
        tr -d ' \n\t' <out |
            sed 's/.*"held_loss_running":\([0-9.]*\),"held_loss_batches":\([0-9.]*\).*/\1 \2/' >told
        awk '{ exit !($1 < 5.6 && $2 < 5.6 && $1 - $2 < 0.1) }' told || die "$device: $(cat told) $(cat out)"
        [ ! -e net/model.safetensors ] || die 'a model that others would read'
        [ -f net/tokenizer.json ] || die 'no tokenizer'
        grep -q '"activation_states":[[:space:]]*7' net/config.json || die "$(cat net/config.json)"
    done
    run 2 "${command[@]}" --mw 1 -o n; says '--mw: found 1'
    run 2 "${command[@]}" --recompute -o n; says 'no effect with --recipe maqd'
    run 2 "${command[@]}" --recipe bnn -o n; says 'expected maqd'
    run 2 train "$model" --recipe maqd --text "$text" -o n; says 'and no MODEL'
    nothing_left n n.part
}

case_train_states_eval() { # eval of a text is what train held out; run of a Llama; what is refused
    devices
    head -c 19000 "$text" >bytes
    tail -c 1900 bytes >held-bytes
    # tokens are held out from a paragraph on
    tail -c +"$(grep -b '^$' bytes | cut -d : -f 1 | awk '$1 < 17100 { at = $1 + 2 } END { print at }')" \
        bytes >held-text
    for device in "${devices[@]}"; do
        command=(train --recipe maqd --mw 3 --ma 7 --steps 12 --batch 4 --lr 0.01 --held-out 0.1 --keep last
            --text bytes --device "$device" --json -q)
        run 0 "${command[@]}" --arch byte-mlp --widths 16 -o net
        same_loss net held-bytes '"bytes":1888,"of_bytes":1888'
        run 0 eval net --text held-bytes --max-windows 100 --device "$device"
        grep -q '(100 of 1888 bytes)' out || die "$(cat out)"
        run 0 "${command[@]}" --arch llama --tokenizer "$model" --layers 1 --hidden 16 --heads 2 \
            --context 40 --seqlen 24 -o llama
        same_loss llama held-text '"windows":'
        run 0 run llama -p 'The' -n 30 --greedy --ids --device "$device"
        cp out all
        run 0 run llama -p 'The' -n 6 --greedy --ids --device "$device" # graphs of other lengths
        head -c $(($(wc -c <out) - 1)) all | cmp - <(head -c -1 out) || die "$device: $(cat out all)"
    done
    few=(--device "$device")
    run 0 info llama -q
    grep -q '^llama: llama of few states, 1 layers, hidden 16,.* context 40$' out || die "$(cat out)"
    states='3 states of weights and 7 states of inputs of products'
    grep -qx "$states, examples of 24 tokens, norm layer-batch" out || die "$(cat out)"
    grep -q '^44 tensors, ' out || die "$(cat out)"
    run 0 info llama --json
    tr -d ' \n\t' <out | grep -q '"weight_states":3,"activation_states":7,"statistics":"layer-batch"' ||
        die "$(cat out)"
    run 2 eval llama --text bytes --ref "$model" "${few[@]}"; says 'no effect on a net of few states'
    run 2 eval llama --text bytes --window 64 "${few[@]}"; says "at most the model's 40"
    run 2 eval net --text bytes --window 8 "${few[@]}"; says 'no effect on a net of bytes'
    printf 'Few' >few-bytes
    run 2 eval net --text few-bytes "${few[@]}"; says 'found 3 bytes, expected more than 12'
    run 2 eval llama --text few-bytes "${few[@]}"; says 'expected more than 0 windows of 24'
    run 2 run llama -p a --acts 8 "${few[@]}"; says 'no effect on a net of few states'
    run 3 run net -p a "${few[@]}"; says 'generates no text'
    for kind in net llama; do # truncated, and beside the other one's config
        cp -r $kind bad
        head -c -9 $kind/params.safetensors >bad/params.safetensors
        run 3 eval bad --text bytes "${few[@]}"; says 'params.safetensors'
        rm -r bad
    done
    cp -r llama bad && cp net/config.json bad
    run 3 eval bad --text bytes "${few[@]}"; says 'params.safetensors: found 44 tensors, expected the 8'
    cp llama/config.json bad && cp net/params.safetensors bad
    run 3 eval bad --text bytes "${few[@]}"; says 'tensor model.norm.weight: missing'
    sed 's/"weight_states":[^,]*/"weight_states":1/' llama/config.json >bad/config.json
    run 3 run bad -p a "${few[@]}"; says 'weight_states: found 1, expected 2 to 256'
    run 3 quantize llama -o n --device "$device"; says 'found "anyround-states-llama"'
}

# same_loss NET TEXT JSON: eval's loss is the one that train's last line, in out, tells; JSON is told too
same_loss() {
    local held
    held=$(tr -d ' \n\t' <out | sed 's/.*"held_loss":\([0-9.]*\).*/\1/')
    run 0 eval "$1" --text "$2" --batch 3 --device "$device" --json -q
    tr -d ' \n\t' <out >told
    grep -q "$3" told || die "$(cat told)"
    sed 's/.*"nll":\([0-9.]*\).*/\1/' told |
        awk -v held="$held" '{ exit !($1 > 4 && ($1 - held)^2 < 1e-12) }' || die "$device: $held, $(cat told)"
}

case_train_states_wrong() { # what is refused, and what a loss that diverges leaves
    devices
    drawn 60 10
    images=(--images some-images --labels some-labels)
    command=(train --recipe maqd --arch mlp --widths 8 --steps 40 --device "${devices[0]}" -q)
    run 3 "${command[@]}" --images some-labels --labels some-labels -o n
    says 'some-labels: found magic 0x00000801, expected'
    head -c 3000 some-images >cut-images
    run 3 "${command[@]}" --images cut-images --labels some-labels -o n
    says 'cut-images.*2984 bytes behind the header'
    run 3 "${command[@]}" "${images[@]}" --classes 4 -o n; says 'label of image .*: found ., expected 0 to 3'
    run 2 "${command[@]}" "${images[@]}" --mw 1 -o n; says '--mw: found 1, expected 2 to 256'
    run 2 "${command[@]}" "${images[@]}" --ma 1 -o n; says '--ma: found 1, expected 2 to 256'
    nothing_left n.part n
    run 1 "${command[@]}" "${images[@]}" --lr 100 --clip 0 --decay 0 --warmup 12 --checkpoint-every 4 -o n
    says 'the loss diverges'; says 'a third of the rate'; says 'last checkpoint stands'
    [ -f n.part/checkpoint.safetensors ] || die 'no checkpoint is left'
    [ ! -e n ] || die 'a net was written'
    cp n.part/checkpoint.safetensors good
    for other in '--arch cnn --channels 4' '--mw 3' '--norm batch' '--widths 9'; do
        # shellcheck disable=SC2086 # words
        run 2 "${command[@]}" "${images[@]}" --lr 100 --clip 0 --decay 0 --warmup 12 --checkpoint-every 4 \
            $other -o n --resume
        says 'checkpoint.safetensors: found "'; says 'to go on'
        cmp -s good n.part/checkpoint.safetensors || die "$other: the checkpoint changed"
    done
    run 3 eval "$model" "${images[@]}" --device "${devices[0]}"
}

# all_same NET: every code and class of whole numbers, on each device and in the C example, is the net's own
all_same() {
    local net=$1 device
    for device in "${devices[@]}"; do
        run 0 eval "$net" --images some-images --labels some-labels --codes \
            --save-classes "$device-classes" --device "$device" --json -q
        tr -d ' \n\t' <out >told
        grep -q '_differing":0,"host_differing":0,"folded_differing":0,"classes_differing":0}' told ||
            die "$net on $device: $(cat told)"
        grep -q '"codes":{"compared":[1-9]' told || die "$net: no codes: $(cat told)"
    done
    for device in "${devices[@]}"; do cmp "${devices[0]}-classes" "$device-classes" || die "$device"; done
    count=$(wc -l <"${devices[0]}-classes")
    for ((i = 0; i < count; i++)); do
        "${AR_CLASSIFY:?}" "$net" some-images $i || die "$net: no class of image $i"
    done | sed 's/ .*//' >classes
    cmp classes "${devices[0]}-classes" || die "$net: the C example says otherwise"
}

case_train_states_codes() { # whole numbers are the net, code for code, whatever its states and norm
    devices
    drawn 800 14
    mv some-images train-images && mv some-labels train-labels
    "${AR_IMAGES:?}" some 200 14 8 || die 'cannot draw images'
    command=(train --recipe maqd --images train-images --labels train-labels --batch 16 --lr 0.01 --decay 0.01
        --device "${devices[$((${#devices[@]} - 1))]}" -q)
    while read -r steps options; do
        # shellcheck disable=SC2086 # words
        run 0 "${command[@]}" --steps "$steps" $options -o net
        all_same net
        accuracy=$(sed 's/.*"accuracy":\([0-9.]*\).*/\1/' told)
        awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.8) }' || die "$options: accuracy $accuracy"
    done <<END
150 --arch cnn --channels 6,8 --widths 16 --mw 3 --ma 3
150 --arch cnn --channels 5 --widths 12 --mw 7 --ma 7 --norm batch
100 --arch cnn --channels 6,8 --widths 16 --mw 4 --ma 15 --lbn-stats sample
300 --arch mlp --widths 32,16 --mw 2 --ma 2
100 --arch mlp --widths 32 --mw 15 --ma 4 --raw-weights
END
    run 0 "${command[@]}" --arch mlp --widths 12 --steps 2 --norm layer -o floats
    run 2 eval floats --images some-images --labels some-labels --codes; says 'is not whole numbers'
    run 1 eval net --images some-images --labels some-labels --save-classes some-labels; says some-labels
    run 2 eval "$model" --text "$text" --codes; says 'no effect on a text'
    # weights of the first layer that are not the net's
    at=$(($(od -An -N4 -tu4 net/model.safetensors) + 8))
    printf '\1\1\1\1\1\1\1\1' | dd of=net/model.safetensors bs=1 seek=$at conv=notrunc status=none
    run 5 eval net --images some-images --labels some-labels --codes; says 'expected none'
}

case_train_states() { # few states: accuracy floors, whole numbers of the same class, refusals
    data=$root/../shared/data/mnist
    [ -f "$data/train-images-idx3-ubyte.gz" ] || skip 'no MNIST'
    devices
    device=${devices[$((${#devices[@]} - 1))]}
    for part in train t10k; do
        gunzip -c "$data/$part-images-idx3-ubyte.gz" >$part-images
        gunzip -c "$data/$part-labels-idx1-ubyte.gz" >$part-labels
    done
    { printf '\0\0\10\3\0\0\7\320'; tail -c +9 t10k-images | head -c $((8 + 2000 * 784)); } >some-images
    { printf '\0\0\10\1\0\0\7\320'; tail -c +9 t10k-labels | head -c 2000; } >some-labels
    command=(train --recipe maqd --images train-images --labels train-labels --batch 64 --decay 0.01
        --lr 0.005 --held-out 0.01 --device "$device")
    run 0 "${command[@]}" --arch mlp --mw 3 --ma 3 --steps 200 --eval-every 100 -o net -q
    run 0 eval net --images some-images --labels some-labels --device "$device" --json -q
    tr -d ' \n\t' <out | sed 's/.*"accuracy":\([0-9.]*\).*"same_class":\([0-9]*\).*/\1 \2/' >told
    awk '{ exit !($1 >= 0.88 && $2 == 2000) }' told || die "accuracy, same class: $(cat told)"
    run 0 eval net --images some-images --labels some-labels --device "$device" -q
    grep -q 'whole numbers: the same class for 2000' out || die "$(cat out)"
    for _ in 1 2; do # the second takes the first one's place
        run 0 "${command[@]}" --arch cnn --channels 4 --widths 8 --mw 0 --ma 0 --norm layer --steps 4 \
            -o floats -q
    done
    [ ! -e floats/model.safetensors ] || die 'floats have no whole numbers'
    run 0 eval floats --images some-images --labels some-labels --device "$device" -q
    head -c 300000 "$text" >bytes
    run 0 train --arch byte-mlp --text bytes --mw 3 --ma 15 --widths 32 --batch 32 --steps 60 --lr 0.005 \
        --device "$device" -o bytes-net --json -q
    tr -d ' \n\t' <out | sed 's/.*"held_loss":\([0-9.]*\).*/\1/' | awk '{ exit !($1 < 3.6) }' ||
        die "nothing was learnt: $(cat out)"

    run 2 "${command[@]}" --arch mlp --mw 1 -o n; says 'mw: found 1, expected 2 to 256'
    run 2 "${command[@]}" --arch mlp --ma 300 -o n; says 'ma'
    run 2 "${command[@]}" --arch mlp --norm none -o n; says 'expected layer-batch, batch or layer'
    run 2 "${command[@]}" --arch mlp --norm batch --lbn-stats sample -o n; says 'no effect with --norm batch'
    run 2 train --arch mlp --images train-images --labels train-labels --mw 3 -o n
    says 'without --recipe maqd'
    run 2 "${command[@]}" --arch cnn --channels 4,4,4,4,4,4 -o n; says 'pools halve'
    run 2 "${command[@]}" --arch llama -o n; says 'wants --arch cnn, mlp, byte-mlp or llama'
    run 2 "${command[@]}" --recipe bnn --arch mlp -o n; says "found 'bnn', expected maqd"
    run 1 "${command[@]}" --arch mlp --lr 100 --clip 0 --steps 200 --decay 0 -o n; says 'the loss diverges'
    [ ! -e n ] || die 'something was written'
}

# held OPTION...: what a byte-mlp's held-out loss is after a short run on the text "bytes"
held() {
    run 0 train --arch byte-mlp --text bytes --lr-end 0 --decay 0 --held-out 0.1 --keep last \
        --checkpoint-every 9999 --device "$device" -o net --json -q "$@"
    tr -d ' \n\t' <out | sed 's/.*"held_loss":\([0-9.]*\).*/\1/'
}
# within A B PERCENT: perplexity A is at most so much above B; apart: at least
within() { # A B PERCENT WHAT
    awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { exit !(exp(a - b) <= 1 + p / 100) }' || die "$1, $2: $4"
}
apart() {
    awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { exit !(exp(a - b) >= 1 + p / 100) }' || die "$1, $2: $4"
}

case_train_bytes() { # what each norm makes of small batches, and few states of a perplexity
    local data=$root/../shared/data/text/wikitext-2 loss batch layer float
    [ -f "$data/valid.txt" ] || skip 'no WikiText-2'
    devices
    device=${devices[$((${#devices[@]} - 1))]}
    cat "$data/test.txt" "$data/valid.txt" >bytes
    few=(--mw 0 --ma 0 --batch 4 --steps 1500 --eval-every 1500 --lr 0.002)
    loss=$(held "${few[@]}") batch=$(held "${few[@]}" --norm batch) layer=$(held "${few[@]}" --norm layer)
    within "$loss" "$layer" 3 'layer-batch norm is not what layer norm is'
    apart "$batch" "$loss" 25 'batch norm bears batches of 4'
    many=(--batch 32 --steps 600 --eval-every 600 --lr 0.004)
    float=$(held "${many[@]}" --mw 0 --ma 0)
    within "$float" "$(held "${many[@]}" --mw 0 --ma 0 --norm batch)" 3 'at 32'
    loss=$(held "${many[@]}" --mw 15 --ma 15)
    within "$loss" "$float" 4 '15 states are far from floats'
    batch=$(held "${many[@]}" --mw 7 --ma 7)
    within "$loss" "$batch" 1 '7 states are better than 15'
    loss=$(held "${many[@]}" --mw 3 --ma 2)
    within "$loss" "$float" 20 'ternary weights and a bit of activations are far from floats'
    within "$batch" "$loss" 1 '3 and 2 states are better than 7'
}
