#!/usr/bin/env bash
# half.sh PROGRAM DEVICE: the selftest of the kernels that round to fp16, and tuning by them: products,
# forward and backward, of rounded operands, by matrix hardware or OpenCL's plain code for it, give a KL
# within 2 % of the f32 run's, and not the same; operands rounded to bf16 do too. Exit 77 = skipped: no such
# device.
set -u
program=$1
device=(--device "$2")
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "FAILED: $*" >&2; exit 1; }
half=(--precision f16 --variant gemm=gemm_coop) # asked for: lavapipe's "hardware" is a processor
"$program" selftest "${device[@]}" "${half[@]}" --kernel gemm_coop -q >/dev/null 2>&1
code=$?
case $code$2 in
0*) ;;
4* | 2vk) echo 'skipped: no such device, or no matrix hardware'; exit 77 ;; # OpenCL has plain code for it
*) die "the selftest of gemm_coop: exit $code" ;;
esac
for kernel in attention_coop attention_d; do # the latter: gradients
    "$program" selftest "${device[@]}" --kernel $kernel -q >/dev/null 2>&1 || die "the selftest of $kernel"
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=${AR_TEST_CACHE:-$dir/cache}
cd "$dir" || exit 1
head -c 12000 "$root/examples/demo-heldout.txt" >seen.txt
tail -c +12001 "$root/examples/demo-heldout.txt" >unseen.txt

kl_of() { # kl_of OPTION...: of a model tuned so, measured in f32
    rm -rf tuned
    "$program" quantize "$root/examples/demo-model" -o tuned "${device[@]}" --method signround --format fake \
        --bits 2 --group 32 --asym --calib seen.txt --samples 32 --seqlen 64 --iters 40 -q "$@" \
        >/dev/null 2>err || { cat err >&2; die "exit $?"; }
    "$program" eval tuned "${device[@]}" --ref "$root/examples/demo-model" --text unseen.txt --window 128 \
        --json -q | sed -n 's/.*"kl":\([-0-9.e]*\).*/\1/p' | head -n 1
}
full=$(kl_of) || exit 1
rounded=$(kl_of "${half[@]}") || exit 1
echo "KL $full by f32, $rounded by f16"
[ "$rounded" != "$full" ] || die 'nothing was rounded'
brain=$(kl_of --precision bf16) || exit 1
echo "KL $brain by bf16"
[ "$brain" != "$full" ] && [ "$brain" != "$rounded" ] || die 'nothing was rounded to bf16'
for kl in "$rounded" "$brain"; do
    awk "BEGIN { exit !($full > 0 && $kl < 1.02 * $full && $kl > 0.98 * $full) }" ||
        die 'KL by rounded operands is not within 2 % of that by f32'
done
