# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# Devices: none, some that nobody here has, what is kept of them, whether they agree, how fast they are.

case_no_device() {
    mkdir empty
    export VK_DRIVER_FILES=$dir/absent.json VK_ICD_FILENAMES=$dir/absent.json OCL_ICD_VENDORS=$dir/empty
    for loaders in there absent; do
        [ $loaders = there ] || hide libvulkan.so.1 libvulkan.so libOpenCL.so.1 libOpenCL.so
        for command in devices 'devices -q' 'devices --json' "quantize $model -o o --method rtn" \
            "eval $model --text $text" 'selftest' \
            'devices --verbose' "run $model -p a --device vk" \
            "quantize $model -o o --method rtn --device cl:0"; do
            # shellcheck disable=SC2086 # words of their own
            refused $command
            case $command in *--device*) continue ;; esac
            says 'vk: .*; cl: '
            [ $loaders = there ] || says 'vk: no Vulkan loader (libvulkan) found; cl: no OpenCL loader'
        done
    done
    nothing_left o
}

case_fake_devices() { # devices that nobody here has, from a Vulkan loader of our own
    [ -f "$AR_FAKE/libvulkan.so.1" ] || die 'no fake Vulkan loader'
    mkdir empty
    export LD_LIBRARY_PATH=$AR_FAKE OCL_ICD_VENDORS=$dir/empty
    # fake DEVICE MEMORY ACCESS
    fake() {
        AR_FAKE_VULKAN=$1 run 0 devices
        { grep -q "^vk:0 *fake $1$" out && grep -q "$2, one binding" out && grep -q "$3, " out; } ||
            { cat out >&2; die "expected $2 and $3"; }
    }
    fake mali '4.00 GiB (unified)' 'direct access'
    fake adreno '6.00 GiB (unified)' 'direct access'
    fake moltenvk '16.00 GiB (unified)' 'direct access'
    fake v3d '4.00 GiB (unified)' 'direct access'
    fake rdna '15.75 GiB' 'staged copies'
    fake rebar '24.00 GiB' 'staged copies'
    AR_FAKE_VULKAN=minimum run 0 devices; grep -q 'not usable: .*max_bindings is 4, at least 8' out ||
        die 'expected 4 bindings to be refused'
    export AR_FAKE_VULKAN=minimum # the only device, below the floor
    refused quantize "$model" -o o --method rtn; says 'max_bindings is 4'
    refused eval "$model" --text "$text" --device vk:0; says 'max_bindings is 4'
    refused selftest; says 'max_bindings is 4'
    nothing_left o
    AR_FAKE_VULKAN=special run 0 devices; grep -q 'not usable: .*no usable memory type among 3' out ||
        die 'expected special memory to be refused'
}

