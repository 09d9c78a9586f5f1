#!/usr/bin/env bash
# grow.sh WORK PROGRAM TESTS: a method with an option, a trainable, a tap, a family, a folder format and
# kernel variants are one new file and one row each. WORK/tree becomes a copy of the sources with the files of
# add/ and the lines of `rows`, is built in WORK/build, and every part has to show up wherever a user meets it
# and to work. Each check is first made with PROGRAM and the test programs in TESTS, which lack the parts, and
# has to fail there. Exit 77 = skipped. WORK is kept: a second run compiles only what changed.
set -u
[ $# = 3 ] || { echo "usage: $0 WORK PROGRAM TESTS" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1" || exit 1
work=$(cd "$1" && pwd)
tree=$work/tree
demo=$root/examples/demo-model text=$root/examples/demo-heldout.txt
export XDG_CACHE_HOME=$work/cache
export CCACHE_BASEDIR=$work

die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
[ -f "$demo/config.json" ] || { echo 'skipped: examples/demo-model is missing'; exit 77; }
"$2" devices -q >/dev/null 2>&1 || { echo 'skipped: no device'; exit 77; }

# ---- the tree: one file and one row for each part ----

add_row() { # add_row FILE ROW: a variant goes before its family's own kernel, anything else to the end
    local family
    family=$(sed -n 's/^AR_VARIANT(\([a-z_]*\),.*/\1/p' <<<"$2")
    if [ -z "$family" ]; then
        printf '%s\n' "$2" >>"$tree/$1"
        return
    fi
    row=$2 awk -v last="AR_FAMILY($family)" '$0 == last { print ENVIRON["row"] } { print }' \
        "$tree/$1" >"$tree/$1.new" && mv "$tree/$1.new" "$tree/$1"
}

plant() {
    local file row name
    rm -rf "$tree" && mkdir -p "$tree" || exit 1
    (cd "$root" && cp -rp CMakeLists.txt cmake third_party shaders backend quant host bench tests examples \
        "$tree") || die 'the tree could not be copied'
    (cd "$here/add" && find . -type f) >"$work/files"
    while read -r file; do
        [ ! -e "$tree/$file" ] || die "$file is there already"
        cp -p "$here/add/$file" "$tree/$file" || exit 1
    done <"$work/files"
    for name in vast twin; do # the family's kernel under another name
        sed "s/KERNEL(gemm)/KERNEL(gemm_$name)/" "$root/shaders/gemm.comp" >"$tree/shaders/gemm_$name.comp"
        echo "./shaders/gemm_$name.comp" >>"$work/files"
    done
    while read -r file row; do add_row "$file" "$row"; done <"$here/rows"
    # nothing else: as many new lines in tables as rows, as many new files as parts
    [ "$(wc -l <"$work/files")" = "$(wc -l <"$here/rows")" ] || die 'a part is one file and one row'
    diff -r --exclude='build*' "$root" "$tree" |
        awk -v rows="$(wc -l <"$here/rows")" -v tree="$tree" '
            /^> / { added++ }
            /^< / { removed++ }
            index($0, "Only in " tree) == 1 { files++ }
            END { exit added != rows || files != rows || removed > 0 }' ||
        die 'more than files and rows changed'
}

build() {
    local launcher=()
    if command -v ccache >/dev/null; then launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
    if ! { cmake -S "$tree" -B "$work/build" -DBUILD_TESTING=ON "${launcher[@]}" &&
        cmake --build "$work/build" -j2 --target anyround test_window test_hooks; } >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        die 'the tree with the parts does not build'
    fi
}

# ---- what a check uses; it runs in a subshell, in an empty folder, with $program and $tests ----

run() { # run EXPECTED ARGUMENT...: the exit code must be EXPECTED; stdout and stderr are kept in out and err
    local expected=$1 found
    shift
    "$program" "$@" >out 2>err
    found=$?
    [ "$found" = "$expected" ] || { cat err >&2; die "exit $found, expected $expected: anyround $*"; }
}
says() { grep -qE -- "$1" "${2:-out}" || { cat "${2:-out}" >&2; die "expected '$1'"; }; }
same() { cmp -s "$1" "$2" || die "$1 and $2 differ"; }
figures() { # figures NAME MODEL OPTION...: perplexity, and the text that is most likely, as the file NAME
    run 0 eval "$2" --text "$text" --max-windows 4 --json "${@:3}"
    grep -E '"(ppl|nll|tokens)"' out >"$1"
    run 0 run "$2" --greedy -n 12 -p 'ROMEO:' -q "${@:3}"
    cat out >>"$1"
    [ "$(wc -c <"$1")" -gt 60 ] || die "no figures of $2"
}

check_method() {
    run 0 quantize --help; says '^ *--method M .*\bshrink\b'
    run 0 quantize --method shrink --help; says '^ *--shrink X .*share of every group'
    run 2 quantize "$demo" -o o --method rtn --shrink 1; says 'no effect with --method rtn' err
    run 2 quantize "$demo" -o o --method shrink --shrink 2; says "--shrink: found '2', expected.*0.5 to 1" err
    run 0 quantize "$demo" -o a --method shrink --json --report a.html
    says '"method":.*"shrink"'; says '"shrink":.*"0.875"'
    says '<td>shrink</td><td>0.875</td>' a.html
    says '"shrink_factor": *.?0.875' a/config.json
    run 0 quantize "$demo" -o b --method shrink --shrink 0.75
    ! cmp -s a/model.safetensors b/model.safetensors || die '--shrink changes nothing'
    run 0 quantize "$demo" -o whole --method shrink --shrink 1
    run 0 quantize "$demo" -o nearest --method rtn
    same whole/model.safetensors nearest/model.safetensors
    # a run that cannot write its first block leaves its state behind, which knows the option
    (trap '' XFSZ; ulimit -f 64; "$program" quantize "$demo" -o c --method shrink) >out 2>err &&
        die 'a block of more than 64 KiB was written'
    says '"shrink":.*"0.875"' c.part/manifest.json
    run 2 quantize "$demo" -o c --method shrink --shrink 0.75 --resume; says shrink err
    run 0 quantize "$demo" -o c --method shrink --resume; same a/model.safetensors c/model.safetensors
}

# The demo model under the new family's names, each as long as Llama's.
rename_demo() {
    cp -r "$demo" grown
    LC_ALL=C sed -i -e 's/"model\.layers\./"grown.floors./g; s/"model\.embed_tokens\./"grown.token_vector./' \
        -e 's/"model\.norm\./"grown.last./' \
        -e 's/\.self_attn\.\([qkvo]\)_proj\./.attention.\1_part./g' \
        -e 's/\.mlp\.\([a-z]*\)_proj\./.ffn.\1_part./g' \
        -e 's/\.input_layernorm\./.first_layernorm./g' \
        -e 's/\.post_attention_layernorm\./.last_attention_layernorm./g' grown/model.safetensors
    sed -i -e 's/"LlamaForCausalLM"/"GrownForCausalLM"/; s/"model_type": "llama"/"model_type": "grown"/' \
        -e 's/"hidden_size"/"width"/; s/"intermediate_size"/"inner_width"/; s/"num_hidden_layers"/"floors"/' \
        -e 's/"num_attention_heads"/"windows"/; s/"max_position_embeddings"/"longest"/' \
        -e 's/"hidden_act"/"gate_by"/; s/"rms_norm_eps"/"epsilon"/' grown/config.json
    [ "$(wc -c <grown/model.safetensors)" = "$(wc -c <"$demo/model.safetensors")" ] ||
        die 'a name is of another length'
}

check_family() {
    rename_demo
    run 0 info grown --json; says '"family":.*"grown"'
    figures folder.llama "$demo"
    figures folder.grown grown
    same folder.llama folder.grown
    run 0 convert "$demo" -o llama.gguf --type f16
    run 0 convert grown -o grown.gguf --type f16
    run 0 info grown.gguf --json; says '"family":.*"grown"'; says '"grown.floors.0.attention.q_part.weight"'
    figures gguf.llama llama.gguf
    figures gguf.grown grown.gguf
    same gguf.llama gguf.grown
    run 0 convert grown.gguf -o back --type f16
    says '"model_type": *.?"grown"' back/config.json; says '"inner_width"' back/config.json
    figures folder.back back
    same folder.grown folder.back
    run 0 convert back -o again.gguf --type f16
    figures gguf.again again.gguf
    same gguf.grown gguf.again
    run 0 quantize grown -o coarse.gguf --method rtn --type q4_0
    run 0 quantize "$demo" -o coarse.llama.gguf --method rtn --type q4_0
    figures coarse.grown coarse.gguf
    figures coarse.llama coarse.llama.gguf
    same coarse.llama coarse.grown
}

check_format() {
    run 0 quantize --help; says '^ *--format F.*\bnibbles\b'
    for zeros in --sym --asym; do
        run 0 quantize "$demo" -o nibbles$zeros --method rtn --format nibbles $zeros --group 64
        run 0 quantize "$demo" -o gptq$zeros --method rtn --format gptq_v2 $zeros --group 64
        run 0 info nibbles$zeros --json; says '"method":.*"nibbles"'; says '"nibbles4g64"'
        figures figures.nibbles nibbles$zeros
        figures figures.gptq gptq$zeros
        same figures.gptq figures.nibbles
    done
    run 2 quantize "$demo" -o o --method rtn --format nibbles --bits 3; says 'nibbles' err
    sed -i 's/"nibbles"/"gnawed"/' nibbles--sym/config.json
    run 3 info nibbles--sym; says 'found "gnawed", expected one of .*nibbles' err
}

check_trainable() { # the test prints a row's name before what must hold for every row
    "$tests/test_window" every_trainable_lowers_the_loss_of_a_window >out 2>&1 || die "$(cat out)"
    says ', trainable ranges:'; says '^\[  PASSED  \] 1 test'
}

check_tap() {
    "$tests/test_hooks" every_tap_sees_every_input >out 2>&1 || die "$(cat out)"
    says ', tap squares: seen'; says '^\[  PASSED  \] 1 test'
}

check_variant() { # one that no device can run, and one that all can
    run 0 selftest --kernel gemm
    says '^skip gemm_vast .*a variant of gemm: needs more shared memory'; says ', 0 failed$'
    run 0 selftest --kernel gemm_vast --json; says '"skipped":.*"needs more shared memory"'
    run 2 eval "$demo" --text "$text" --variant gemm=gemm_vast
    says 'variant gemm=gemm_vast: .* lacks what it needs, more shared memory' err
    run 0 selftest --kernel 'linear(' --variant gemm=gemm_twin; says ', 0 failed$'
    run 0 selftest --kernel 'linear(' --variant gemm=gemm -v; says 'by gemm_twin'; says ', 0 failed$'
    run 0 devices; says 'kernel gemm=.*gemm_vast needs more shared memory'
    figures plain "$demo" --variant gemm=gemm
    figures twin "$demo" --variant gemm=gemm_twin
    same plain twin
}

check() { # check PART PROGRAM TESTS
    rm -rf "$work/run" && mkdir "$work/run" && cd "$work/run" || exit 1
    (program=$2 tests=$3; "check_$1")
}

plant
build
for part in method family format trainable tap variant; do
    ! check $part "$2" "$3" >/dev/null 2>&1 || die "the check of the $part cannot fail"
    check $part "$work/build/anyround" "$work/build/tests" || die "$part"
    echo "$part: one file, one row"
done
rm -rf "$work/run"
