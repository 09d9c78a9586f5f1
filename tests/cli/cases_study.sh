# shellcheck shell=bash disable=SC2154 # what is used and not set is set by cli.sh
# The command study.

case_study() { # one line a way, not done twice; what nothing beats, in words and as a page
    study=(study "$model" "${calib[@]}" --text "$text" -o s.jsonl --samples 4 --seqlen 32 --iters 2
        --max-windows 1 -q)
    run 0 "${study[@]}" --types q4_0,q8_0 --methods rtn,search --html s.html
    [ "$(wc -l <s.jsonl)" = 4 ] || die "$(wc -l <s.jsonl) lines"
    grep -q '^the smallest with no loss that matters' out || { cat out >&2; die 'no advice'; }
    [ "$(grep -c ' \*$' out)" = 2 ] || { cat out >&2; die 'not one of each size is the best'; }
    grep -q '<polyline' s.html && grep -q '<circle' s.html || die 'no plot'
    grep -q 'Method by method' s.html && grep -q 'q_proj, block 2: ' s.html || die 'no map of errors'
    grep -c '"device_bytes":[1-9][0-9]*,"errors":\[\[' s.jsonl | grep -qx 4 || die 'no memory, or no errors'
    before=$(cksum <s.jsonl)
    run 0 "${study[@]}" --types q4_0 --methods rtn --json
    grep -Eq '"best":[[:space:]]*true' out || { cat out >&2; die 'nothing is the best in JSON'; }
    run 0 "${study[@]}" --types q4_0,q8_0 --methods rtn,search
    [ "$(cksum <s.jsonl)" = "$before" ] || die 'what was done was done again'
    cp s.jsonl t.jsonl
    run 0 "${study[@]/#s.jsonl/t.jsonl}" --types q4_0 --methods rtn --max-windows 2
    [ "$(grep -c '^rtn\|^search' out)" = 1 ] || { cat out >&2; die 'ways of other windows stand beside'; }
    run 0 "${study[@]/#s.jsonl/t.jsonl}" --types q4_0 --methods rtn --max-windows 2 --precision bf16
    [ "$(wc -l <t.jsonl)" = 6 ] || die 'another precision is done already'
    printf '{"key":"cut' >>s.jsonl # killed while it wrote
    run 0 quantize "$model" -o other.gguf --type q5_0 --method rtn -q
    cp other.gguf "$(printf 'odd\xff.gguf')"
    run 0 "${study[@]/#s.jsonl/o.jsonl}" --types q4_0 --methods rtn --also "$(printf 'odd\xff.gguf')" --json
    printf 'odd\xef\xbf\xbd.gguf' | LC_ALL=C grep -qaFf - out || die 'a name that is no UTF-8, in JSON'
    run 0 "${study[@]}" --bits 3,5 --groups 32 --schemes asym --methods anneal --also other.gguf
    grep -q 'anneal  *3 bits g32 asym' out && grep -q 'anneal  *5 bits g32 asym' out || die 'no bits'
    grep -q 'given  *other.gguf' out || die 'no other file'
    run 0 "${study[@]}" --bits 3,5 --groups 32 --schemes asym --methods anneal --also other.gguf --budget 0.01
    [ "$(grep -c '^{.*}$' s.jsonl)" = 7 ] && [ "$(wc -l <s.jsonl)" = 8 ] ||
        die 'lines behind one that was cut off are lost'
    nothing_left s.jsonl.work
    run 2 "${study[@]}" --methods gptqq; says "found 'gptqq'"
    run 2 "${study[@]}" --types q9; says "types: found 'q9'"
    run 2 "${study[@]}" --bits 9; says "found '9', expected numbers from 2 to 8"
    run 2 "${study[@]}" --groups 32; says 'groups has no effect without --bits'
    cp other.gguf mine && run 3 "${study[@]/#s.jsonl/mine}"; says 'mine: found a byte 0'
    cmp other.gguf mine || die 'a file of somebody else was written to'
    run 2 "${study[@]}" --bits 4 --schemes odd; says 'expected sym or asym'
    run 2 study "$model" -o s.jsonl; says 'are needed'
    run 1 study "$model" "${calib[@]}" --text "$text" -o "$text"; says 'the text'
    echo short >few
    run 2 study "$model" "${calib[@]}" --text few -o n.jsonl -q; says 'few: found .* at least one window'
    run 2 study "$model" --calib few --text "$text" -o n.jsonl -q; says 'few: found .* at least one sample'
    run 2 "${study[@]/#s.jsonl/n.jsonl}" --bits 4 --groups 7; says 'none of 6 ways .* groups of 7'
    run 2 "${study[@]}" --methods ''; says 'methods: found none'
    # what a study with other options left behind: of a way in work, and of one in measurement
    "$program" "${study[@]/#s.jsonl/n.jsonl}" --types q4_0 --methods anneal --iters 5000 2>err &
    pid=$!
    for _ in $(seq 600); do [ -f n.jsonl.work/out.part/manifest.json ] && break; sleep 0.1; done
    run 1 "${study[@]/#s.jsonl/n.jsonl}" --types q4_0 --methods rtn; says 'one run at a time'
    kill -KILL $pid; wait $pid 2>/dev/null
    [ -f n.jsonl.work/out.part/manifest.json ] || die 'nothing is left'
    echo of a file >n.jsonl.work/out
    run 0 "${study[@]/#s.jsonl/n.jsonl}" --bits 4 --groups 32 --schemes asym --methods anneal
    [ "$(wc -l <n.jsonl)" = 1 ] || die 'what was left of other options stops a way'
    nothing_left n.jsonl.work
}
