#!/usr/bin/env bash
# Cross-compile the core, the kernels and the C++ tests for AArch64, and run the tests under QEMU: the digests among them
# prove that noise has the same bits there as on x86-64. Exit status 77 if the tools for it are not here; Debian has them:
#   apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
# Arguments go to ctest, e.g. -R known_answers. PLR_FAST_AARCH64_CXX and PLR_FAST_QEMU name other tools.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler="${PLR_FAST_AARCH64_CXX:-aarch64-linux-gnu-g++}"
missing=()
command -v cmake > /dev/null || missing+=(cmake)
command -v "$compiler" > /dev/null || missing+=("$compiler")
qemu="${PLR_FAST_QEMU:-$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)}"
command -v "${qemu:-qemu-aarch64}" > /dev/null || missing+=("${qemu:-qemu-aarch64 or qemu-aarch64-static}")
if [ ${#missing[@]} -gt 0 ]; then
    echo "not run: ${missing[*]} not found; on Debian: apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
    exit 77
fi

build=build/cpp-tests-aarch64
# QEMU finds the loader and the libraries of the target under the compiler's prefix.
sysroot=$(dirname "$(dirname "$("$compiler" -print-file-name=libc.so.6)")")
cmake -S . -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$qemu;-L;$sysroot" \
    -DPLR_FAST_MODULE=OFF -DPLR_FAST_TESTS=ON -DPLR_FAST_WERROR=ON > /dev/null
cmake --build "$build" --parallel > /dev/null
# pool_fork is left out: QEMU itself breaks in a process that was forked while other threads were at work.
if ! ctest --test-dir "$build" --output-on-failure --no-tests=error --exclude-regex pool_fork "$@"; then
    echo "AArch64: FAILED, see above" >&2
    exit 1
fi
echo "AArch64: passed ($("$compiler" -dumpmachine), $("$qemu" --version | head -n 1))"
