# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# A run again: twice the same, and on from where it was killed, interrupted or damaged.

case_rtn_is_iters_0() {
    run 0 quantize "$model" -o a.gguf --method rtn
    run 0 quantize "$model" -o b.gguf --method signround --iters 0
    cmp a.gguf b.gguf || die 'files differ'
    run 0 quantize "$model" -o a --method rtn --format auto_round --bits 2 --group 32 --asym
    run 0 quantize "$model" -o b --method signround --iters 0 --format auto_round --bits 2 --group 32 --asym
    diff -r a b || die 'folders differ'
}

# six steps do not beat rounding to nearest, which would be kept for every seed: keep the last
case_repeatable() {
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --select last --format "auto_round,gguf" --group 32)
    for i in a b; do run 0 "${command[@]}" -o $i; done
    diff -r a b || die 'two runs of one seed differ'
    run 0 "${command[@]}" -o d --submit-ms 1; diff -r a d || die 'shorter submissions changed the result'
    nothing_left a.part b.part
    run 0 "${command[@]}" -o c --seed 1
    ! same_weights a/auto_round c/auto_round || die 'another seed gave the same files'
}

# killed at a random moment of each fifth of its run: a file and a folder from one run, on each device
case_resume() {
    devices
    for device in "${devices[@]}"; do
        command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 6 --samples 2 --batch 1
            --format "auto_round,gguf" --group 32 --device "$device")
        run 0 "${command[@]}" --iters 1 -o whole # compiles what is not in the cache yet
        rm -rf whole; start=$(microseconds)
        run 0 "${command[@]}" -o whole
        took=$(($(microseconds) - start)) blocks=$(grep -c '^block [0-9]*: loss' err) used=0
        for i in 0 1 2 3 4; do
            for ((code = 0, try = 0; code == 0; try++)); do # a run that ended before it was killed is no try
                [ $try -lt 10 ] || die "no run was alive when it was to be killed"
                rm -rf killed
                "$program" "${command[@]}" -o killed -q >/dev/null 2>&1 &
                pid=$!
                sleep "$(awk -v us=$took -v part="$i.$(printf '%05d' $((RANDOM * 3)))" \
                    'BEGIN { print us / 5e6 * part }')"
                kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; code=$?
                [ $code = 137 ] || took=$((took * 3 / 4))
            done
            [ $code = 137 ] || die "exit $code, expected 137"
            kept=$(find killed.part -name 'block-*.safetensors' 2>/dev/null | wc -l)
            if [ -f killed.part/manifest.json ]; then # as a kill while writing leaves it
                mkdir -p killed.part/out && echo rest >killed.part/out/gguf.tmp-1-0
            fi
            run 0 "${command[@]}" -o killed --resume
            diff -r whole killed || die "killed in part $i of 5 on $device: what was resumed differs"
            only err killed out whole
            tuned=$(grep -c '^block [0-9]*: loss' err)
            [ $((tuned + kept)) = "$blocks" ] || die "$kept blocks were kept and $tuned tuned, of $blocks"
            used=$((used + kept))
            echo "$device, killed in part $i of 5: $kept of $blocks blocks kept, the same files"
        done
        [ $used -gt 0 ] || die 'no kill left a finished block'
        rm -rf whole killed
    done
}

