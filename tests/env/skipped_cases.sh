#!/usr/bin/env bash
# skipped_cases.sh: name_skipped.sh on output of cmocka 1.1.5 and 1.1.7 under ctest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/log" <<'LOG'
4/9 Testing: test_one
4/9 Test: test_one
[==========] Running 3 test(s).
[ RUN      ] first
[  SKIPPED ] first
[ RUN      ] second
[       OK ] second
[ RUN      ] third
[  SKIPPED ] third
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] first
[  SKIPPED ] third

 2 SKIPPED TEST(S)
<end of output>
5/9 Testing: test_two
[==========] tests: Running 5 test(s).
[  SKIPPED ] fourth
[==========] tests: 5 test(s) run.
[  PASSED  ] 4 test(s).
[  SKIPPED ] tests: 1 test(s), listed below:
[  SKIPPED ] fourth

 1 SKIPPED TEST(S)
6/9 Testing: test_three
[==========] 10 test(s) run.
[  PASSED  ] 10 test(s).
LOG
filter() { "$here/name_skipped.sh" "$1" >"$dir/found"; }
printf '1/2 Test #4: test_one ... Passed\n\n100%% tests passed, 0 tests failed out of 2\n\nTotal\n' |
    filter "$dir/log"
diff "$dir/found" - <<'EXPECTED'
1/2 Test #4: test_one ... Passed

cases skipped: 3 of 18: test_one: first, third; test_two: fourth

100% tests passed, 0 tests failed out of 2

Total
EXPECTED
printf '50%% tests passed, 1 tests failed out of 2\n' | filter /dev/null
diff "$dir/found" - <<'EXPECTED'
cases skipped: 0 of 0

50% tests passed, 1 tests failed out of 2
EXPECTED
# Lines come out as they go in.
{ echo first; for _ in $(seq 100); do if [ -s "$dir/found" ]; then echo second; exit; fi; sleep 0.1; done; } |
    filter /dev/null
grep -q second "$dir/found"
echo ok
