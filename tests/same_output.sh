#!/usr/bin/env bash
# same_output.sh [OPTION...] OLD_COMMIT [PROGRAM]: does the program still give what it gave at OLD_COMMIT?
#
# Builds OLD_COMMIT (its files, in a temporary folder) and the tree that this script stands in, or takes
# PROGRAM for the latter; makes a fixed list of runs with both, on Vulkan, on OpenCL and without a device;
# and compares SHA-256 of every file and text that comes out. What is tuned has the same bytes on one
# machine with one driver only, so no sums are kept in the repository. Models and texts are this tree's for
# both programs. Nine minutes on two cores, four where --cache has the lists of OLD_COMMIT.
#
#   --cache FOLDER   keep the lists of OLD_COMMIT, and compiled kernels, in FOLDER. A list is used again for
#                    these very runs, these models and this processor. Lists that --only cut are not kept.
#                    Several comparisons at a time may share it.
#   --device D       vk, cl or none (convert and info) alone
#   --only REGEX     only runs whose name matches, such as 'gptq|families/phi3'
#   --list           print the names of the runs
#   --jobs N         runs at a time (2)
#
# The runs: rounding to nearest and SignRound of a few steps in every format and GGUF type, of the demo
# model and of TinyStories-656K ($AR_SHARED or ../shared, left out without it), perplexity and greedy text
# of what was rounded, options of quantize, the protocols of eval, run, info, and for every family its tiny
# model there and back through GGUF, and, with as many tokens as the demo's tokenizer has, rounded, tuned,
# evaluated and run.
# Left out of JSON and reports: times, speeds, the device's memory, the version.
#
# Exit: 0 all equal; 1 something differs or fails now (each run is named, of 20 texts the difference shown);
# 2 nothing could be compared: wrong usage, no build, no device, or OLD_COMMIT's program cannot do a run.
# Needs git, python3 and what the build needs.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=${AR_SHARED:-$root/../shared}/data
script=$root/tests/same_output.sh

say() { printf 'same_output: %s\n' "$*"; }
die() { printf 'same_output: %s\n' "$*" >&2; exit 2; }

# ---- what is run ----

# These print lines "NAME FUNCTION ARGUMENT...", one per run; a FUNCTION is one of the section below. MODEL is
# a folder of inputs: demo, stories, tiny-FAMILY, wide-FAMILY.
tuned='--iters 4 --lr 0.02 --samples 4 --seqlen 32 --batch 2 --select last --calib in/text'
plain='q4_0 q4_1 q5_0 q5_1 q8_0'
supers='q2_k q2_k_s q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k'

holding() { # holding BITS SCHEME: the folder formats that can store it
    echo "auto_round gptq gptq_v2"
    [ "$1" != 4 ] || echo "auto_round_awq awq"
    case $1 in 4 | 8) echo compressed_tensors ;; esac
}

list_rtn() { # list_rtn MODEL
    local bits scheme format group type to
    for bits in 2 3 4 8; do
        for scheme in sym asym; do
            for format in $(holding $bits); do
                to="--format $format --bits $bits --group 32 --$scheme"
                echo "$1/rtn/$format-w$bits-g32-$scheme rounded $1 $to"
            done
        done
    done
    for format in $(holding 4); do
        for group in 128 -1; do
            echo "$1/rtn/$format-w4-g$group-sym rounded $1 --format $format --group $group"
        done
    done
    for bits in 2 3 4 5 6 7 8; do
        for scheme in sym asym; do
            echo "$1/rtn/fake-w$bits-g48-$scheme rounded $1 --format fake --bits $bits --group 48 --$scheme"
        done
    done
    for type in $plain $supers q3_k q4_k q5_k f16 bf16 f32; do
        case $type in
            f* | bf*) echo "$1/float/gguf-$type quantized $1 --type $type" ;;
            *) echo "$1/rtn/gguf-$type rounded $1 --type $type" ;;
        esac
    done
    for group in 64 128 -1; do echo "$1/rtn/gguf-q4_1-g$group rounded $1 --type q4_1 --group $group"; done
    while read -r type bits; do
        echo "$1/rtn/gguf-$type-w$bits rounded $1 --type $type --bits $bits --widen"
    done < <(printf '%s\n' 'q4_0 2' 'q4_0 3' 'q4_1 3' 'q5_0 4' 'q5_0 2' 'q5_1 2' 'q5_1 3' 'q8_0 3' 'q8_0 4')
}

