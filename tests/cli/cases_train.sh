# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# train: whole models, on texts.

# small_train ARGUMENT...: what the cases below train, unless they say otherwise
small_train() {
    begin=(--tokenizer "$model" --layers 2 --hidden 32 --heads 4 --context 48 --seqlen 32)
    train=(train --text "$text" --batch 4 --steps 24 --eval-every 6 --checkpoint-every 4 --lr 0.003
        --dropout 0.1 --starts 0.5 "$@")
}

case_train() { # killed at several steps and resumed: the same files, whatever device
    devices
    small_train
    for device in "${devices[@]}"; do
        command=("${train[@]}" --arch llama "${begin[@]}" --kv-heads 2 --device "$device")
        run 0 "${command[@]}" -o whole --curve whole.jsonl --report whole.html --json -q
        grep -q '"step":24' out || die "$(cat out)"
        if [ "$device" = vk ]; then kills=12; else kills='4 20'; fi
        for at in $kills; do
            rm -rf part part.part
            "$program" "${command[@]}" -o part --curve part.jsonl >out 2>err & pid=$!
            for _ in $(seq 6000); do
                grep -q "\"step\":$at," part.part/curve.jsonl 2>/dev/null && break
                sleep 0.01
            done
            kill -9 $pid; wait $pid 2>/dev/null
            run 0 "${command[@]}" -o part --curve part.jsonl --resume -q
            cmp whole/model.safetensors part/model.safetensors || die "resumed from step $at: other weights"
            cmp whole.jsonl part.jsonl || die "resumed from step $at: another curve"
        done
        nothing_left part.part
        rm -rf part
        "$program" "${command[@]}" -o part --curve part.jsonl --checkpoint-every 1000 >out 2>err & pid=$!
        for _ in $(seq 6000); do
            grep -q '"step":9,' part.part/curve.jsonl 2>/dev/null && break
            sleep 0.01
        done
        kill -INT $pid; wait $pid
        [ $? = 130 ] || die "interrupted: $(cat err)"
        run 0 "${command[@]}" -o part --curve part.jsonl --checkpoint-every 1000 --resume --json -q
        ! grep -q '"resumed":0' out || die 'an interrupted run left no checkpoint'
        cmp whole/model.safetensors part/model.safetensors || die 'interrupted: other weights'
        [ "$(grep -c held_loss whole.jsonl)" = 4 ] || die "$(cat whole.jsonl)"
        [ "$(grep -o '<circle' whole.html | wc -l)" = 4 ] || die "$(cat whole.html)"
        for part in '<polyline points="[0-9]' 'architecture</td><td>llama, 2 layers of 32'; do
            grep -q "$part" whole.html || die "the report lacks $part: $(cat whole.html)"
        done
    done
    run 1 "${command[@]}" -o o --report whole/config.json/x; says 'is no folder'
    run 0 "${command[@]}" -o again --seed 1 -q
    ! cmp -s whole/model.safetensors again/model.safetensors || die 'another seed gave the same weights'
    mkdir m && cp -r again m/whole
    "$program" "${train[@]}" whole --steps 5000 --checkpoint-every 1 --device "$device" -o part2 2>err &
    pid=$!
    for _ in $(seq 6000); do [ -f part2.part/checkpoint.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 2 "${train[@]}" m/whole --steps 5000 --checkpoint-every 1 --device "$device" -o part2 --resume
    says 'found "model: whole, .*expected "model: whole, '
    ! grep -q 'goes on' err || die 'what is refused is advised'
    run 0 eval whole --text "$text" --window 32 --max-windows 8 --device "$device" --json -q
    tr -d ' \n\t' <out | sed 's/.*"nll":\([0-9.]*\).*/\1/' | awk '{ exit !($1 < 6.7) }' ||
        die "nothing was learnt: $(cat out)"
}

case_train_wrong() { # what is refused, and what a loss that diverges leaves
    devices
    small_train
    command=("${train[@]}" --device "${devices[0]}")
    run 2 "${command[@]}" -o o; says 'MODEL, or --arch'
    run 2 "${command[@]}" "$model" --arch llama -o o; says 'begin without MODEL'
    run 2 "${command[@]}" --arch bert "${begin[@]}" -o o; says 'expected llama or gpt2'
    run 2 "${command[@]}" --arch llama "${begin[@]}" --heads 3 -o o; says 'heads that divide'
    run 2 "${command[@]}" "$model" --accumulate 3 -o o; says 'divisor of --batch'
    run 2 "${command[@]}" "$model" --optimizer adam -o o; says 'adamw or sgd'
    run 2 "${command[@]}" "$model" --seqlen 513 -o o; says "at most the model's 512"
    for part in '--momentum 0.5' '--optimizer sgd --beta1 0.5' '--schedule constant --lr-end 0.5' \
        '--labels x' '--classes 3' '--channels 4' '--widths 4'; do
        read -ra part <<<"$part"
        run 2 "${command[@]}" "$model" "${part[@]}" -o o; says "${part[-2]} has no effect without"
    done
    run 2 "${command[@]}" --arch gpt2 "${begin[@]}" --untied -o o; says 'untied has no effect without'
    mkdir o
    run 1 "${command[@]}" "$model" --curve o/c -o o; says 'lies in o, which is replaced'
    run 2 "${command[@]}" "$model" --curve c --report c -o o; says 'curve, --report: found one file'
    rmdir o
    run 2 "${command[@]}" "$model" --lr 0 -o o; says "lr: found '0'"
    echo short >short.txt
    run 2 "${command[@]}" "$model" --text short.txt -o o; says 'short.txt: found .* more than the 256'
    run 2 "${command[@]}" --arch byte-mlp --dropout 0 --starts 0 --text short.txt -o o
    says 'short.txt: found 6 bytes'
    # the one empty line, far ahead, holds out nothing more
    { printf 'A title\n\n'; seq 4000 | tr '\n' ' '; } >title.txt
    run 0 "${command[@]}" --arch gpt2 "${begin[@]}" --text title.txt --steps 1 --held-out 0.1 -o t -q
    printf 'a\xffb%9999s' >bytes.txt
    run 3 "${command[@]}" "$model" --text bytes.txt -o o; says 'bytes.txt: byte 1'
    rm -rf o.part
    run 1 "${command[@]}" --arch gpt2 "${begin[@]}" --optimizer sgd --lr 80 --clip 0 --decay 0 --warmup 12 \
        -o o
    says 'the loss diverges'; says 'a third of the rate'; says 'last checkpoint stands'
    [ -f o.part/checkpoint.safetensors ] || die 'no checkpoint is left'
    [ ! -e o ] || die 'a model was written'
    run 2 "${command[@]}" --arch llama "${begin[@]}" -o o --resume
    says 'found "architecture: gpt2'
    "$program" "${command[@]}" --arch llama "${begin[@]}" --keep last -o o >out 2>err & pid=$!
    for _ in $(seq 6000); do
        grep -qa 'state.*step 8 ' o.part/checkpoint.safetensors 2>/dev/null && break
        sleep 0.01
    done
    kill -9 $pid; wait $pid 2>/dev/null
    printf x | dd of=o.part/checkpoint.safetensors bs=1 seek=40000 conv=notrunc status=none
    run 0 "${command[@]}" --arch llama "${begin[@]}" --keep last -o o --resume
    grep -q 'is damaged.*training begins again' err || die "no remark: $(cat err)"
}

case_train_images() { # MNIST: an accuracy floor in seconds, the same weights after a kill, files refused
    data=$root/../shared/data/mnist
    [ -f "$data/train-images-idx3-ubyte.gz" ] || skip 'no MNIST'
    devices
    device=${devices[$((${#devices[@]} - 1))]}
    for part in train t10k; do
        gunzip -c "$data/$part-images-idx3-ubyte.gz" >$part-images
        gunzip -c "$data/$part-labels-idx1-ubyte.gz" >$part-labels
    done
    command=(train --images train-images --labels train-labels --batch 64 --decay 0.01 --device "$device")
    run 0 "${command[@]}" --arch mlp --test-images t10k-images --test-labels t10k-labels --steps 400 \
        --lr 0.002 --eval-every 200 -o mlp --json -q
    tr -d ' \n\t' <out | sed 's/.*"test_accuracy":\([0-9.]*\).*/\1/' >told
    awk '{ exit !($1 >= 0.92) }' told || die "accuracy $(cat told)"
    run 0 eval mlp --images t10k-images --labels t10k-labels --device "$device" --json -q
    tr -d ' \n\t' <out | sed 's/.*"accuracy":\([0-9.]*\).*/\1/' >again
    cmp told again || die "eval says $(cat again), train said $(cat told)"
    run 0 eval mlp --images t10k-images --labels t10k-labels --device "$device" -q
    [ "$(wc -l <out)" = 12 ] || die "no confusion matrix: $(cat out)"

    small=("${command[@]}" --arch cnn --channels 4,4 --widths 16 --steps 30 --checkpoint-every 5
        --eval-every 15 --held-out 0.005)
    run 0 "${small[@]}" -o whole --curve whole.jsonl -q
    "$program" "${small[@]}" -o part --curve part.jsonl >out 2>err & pid=$!
    for _ in $(seq 6000); do grep -q '"step":12,' part.part/curve.jsonl 2>/dev/null && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    run 0 "${small[@]}" -o part --curve part.jsonl --resume -q
    cmp whole/model.safetensors part/model.safetensors || die 'resumed: other weights'
    cmp whole.jsonl part.jsonl || die 'resumed: another curve'

    run 3 "${command[@]}" --arch mlp --images train-labels -o n; says 'found magic 0x00000801, expected'
    run 3 "${command[@]}" --arch mlp --images "$data/train-images-idx3-ubyte.gz" -o n; says 'gzip'
    head -c 1000000 train-images >cut
    run 3 "${command[@]}" --arch mlp --images cut -o n; says 'bytes behind the header, expected 47040000'
    run 3 "${command[@]}" --arch mlp --classes 9 -o n; says 'label of image .*: found 9, expected 0 to 8'
    run 3 train --images train-images --arch mlp -o n; says 'whole records'
    run 3 eval mlp --images t10k-images --labels train-labels --device "$device"; says 'one for each of 10000'
    run 2 "${command[@]}" --arch mlp --channels 4 -o n; says 'no effect with --arch mlp'
    run 2 "${command[@]}" --arch cnn --widths 4x -o n; says 'whole numbers with commas'
    run 2 "${command[@]}" --arch llama -o n; says 'wants --arch cnn or mlp'
    run 2 "${command[@]}" --arch mlp --dropout 0.1 -o n; says 'no effect with --images'
    run 0 info mlp -q; grep -q '28 x 28 x 1, 10 classes, channels -, widths 128,128$' out || die "$(cat out)"
    [ ! -e n ] || die 'something was written'
}