case_cache() { # kept by default, used when there; --no-cache neither reads nor writes it
    devices
    for device in "${devices[@]}"; do
        export XDG_CACHE_HOME=$dir/cache/$device
        mkdir -p "$XDG_CACHE_HOME"
        kept=$XDG_CACHE_HOME/anyround
        command=(quantize "$model" -o o.gguf --method rtn --device "$device" -q)
        run 0 "${command[@]}" --no-cache; rm o.gguf
        nothing_left "$kept"
        run 0 "${command[@]}"; rm o.gguf
        [ -n "$(find "$kept" -name "$device-*.bin" -size +0)" ] ||
            die "no file of $device in the cache folder"
        find "$kept" -printf '%P %i %s %T@\n' | sort >before
        run 0 "${command[@]}"; rm o.gguf # what was not loaded would be compiled and stored anew
        find "$kept" -printf '%P %i %s %T@\n' | sort >after
        diff before after || die 'a second run changed the cache folder'
        for file in "$kept"/*; do rm "$file" && mkfifo "$file"; done # who reads it waits for ever
        timeout 60 "$program" "${command[@]}" --no-cache >out 2>err ||
            { cat err >&2; die "exit $? with --no-cache"; }
        for file in "$kept"/*; do [ -p "$file" ] || die "$file was written in spite of --no-cache"; done
        rm o.gguf
    done
}

case_pocl() { # its folder is named where it cannot be written, or is full
    "$program" devices -q 2>/dev/null | grep -q 'Portable Computing' || skip 'no PoCL'
    export POCL_CACHE_DIR=/proc/nowhere
    refused eval "$model" --text "$text" --device cl; says 'PoCL needs a cache folder that it can write'
    unshare -m true 2>/dev/null || skip 'no mount namespaces here'
    mkdir small
    for options in ro size=8k; do
        # shellcheck disable=SC2016 # expanded by the inner shell
        POCL_CACHE_DIR=$dir/small unshare -m bash -c 'mount -t tmpfs -o "$1" none "$POCL_CACHE_DIR" || exit 77
            "$2" eval "$3" --text "$4" --device cl --no-cache -q' _ \
            $options "$program" "$model" "$text" >out 2>err; code=$?
        [ $code != 77 ] || skip 'no tmpfs here'
        [ $code = 1 ] || { cat err >&2; die "exit $code, expected 1"; }
        says 'CL_BUILD_PROGRAM_FAILURE.*PoCL needs a cache folder that it can write'
    done
}

case_devices_agree() { # on round to nearest, but for ties
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || skip "no $device device"
    done
    data=${AR_SHARED:-$root/../shared}/data
    for source in "$model" "$data/tinystories-656K-hf" "$data/stories260K-hf"; do
        [ -f "$source/config.json" ] || continue
        while read -r bits group scheme; do
            for device in vk cl; do
                run 0 quantize "$source" -o $device --method rtn --format fake --bits "$bits" \
                    --group "$group" "--$scheme" --device $device -q
            done
            found=$("$AR_COMPARE" vk cl) || die "cannot compare W$bits g$group"
            echo "$(basename "$source") W$bits g$group $scheme, vk and cl: $found"
            awk -v share="${found##* }" 'BEGIN { exit !(share < 1e-4) }' || die 'expected a share below 1e-4'
        done < <(printf '%s\n' {2,3,4,8}\ {32,128}\ asym '2 32 sym' '4 32 sym')
    done
}

case_bench() {
    run 2 bench --tune --model x; says 'one of them'
    run 2 bench --ops gemm; says 'product,linear,'
    run 2 bench --types Q4_0,Q9; says '"Q9"'
    run 2 bench --shapes 7b; says 'tiny,0.5b'
    run 2 bench --n 1,0; says '1 to 65536'
    run 2 bench a.json; says 'without --report'
    run 2 bench --tune --dim 60 --heads 7; says 'heads that divide'
    run 0 bench --tune --dim 64 --hidden 96 --heads 4 --kv-heads 2 --seq 16 --batch 2 --steps 2 --json
    for key in format_version device driver api tune dim hidden seq batch us gflops; do
        grep -q "\"$key\":" out || { cat out >&2; die "no $key in the JSON"; }
    done
    awk -F: '/"(us|gflops|device_bytes)"/ { n += $2 + 0 > 0 } END { exit n != 3 }' out ||
        { cat out >&2; die 'expected times and memory above 0'; }
    [ "$(grep -c '^device:' err)" = 1 ] || die 'remarks belong on stderr'
    grep -q '"timing":[[:space:]]*"wall"' out || die 'a tuning step without its clock'
    run 0 devices -q; expected=wall # of the device that auto takes
    grep -m 1 plan: out | grep -q 'device timing' && expected=device
    for device in auto null; do # null has no timestamps
        [ $device = auto ] || expected=wall
        run 0 bench --types Q4_0 --size 256 --n 64 --json -q --device $device
        for key in timing us wall_us cpu_us flops bytes gflops gbs percent_of_roof kernels launches bound \
            spread copy_gbs copy_timing f32_gflops f32_timing launch_us submit_us; do
            grep -q "\"$key\":" out || { cat out >&2; die "no $key in the JSON"; }
        done
        grep 'timing"' out | grep -qv ":[[:space:]]*\"$expected\"" &&
            { cat out >&2; die "expected every time of $device by $expected"; }
        awk -F: '/"(us|wall_us)"/ { gsub(/[^0-9.e+-]/, "", $2); t[n++] = $2 + 0 }
            END { exit n < 3 || t[0] > 30 * t[1] || t[1] > 1000 * t[0] }' out ||
            { cat out >&2; die 'the two clocks have different units'; }
        run 0 bench --types Q4_0 --size 256 --n 64 -q --device $device
        [ "$(grep -c "GB/s ($expected time), .* ($expected time)$" out)" = 1 ] ||
            { cat out >&2; die "expected $expected times"; }
    done
    run 0 bench --shapes tiny --n 4 --types Q4_0,Q4_K --csv -q --device null
    [ "$(tail -n +2 out | cut -d, -f1 | sort -u | wc -l)" = 18 ] || { cat out >&2; die 'expected every op'; }
    grep -q '^peak_f16,F16,.*,unsupported$' out || { cat out >&2; die 'fp16 of a device without'; }
    grep -q '^peak_matrix,F16,.*,unsupported$' out || { cat out >&2; die 'matrices of a device without'; }
    awk -F, 'NR > 1 && $1 !~ /^peak_(f16|matrix)$/ && ($15 != "ok" || NF != 15)' out | grep . &&
        die 'expected every op ok'
    run 0 bench --shapes tiny --n 4 --types Q4_K,Q4_0 --ops product,rms_norm --json -q --report page.html
    cp out before.json
    grep -q '<circle' page.html || die 'no roofline on the page'
    run 0 bench --shapes tiny --n 4 --types Q4_K --ops product,rms_norm -q --compare before.json
    grep -q '; 0 not measured on both$' out ||
        { cat out >&2; die 'rows were not found'; }
    run 0 bench --report both.html before.json before.json
    [ "$(grep -c '<h2>' both.html)" = 2 ] || die 'expected two devices on the page'
    sed 's/"format_version":[[:space:]]*2/"format_version": 1/' before.json >old.json
    run 3 bench --report x.html old.json; says 'old.json: format_version 1, expected 2'
    [ ! -e x.html ] || die 'a page'
    sed 's/"us":[[:space:]]*[0-9]/"us": -1/' before.json >bad.json
    run 3 bench --compare bad.json --shapes tiny; says 'bad.json'
    run 1 bench --report x.html before.json missing.json; says 'missing.json'
    cp before.json kept.json
    run 1 bench --report before.json before.json; says 'found measurements'
    cmp before.json kept.json || die 'a page over the measurements it is of'
    run 1 bench --report missing/x.html; says 'its folder missing does not exist' # before they are made
    run 2 bench --csv --md; says 'expected one of them'
    run 2 bench --json --compare before.json; says 'expected one of them'
    run 2 bench --pp 5; says 'pp: has no effect'
    run 2 bench --tune --shapes tiny; says 'shapes: has no effect'
    run 2 bench --model "$model" --csv; says 'csv: has no effect'
    run 0 bench --size 100 --types Q4_K --md -q --device null
    grep -q 'unsupported: rows of 100' out || die 'no reason'
    hide libopenblas.so.0
    run 1 bench --tune --dim 64 --hidden 96 --heads 4 --kv-heads 2 --seq 16 --batch 2 --steps 2 --blas
    says 'libopenblas.so.0 not found'
}

# peaks FACTOR: a device so many times as slow as 1e9 bytes and 1e10 operations a second, with one row.
peaks() {
    awk -v f="$1" 'BEGIN {
        printf "{\"format_version\": 2, \"device\": \"D\", \"driver\": \"d\", \"api\": \"vk\",\n"
        printf "\"peaks\": {\"copy_gbs\": %g, \"f32_gflops\": %g, ", 1 / f, 10 / f
        printf "\"launch_us\": %g, \"submit_us\": %g},\n", 5 * f, 20 * f
        printf "\"rows\": [{\"op\": \"product\", \"dtype\": \"Q4_0\", \"shape\": \"s\", \"m\": 64, "
        printf "\"n\": 1, \"k\": 64, \"status\": \"ok\", \"timing\": \"device\", \"us\": %g, ", 4 * f
        printf "\"flops\": 8192, \"bytes\": 2560, \"kernels\": [{\"name\": \"gemv\", \"launches\": 1, "
        printf "\"us\": %g, \"flops\": 8192, \"bytes\": 2560}]}]}\n", 4 * f }'
}

case_estimate() { # from another device's measurements: nothing is run, nothing computed
    run 2 bench --estimate x --tune; says 'expected one of them'
    run 2 bench --check; says 'expected --estimate'
    run 2 bench --seq 1 --tune; says 'at least 2'
    run 2 bench --estimate "$model" --pp 0 --tg 0 --seq 0 --device null; says 'something to estimate'
    run 2 bench --estimate "$model" --pp 100000 --device null; says "at most the model's"
    for factor in 1 3; do
        peaks $factor >peaks.json
        run 0 bench --estimate "$model" --peaks peaks.json --pp 16 --tg 2 --seq 16 --batch 2 --json -q \
            --device null
        [ "$(grep -c '"what"' out)" = 3 ] || { cat out >&2; die 'expected a prompt, a token and a step'; }
        awk -F: '/"seconds"/ { print $2 + 0 }' out >seconds$factor
    done
    paste seconds1 seconds3 | awk '{ n += $1 > 0 && $2 / $1 > 2.99 && $2 / $1 < 3.01 } END { exit n != 3 }' ||
        { paste seconds1 seconds3 >&2; die 'expected three times as long'; }
    awk -F: '/"(weights|running|tuning)"/ { n += $2 + 0 > 0 } END { exit n != 3 }' out ||
        { cat out >&2; die 'no memory'; }
    sed -i 's/"rows"/"rose"/' peaks.json
    run 3 bench --estimate "$model" --peaks peaks.json --device null; says 'peaks.json'
    peaks 1e6 >peaks.json
    run 5 bench --estimate "$model" --peaks peaks.json --check --pp 16 --tg 2 --seq 0 --device null
    says 'expected 0.7 to 1.3'
}

case_estimate_holds() { # within 30 % of what is measured, on every device
    mkdir random
    echo '{"model_type": "llama", "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 4,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 4096, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 1024,
        "tie_word_embeddings": true}' >random/config.json
    "${AR_RANDOM_MODEL:?}" random || die 'no model'
    for device in vk cl; do
        "$program" devices -q 2>/dev/null | grep -q "^$device:" || continue
        run 0 bench --estimate random --check --pp 128 --tg 16 --seq 128 --batch 2 --device $device
        grep ratio out
    done
}

case_first() { # by two processes each
    run 2 bench --first x --tune; says 'expected one of them'
    run 1 bench --first missing -q --device null; says 'missing'
    TMPDIR=$dir run 0 bench --first "$model" --seq 16 --batch 2 --json -q --device null
    for key in first_token first_step; do grep -q "\"$key\"" out || die "no $key"; done
    awk -F: '/"(cold|warm)_s"/ { n += $2 + 0 > 0 } END { exit n != 4 }' out ||
        { cat out >&2; die 'no times'; }
    ! compgen -G "$dir/anyround-first-*" >/dev/null || die 'the caches are left'
    run 0 bench --first "$model" --seq 0 --device null -q
    [ "$(grep -c '^first' out)" = 1 ] || { cat out >&2; die 'expected a token alone'; }
}

case_gpu() { # the script for cards goes on behind parts that fail, as they do where nothing is computed
    script=$root/bench/gpu.sh
    "$script" --big >said 2>&1; [ $? = 2 ] || die 'expected exit 2'
    "$script" --small --program "$program" --device null -o results >said 2>&1
    [ $? = 1 ] || { cat said >&2; die 'expected exit 1'; }
    for part in selftest:failed kernels:ok step_f32:failed step_f16:failed model_q4_0:ok model_q4_k:ok \
        first:ok estimate:ok; do
        grep -q "\"${part%:*}\", \"outcome\": \"${part#*:}\"" results/device-null/summary.json ||
            { cat said >&2; die "expected $part"; }
    done
    [ "$(grep -c '"outcome": "\(failed\|timeout\)"' results/device-null/summary.json)" -le 5 ] ||
        { cat said >&2; die 'a part fails that can be done'; }
    [ -s results/device-null/selftest.log ] || die 'a failure without its message'
    "$script" --small --program "$program" --device null -o none --budget 0 >said 2>&1
    [ "$(grep -c skipped said)" -ge 8 ] || { cat said >&2; die 'expected nothing to begin'; }
    if command -v shellcheck >/dev/null; then shellcheck "$script" || die 'shellcheck'; fi
}

# tiles FILE DEVICE HASH: two rows of kernels.
tiles() {
    for kernel in gemm gemv; do
        printf '{"format_version": 1, "api": "vk", "device": "%s", "driver": "d 1", "kind": "cpu", ' "$2"
        printf '"vendor": 1, "subgroup": 8, "vector_width": 4, "kernel": "%s", ' $kernel
        printf '"kernel_hash": "%s", ' "$3"
        printf '"bucket": "any", "tiles": {"tm": 4, "tn": 1, "wgx": 8, "wgy": 1, "tile": 4, "columns": 8}}\n'
    done >"$1"
}

case_tune_kernels() { # its file
    run 2 tune-kernels dig; says 'show, merge, prune or export'
    run 2 tune-kernels show a.jsonl; says 'expected --tuning'
    run 2 tune-kernels merge; says 'expected files'
    run 2 tune-kernels --no-cache; says 'expected --tuning'
    run 2 tune-kernels show --json; says 'json has no effect'
    run 1 tune-kernels --tuning missing/t.jsonl; says 'its folder missing does not exist'
    run 5 tune-kernels --device null --tuning n.jsonl; says 'WRONG'
    [ ! -e n.jsonl ] || die 'a file of tiles that compute wrongly'
    tiles a.jsonl A 00000000000000ff; tiles b.jsonl B 00000000000000ff
    run 0 tune-kernels merge a.jsonl b.jsonl a.jsonl --tuning all.jsonl
    [ "$(wc -l <all.jsonl)" = 4 ] || { cat all.jsonl >&2; die 'expected four rows'; }
    run 0 tune-kernels show --tuning all.jsonl
    [ "$(grep -c 'not used' out)" = 4 ] || { cat out >&2; die 'expected rows of another build'; }
    run 0 tune-kernels export --tuning all.jsonl; [ ! -s out ] || die 'exported rows of another build'
    run 0 tune-kernels prune --tuning all.jsonl; [ ! -s all.jsonl ] || die 'kept rows of another build'
    sed -i '2s/"tm"/"mt"/; 2s/"wgx"/"xgw"/' a.jsonl
    run 3 devices --tuning a.jsonl; says 'a.jsonl: line 2'
    awk 'NR == 1 { for (i = 0; i < 8193; i++) { row = $0; sub(/"B"/, "\"" i "\"", row); print row } }' \
        b.jsonl >many
    run 3 devices --tuning many; says 'many: line 8193: found more than 8192 rows'
    echo '{"format_version": 1' >>b.jsonl
    run 3 bench --tune --device null --tuning b.jsonl; says 'b.jsonl: line 3'
    run 1 devices --tuning missing.jsonl; says missing.jsonl
    mkdir -p cache/anyround && cp b.jsonl cache/anyround/tuning.jsonl
    XDG_CACHE_HOME=$dir/cache run 0 bench --ops rms_norm --shapes tiny --n 1 --device null
    says 'note: tiles are not read: .*line 3'
}

# ar_tiles_compile FILE: its rows are C, as backend/core/tiles.def has them.
ar_tiles_compile() {
    command -v cc >/dev/null || return 0
    {
        printf 'struct row { unsigned n[3], v[4]; const char *t[7]; } rows[] = {\n'
        echo '#define AR_TILES(a, b, c, d, e, f, g, h, i, j, k, l, m, n) \'
        echo '    {{e, f, g}, {j, k, l, m}, {a, b, c, d, h, i, n}},'
        cat "$1"
        echo '};'
    } >rows.c
    cc -std=c11 -Werror -c rows.c -o rows.o || die 'exported rows are no C'
}

case_tune_kernels_holds() { # what was found is taken, and computes rightly
    run 0 tune-kernels --budget 8 --tuning t.jsonl --json
    [ "$(grep -c '"bucket":.*"any"' out)" = 2 ] || { cat out >&2; die 'expected two kernels'; }
    run 0 tune-kernels export --tuning t.jsonl
    [ "$(grep -c '^AR_TILES("gem.*", "[a-z]*", 0x' out)" = "$(wc -l <t.jsonl)" ] || die 'expected all rows'
    ar_tiles_compile out
    run 0 devices --tuning t.jsonl -q; grep -q 'tiles of gem.* as tuned (exact)' out || die 'not taken'
    grep -q 'tiles gem.*, any rows: .*as tune-kernels found (exact)' out || die 'not told'
    run 0 devices --no-cache -q; grep -q 'tiles gem.*, any rows: .*(generic)' out || die 'expected the table'
    run 0 devices --no-cache --json; grep -q '"from":.*"built in"' out || die 'expected the table'
    run 0 selftest --kernel gemm --tuning t.jsonl -q
}
