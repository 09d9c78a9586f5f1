#!/usr/bin/env bash
# can_fail.sh NM CC: layers.sh finds each thing that it is there for, in a made-up tree of two floors and four
# rooms: nothing in the tree as it should be, and exactly what was planted in the others.
set -euo pipefail
nm=$1 cc=$2
layers=$(cd "$(dirname "$0")" && pwd)/layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
failed=0

fresh() { # a tree in order; low/base < low/core < high/base < high/top, low/low.h in front
    rm -rf "$tree"/*
    mkdir -p low/base low/core high/base high/top build/CMakeFiles
    printf '%s\n' 'low/base;|low' 'low/core;low/base|' 'high/base;|low;high' 'high/top;high/base|' \
        >build/rooms.txt
    echo 'int ar_public(void);' >low/low.h
    echo 'int ar__hidden(void);' >low/core/core.h
    echo 'int ar__one(void);' >low/base/base.h
    printf '#include "base.h"\nint ar__one(void) { return 1; }\n' >low/base/one.c
    printf '#include "core.h"\n#include "base.h"\n#include "low.h"\n%s\n%s\n' \
        'int ar__hidden(void) { return ar__one(); }' 'int ar_public(void) { return ar__one(); }' \
            >low/core/core.c
    printf '#include "low.h"\nint ar__two(void);\nint ar__two(void) { return ar_public(); }\n' \
        >high/base/two.c
    printf 'int ar__two(void);\nint ar__three(void);\nint ar__three(void) { return ar__two(); }\n' \
        >high/top/three.c
    : >known
}
expect() { # expect WHAT [LINE...]: layers.sh prints these lines and a count, and fails if there are any
    local what=$1 source room status=0
    shift
    for source in */*/*.c; do
        room=build/CMakeFiles/room_$(dirname "$source" | tr / _).dir
        mkdir -p "$room/$(dirname "$source")"
        "$cc" -Ilow -Ilow/base -Ilow/core -Ihigh/base -c "$source" -o "$room/$source.o"
    done
    bash "$layers" "$nm" build known >found || status=$?
    sed '$d' found >wrong
    if ! printf '%s\n' "$@" | sed '/^$/d' | cmp -s - wrong || [ "$status" != $(($# > 0)) ]; then
        printf 'WRONG: %s (exit %s): found\n' "$what" "$status"
        cat found
        failed=1
    fi
}

fresh
expect 'a tree in order'
fresh
printf '#include "core.h"\n' >>low/base/one.c
expect 'an include against the order' 'order: low/base/one.c:3: low/base does not stand on low/core (core.h)'
fresh
printf '#include "core.h"\n' >>high/top/three.c
expect "an include of another floor's internals" \
    'order: high/top/three.c:4: high/top does not stand on low/core (core.h)'
fresh
printf '#include "../base/base.h"\n' >>low/core/core.c
expect 'an include by path' 'order: low/core/core.c:6: ../base/base.h is included by path'
fresh
printf 'int ar__three(void);\nint ar__up(void);\nint ar__up(void) { return ar__three(); }\n' >>high/base/two.c
expect 'a call against the order, and its circle' \
    'order: high/base/two.c calls ar__three of high/top/three.c, which it does not stand on' \
    'a new circle: high/base/two.c high/top/three.c'
fresh
printf 'int ar__hidden(void);\nint ar__in(void);\nint ar__in(void) { return ar__hidden(); }\n' \
    >>high/base/two.c
expect "a call into another floor's internals" \
    'order: high/base/two.c calls ar__hidden of low/core/core.c, which it does not stand on'
fresh
printf 'int ar__method_x = 1;\n' >>high/top/three.c
printf 'extern int ar__method_x;\nint ar__row(void);\nint ar__row(void) { return ar__method_x; }\n' \
    >>high/base/two.c
expect 'a row of a table, which may lie above'
fresh
printf 'int ar__back(void);\nint ar__one(void);\nint ar__back(void) { return ar__one(); }\n' >low/base/back.c
printf 'int ar__back(void);\nint ar__on(void);\nint ar__on(void) { return ar__back(); }\n' >>low/base/one.c
expect 'a circle' 'a new circle: low/base/back.c low/base/one.c'
echo 'low/base/back.c low/base/one.c' >known
expect 'a circle that is known'
fresh
echo 'low/base/back.c low/base/one.c' >known
expect 'a known circle that is gone' \
    'no circle any more (take it out of known): low/base/back.c low/base/one.c'
fresh
printf '/* %0108d */\n' 0 >>low/low.h
printf '# %s\n' "$(printf '%0107d' 0)é" >long.md
printf '# %s\n' "$(printf '%0108d' 0)é" >longer.md
expect 'lines of 114, 110 and 111 columns' 'longer.md:1: 111 columns, expected at most 110' \
    'low/low.h:2: 114 columns, expected at most 110'
fresh
{ printf '# %s\n' {1..549}; echo; } >long.sh
{ printf '# %s\n' {1..550}; echo; } >longer.sh
cp longer.sh prose.md
cp longer.sh CMakeLists.txt
expect 'files of 550 and 551 lines' 'CMakeLists.txt: 551 lines, expected at most 550' \
    'longer.sh: 551 lines, expected at most 550'
fresh
function_of() { # NAME LINES
    printf 'int %s(int a,\n        int b);\nint %s(int a,\n        int b) {\n' "$1" "$1"
    for ((i = 4; i < $2; i++)); do echo '    if (a > b) a--;'; done
    printf '    return a;\n}\n'
}
function_of ar__long 60 >>high/top/three.c
function_of ar__longer 61 >>high/top/three.c
expect 'functions of 60 and 61 lines' \
    'high/top/three.c:68: a function of 61 lines, expected at most 60'
fresh
cp low/base/one.c low/base/json_make.c
for file in low/base/json_make.c high/top/three.c; do
    printf '/* cJSON_AddNullToObject(o, "key"); */\n' >>$file
done
sed -i 's/ar__one/ar__made/' low/base/json_make.c
expect 'JSON that is made unchecked' 'high/top/three.c:4: cJSON_AddNullToObject, expected one of json_make.c'
exit $failed