add_zeros() { # FILE BYTES: so many more in a safetensors file, as a tensor that is passed over
    local header data text length i
    header=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    data=$(($(stat -c %s "$1") - 8 - header))
    text=$(head -c $((8 + header)) "$1" | tail -c "$header" | sed 's/}[[:space:]]*$//')
    text="$text,\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"U8\",\"shape\":[$2],"
    text="$text\"data_offsets\":[$data,$((data + $2))]}}"
    for ((i = 0, length = ${#text}; i < 8; i++, length >>= 8)); do
        printf %b "$(printf '\\x%02x' $((length & 255)))"
    done >large.tmp
    printf %s "$text" >>large.tmp
    tail -c "$data" "$1" >>large.tmp
    truncate -s $((8 + ${#text} + data + $2)) large.tmp
    mv large.tmp "$1"
}

case_interrupt() {
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 100 --lr 0.01 --format gptq,gguf --group 32)
    run 0 "${command[@]}" -o whole --json
    blocks=$(grep -c '"block":' out)
    "$program" "${command[@]}" -o o --vram 1912345678 >out 2>err &
    pid=$!
    for _ in $(seq 600); do [ -f o.part/block-00000.safetensors ] && break; sleep 0.1; done
    kill -INT $pid; wait $pid; code=$?
    [ $code = 130 ] || { cat err >&2; die "exit $code, expected 130"; }
    [ "$(tail -n 1 err)" = 'finished blocks are kept in o.part; continue with --resume' ] ||
        { cat err >&2; die 'how to go on?'; }
    nothing_left o
    [ -d o.part ] || die 'the state was lost'
    find o.part -type f -printf '%P %s %T@\n' | sort >before
    run 0 "${command[@]}" -o o --resume --dry-run --json
    grep -Eq '"finished_blocks":[[:space:]]*[1-9]' out || { cat out >&2; die 'no finished block'; }
    find o.part -type f -printf '%P %s %T@\n' | sort | diff before - || die 'the plan changed the state'
    run 2 "${command[@]}" -o o --resume --vram 2G; says 'vram'
    # what a device reports as its memory may vary: the budget is the state's
    run 0 "${command[@]}" -o o --resume --json
    diff -r whole o || die 'what was resumed differs'
    [ "$(grep -c '"block":' out)" = "$blocks" ] || die "expected $blocks blocks in the JSON"
    nothing_left o.part
    # also while a large model is hashed
    mkdir large && cp "$model"/* large && add_zeros large/model.safetensors $((1 << 36))
    "$program" quantize large -o l.gguf --method rtn >out 2>err &
    pid=$!
    for _ in $(seq 600); do grep -q '^device:' err && break; sleep 0.1; done
    sleep 1; kill -INT $pid
    start=$SECONDS; wait $pid; code=$?
    [ $code = 130 ] || { cat err >&2; die "exit $code, expected 130"; }
    [ $((SECONDS - start)) -lt 10 ] || die 'hashing was not interrupted'
    nothing_left l.gguf l.gguf.part
}

# what decides how deep products are cut, and a number to its last digit, are told apart
case_resume_digits() {
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 40 --bits 8 --group -1 --acts 8:static
        --variant gemm=gemm_tiles -q)
    "$program" "${command[@]}" --acts-percentile 99.99999 -o o >out 2>err & pid=$!
    for _ in $(seq 6000); do [ -f o.part/block-00000.safetensors ] && break; sleep 0.01; done
    kill -9 $pid; wait $pid 2>/dev/null
    grep -Eq '"tiles":[[:space:]]*"[0-9]+ of [0-9]+ groups"' o.part/manifest.json || die 'no tiles in it'
    run 2 "${command[@]}" -o o --resume --acts-percentile 100; says "percentile is '99.99999' there"
}

# one turned bit, a cut, another block's file: done again, and the same file; a lost manifest too
case_damaged() {
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 4 --lr 0.01 --type q4_0)
    run 0 "${command[@]}" -o whole.gguf
    run 0 "${command[@]}" -o o.gguf --resume; says 'o.gguf.part: no state to resume, starts anew'
    cmp whole.gguf o.gguf; rm o.gguf
    begin() { # a state of two blocks, as a kill leaves it
        rm -rf o.gguf o.gguf.part
        if [ ! -d kept ]; then
            "$program" "${command[@]}" -o o.gguf >out 2>err & pid=$!
            for _ in $(seq 6000); do [ -f o.gguf.part/block-00001.safetensors ] && break; sleep 0.01; done
            kill -9 $pid; wait $pid 2>/dev/null
            [ -f o.gguf.part/block-00001.safetensors ] || die 'no state'
            mv o.gguf.part kept
        fi
        cp -r kept o.gguf.part
    }
    turn() { # FILE BYTE: its lowest bit
        local old
        old=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
        printf %b "\\x$(printf %02x $((old ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
    }
    again() { # REMARK: resumed, it gives the same file
        run 0 "${command[@]}" -o o.gguf --resume; says "$1"
        cmp whole.gguf o.gguf || die "another file: $1"
        nothing_left o.gguf.part
    }
    begin; bytes=$(stat -c %s o.gguf.part/block-00000.safetensors)
    for at in 3 200 $((bytes / 2)) $((bytes - 1)); do
        begin; turn o.gguf.part/block-00000.safetensors "$at"
        again 'block-00000.safetensors: found a damaged file of the state: the block is done again'
        [ "$(grep -c '^block [0-9]*: loss' err)" -lt 3 ] || die 'a block was lost that was whole'
    done
    begin; truncate -s 5000 o.gguf.part/block-00001.safetensors; again 'block-00001.*is done again'
    begin; cp o.gguf.part/block-0000{0,1}.safetensors; again 'block-00001.*is done again'
    begin; turn o.gguf.part/manifest.json 40; again 'manifest.json is damaged: written anew, each of'
    begin; rm o.gguf.part/manifest.json; again 'manifest.json is missing: written anew, each of'
    for ((i = 0; i < ${AR_TEST_TIMES:-0}; i++)); do # any byte of any file, cut or turned
        begin; files=(o.gguf.part/block-0000{0,1}.safetensors o.gguf.part/manifest.json); file=${files[i % 3]}
        at=$((i * 7919 % $(stat -c %s "$file")))
        # space that becomes other space damages nothing
        while [[ $file == *.json && "$(tail -c +$((at + 1)) "$file" | head -c 1)" =~ ^[[:space:]]?$ ]]; do
            ((at++))
        done
        if [ $((i % 4)) = 3 ]; then truncate -s $at "$file"; else turn "$file" $at; fi
        again "${file##*/}"
    done
    begin; run 2 "${command[@]}" -o o.gguf --resume --seed 7; says "seed is '42' there, expected '7'"
    # what ends in the midst says how to go on, last of all
    begin; (ulimit -f 30; run 1 "${command[@]}" -o o.gguf --resume -q); says 'too large'
    [ "$(tail -n 1 err)" = 'finished blocks are kept in o.gguf.part; continue with --resume' ] ||
        { cat err >&2; die 'how to go on?'; }
    again '^block'
}

case_resume_mismatch() {
    command=(quantize "$model" "${tiny[@]}" "${calib[@]}" --iters 3000 --lr 0.001 --type q4_0)
    "$program" "${command[@]}" -o o.gguf >out 2>err &
    pid=$!
    for _ in $(seq 600); do [ -f o.gguf.part/manifest.json ] && break; sleep 0.1; done
    kill -INT $pid; wait $pid
    run 2 "${command[@]}" -o o.gguf --resume --seed 43; says 'seed'
    run 2 "${command[@]}" -o o.gguf --resume --calib "$root/README.md"; says 'calibration'
    run 2 "${command[@]}" -o o.gguf --resume --precision f16; says "kernels is '.*' there, expected 'f16,"
    run 2 "${command[@]}" -o o.gguf --resume --loss plain; says "loss is 'shift' there, expected 'plain'"
    [ -f o.gguf.part/manifest.json ] || die 'the state was lost'
}
