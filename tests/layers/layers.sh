#!/usr/bin/env bash
# layers.sh NM BUILD [CIRCLES]: the rooms' order, circles, how long lines, files and functions are, and JSON
# that is made without looking for failures, in the working folder's tree, whose objects are in BUILD. Prints
# what is wrong, one line each, and exits 1 then.
# BUILD/rooms.txt (cmake/rooms.cmake) says what a room stands on. Includes may go there and to the headers in
# front of the floors below, calls there and to what those headers declare. tests/ may include everything.
# CIRCLES lists the circles between files (over calls and includes) that are known, one a line, and may only
# shrink: an entry that is no circle any more is wrong too.
set -euo pipefail
export LC_ALL=C
nm=$1 build=$2 circles=${3:-/dev/null}
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rooms() { # "ROOM;ON...|SEES..." as order.awk wants it
    sed 's/^\([^;|]*\);\([^|]*\)|\(.*\)$/room \1 on \2 sees \3/; s/;/ /g' "$build/rooms.txt"
}

sources() { # the files of the floors that have rooms
    local floors
    floors=$(sed 's,[/;|].*,,' "$build/rooms.txt" | sort -u)
    # shellcheck disable=SC2086 # one word per floor
    find $floors -name '*.[ch]' -o -name '*.def' | sort
}

includes() {
    xargs grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' /dev/null <"$work/sources" |
        sed 's/^\([^:]*\):\([0-9]*\):[^"]*"\([^"]*\)".*/include \1 \2 \3/'
}

symbols() { # of the objects of every C file: CMakeFiles/TARGET.dir/PATH.o; the path says whose it is
    local object source
    while read -r object; do
        source=${object#*.dir/}
        source=${source%.o}
        if grep -qxF "$source" "$work/sources"; then
            printf '%s\n' "$object" >>"$work/objects"
            printf '%s\n' "$source" >>"$work/compiled"
        fi
    done < <(find "$build/CMakeFiles" -path '*.dir/*.c.o' | sed "s,^$build/,,")
    (cd "$build" && xargs "$nm" -A -P -g) <"$work/objects" | sed 's/^[^:]*\.dir\///; s/\.o: / /' |
        awk '$3 == "U" { print "call", $1, $2; next } $3 ~ /^[A-Z]$/ { print "define", $1, $2 }' | sort -u
}

fronts() { # every name in a header that lies beside a floor's rooms
    local file
    while read -r file; do
        { grep -oE '\bar_[A-Za-z0-9_]+' "$file" || true; } | sort -u | sed "s,^,front ${file%%/*} ,"
    done < <(grep -E '^[^/]+/[^/]+\.(h|def)$' "$work/sources")
}

texts() { # the text files we write
    find . \( -name .git -o -name 'build*' -o -path ./tests/fuzz/seeds \) -prune -o -type f \( \
        -name '*.[ch]' -o -name '*.comp' -o -name '*.def' -o -name '*.sh' -o -name '*.awk' -o -name '*.py' \
        -o -name '*.cmake' -o -name CMakeLists.txt -o -name '*.in' -o -name '*.map' -o -name '*.supp' \
        -o -name '*.md' -o -name bootstrap -o -name .gitignore -o -path ./.ci/run \) -print | sort |
        sed 's,^\./,,'
}

long_lines() { # in characters: bytes that go on with a character do not count
    xargs awk '{ text = $0; gsub(/[\200-\277]/, "", text) }
        length(text) > 110 {
            print FILENAME ":" FNR ": " length(text) " columns, expected at most 110"
        }' <"$work/texts"
}

long_files() { # of all but prose
    grep -v '\.md$' "$work/texts" | xargs awk '
        FNR == 1 { if (lines > 550) tell(); file = FILENAME }
        { lines = FNR }
        END { if (lines > 550) tell() }
        function tell() { print file ": " lines " lines, expected at most 550" }'
}

long_functions() { # from the line of its name to its }, as clang-format lays C out
    grep '\.[ch]$' "$work/texts" | xargs awk '
        FNR == 1 { start = 0 }
        /^[A-Za-z_]/ { name = FNR }
        /^[^#]*\) \{$/ && !start { start = name }
        /^}/ {
            if (start && FNR - start >= 60)
                print FILENAME ":" start ": a function of " FNR - start + 1 " lines, expected at most 60"
            start = 0
        }'
}

unchecked_json() { # what is added to a tree may fail: one file looks
    xargs grep -nE '\bcJSON_(Add|Print|Insert)[A-Za-z]*\(' /dev/null <"$work/sources" |
        grep -v '/json_make\.c:' |
        sed 's/^\([^:]*:[0-9]*\):.*\(cJSON_[A-Za-z]*\).*/\1: \2, expected one of json_make.c/' || true
}

sources >"$work/sources"
texts >"$work/texts"
: >"$work/objects"
: >"$work/compiled"
{
    rooms
    sed 's/^/file /' "$work/sources"
    includes
    fronts
    symbols
} >"$work/facts"
{
    grep '\.c$' "$work/sources" | sort | comm -23 - <(sort "$work/compiled") | sed 's/$/: no object file/'
    awk -f "$here/order.awk" "$work/facts" >"$work/order"
    grep -v '^circle ' "$work/order" || true
    sed -n 's/^circle //p' "$work/order" | sort >"$work/circles"
    grep -v '^#' "$circles" | sort >"$work/known" || true
    comm -23 "$work/circles" "$work/known" | sed 's/^/a new circle: /'
    comm -13 "$work/circles" "$work/known" | sed "s,^,no circle any more (take it out of ${circles##*/}): ,"
    long_lines
    long_files
    long_functions
    unchecked_json
} >"$work/wrong"
cat "$work/wrong"
printf '%s files, %s includes, %s calls, %s circles known\n' "$(wc -l <"$work/sources")" \
    "$(grep -c '^include' "$work/facts")" "$(grep -c '^call' "$work/facts")" "$(wc -l <"$work/known")"
[ ! -s "$work/wrong" ]
