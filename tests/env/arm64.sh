#!/usr/bin/env bash
# arm64.sh test PROGRAM BUILD: builds the project for arm64 in BUILD and runs it emulated (qemu-user): the
# host tests, then on lavapipe and on PoCL for arm64 every kernel's tests, golden numbers, and a model
# quantized and run. PROGRAM is this machine's anyround: rounding to nearest must give its bytes, and greedy
# decoding its text.
# arm64.sh run PROGRAM ARG...: runs one arm64 program.
#
# AR_ARM64_ROOT is the folder of an arm64 Debian or Ubuntu tree with the packages below. Where there is none
# it is made, from the archives that this machine's apt knows (about 110 MB to load, 570 MB unpacked); nothing
# is installed on the machine, and root is not needed. Exit 77 = skipped: AR_ARM64_ROOT is not set, or a tool
# is missing. Everything happens in a namespace of its own, whose mounts and binfmt_misc end with it.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shared=${AR_SHARED:-$(dirname "$source_dir")/shared}
model=$source_dir/examples/demo-model
libs=usr/lib/aarch64-linux-gnu
packages=(libc6-dev libcjson-dev libpcre2-dev libutf8proc-dev libcmocka-dev libvulkan-dev libvulkan-volk-dev
    opencl-headers libvulkan1 mesa-vulkan-drivers ocl-icd-libopencl1 pocl-opencl-icd)

say() { printf '%(%T)T arm64: %s\n' -1 "$*"; }
die() { printf 'arm64.sh: %s\n' "$*" >&2; exit 1; }
skip() { printf 'skipped: %s\n' "$*"; exit 77; }

# ---- what it needs ----

check_tools() {
    [ -n "$root" ] || skip "AR_ARM64_ROOT is not set (the folder of an arm64 tree, made where there is none)"
    case "$(uname -s) $(uname -m)" in
        Linux\ aarch64) skip "this machine is arm64: the tests have run on it" ;;
        Linux\ *) ;;
        *) skip "emulation is of Linux" ;;
    esac
    local tool
    for tool in qemu-aarch64-static aarch64-linux-gnu-gcc unshare cmake pkg-config; do
        command -v "$tool" >/dev/null || skip "no $tool"
    done
    unshare --user --map-root-user --mount mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null ||
        skip "no binfmt_misc in a namespace of one's own (Linux 6.7, and user namespaces allowed)"
}

# ---- the arm64 tree ----

# Packages are unpacked, not installed: no script of theirs runs. apt keeps its lists of arm64 in the tree.
make_tree() {
    local part=$root.part options deb link target
    for deb in apt-get dpkg-deb tar; do
        command -v "$deb" >/dev/null || skip "no $deb to make $root with: put an arm64 tree there"
    done
    say "making $root"
    rm -rf "$part"
    mkdir -p "$part"/usr/{bin,lib,sbin} "$part"/var/lib/{dpkg,apt/lists/partial} \
        "$part"/var/cache/apt/archives/partial
    ln -s usr/bin usr/lib usr/sbin "$part"
    : >"$part/var/lib/dpkg/status"
    options=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
        -o Dir::Cache="$part/var/cache/apt" -o Dir::State="$part/var/lib/apt"
        -o Dir::State::status="$part/var/lib/dpkg/status")
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install -y --no-install-recommends --download-only "${packages[@]}"
    for deb in "$part"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$part" -f -
    done
    rm -rf "$part"/var/cache/apt "$part"/var/lib/apt
    # A linker outside the tree is to find these too.
    find "$part" -type l -lname '/*' -printf '%P\t%l\n' | while IFS=$'\t' read -r link target; do
        ln -sfnr "$part$target" "$part/$link"
    done
    mv "$part" "$root"
}

# Runs in the tree, with this machine's processes, devices and /tmp, and sources, build and material in their
# places; the current folder must be in one of them.
run() {
    local rule magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    rule=":arm64:M::$magic:$mask:$(command -v qemu-aarch64-static):F"
    # shellcheck disable=SC2016 # expanded inside
    exec unshare --user --map-root-user --mount bash -euc '
        rule=$1 root=$2
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        printf %s "$rule" >/proc/sys/fs/binfmt_misc/register
        for folder in /proc /dev /sys /tmp "$3" "$4" "$5"; do
            [ -d "$folder" ] || continue
            mkdir -p "$root$folder"
            mount --rbind "$folder" "$root$folder"
        done
        shift 5
        exec unshare --root="$root" --wd="$PWD" "$@"' arm64.sh "$rule" "$root" "$source_dir" \
        "${AR_ARM64_BUILD:-$source_dir}" "$shared" "$@"
}

# ---- the program and its tests ----

build_all() {
    export PKG_CONFIG_LIBDIR=$root/$libs/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    cmake -S "$source_dir" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON \
        -DCMAKE_SYSTEM_NAME=Linux \
        -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_SYSROOT="$root" \
        -DCMAKE_LIBRARY_ARCHITECTURE=aarch64-linux-gnu -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
        "-DCMAKE_CROSSCOMPILING_EMULATOR=$source_dir/tests/env/arm64.sh;run" &&
        cmake --build "$build" -j"$(nproc)"
}