list_tuned() { # list_tuned MODEL: one tuning for all formats that share its values
    local bits scheme formats type to
    for bits in 2 3 4 8; do
        for scheme in sym asym; do
            formats=$(holding $bits | tr '\n' ' ' | sed 's/ $//; s/ /,/g')
            to="--format $formats --bits $bits --group 32 --$scheme"
            echo "$1/tuned/folders-w$bits-$scheme quantized $1 $tuned $to"
        done
        # without gptq, which narrows the zero points of all
        to="--format auto_round,fake --bits $bits --group 64 --asym"
        echo "$1/tuned/auto_round-w$bits-g64 quantized $1 $tuned $to"
    done
    for bits in 5 6 7; do
        echo "$1/tuned/fake-w$bits quantized $1 $tuned --format fake --bits $bits --group 48 --asym"
    done
    for type in $plain; do echo "$1/tuned/gguf-$type quantized $1 $tuned --type $type"; done
    # whose ranges move slowly and are whole numbers: at a rate that moves them
    for type in $supers; do echo "$1/tuned/gguf-$type quantized $1 ${tuned/0.02/0.25} --type $type"; done
    echo "$1/tuned/gguf-q4_0-w2 quantized $1 $tuned --type q4_0 --bits 2 --widen"
    echo "$1/tuned/gguf-q5_1-w3-g128 quantized $1 $tuned --type q5_1 --bits 3 --widen --group 128"
    echo "$1/tuned/gguf-q8_0-w4-row quantized $1 $tuned --type q8_0 --bits 4 --widen --group -1"
}

list_options() { # list_options MODEL: what else decides the result of quantize
    local short='--samples 4 --seqlen 32 --batch 2' name options source
    while read -r name options; do
        case $options in *--calib*) ;; *) options+=' --calib in/text' ;; esac
        echo "$1/options/$name reported $1 $short $options"
    done <<'ROWS'
defaults --iters 4
last --iters 4 --select last
asym --iters 4 --format auto_round --bits 2 --group 32 --asym --select last
k_types --iters 4 --type q4_k_m --select last
heldout --iters 6 --lr 0.02 --heldout 2
batch --iters 6 --lr 0.02 --select batch
adam --iters 4 --optimizer adam --lr 0.01 --select last
state_f32 --iters 4 --lr 0.02 --state f32 --select last
state_i32 --iters 4 --lr 0.02 --state i32 --select last
state_i16 --iters 4 --lr 0.02 --state i16 --select last
no_minmax --iters 4 --lr 0.02 --no-minmax --select last
minmax_lr --iters 4 --lr 0.02 --minmax-lr 0.002 --select last
k_minmax_lr --iters 4 --lr 0.02 --minmax-lr 0.002 --type q2_k --select last
k_adam --iters 4 --lr 0.01 --optimizer adam --type q3_k_m --select last
float_input --iters 4 --lr 0.02 --no-quantized-input --select last
blocks --iters 4 --lr 0.02 --blocks 1 --select last
seed --iters 4 --lr 0.02 --seed 7 --select last
submit_ms --iters 4 --lr 0.02 --submit-ms 1 --select last
vram --iters 4 --lr 0.02 --vram 24M --select last
two_kinds --iters 4 --lr 0.02 --format gguf,auto_round,fake --group 32 --select last
light --recipe light --type q4_1
self --iters 4 --lr 0.02 --select last --calib self
ROWS
    echo "$1/options/ends rounded $1 --type q4_0 --embedding-type q4_k --head-type q5_1"
    echo "$1/options/ends_float rounded $1 --type q2_k --embedding-type f16 --head-type bf16"
    echo "$1/options/method quantized $1 --method rtn --type q4_0"
    for source in f16 'gguf q5_k_m' 'auto_round 4' 'gptq 3' 'awq 4' 'compressed_tensors 8'; do
        echo "$1/sources/${source/ /-} again $1 $source"
    done
}

list_use() { # list_use MODEL
    local protocol
    for protocol in window lines llamacpp; do echo "$1/eval/$protocol evaluated $1 $protocol"; done
    echo "$1/run greedy $1"
    echo "$1/chat chatted $1"
}

