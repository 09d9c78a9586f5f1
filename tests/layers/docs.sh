#!/usr/bin/env bash
# docs.sh PROGRAM: whether what the pages name is there: files, folders and C names of the working folder's
# tree, pages and headings that are linked to, the options of a line `anyround COMMAND ...` in that command's
# --help, and options named alone in any command's. README.md links to every page of docs/,
# tests/golden/README.md names what lies there. Prints what is not so, one line each, and exits 1 then; first
# a page of faults has to be found out. bench/LOG.md says what was, and is not asked.
set -euo pipefail
export LC_ALL=C
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Options of bootstrap, CMake, ctest, pip, hf, llama.cpp's programs and scripts of the tree.
others='--full --all --build --install --prefix --test-dir --no-build-isolation --local-dir --kl-divergence
--kl-divergence-base --cache --small --work --rows --quick'

manuals() { # $work/help/COMMAND: its options, a line each; $work/help/any: all
    mkdir "$work/help"
    "$program" --help | sed -n 's/^  \([a-z][a-z-]*\)  *[a-z].*/\1/p' >"$work/commands"
    while read -r command; do
        "$program" "$command" --help | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p' | sort -u >"$work/help/$command"
    done <"$work/commands"
    # shellcheck disable=SC2086 # one word per option
    { cat "$work/help/"*; printf '%s\n' $others; } | sort -u >"$work/any"
}

is_there() { # PAGE PATH: in the tree, or beside the page; what stands for a name is passed over
    case $2 in *NAME* | *'<'*) return 0 ;; esac
    compgen -G "${2%/}*" >/dev/null || compgen -G "$(dirname "$1")/${2%/}*" >/dev/null
}

find_all() { grep -oE -e "$1" "$2" || true; } # nothing found is no failure

named_files() {
    local folders='backend|quant|host|tests|bench|docs|shaders|cmake|examples|third_party'
    find_all "(^|[^A-Za-z0-9_./\$-])($folders)/[A-Za-z0-9_.*<>/-]+" "$1" |
        sed 's/^[^a-z]//; s/[.]*$//' | sort -u
}

symbols() { # the tree's C names; those with capitals stand for others
    find_all '(^|[^A-Za-z0-9_])ar__?[a-z][A-Za-z0-9_]*' "$1" |
        sed 's/^[^a]//; /[A-Z]/d; /_noun_verb$/d' | sort -u
}

links() { find_all '\]\([^)]*\)' "$1" | sed 's/^](//; s/)$//; /^[a-z]*:/d' | sort -u; }

headings() { # as links spell them
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

command_lines() { # "COMMAND OPTION" of every anyround COMMAND …, lines that end in \ joined
    sed -e ':more' -e '/\\$/{N;s/\\\n */ /;b more' -e '}' "$1" | awk '{
        line = $0
        while (match(line, /anyround [a-z][a-z-]*/)) {
            command = substr(line, RSTART + 9, RLENGTH - 9)
            line = substr(line, RSTART + RLENGTH)
            rest = line
            sub(/(`| # |anyround ).*/, "", rest)
            while (match(rest, /(^|[ [(|])--[a-z][a-z0-9-]*/)) {
                option = substr(rest, RSTART, RLENGTH)
                sub(/^[^-]*/, "", option)
                print command, option
                rest = substr(rest, RSTART + RLENGTH)
            }
        }
    }' | sort -u
}

check() { # PAGE
    local path target page command option
    while read -r path; do
        is_there "$1" "$path" || echo "$1: $path is not there"
    done < <(named_files "$1")
    symbols "$1" | comm -23 - "$work/symbols" | sed "s,^,$1: nothing is called ,"
    while read -r target; do
        page=$1
        case $target in '#'*) ;; *) page=$(dirname "$1")/${target%%#*} ;; esac
        [ -e "$page" ] || { echo "$1: the link to $target leads nowhere"; continue; }
        case $target in *'#'*) ;; *) continue ;; esac
        headings "$page" | grep -x -e "${target#*#}" >/dev/null || echo "$1: no heading $target"
    done < <(links "$1")
    while read -r command option; do
        [ -e "$work/help/$command" ] || continue
        grep -qx -e "$option" "$work/help/$command" || echo "$1: anyround $command has no $option"
    done < <(command_lines "$1")
    find_all '(^|[^A-Za-z0-9_-])--[a-z][a-z0-9-]*' "$1" | sed 's/^[^-]//' | sort -u |
        comm -23 - "$work/any" | sed "s,^,$1: no command has ,"
}

manuals
find backend quant host bench shaders cmake -type f -exec grep -hoE 'ar__?[a-z][a-z0-9_]*' {} + |
    sort -u >"$work/symbols"
cat >"$work/page.md" <<'PAGE'
# A page
`host/none.c`, `tests/golden`, `ar_none`, `ar_device_open`, `ar_noun_verb`,
[this](#a-page), [that](#another), [none](none.md)
    anyround run model --temp 1 \
        --lr 1 # --none
PAGE
check "$work/page.md" >"$work/faults"
if [ "$(wc -l <"$work/faults")" != 6 ]; then
    echo "docs.sh: of six faults it found"
    cat "$work/faults"
    exit 1
fi

find . -name '*.md' ! -path './build*' ! -path './.*/*' ! -path ./bench/LOG.md | sed 's,^\./,,' |
    sort >"$work/pages"
{
    while read -r page; do check "$page"; done <"$work/pages"
    for page in docs/*.md; do grep -qF "($page)" README.md || echo "README.md: no link to $page"; done
    page=tests/golden/README.md
    for file in tests/golden/*; do
        [ "$file" = $page ] || grep -qF "${file##*/}" $page || echo "$page: nothing of $file"
    done
} >"$work/wrong"
cat "$work/wrong"
[ ! -s "$work/wrong" ]
