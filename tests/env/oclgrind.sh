#!/usr/bin/env bash
# oclgrind.sh DRIVER ICD PROGRAM ARG...: runs it with oclgrind's simulator (library ICD, behind
# oclgrind_icd.c's DRIVER) as the only device. Fails with the program, and on any race, uninitialized read,
# out-of-bounds access or API misuse that oclgrind reports. Little memory, because oclgrind keeps as much
# again of every buffer that was there until its context goes. Kernels are not optimized: oclgrind 21.10 does
# not know the freeze instruction that LLVM's optimizer makes.
set -euo pipefail
driver=$1 icd=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
env OCL_ICD_VENDORS="$driver" AR_OCLGRIND_ICD="$icd" VK_DRIVER_FILES=/dev/null VK_ICD_FILENAMES=/dev/null \
    OCLGRIND_LOG="$log" OCLGRIND_BUILD_OPTIONS=-cl-opt-disable OCLGRIND_DATA_RACES=1 \
    OCLGRIND_UNINITIALIZED=1 \
    OCLGRIND_CHECK_API=1 OCLGRIND_GLOBAL_MEM_SIZE=$((32 << 20)) "$@" || status=$?
if [ -s "$log" ]; then
    head -c 8000 "$log"
    echo "oclgrind.sh: oclgrind has found something (above)" >&2
    exit 1
fi
exit "$status"
