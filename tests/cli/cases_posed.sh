# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# GPUs that nobody here has, posed by tests/env/posing_icd.c: facts, choices and numbers of the kernels for
# their instructions.

shows() { grep -q -- "$1" out || { cat out >&2; die "expected '$1' in the output"; }; }
# tried POSE CASE ARGUMENT...: the selftest's cases of that name, of products rounded to fp16
tried() {
    AR_POSE=$1 run "$expected" selftest --device cl --no-cache -v --kernel "$2" "${@:3}"
}

case_posed() { # what they report, one product, and that a wrong one is found
    posing
    local expected=0
    AR_POSE=arc run 0 devices -q
    shows 'has matrix hardware: fp16 products of 8x8x16, summed in f32'
    shows 'subgroup 8..32'
    AR_POSE=max run 0 devices -q
    shows 'has matrix hardware: fp16 products of 8x16x16, summed in f32'
    AR_POSE=adreno run 0 devices -q
    shows 'has integer dot'
    shows 'subgroup 64..128'
    shows 'kernel gemv_bytes=gemv_bytes_dot'
    tried arc 'linear(131, 97, 157, 0, 0, 1)' --precision f16 --variant gemm=gemm_coop
    shows '^ok *gemm_coop .*error 0, bound'
    expected=5
    tried arc-wrong 'linear(131, 97, 157, 0, 0, 1)' --precision f16 --variant gemm=gemm_coop
    shows '^FAIL *gemm_coop'
}

case_posed_all() { # every kernel for such an instruction, and a model's figures by them
    posing
    local expected=0 pose kernel
    for pose in arc max; do
        for kernel in gemm_coop attention_coop attention_dq_coop attention_dkv_coop; do
            tried $pose $kernel --precision f16
        done
    done
    tried adreno gemv_bytes_dot
    expected=5
    tried arc-wrong attention_coop --precision f16
    tried adreno-wrong gemv_bytes_dot
    # one that counts wrongly gives way
    evaluate=(eval "$model" --text "$text" --window 32 --max-windows 2 --precision f16 --no-cache -q)
    AR_POSE=arc run 0 "${evaluate[@]}"; cp out right
    AR_POSE=arc-wrong run 0 "${evaluate[@]}"
    cmp <(cut -c1-8 out) <(cut -c1-8 right) || die 'wrong products were believed'
}
