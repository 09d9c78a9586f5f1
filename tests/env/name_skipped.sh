#!/usr/bin/env bash
# name_skipped.sh: ctest's output, line by line as it comes, with one line before its summary that counts and
# names the cmocka cases that were skipped: a program that passes hides them.
#   ctest … | name_skipped.sh BUILD/Testing/Temporary/LastTest.log
set -eu

name_skipped() {
    awk '
    { count = split($0, word, " ") }
    /^[0-9]+\/[0-9]+ Testing: / { program = word[3] }
    /^\[==========\] .*test\(s\) run\.$/ { cases += word[count - 2] }
    !/^\[  SKIPPED \] / { listed = 0 }
    listed {
        skipped++
        names = names (program == last ? ", " : (names == "" ? ": " : "; ") program ": ") word[count]
        last = program
    }
    /^\[  SKIPPED \] .*listed below:$/ { listed = 1 }
    END { printf "cases skipped: %d of %d%s\n\n", skipped, cases, names }
    ' "$1"
}

summary=
while IFS= read -r line; do
    if [ -n "$summary" ] || [[ $line =~ ^[0-9]+%\ tests\ passed,\  ]]; then
        summary+=$line$'\n'
    else
        printf '%s\n' "$line"
    fi
done
name_skipped "$1" # ctest has ended, so that its log is whole
printf '%s' "$summary"
