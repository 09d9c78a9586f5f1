# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# What is asked for, and of what: options, formats and recipes, models and texts as they are found.

case_usage() {
    run 2 nonsense
    run 2 quantize "$model"; says '-o OUT'
    run 2 quantize "$model" -o o --bits 9; says 'from 2 to 8'
    run 2 quantize "$model" -o o --frobnicate; says 'unknown option'
    run 2 quantize "$model" -o o --method gptqq
    says 'expected rtn, signround, search, anneal, frozen, gptq, zq-local, zq-global or quadapter'
    run 2 quantize "$model" -o o --method rtn --iters 5; says 'no effect'
    for flag in '--lr 1' '--no-minmax' '--samples 4' '--recipe light' '--calib x'; do
        run 2 quantize "$model" -o o --method rtn $flag
        says "^anyround: .*${flag%% *} has no effect with --method rtn"
    done
    nearest=(--method signround --iters 0)
    run 2 quantize "$model" -o o --calib x "${nearest[@]}"; says 'calib has no effect with --iters 0'
    run 2 quantize "$model" -o o --recipe best "${nearest[@]}"; says 'recipe has no effect with --iters 0'
    run 2 quantize "$model" -o o --iters 5x; says "iters: found '5x', expected a whole number from 0 to 5792"
    run 2 quantize "$model" -o o "${nearest[@]}" --samples 5; says 'samples has no effect with --iters 0'
    run 2 quantize "$model" -o o --type f16 --lr 0.1; says 'lr has no effect with --type f16'
    run 2 quantize "$model" -o o --type f16 --iters 5; says 'no effect'
    run 2 quantize "$model" -o o --type f32 --method rtn; says 'no effect'
    run 2 quantize "$model" -o o --type f16 --group 32; says 'no effect'
    run 2 quantize "$model" -o o --recipe light --batch 2 --iters 5 --seqlen 32 --samples 4; says 'no effect'
    run 2 quantize "$model" -o o --no-minmax --minmax-lr 0.1; says 'no effect'
    run 2 quantize "$model" -o o --select last --heldout 2; says 'no effect'
    run 2 quantize "$model" -o o --method signround --optimizer sgd; says 'one of sign, adam'
    run 2 quantize "$model" -o o --method signround --optimizer adam --state i16; says 'expected auto or f32'
    run 2 quantize "$model" -o o --method rtn --optimizer adam; says 'no effect'
    run 2 quantize "$model" -o o --method rtn --act-order; says 'act-order has no effect'
    run 2 quantize "$model" -o o --method gptq --iters 5; says 'iters has no effect with --method gptq'
    run 2 quantize "$model" -o o --method gptq --static-groups; says 'no effect without --grid range'
    run 2 quantize "$model" -o o --method gptq --damp -1; says 'expected a number from 0 to 10'
    run 2 quantize "$model" -o o --loss mse; says 'one of plain, root, shift, root+shift'
    run 2 quantize "$model" -o o --loss shift --no-quantized-input --samples 4 --seqlen 16
    says 'expected plain or root with --no-quantized-input'
    run 2 quantize "$model" -o o --samples 8 --heldout 8; says 'found 8, expected fewer than the 8 samples'
    run 2 quantize "$model" -o o --group 0; says 'found 0'
    run 2 quantize "$model" -o o --sym --asym
    run 2 quantize "$model" -o o --recipe heavy; says 'light, default or best'
    run 2 quantize "$model" -o o --vram lots; says 'such as 256M'
    run 1 run "$model" -p Once -n 1 --vram 300K -q; says 'out of device memory: .*(--vram)$'
    for bad in 0 -3 20000 soon 5x nan; do
        run 2 eval "$model" --text "$text" --submit-ms "$bad"
        says 'submit-ms.*from 1 to 10000'
    done
    run 2 run "$model" --submit-ms; says 'needs a value'
    run 2 devices --variant gemn=gemm; says \
        "found kernel 'gemn', expected one of gemm, gemv, gemv_bytes, attention, "
    run 2 eval "$model" --text "$text" --variant gemm
    says "variant gemm: found '', expected one of gemm_lanes, gemm_coop_bf16, gemm_coop, gemm_half, "
    run 2 devices --precision f8; says "precision: found 'f8', expected f32, f16, bf16 or auto"
    run 2 devices --device vk0; says 'found "vk0", expected auto, vk, vk:N'
    run 4 devices --device cl:77; says 'device cl:77: not found'
    run 0 devices --precision auto
    run 0 devices --precision bf16
    run 0 devices --precision f16 --variant gemm=gemm; grep -q 'kernel gemm=gemm: asked for' out || die 'f16'
    run 2 selftest --variant gemv=gemv,gemm=fast; says "variant gemm: found 'fast'"
    if "$program" devices --device cl -q 2>/dev/null | grep -q 'gemm_lanes needs subgroup shuffles'; then
        run 2 selftest --device cl --variant gemm=gemm_lanes
        says 'variant gemm=gemm_lanes: .* lacks what it needs, subgroup shuffles'
    fi
    run 0 devices --variant attention_cached=attention_one,gemm=gemm
    for asked in gemm=gemm attention_cached=attention_one; do
        grep -q "kernel $asked: asked for" out || die "$asked is not in the plan"
    done
    run 0 devices --json -q; grep -q '"variants":' out || die 'no variants in devices --json'
    run 0 devices --submit-ms 7 --json -q
    grep -q '"submit_ms":[[:space:]]*7,' out && ! grep '"submit_ms"' out | grep -qv '[[:space:]]7,' ||
        die '--submit-ms 7 is not in the plan'
    for command in devices selftest info quantize convert eval run bench; do
        run 0 $command --help; grep -q -- '--submit-ms N' out || die "$command --help without --submit-ms"
    done
    for size in 4GB 1.5g 2gib 512M 512mb 3Gi 1e9 1T 123456789B; do run 0 devices --vram $size -q; done
    for bad in 0x10 0x10M inf nan ' 5G' 4GX 4XB 0 -1G '' 5Gbb; do
        run 2 devices --vram "$bad"; says 'such as 256M, 1.5g or 2GB'
    done
    for bad in 0x10 0x1p3 ' 7' inf nan; do # in every option that takes a number, of commands and of methods
        for option in --iters --lr --samples --minmax-lr --bits --seed --submit-ms; do
            run 2 quantize "$model" -o o $option "$bad"; says "^anyround: .*${option#--}: found '$bad', exp"
        done
    done
    run 2 selftest --kernel NOSUCH; says "holds 'NOSUCH' (--kernel)"
    run 0 selftest --kernel half_check -q
    run 2 quantize -o o; says 'found 0 arguments'
    run 2 convert "$model"; says '-o DST'
    run 2 convert "$model" -o o --type q4_0; says 'f32, f16 or bf16'
    run 2 convert "$model" -o o --format gptq; says 'gguf or hf'
    run 2 quantize "$model" -o o.gguf --embedding-type q9_k; says 'embedding-type'
    run 2 eval "$model"; says '--text'
    run 2 eval "$model" --text "$text" --protocol dream; says 'llamacpp'
    run 2 eval "$model" --text "$text" --save-logits o; says 'save-logits.* without --protocol llamacpp'
    run 2 eval "$model" --text "$text" --device cuda
    run 2 run "$model" --greedy --temp 1; says 'no effect'
    run 2 run "$model" --greedy --min-p 0.1; says 'no effect'
    run 2 run "$model" -p a -f b; says 'one of them'
    run 2 run "$model" -i --json; says 'no effect'
    run 2 run "$model" -p a --system b; says 'no effect'
    run 0 bench --types Q4_0 --size 256 --n 1 --json -q; grep -q '"percent_of_roof"' out ||
        die 'no percent_of_roof'
    run 0 --help
    run 0 quantize --help; grep -q -- --resume out || die 'help without --resume'
    grep -q -- '--minmax-lr X' out || die "help without a method's option"
    run 0 quantize --method signround --help
    grep -q -- '--minmax-lr X' out || die "signround's help without its option"
    run 0 quantize --method=rtn --help
    ! grep -q -- '--minmax-lr' out || die "rtn's help with signround's option"
    nothing_left o o.part
}