# step NAME COMMAND...: its output goes to a file, and here where it fails.
step() {
    local log=$build/${1// /-}.log name=$1 start=$SECONDS
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log"
        say "$name: FAILED"
        return 1
    fi
    say "$name: passed in $((SECONDS - start)) s"
}

emulated() { "$0" run "$@"; }
here() { XDG_CACHE_HOME=$build/cache/here POCL_CACHE_DIR=$build/cache/here/pocl "$program" "$@"; }

# shellcheck disable=SC2317 # what follows is called by step
finds_both() {
    emulated "$build/anyround" devices | tee "$build/devices"
    grep -q '^vk:0 .*llvmpipe' "$build/devices" && grep -q '^cl:0' "$build/devices"
}

on() { # on vk|cl COMMAND...: the other API has no driver
    local device=$1
    shift
    if [ "$device" = vk ]; then
        OCL_ICD_VENDORS=/dev/null "$@"
    else
        VK_DRIVER_FILES=/dev/null VK_ICD_FILENAMES=/dev/null "$@"
    fi
}

# cmocka vk|cl TEST ARG...: fails where the test was skipped, too.
cmocka() {
    local device=$1 out
    shift
    out=$(on "$device" emulated "$build/tests/$1" "${@:2}" 2>&1) || { printf '%s\n' "$out"; return 1; }
    printf '%s\n' "$out"
    ! grep -q 'PASSED  . 0 test' <<<"$out"
}

golden() { # golden vk|cl: logits of every family; and what other implementations tuned, where that is there
    cmocka "$1" test_families logits_are_those_of_transformers || return 1
    [ ! -d "$shared" ] || cmocka "$1" test_golden
}

quantizes_and_runs() { # quantizes_and_runs vk|cl
    local out=$build/$1 options=(--device "$1")
    local rtn=(--method rtn --type q4_0 --format gguf) said
    local tuned=(--iters 2 --lr 0.01 --samples 4 --seqlen 32 --batch 2 --bits 2 --group 32 --format gptq)
    local prompt=(-p $'ROMEO:\n' -n 16 --greedy -q)
    rm -rf "$out"
    mkdir -p "$out"
    emulated "$build/anyround" quantize "$model" -o "$out/rtn.gguf" "${rtn[@]}" "${options[@]}" || return 1
    here quantize "$model" -o "$out/here.gguf" "${rtn[@]}" "${options[@]}" -q || return 1
    cmp "$out/rtn.gguf" "$out/here.gguf" || return 1
    emulated "$build/anyround" run "$out/rtn.gguf" "${prompt[@]}" "${options[@]}" | tee "$out/said" ||
        return 1
    here run "$out/here.gguf" "${prompt[@]}" "${options[@]}" >"$out/said.here" || return 1
    cmp "$out/said" "$out/said.here" || return 1
    emulated "$build/anyround" quantize "$model" -o "$out/tuned" "${tuned[@]}" \
        --calib "$model/../demo-heldout.txt" \
        "${options[@]}" || return 1
    said=$(emulated "$build/anyround" run "$out/tuned" "${prompt[@]}" "${options[@]}") || return 1
    [ -n "$said" ]
}

# Without two that take many minutes of plain arithmetic: every type and mix of GGUF, which quantizes_and_runs
# compares in part, and the statistics of sampling.
test_host() {
    ctest --test-dir "$build" --output-on-failure --no-tests=error -R '^test_' -LE '^(device|full|all)$' \
        -E '^test_(gguf_writer|sampler)$'
}
test_kernels() { # PoCL's compiler takes most of the time: every kernel as its plan has it, and no other plans
    step "cl kernels" cmocka cl test_selftest every_device_passes
}
test_rest() {
    local device failed=0
    step "host tests" test_host || failed=1
    step "vk kernels" cmocka vk test_selftest || failed=1
    for device in vk cl; do
        step "$device golden numbers" golden "$device" || failed=1
        step "$device model" quantizes_and_runs "$device" || failed=1
    done
    return $failed
}

test_all() { # test_all PROGRAM BUILD
    check_tools
    program=$(realpath "$1")
    mkdir -p "$2"
    build=$(realpath "$2")
    cd "$source_dir" # the tests' golden files lie below it
    export AR_TEST_SMALL=1 AR_ARM64_BUILD=$build XDG_CACHE_HOME=$build/cache POCL_CACHE_DIR=$build/cache/pocl
    [ -d "$root" ] || make_tree
    step "build" build_all
    step "devices" finds_both
    local failed=0 kernels
    test_kernels &
    kernels=$!
    test_rest || failed=1
    wait $kernels || failed=1
    return $failed
}

root=${AR_ARM64_ROOT:-}
case "$root" in
    "" | /*) ;;
    *) die "AR_ARM64_ROOT is $root, expected a whole path" ;;
esac
case "${1:-}" in
    test) test_all "$2" "$3" ;;
    run) [ -n "$root" ] || die "AR_ARM64_ROOT is not set"; shift; run "$@" ;;
    *) die "expected test PROGRAM BUILD, or run PROGRAM ARG..." ;;
esac
