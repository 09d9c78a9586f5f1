#!/usr/bin/env bash
# gpu.sh [--small] [--device NAME]... [-o FOLDER] [--program FILE] [--budget SECONDS]
# Builds anyround and measures what only a real card can tell, within eight minutes a device: all kernel
# variants, the roof, the kernels (with fp16 or matrix hardware under --precision f16 as well), a SignRound
# step of an 8 B-shaped block and its device memory (in f32, f16, and f16 in 6 GB), prompts and tokens of a
# 1 B-shaped random model, first token and step, estimates, tile parameters, and PyTorch where it is
# installed.
# Nobody needs to watch: a part that fails or takes too long is noted and the rest goes on. Results are JSON
# files in FOLDER/<device>/ (bench/results), one a part, and summary.json with what became of each; messages
# lie beside them (.log). Exit 0 if all parts succeeded, 1 if one did not, 2 for wrong usage, 4 without a
# device.
#   --small    sizes for processors: the same parts within a few minutes
#   --device   as anyround's; several are measured one after the other. Without: all that are not processors,
#              with --small all
#   --program  this one is measured, nothing is built
#   --budget   seconds that a device gets (480): the part that meets the end is stopped, others are skipped
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
here=$PWD
small=0 devices=() results=$root/bench/results program="" budget=480
usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
        --small) small=1 ;;
        --device | -o | --program | --budget)
            [ $# -ge 2 ] || usage
            case $1 in
                --device) devices+=("$2") ;;
                -o) results=$2 ;;
                --program) program=$2 ;;
                --budget) budget=$2 ;;
            esac
            shift ;;
        *) usage ;;
    esac
    shift
done

