#!/usr/bin/env bash
# Install plr_fast for development into .venv and run every check: style, types, C++ tests, Python tests with coverage.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
# Nobody should get a green run from the fallback by accident: the extension must build, without warnings.
export PLR_FAST_NATIVE=1 PLR_FAST_WERROR=1
if command -v nvcc > /dev/null; then
    # The CUDA kernels must build too; for one GPU, because what is wrong shows there, and the others take their time.
    export PLR_FAST_CUDA=1 CMAKE_CUDA_ARCHITECTURES="${CMAKE_CUDA_ARCHITECTURES:-90}"
fi
tools/setup.sh dev
venv="${PLR_FAST_VENV:-.venv}"
PATH="$(cd "$venv/bin" && pwd):$PATH"
echo "== style" && ruff check . && ruff format --check . && shellcheck tools/*.sh .ci/run
echo "== types" && mypy
echo "== C++ tests" && tools/cpp_tests.sh address,undefined thread
echo "== C++ tests on AArch64" && { tools/aarch64_tests.sh || [ $? -eq 77 ]; }  # 77: the tools for it are not here
echo "== Python tests" && python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered "$@"
