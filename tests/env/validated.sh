#!/usr/bin/env bash
# validated.sh SETTINGS PROGRAM ARG...: runs it under the Khronos validation layer with the settings of
# tests/env/SETTINGS.txt: synchronization or gpu_assisted. Fails with the program, on any message of the
# layer, and if the layer was not loaded (so that silence means something). OpenCL devices are hidden: they
# have nothing to validate, and have had their run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
settings=$here/$1.txt
shift
[ -f "$settings" ] || { echo "validated.sh: no $settings" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log
mkdir "$scratch/no-opencl"
status=0
VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$settings VK_LOADER_DEBUG=layer \
    OCL_ICD_VENDORS=$scratch/no-opencl "$@" >"$log" 2>&1 || status=$?
grep -Ev '(^| )LAYER: ' "$log" || true
# all skipped: no device was opened
if [ "$status" = 0 ] && grep -qF '[  PASSED  ] 0 test(s)' "$log"; then exit 0; fi
if ! grep -q 'Insert instance layer.*VK_LAYER_KHRONOS_validation' "$log"; then
    echo "validated.sh: the validation layer was not loaded" >&2
    exit 1
fi
if grep -Eq 'VUID-|SYNC-HAZARD|Validation (Error|Warning)' "$log"; then
    echo "validated.sh: the validation layer has found something (above)" >&2
    exit 1
fi
exit "$status"