case $results in /*) ;; *) results=$here/$results ;; esac
case $program in "" | /*) ;; *) program=$here/$program ;; esac
cd "$root" || exit 1

now() { date +%s; }

build() {
    local folder=build-gpu
    cmake -S . -B $folder -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF &&
        cmake --build $folder -j"$(nproc)" --target anyround
}
if [ -z "$program" ]; then
    began=$(now)
    mkdir -p "$results" || exit 1
    if ! build >"$results/build.log" 2>&1; then
        tail -n 5 "$results/build.log" >&2
        echo "gpu.sh: the build failed, see $results/build.log" >&2
        exit 1
    fi
    rm -f "$results/build.log"
    program=$root/build-gpu/anyround
    echo "build: $(($(now) - began)) s"
fi

if [ ${#devices[@]} = 0 ]; then
    # A device's name stands first in its line, its kind first in the next one.
    while read -r name; do devices+=("$name"); done < <("$program" devices -q 2>/dev/null |
        awk -v all=$small 'name != "" && (all || $1 != "CPU,") { print name }
            { name = /^(vk|cl):[0-9]/ ? $1 : "" }')
fi
if [ ${#devices[@]} = 0 ]; then
    echo "gpu.sh: no device of the kind asked for; --device names one, --small takes processors" >&2
    exit 4
fi

if [ $small = 1 ]; then
    kernels=(--shapes tiny --n "1,64" --types "Q4_0,Q4_K,Q8_0,F16")
    halves=(--shapes tiny --n 64 --types Q4_0)
    block=(--dim 256 --hidden 512 --heads 4 --kv-heads 2 --seq 64 --batch 2 --steps 3)
    size=tiny prompts=(--pp 64 --tg 16 --reps 2) estimate=(--pp 64 --tg 16 --seq 64 --batch 2)
    tune=5 first=240 six=64M peer=(256 512 4 2 64 2)
else
    kernels=(--shapes "1b,8b" --n "1,512" --types "Q4_0,Q4_K,Q8_0,F16")
    halves=(--shapes "1b,8b" --n 512 --types "Q4_0,Q4_K")
    block=(--dim 4096 --hidden 14336 --heads 32 --kv-heads 8 --seq 2048 --batch 8 --steps 4)
    size=1b prompts=(--pp 512 --tg 128 --reps 3) estimate=(--pp 512 --tg 128 --seq 512 --batch 4)
    tune=45 first=90 six=5720M peer=(4096 14336 32 8 2048 8)
fi

failed=0
# part NAME SECONDS COMMAND...: its stdout is NAME.json.
part() {
    local name=$1 limit=$2 began code left
    shift 2
    began=$(now)
    left=$((budget - (began - start)))
    [ "$limit" -le $left ] || limit=$left
    rm -f "$out/$name.json" "$out/$name.log"
    if [ $left -le 0 ]; then
        code=124 text=skipped
    else
        timeout -k 5 "$limit" "$@" >"$out/$name.json" 2>"$out/$name.log" </dev/null
        code=$?
        case $code in
            0) text=ok ;;
            77) text=unsupported ;;
            124 | 137) text=timeout ;;
            *) text=failed ;;
        esac
    fi
    [ -s "$out/$name.log" ] || rm -f "$out/$name.log"
    [ -s "$out/$name.json" ] || rm -f "$out/$name.json"
    [ $text = ok ] && rm -f "$out/$name.log"
    [ $text = ok ] || [ $text = unsupported ] || failed=1
    printf '%-14s %-11s %4d s\n' "$name" $text $(($(now) - began))
    parts+=("$(printf '{"part": "%s", "outcome": "%s", "exit": %d, "seconds": %d}' "$name" $text $code \
        $(($(now) - began)))")
}

# count_cases FILE: of a selftest without failures the number of cases, and what the device cannot run.
count_cases() {
    awk '/"passed"/ { n++ } /"kernel"/ { split($0, a, "\""); kernel = a[4] }
        /"skipped"/ { split($0, a, "\""); lacks = lacks (lacks == "" ? "" : ", ") "\"" kernel " " a[4] "\"" }
        END { printf "{\"format_version\": 1, \"passed\": %d, \"failed\": 0, ", n
              printf "\"lacks\": [%s]}\n", lacks }' "$1" >"$1.short" && mv "$1.short" "$1"
}

# Products in fp16: by matrix hardware or by tiles of halves.
has_f16() {
    "$program" devices --json -q 2>/dev/null |
        awk -v d="\"$device\"," '$1 == "\"device\":" { mine = $2 == d }
        mine && $2 == "true," && /"(matrix_hardware|fp16_arithmetic)":/ { found = 1 }
        END { exit !found }'
}

measure() { # of $device into $out
    local at=(--device "$device" -q --json)
    part selftest 120 "$program" selftest "${at[@]}"
    if [ "$text" = ok ]; then count_cases "$out/selftest.json"; fi
    part kernels 150 "$program" bench "${kernels[@]}" "${at[@]}"
    if has_f16; then
        part kernels_f16 60 "$program" bench "${halves[@]}" --ops linear,product,attention,peak_matrix \
            --precision f16 "${at[@]}"
    fi
    part step_f32 150 "$program" bench --tune "${block[@]}" "${at[@]}"
    part step_f16 100 "$program" bench --tune "${block[@]}" --precision f16 "${at[@]}"
    part step_6gb 100 "$program" bench --tune "${block[@]}" --precision f16 --vram $six "${at[@]}"
    for type in q4_0 q4_k; do
        part model_$type 60 "$program" bench --model "random:$size:$type" "${prompts[@]}" "${at[@]}"
    done
    part first $first "$program" bench --first examples/demo-model --seq 64 --batch 2 "${at[@]}"
    part estimate 60 "$program" bench --estimate "random:$size:q4_0" "${estimate[@]}" "${at[@]}"
    part tiles $((2 * tune + 30)) "$program" tune-kernels --budget $tune --tuning "$out/tiles.jsonl" \
        "${at[@]}"
    part pytorch 90 python3 bench/peer_torch.py "${peer[@]}"
}

# folder DEVICE: its name and API, or the software's that lends a processor.
folder() {
    "$program" devices -q 2>/dev/null | awk -v d="$1" '
        found { print name "-" substr(d, 1, 2)
                if (/driver llvmpipe/ && match($0, /version [0-9]+\.[0-9]+/))
                    print "llvmpipe-" substr($0, RSTART + 8, RLENGTH - 8)
                if (/driver Portable Computing Language/ && match($0, /version [0-9]+\.[0-9]+/))
                    print "pocl-" substr($0, RSTART + 8, RLENGTH - 8)
                exit }
        $1 == d { found = 1; sub(/^[^ ]+ +/, ""); name = $0 }' |
        tail -n 1 | tr -cs 'A-Za-z0-9.\n' '-' | cut -c 1-60
}

for device in "${devices[@]}"; do
    name=$(folder "$device")
    out=$results/${name:-device-${device%%:*}}
    case $device in *:[1-9]*) out=$out-${device##*:} ;; esac # another of the same name
    mkdir -p "$out" || exit 1
    start=$(now)
    parts=()
    echo "$device: $out"
    measure
    {
        printf '{"format_version": 1, "device": "%s", "small": %s, "seconds": %d, "parts": [\n' "$device" \
            "$([ $small = 1 ] && echo true || echo false)" $(($(now) - start))
        for i in "${!parts[@]}"; do
            printf '%s%s\n' "${parts[i]}" "$([ "$i" = $((${#parts[@]} - 1)) ] || echo ,)"
        done
        echo ']}'
    } >"$out/summary.json"
done
exit $failed