list() { # list DEVICE
    local folder family type model
    for folder in "$inputs"/tiny-*; do
        family=${folder##*/tiny-}
        if [ "$1" = none ]; then
            for type in f32 f16 bf16; do
                echo "families/$family/convert-$type there_and_back tiny-$family $type"
                echo "families/$family/convert-$type-tokens there_and_back wide-$family $type"
            done
            echo "families/$family/info informed tiny-$family"
        else
            model=wide-$family
            echo "families/$family/use spoken $model"
            echo "families/$family/rtn-fake rounded $model --format fake --group 32"
            echo "families/$family/rtn-gptq rounded $model --format gptq --group 32 --bits 3"
            [ "$family" = gpt2 ] || # whose products lie the other way
                echo "families/$family/rtn-awq rounded $model --format awq --group 16 --asym"
            echo "families/$family/tuned quantized $model $tuned --format auto_round,fake --group 16 --asym"
            echo "families/$family/self quantized tiny-$family --iters 4 --lr 0.02 --select last" \
                "--samples 4 --seqlen 16 --batch 2 --format gptq --group 32"
            [ "$family" != opt ] || continue # which GGUF has no architecture for
            echo "families/$family/rtn-q4_0 rounded $model --type q4_0"
            echo "families/$family/rtn-q8_0 rounded $model --type q8_0 --group -1"
            echo "families/$family/tuned-q4_1 quantized $model $tuned --type q4_1"
        fi
    done
    for model in demo stories; do
        [ -d "$inputs/$model" ] || continue
        if [ "$1" = none ]; then
            for type in f32 f16 bf16; do echo "$model/convert-$type there_and_back $model $type"; done
            echo "$model/info informed $model"
        else
            list_rtn $model
            list_tuned $model
            list_options $model
            list_use $model
        fi
    done
}

# ---- one run: in a folder of its own, where in/ are the inputs; what lies in out/ and texts/ counts ----

anyround() { # stdout is the caller's; a failure ends the run
    "$program" "$@" -q 2>>stderr </dev/null || exit 1
}
on_device() { anyround "$@" --device "$device"; }
# Without the options in JSON, which older programs do not print; reports have them.
timeless() { # timeless NAME: stdin without times, speeds, memory and version is the text NAME
    local number='-?[0-9][-+.0-9e]*' keys='seconds|[a-z]*_tps|[a-z]*_gbs|device_high_water|device_budget'
    sed -E "s/\"($keys)\":([[:space:]]*)$number/\"\1\":\2-/g
        /^\t\"options\":/,/^\t\}/d
        s|(<td>[0-9.]+</td>){2}</tr>\$|</tr>|; /<td>(vram|version)<\/td>/d" >"texts/$1"
}
output() { # output OPTION...: where to
    case " $* " in *' --format '*) echo out/m ;; *) echo out/m.gguf ;; esac
}
quantized() { # quantized MODEL OPTION...
    on_device quantize "in/$1" -o "$(output "$@")" "${@:2}" --json >json
    timeless quantize.json <json
}
reported() { # reported MODEL OPTION...
    quantized "$@" --report html
    timeless report.html <html
}
uses() { # uses FILE
    on_device eval "$1" --text in/text --window 32 --max-windows 2 --json >texts/eval.json
    on_device run "$1" -p 'Once upon a time' -n 12 --greedy --json >json
    timeless run.json <json
}
rounded() { # rounded MODEL OPTION...
    quantized "$@" --iters 0
    uses "$(output "$@")"
    anyround info "$(output "$@")" --json >texts/info.json
}
spoken() { # spoken MODEL
    local protocol evaluate=(eval "in/$1" --text in/text --window 32 --max-windows 3 --json)
    uses "in/$1"
    for protocol in lines llamacpp; do
        on_device "${evaluate[@]}" --protocol $protocol >texts/$protocol.json
    done
}
again() { # again MODEL FORMAT [TYPE|BITS]: a source that is no float folder
    local source=source
    case $2 in
        f16) source=source.gguf; anyround convert "in/$1" -o $source --type f16 ;;
        gguf) source=source.gguf; on_device quantize "in/$1" -o $source --type "$3" --iters 0 >/dev/null ;;
        *) on_device quantize "in/$1" -o source --format "$2" --bits "$3" --group 32 --iters 0 >/dev/null ;;
    esac
    uses $source
    on_device quantize $source -o out/m.gguf --iters 0 --type q4_1 >/dev/null
    on_device quantize $source -o out/m --iters 0 --format auto_round --bits 2 --group 64 >/dev/null
    anyround convert $source -o out/hf --format hf
}
evaluated() { # evaluated MODEL PROTOCOL
    local evaluate=(--text in/text --protocol "$2" --window 64 --json)
    on_device eval "in/$1" "${evaluate[@]}" --max-windows 8 >texts/whole.json
    on_device eval "in/$1" "${evaluate[@]}" --skip-windows 3 --max-windows 5 --batch 2 >texts/part.json
    on_device quantize "in/$1" -o coarse --format fake --bits 2 --group 32 --iters 0 >/dev/null
    on_device eval coarse "${evaluate[@]}" --max-windows 4 --ref "in/$1" >texts/ref.json
    [ "$2" != llamacpp ] ||
        on_device eval "in/$1" "${evaluate[@]}" --max-windows 2 --save-logits out/logits >texts/kept.json
}
greedy() { # greedy MODEL: and some that are drawn
    local run=(run "in/$1" -p 'Once upon a time there was')
    on_device "${run[@]}" -n 60 --greedy >texts/greedy.txt
    on_device "${run[@]}" -n 60 --temp 0 --ids >texts/temp_0.txt
    on_device "${run[@]}" -n 40 --greedy --repeat-penalty 1.3 >texts/penalty.txt
    on_device "${run[@]}" -n 60 --seed 3 >texts/drawn.txt
    on_device "${run[@]}" -n 40 --seed 3 --temp 1.5 --top-k 0 --top-p 0.9 --min-p 0 --json >json
    timeless hot.json <json
}
chatted() { # chatted MODEL
    local chat=(run "in/$1" -i -n 12 --greedy --system Sing --device "$device")
    printf 'Who is there?\n\nAnd who are you?\n' | "$program" "${chat[@]}" >texts/chat.txt 2>>stderr || exit 1
}
there_and_back() { # there_and_back MODEL TYPE
    local folder=in/$1
    if [ "${1#*-}" != opt ]; then
        anyround convert "$folder" -o out/m.gguf --type "$2"
        anyround convert out/m.gguf -o out/back
        anyround convert out/back -o out/again.gguf
        anyround info out/m.gguf --json >texts/gguf.json
        folder=out/back
    fi
    anyround convert "$folder" -o out/hf --format hf --type "$2"
    anyround info out/hf --json >texts/hf.json
}
informed() { # informed MODEL
    anyround info "in/$1" --json >texts/info.json
    anyround info "in/$1" >texts/info.txt
    anyround info "in/$1/model.safetensors" --json >texts/file.json
}