case_formats() {
    run 2 quantize "$model" -o o --format gptq,gptq; says 'named twice'
    run 2 quantize "$model" -o o --format tarball; says 'expected one of'
    run 2 quantize "$model" -o o --format gptq --bits 5; says 'cannot store 5 bits (--format, --bits)'
    run 2 quantize "$model" -o o --format awq,compressed_tensors --bits 8
    says 'awq cannot store 8 bits (--format, --bits)'
    run 2 quantize "$model" -o o.gguf --bits 3; says 'stores 4 bits'
    says '(--type, --bits, --widen)'
    run 2 quantize "$model" -o o.gguf --type q4_0 --asym; says 'symmetric'
    run 2 quantize "$model" -o o.gguf --type q8_0 --bits 8 --asym
    run 2 quantize "$model" -o o.gguf --group 48; says 'multiple of 32'
    run 2 quantize "$model" -o o --format gguf,gptq --asym; says 'share no value'
    run 1 quantize "$model" -o o.gguf --format gptq --method rtn; says 'expected another: a folder is written'
    run 2 quantize "$model" -o o --format gptq --type q4_0; says 'format gguf'
    nothing_left o o.part o.gguf o.gguf.part
}

case_tensor_bits() { # of a folder's linears, by rules
    rules=(--tensor-type 'layers\.0\..*[qkv]_proj=8' --tensor-type 'o_proj=float' --tensor-type 'layers.0=2')
    for format in auto_round gptq; do
        run 0 quantize "$model" -o $format --format $format --method rtn --group 32 "${rules[@]}"
        says 'widths: 3 x 8, 3 x float, 3 x 2, 12 x 4; [0-9.]* bits per weight'
        run 0 eval $format --ref "$model" --text "$text" --max-windows 1 --json -q
        grep -o '"kl":[^,]*' out >kl.$format
    done
    cmp kl.auto_round kl.gptq || die 'two formats, two results'
    run 0 quantize "$model" -o tuned --group 32 --iters 2 --batch 2 --samples 4 --seqlen 32 "${rules[@]}" \
        "${calib[@]}" -q
    run 0 quantize "$model" -o fake --format fake --method rtn --group 32 --tensor-type q_proj=3 -q
    run 0 quantize "$model" -o ct --format compressed_tensors --method rtn --group 32 "${rules[@]:0:4}" -q
    run 0 eval ct --text "$text" --max-windows 1 -q
    wrong() { run 2 quantize "$model" -o w --method rtn --group 32 -q "${@:2}"; says "$1"; }
    wrong "'attn_q' is in no linear's name, as model.layers.0.self_attn.q_proj" --tensor-type attn_q=3
    wrong 'found 3 bits for self_attn.q_proj and 4 for self_attn.k_proj' --tensor-type q_proj=3
    wrong "found '9', expected f32" --tensor-type o_proj=9
    wrong '): found 5 bits, which gptq cannot hold' --tensor-type o_proj=5 --format gptq
    wrong 'format awq has one width for all linears' --tensor-type o_proj=8 --format awq
    wrong 'found no linear that is quantized' --tensor-type proj=float
    wrong 'bits of linears are for folders' --tensor-type o_proj=3 --format gguf
    nothing_left w w.part
}

