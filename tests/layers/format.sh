#!/usr/bin/env bash
# format.sh CLANG-FORMAT: every C file of the tree in the working folder is as the file .clang-format lays
# it out. Versions of the program differ in details: 14 is meant, others are not asked (exit 77 = skipped).
# First a file that is not formatted has to be found.
set -euo pipefail
case $("$1" --version 2>/dev/null || true) in
    *' version 14.'*) ;;
    *)
        echo "clang-format 14 not found (found: $("$1" --version 2>&1 || true)): formatting is not checked"
        exit 77
        ;;
esac
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
cp .clang-format "$planted"
printf 'int  planted( void ){return 1;}\n' >"$planted/planted.c"
if "$1" --dry-run -Werror "$planted/planted.c" 2>/dev/null; then
    echo 'a file that is not formatted was not found'
    exit 1
fi
find . \( -name .git -o -name 'build*' \) -prune -o -name '*.[ch]' -print | sort |
    xargs "$1" --dry-run -Werror
