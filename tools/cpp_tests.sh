#!/usr/bin/env bash
# Build and run the C++ unit tests, plain, and once more under the sanitizers named as arguments, e.g.
#   tools/cpp_tests.sh address,undefined thread
set -euo pipefail
cd "$(dirname "$0")/.."
for sanitizer in "" "$@"; do
    build="build/cpp-tests${sanitizer:+-${sanitizer//,/-}}"
    cmake -S . -B "$build" -DPLR_FAST_MODULE=OFF -DPLR_FAST_TESTS=ON -DPLR_FAST_WERROR=ON \
        -DPLR_FAST_SANITIZE="$sanitizer" > /dev/null
    cmake --build "$build" --parallel > /dev/null
    ctest --test-dir "$build" --output-on-failure
done
# The linker merges weak symbols of equal name: one in a tier would let its instructions run on a CPU without them.
symbols=$(nm -C build/cpp-tests/CMakeFiles/plr_tiers.dir/csrc/cpu/tier_*.o)
if grep -E ' [WVu] ' <<< "$symbols"; then
    echo "weak symbols in tier objects, see above" >&2
    exit 1
fi