case_tensor_types() { # by rules, from a file, and like another file
    has() { # FILE TENSOR TYPE
        run 0 info "$1"
        grep -Eq "$2[^ ]* +$3 " out || { cat out >&2; die "$2 of $1: expected $3"; }
    }
    run 0 quantize "$model" -o a.gguf --type q4_0 --tensor-type 'attn_v=q6_k' \
        --tensor-type '^blk\.0\.ffn_(down|up)\.=Q2_K' --tensor-type 'blk.0=q5_1' --tensor-type embd=q8_0 \
        --tensor-type 'blk.1.attn_k=f16' --method rtn -q
    has a.gguf layers.1.self_attn.v_proj Q6_K
    has a.gguf layers.0.self_attn.v_proj Q6_K # the first rule that matches
    has a.gguf layers.0.mlp.up_proj Q2_K
    has a.gguf layers.0.mlp.gate_proj Q5_1
    has a.gguf layers.1.self_attn.k_proj F16
    has a.gguf layers.1.mlp.down_proj Q4_0
    has a.gguf embed_tokens Q8_0
    run 0 eval a.gguf --text "$text" --max-windows 1 -q
    printf '# a comment\n\n  attn_v=q6_k\t\r\n^blk\.0\.ffn_(down|up)\.=Q2_K\nblk.0=q5_1\nembd=q8_0\n%s\n' \
        blk.1.attn_k=f16 >rules
    run 0 quantize "$model" -o b.gguf --type q4_0 --tensor-type-file rules --method rtn -q
    cmp a.gguf b.gguf || die 'rules of a file differ from those of options'
    run 0 quantize "$model" -o c.gguf --like a.gguf --method rtn -q
    cmp a.gguf c.gguf || die 'like a file, by the same method, is another file'
    run 0 quantize "$model" -o d.gguf --like a.gguf --method anneal --iters 4 --batch 2 --samples 4 \
        --seqlen 32 -q "${calib[@]}"
    difference=$(($(stat -c %s a.gguf) - $(stat -c %s d.gguf)))
    [ ${difference#-} -lt 512 ] || die "like a file: $difference bytes fewer"
    has d.gguf layers.0.mlp.up_proj Q2_K
    wrong() { run "$1" quantize "$model" -o w.gguf --method rtn -q "${@:3}"; says "$2"; }
    wrong 2 "'embedding' is in no tensor's name" --tensor-type embedding=q4_0
    wrong 2 'missing closing parenthesis at character 6' --tensor-type 'attn(=q4_0'
    wrong 2 "found 'q9', expected f32" --tensor-type attn=q9
    wrong 2 "found 'attn', expected REGEX=TYPE" --tensor-type attn
    wrong 2 'expected a quantized type (--type, --tensor-type)' --tensor-type attn=q4_0 --type f16
    wrong 2 "found 'attn' for auto_round, expected 2 to 8 or float (--format, --tensor-type)" \
        --tensor-type attn=q4_0 --format auto_round
    wrong 2 -- '--type has no effect with --like' --like a.gguf --type q4_0
    echo attn_q >rules
    wrong 2 "rules: tensor type: found 'attn_q'" --tensor-type-file rules
    run 0 convert "$model" -o f.gguf --type f16
    wrong 3 'f.gguf: found no quantized tensors' --like f.gguf
    wrong 3 'expected that' --like "$text"
    mkdir other && cp "$model"/tokenizer*.json other
    sed -E 's/("hidden_size"): *[0-9]*/\1: 128/; s/("head_dim"): *[0-9]*/\1: 32/' \
        "$model/config.json" >other/config.json
    "${AR_RANDOM_MODEL:?}" other || die 'no other model'
    run 0 quantize other -o other.gguf --method rtn -q
    wrong 3 'other.gguf: tensor token_embd.weight: found (' --like other.gguf
    nothing_left w.gguf w.gguf.part
}

case_budget() { # bits where they count, in a file and in a folder
    mkdir small && cp "$model"/tokenizer*.json small
    sed -E 's/("hidden_size"): *[0-9]*/\1: 64/; s/("head_dim"): *[0-9]*/\1: 32/
        s/("num_(attention|key_value)_heads"): *[0-9]*/\1: 2/
        s/("intermediate_size"): *[0-9]*/\1: 96/' "$model/config.json" >small/config.json
    "${AR_RANDOM_MODEL:?}" small || die 'no model'
    budget=(quantize small --method search --samples 2 --seqlen 32 "${calib[@]}")
    run 0 "${budget[@]}" -o a.gguf --bpw 5 --types q8_0,q4_0,q5_0 --report r.html
    says 'widths: .* x q4_0, .* x q5_0.*; \(4.9[5-9][0-9]\|5.000\) bits per weight'
    grep -q 'x q5_0' r.html || die 'no widths in the report'
    run 0 "${budget[@]}" -o b.gguf --bpw 5 --types q4_0,q5_0,q8_0 -q
    cmp a.gguf b.gguf || die 'the same budget gives another file'
    run 0 "${budget[@]}" -o g.gguf --bpw 5 --types q4_0,q5_0,q8_0 --sensitivity gradient
    says 'widths: .* bits per weight; first-order loss [0-9.e+-]* if rounded alone'
    run 0 "${budget[@]}" -o h.gguf --bpw 5 --types q4_0,q5_0,q8_0 --sensitivity gradient -q
    cmp g.gguf h.gguf || die 'the same budget by gradients gives another file'
    run 0 "${budget[@]}" -o c.gguf --size 172K --types q4_0,q5_0 -q
    bytes=$(stat -c %s c.gguf)
    [ "$bytes" -le 176128 ] && [ "$bytes" -ge 175247 ] || die "$bytes bytes of 172K"
    run 0 "${budget[@]}" -o f --format auto_round --asym --group 32 --bpw 3.7 --types 3,4 -q
    run 0 eval f --text "$text" --max-windows 1 -q
    run 0 info f
    for block in 0 1 2; do # q, k and v are fused by loaders, gate and up too
        for parts in '[qkv]_proj' '(gate|up)_proj'; do
            [ "$(grep -E "layers\.$block\..*$parts" out | awk '{ print $2 }' | sort -u | wc -l)" = 1 ] ||
                die "$parts of block $block differ"
        done
    done
    grep -q auto_round3g32 out && grep -q auto_round4g32 out || die 'expected 3 and 4 bits'
    wrong() { run "$1" "${budget[@]}" -o w.gguf -q "${@:3}"; says "$2"; }
    wrong 2 'found 4, expected at least 4.5, which q4_0 everywhere takes (--bpw)' --bpw 4 --types q4_0,q8_0
    wrong 2 "sensitivity: found 'x', expected kl or gradient" --bpw 5 --types q4_0,q8_0 --sensitivity x
    wrong 2 'sensitivity has no effect without --bpw or --size' --sensitivity kl
    wrong 2 'expected at least .*, which q4_0 everywhere takes (--size)' --size 10K --types q4_0,q8_0
    wrong 2 "found 'q9', expected q4_0 to q8_0 or q2_k to q6_k (--types)" --bpw 3 --types q2_k,q9
    wrong 2 'found 1, expected at least two' --bpw 3 --types q2_k
    wrong 2 -- '--bpw and --size: expected one' --bpw 3 --size 1M
    run 2 quantize "$model" -o w.gguf --bpw 3 --method rtn; says 'bpw is not for --method rtn'
    wrong 2 -- '--types has no effect without --bpw or --size' --types q2_k,q3_k
    wrong 2 -- '--bits has no effect with --bpw' --bpw 3 --bits 4
    wrong 2 -- '--bpw is not for --method rtn' --bpw 3 --method rtn --samples 4
    run 2 quantize "$model" -o w.gguf --bpw 3; says 'needs --calib FILE'
    run 2 "${budget[@]}" -o w --format awq --bpw 3; says 'format awq has one for all linears'
    nothing_left w w.gguf w.gguf.part w.part
}

case_passport() { # what files say of their quality, and whether it holds
    head -c 4000 "$text" >part.txt
    text=$dir/part.txt
    run 0 quantize "$model" -o b --format auto_round,gguf --bits 2 --group 32 --widen --method rtn \
        --eval "$text" -q
    for file in b/auto_round b/model.gguf; do
        run 0 verify "$file" --ref "$model" --text "$text" -q
        grep -q '^kl  *recorded 0\.[0-9]* *found 0\.[0-9]*$' out || { cat out >&2; die "verify $file"; }
        run 0 verify "$file" --ref "$model" --text "$text" -q --json
        grep -q '"holds":true' out || die "$file"
        run 0 info "$file"; grep -q 'measured.*part.txt' out || die "$file says nothing of its text"
    done
    # another model behind the same words; a word changed; another text; none at all
    run 0 quantize "$model" -o c --format auto_round --bits 4 --group 32 --method rtn -q
    cp b/auto_round/anyround.json c
    run 5 verify c --ref "$model" --text "$text" -q; says 'c: kl.*: found other figures'
    sed -i 's/"ppl":[[:space:]]*[0-9.]*,/"ppl": 1.5,/' b/auto_round/anyround.json
    run 5 verify b/auto_round --ref "$model" --text "$text" -q; says ': ppl: found other figures'
    head -c 3500 "$text" >other.txt
    run 2 verify b/model.gguf --ref "$model" --text other.txt -q
    says 'expected part.txt with the hash'
    run 3 verify "$model" --ref "$model" --text "$text"; says 'holds no measured figures'
    echo '{"measured":{"kl":"much"}}' >c/anyround.json
    run 3 verify c --ref "$model" --text "$text"; says 'c/anyround.json'
    run 2 verify c --ref "$model"; says 'text FILE are needed'
    head -c 100 "$text" >short.txt
    run 2 quantize "$model" -o w.gguf --method rtn --eval short.txt -q
    says 'expected at least one window of 512'
    run 1 quantize "$model" -o w.gguf --method rtn --eval none.txt -q; says 'none.txt'
    nothing_left w.gguf w.gguf.part
}

case_imatrix() { # what inputs count, written and taken
    run 0 imatrix "$model" "${calib[@]}" -o i.gguf --samples 4 --seqlen 64 --json -q
    grep -q '"samples":[[:space:]]*4' out || die 'no JSON'
    run 0 info i.gguf; grep -q '^i.gguf: a GGUF file, imatrix$' out || die 'info does not say what it is'
    grep -q '^  blk.0.attn_q.weight.in_sum2 .* (256)' out || die 'info without its tensors'
    run 0 info i.gguf --json; grep -q '"blk.2.ffn_down.weight.counts"' out || die 'JSON without its tensors'
    size=(--method search --type q2_k -q)
    run 0 quantize "$model" -o a.gguf "${size[@]}" --imatrix i.gguf
    run 0 info a.gguf; grep -q 'anyround.calibration.*imatrix [0-9a-f]\{16\}' out || die 'not in the passport'
    run 0 quantize "$model" -o b.gguf "${size[@]}" --samples 4 --seqlen 64 "${calib[@]}"
    same_weights a.gguf b.gguf || die 'moments that are read are others'
    run 0 quantize "$model" -o c.gguf --type q4_0 --iters 2 --batch 2 --samples 4 --seqlen 32 "${calib[@]}" \
        --imatrix i.gguf -q
    wrong() { run "$1" quantize "$model" -o w.gguf -q "${@:3}"; says "$2"; }
    wrong 2 'imatrix has no effect with --method rtn' --method rtn --imatrix i.gguf
    wrong 2 'imatrix has no effect with --method signround' --method signround --type q4_0 --imatrix i.gguf
    wrong 2 'imatrix has no effect with --type f16' --type f16 --imatrix i.gguf
    wrong 2 'calib has no effect with --imatrix' --method search --imatrix i.gguf "${calib[@]}"
    run 0 quantize "$model" -o w.gguf --method search --imatrix i.gguf "${calib[@]}" --finish scales \
        --samples 4 --seqlen 32 --dry-run -q # which reads samples
    wrong 3 'a.gguf: general.type: found no imatrix' --method search --imatrix a.gguf
    wrong 3 "$text: found" --method search --imatrix "$text"
    wrong 1 'none: cannot open' --method search --imatrix none
    head -c 3000 i.gguf >cut.gguf; wrong 3 'cut.gguf: ' --method search --imatrix cut.gguf
    sed 's/attn_k/attn_j/g' i.gguf >j.gguf
    wrong 3 'tensor blk.0.attn_k.weight: missing' --method search --imatrix j.gguf
    run 2 imatrix "$model" -o i.gguf; says 'calib FILE and -o FILE are needed'
    run 1 imatrix "$model" "${calib[@]}" -o "$text"; says 'calibration text'
    nothing_left w.gguf w.gguf.part
}

case_recipes() { # as methods have them, on a model of two tiny layers whose context is 40
    tiny_model=$root/tests/golden/families/llama
    while read -r recipe bits iters lr samples; do
        run 0 quantize "$tiny_model" -o "$recipe-$bits" --method signround --recipe "$recipe" --bits "$bits" \
            --group 32 --format auto_round -q
        holds "$recipe-$bits" iters "$iters" lr "$lr" minmax_lr "$lr" nsamples "$samples" seqlen 40 \
            batch_size 8
    done < <(printf '%s\n' 'light 4 50 0.005 128' 'light 2 50 0.005 128' 'default 2 200 0.005 128' \
        'best 4 1000 0.001 512' 'best 2 1000 0.002 512')
    # options win, and a rate of the recipe belongs to its steps
    run 0 quantize "$tiny_model" -o own --method signround --recipe light --iters 4 --samples 16 --seqlen 8 \
        --minmax-lr 0.1 --group 32 --format auto_round -q
    holds own iters 4 lr 0.25 minmax_lr 0.1 nsamples 16 seqlen 8 batch_size 8
    # samples are as long as the recipe says where the context is longer
    cp -r "$model" long && sed 's/"max_position_embeddings": *[0-9]*/"max_position_embeddings": 4096/' \
        "$model/config.json" >long/config.json
    head -c 400 "$text" >short.txt
    for recipe in light default best; do
        run 2 quantize long -o o --recipe $recipe --calib short.txt; says 'at least one sample of 2048'
    done
    # and flags say what they say
    flags=(quantize "$tiny_model" --iters 2 --samples 4 --seqlen 8 --batch 2 --group 32 --format fake -q)
    run 0 "${flags[@]}" -o with --report with.html
    run 0 "${flags[@]}" -o without --report without.html --no-minmax --no-quantized-input
    for field in minmax 'quantized input'; do
        grep -q "<td>$field</td><td>yes</td>" with.html || die "$field is not the default"
        grep -q "<td>$field</td><td>no</td>" without.html || die "$field is not off"
    done
    run 0 "${flags[@]}" -o plain --loss plain --report plain.html --json
    grep -q '"loss":.*"plain"' out || die 'the loss is not in the JSON'
    grep -q '<td>loss</td><td>plain</td>' plain.html || die 'the loss is not in the report'
    grep -q '<td>loss</td><td>shift</td>' with.html || die 'shift is not the default'
    grep -q '<td>loss</td><td>plain</td>' without.html || die 'shift without quantized input'
}

case_model() {
    run 1 info "$dir/absent"
    mkdir bad && cp "$model"/* bad/
    echo '{"model_type": "mamba"}' >bad/config.json
    run 3 info bad; says mamba
    sed 's/"hidden_size": *[0-9]*/"hidden_size": -4/' "$model/config.json" >bad/config.json
    run 3 quantize bad -o o --method rtn; says hidden_size
    cp "$model/config.json" bad/; head -c 100 "$model/model.safetensors" >bad/model.safetensors
    run 3 info bad; says model.safetensors
    cp "$model/model.safetensors" bad/; echo '{"model": {"type": "Unigram"}}' >bad/tokenizer.json
    run 3 eval bad --text "$text"; says Unigram
    echo 'not json' >bad/tokenizer.json
    run 3 eval bad --text "$text"
    nothing_left o o.part
}

case_text() {
    printf 'fine \xff\xfe not fine' >broken.txt
    run 3 eval "$model" --text broken.txt; says 'UTF-8'
    run 1 eval "$model" --text absent.txt
    printf 'too short' >short.txt
    run 2 eval "$model" --text short.txt
    says 'short.txt: found 3 tokens, expected at least one window of 512 (--window N for smaller ones)'
    run 2 eval "$model" --text short.txt --window 600; says '^note: windows have 512 tokens, the model'
    run 2 eval "$model" --text - < <(cat short.txt); says '/dev/stdin: found 3 tokens'
    run 2 eval "$model" --text - <short.txt; says '/dev/stdin: found 3 tokens'
    run 2 quantize "$model" -o o --calib - --calib -; says 'calib and --calib: found - twice'
    run 3 quantize "$model" -o o --calib broken.txt; says 'UTF-8'
    nothing_left o o.part
}

case_convert() {
    run 0 convert "$model" -o m.gguf
    run 0 convert m.gguf -o back --format hf
    run 0 convert back -o again.gguf --json
    grep -q '"out":[[:space:]]*"again.gguf"' out && grep -q '"bytes":[[:space:]]*[1-9]' out || die 'no JSON'
    cmp m.gguf again.gguf || die "the second GGUF file differs"
    run 1 convert m.gguf -o nowhere/x; says 'does not exist'
    run 3 convert /dev/null -o x.gguf
    # ids that GGUF would change: a remark with the cause, or with --strict an error before the work
    cp -r "$model" other
    sed 's/"byte_fallback": *true/"byte_fallback": false/' "$model/tokenizer.json" >other/tokenizer.json
    run 5 convert other -o o.gguf --strict; says 'GGUF cannot say: no byte fallback (--strict)'
    run 5 quantize other -o o.gguf --method rtn --strict; says 'other ids for .* of .* texts, first for'
    [ -e o.gguf ] && die 'written all the same'
    run 0 convert other -o o.gguf; says 'note: other: as a GGUF file it gives other ids'
    run 0 convert "$model" -o o.GGUF --strict --type BF16; grep -q ', bf16,' out || die 'not bf16'
    rm o.gguf o.GGUF && rm -r other
    only again.gguf back err m.gguf out
}