# ---- all runs of a program on a device ----

one() { # one NAME FUNCTION ARGUMENT...: its lines in $lists/NUMBER, its texts in $lists/texts/NAME
    local name=$1 folder=$work/run/$number file error=''
    mkdir -p "$folder/out" "$folder/texts" "$lists/texts/$name"
    ln -s "$inputs" "$folder/in"
    cd "$folder" || exit 1
    export XDG_CACHE_HOME=${cache:-$work}/kernels # of both programs
    ("${@:2}") || error=$(grep '^anyround: ' stderr | tail -n 1 | grep . || echo 'no error line')
    find out texts -type f | LC_ALL=C sort | while read -r file; do
        printf '%s %s %s\n' "$(sha256sum <"$file" | cut -d ' ' -f 1)" "$name" "$file"
    done >sums
    [ -s sums ] || error=${error:-nothing came out}
    if [ -n "$error" ]; then echo "FAILED $name $error" >sums; fi
    cp texts/* "$lists/texts/$name" 2>/dev/null
    mv sums "$lists/$number"
    rm -rf "$folder"
}

all_runs() { # all_runs PROGRAM DEVICE FOLDER AGE: FOLDER/list and FOLDER/texts
    local program=$1 device=$2 lists=$3 number=10000 running=0 words start=$SECONDS
    mkdir -p "$lists"
    while read -ra words; do
        if [ $running -ge "$jobs" ]; then wait -n; else running=$((running + 1)); fi
        one "${words[@]}" &
        number=$((number + 1))
    done < <(selected "$device")
    wait
    cat "$lists"/1* >"$lists/list" && rm "$lists"/1*
    [ "$(count_runs <"$lists/list")" = $((number - 10000)) ] || die "runs on $device were lost"
    say "$4: $((number - 10000)) runs on $device in $((SECONDS - start)) s"
}
count_runs() { cut -d ' ' -f 2 | uniq | wc -l; }
selected() { list "$1" | grep -E "^[^ ]*($only)[^ ]* "; }

# ---- inputs ----

# The embedding of SOURCE with ROWS rows: row r is row r mod n, turned by r / n elements.
widen() { # widen SOURCE DESTINATION ROWS
    mkdir "$2" && cp "$root"/examples/demo-model/tokenizer*.json "$2" &&
        sed -E "s/(\"vocab_size\": *)[0-9]*/\1$3/" "$1/config.json" >"$2/config.json" &&
        python3 - "$1/model.safetensors" "$2/model.safetensors" "$3" <<'PYTHON'
import json, struct, sys
with open(sys.argv[1], "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    data = f.read()
rows, out = int(sys.argv[3]), b""
for name, tensor in header.items():
    if name == "__metadata__":
        continue
    begin, end = tensor["data_offsets"]
    part = data[begin:end]
    if name.endswith((".embed_tokens.weight", ".wte.weight")) or name == "lm_head.weight":
        n, width = tensor["shape"]
        size, row = len(part) // (n * width), len(part) // n
        old = [part[i * row:(i + 1) * row] for i in range(n)]
        turn = [r // n % width * size for r in range(rows)]
        part = b"".join(old[r % n][turn[r]:] + old[r % n][:turn[r]] for r in range(rows))
        tensor["shape"] = [rows, width]
    tensor["data_offsets"] = [len(out), len(out) + len(part)]
    out += part
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[2], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + out)
PYTHON
}

make_inputs() {
    local folder family rows
    mkdir "$inputs"
    cp "$root/examples/demo-heldout.txt" "$inputs/text" || die 'no text'
    cp -r "$root/examples/demo-model" "$inputs/demo" || die 'no demo model'
    if [ -f "$data/tinystories-656K-hf/config.json" ]; then
        cp -rL "$data/tinystories-656K-hf" "$inputs/stories" && chmod -R u+w "$inputs/stories"
    else
        say "skipped: TinyStories-656K, as $data/tinystories-656K-hf is not there"
    fi
    rows=$(sed -n 's/.*"vocab_size": *\([0-9]*\).*/\1/p' "$inputs/demo/config.json")
    for folder in "$root"/tests/golden/families/*/; do
        family=$(basename "$folder")
        mkdir "$inputs/tiny-$family"
        cp "$folder"{config.json,model.safetensors} "$inputs/tiny-$family" || die "no model of $family"
        widen "$inputs/tiny-$family" "$inputs/wide-$family" "$rows" || die "no model of $family"
    done
}

# ---- programs, comparison ----

build() { # build SOURCE FOLDER: prints the program's path
    local options=(-DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF)
    if command -v ccache >/dev/null; then options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
    if ! { cmake -S "$1" -B "$2" "${options[@]}" && cmake --build "$2" -j "$jobs" --target anyround; } \
        >"$2.log" 2>&1; then
        tail -n 20 "$2.log" >&2
        die "cannot build $1"
    fi
    echo "$2/anyround"
}
old_program() {
    if [ -x "$work/old/anyround" ]; then return; fi
    mkdir "$work/source"
    git -C "$root" archive -o "$work/source.tar" "$commit" || die "no files of $commit"
    tar -x -f "$work/source.tar" -C "$work/source" || die "no files of $commit"
    build "$work/source" "$work/old" >/dev/null
}
usable() { # usable PROGRAM DEVICE
    [ "$2" = none ] || "$1" devices -q 2>/dev/null | grep "^$2:" >/dev/null || die "$1 finds no device $2"
}

old_list() { # old_list DEVICE: its folder, as $old; from the cache where it is there
    local key part
    key=$commit-$1-$digest
    old=$work/lists-old-$1
    if [ -n "$cache" ] && [ -f "$cache/$key/list" ]; then
        mkdir "$old"
        cp -r "$cache/$key/texts" "$old" || die "cannot read $cache/$key"
        selected "$1" | awk 'NR == FNR { name[$1]; next } $2 in name' - "$cache/$key/list" >"$old/list"
        say "old: $1 from the cache"
        return
    fi
    old_program
    usable "$work/old/anyround" "$1"
    all_runs "$work/old/anyround" "$1" "$old" old
    if grep '^FAILED' "$old/list" >&2; then die "the program of $commit cannot do these runs on $1"; fi
    if [ -n "$cache" ] && [ "$only" = . ]; then
        part=$(mktemp -d "$cache/part.XXXXXX") || die "cannot write to $cache"
        cp -r "$old/." "$part" || die "cannot write to $cache"
        # another comparison may have put the same list there meanwhile
        mv -T "$part" "$cache/$key" 2>/dev/null || rm -rf "$part"
        [ -f "$cache/$key/list" ] || die "cannot write $cache/$key"
    fi
}

compare() { # compare DEVICE OLD NEW
    local name file text before=$differing shown=0
    grep '^FAILED' "$3/list"
    while read -r name file; do
        printf 'DIFFERS on %s: %s %s\n' "$1" "$name" "$file"
        differing=$((differing + 1))
        text=texts/$name/${file#texts/}
        if [ "${file%%/*}" = texts ] && [ $shown -lt 20 ]; then
            diff -N "$2/$text" "$3/$text" | head -n 12 | cut -c 1-300
            shown=$((shown + 1))
        fi
    done < <(LC_ALL=C comm -3 <(LC_ALL=C sort "$2/list") <(LC_ALL=C sort "$3/list") |
        awk 'NR == FNR { if ($1 == "FAILED") failed[$2]; next }
            !($2 in failed) { print $2, $3 }' "$3/list" - | LC_ALL=C sort -u)
    outputs=$((outputs + $(wc -l <"$2/list")))
    failing=$((failing + $(grep -c '^FAILED' "$3/list")))
    runs=$((runs + $(count_runs <"$2/list")))
    [ "$differing" = "$before" ] || say "$((differing - before)) outputs differ on $1"
}

# ---- what was asked for ----

cache='' only=. jobs=2 devices=(none vk cl) names=0 old=''
while [ $# -gt 0 ]; do
    case $1 in
        --cache | --device | --only | --jobs)
            [ -n "${2:-}" ] || die "$1 needs a value"
            case $1 in
                --cache) cache=$2 ;;
                --device) devices=("$2") ;;
                --only) only=$2 ;;
                --jobs) jobs=$2 ;;
            esac
            shift ;;
        --list) names=1 ;;
        -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$script"; exit 0 ;;
        -*) die "unknown option $1" ;;
        *) break ;;
    esac
    shift
done
[[ ${devices[0]} =~ ^(vk|cl|none)$ ]] || die "found --device ${devices[0]}, expected vk, cl or none"
[[ $jobs =~ ^[1-9][0-9]?$ ]] || die "found --jobs $jobs, expected from 1 to 99"
if [ -n "$cache" ]; then
    mkdir -p "$cache" || die "no folder $cache"
    cache=$(cd "$cache" && pwd)
fi
work=$(mktemp -d) || exit 2
set -m # a process group per run, so that what a run started ends with it
end() {
    local job
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null; done
    wait
    rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; } # where something killed was still writing
}
trap end EXIT
trap 'exit 130' INT TERM
inputs=$work/in
make_inputs
if [ $names = 1 ]; then
    for device in "${devices[@]}"; do selected "$device" | sed "s/^/$device /; s/\( [^ ]*\) .*/\1/"; done
    exit 0
fi
[ $# = 1 ] || [ $# = 2 ] || die 'expected OLD_COMMIT [PROGRAM]; see --help'
commit=$(git -C "$root" rev-parse --verify --quiet "$1^{commit}") || die "no commit $1"
digest=$({
    sed -n '/^# ---- what is run/,/^all_runs/p' "$script"
    (cd "$inputs" && find . -type f | LC_ALL=C sort | xargs sha256sum)
    sed -n '/^model name/{p;q}' /proc/cpuinfo 2>/dev/null
} | sha256sum | cut -c 1-12)
if [ $# = 2 ]; then
    new=$(realpath "$2")
    [ -x "$new" ] || die "no program $2"
else
    new=$(build "$root" "$work/new") || exit 2
fi
outputs=0 differing=0 runs=0 failing=0
for device in "${devices[@]}"; do
    [ -n "$(selected "$device")" ] || continue
    old_list "$device"
    usable "$new" "$device"
    all_runs "$new" "$device" "$work/lists-new-$device" new
    compare "$device" "$old" "$work/lists-new-$device"
done
[ $runs -gt 0 ] || die "no run matches $only"
if [ $differing != 0 ] || [ $failing != 0 ]; then
    say "of $outputs outputs of $runs runs, $differing differ from ${commit:0:12}'s; $failing runs fail"
    exit 1
fi
say "$outputs outputs of $runs runs are ${commit:0:12}'s"
