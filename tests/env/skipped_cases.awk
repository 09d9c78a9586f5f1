# ctest's output, with one line before its summary that counts and names the cmocka cases that were skipped: a
# program that passes hides them.
#   ctest … | awk -v results=BUILD/Testing/Temporary/LastTest.log -f skipped_cases.awk
/^[0-9]+% tests passed, / { in_summary = 1 }
in_summary {
    summary = summary $0 "\n"
    next
}
{
    print
    fflush()
}
END { # ctest has ended, so that its log is whole
    while ((getline line < results) > 0) {
        count = split(line, word, " ")
        if (line ~ /^[0-9]+\/[0-9]+ Testing: /) {
            program = word[3]
        } else if (line ~ /^\[==========\] .*test\(s\) run\.$/) {
            cases += word[count - 2]
        } else if (line ~ /^\[  SKIPPED \] .*listed below:$/) {
            listed = 1
        } else if (listed && line ~ /^\[  SKIPPED \] /) {
            skipped++
            names = names (program == last ? ", " : (names == "" ? ": " : "; ") program ": ") word[count]
            last = program
        } else {
            listed = 0
        }
    }
    printf "cases skipped: %d of %d%s\n\n%s", skipped, cases, names, summary
}
