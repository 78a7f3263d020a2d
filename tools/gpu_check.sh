#!/usr/bin/env bash
# Check everything that needs a GPU, in one call of less than eight minutes, without network, by the machine's own
# packages: build the extension and the kernels for this GPU, test every operation on it, look for bad memory accesses
# and races (compute-sanitizer), measure. Tables and logs go to the folder $OUT (default build/gpu).
#   PYTHON=python3 tools/gpu_check.sh [--no-bench]
# Exit status: 0 all is well, 1 something failed, 77 there is no GPU (or no torch that could use one).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
python="${PYTHON:-python3}"
out="${OUT:-build/gpu}"
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=4

capability=$("$python" - << 'PYTHON'
import sys
try:
    import torch
except ImportError as error:
    sys.exit(f"torch is not installed for {sys.executable} ({error})")
if torch.version.cuda is None:
    sys.exit(f"torch {torch.__version__} is a CPU build")
try:
    torch.cuda.init()
except (RuntimeError, AssertionError) as error:
    sys.exit(" ".join(str(error).split()))
print("{}{}".format(*torch.cuda.get_device_capability()))
PYTHON
)
if [ -z "$capability" ]; then
    echo "gpu_check: no GPU can be used here, see above: nothing was checked" >&2
    exit 77
fi

budget=460  # seconds for everything; a step that begins late gets what is left
failed=()
step() { # name, seconds it may take, command...
    local name=$1 limit=$2 begun=$SECONDS status=0
    shift 2
    [ "$limit" -le $((budget - SECONDS)) ] || limit=$((budget - SECONDS))
    if [ "$limit" -lt 1 ]; then
        echo "-- $name: no time left"
        failed+=("$name")
        return 1
    fi
    echo "== $name"
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1 || status=$?
    tail -n 4 "$out/$name.log"
    echo "-- $name: $((SECONDS - begun)) s, status $status"
    [ "$status" -eq 0 ] || failed+=("$name")
    return "$status"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
if ! step build 140 env PLR_FAST_NATIVE=1 PLR_FAST_CUDA=1 CMAKE_CUDA_ARCHITECTURES="$capability" \
    "$python" setup.py -q build_ext --inplace; then
    # Without nvcc the kernels are CuPy's to compile; without the CPU's extension there is nothing to compare with.
    echo "gpu_check: the build failed, the rest goes on with what there is" >&2
fi
# Not the doctor: the machine may lack the packages of the command line.
step backends 20 "$python" -c "import plr_fast
for info in plr_fast.backends():
    print(info.device, info.name, 'in use' if info.active else 'available' if info.available else 'not usable', info.detail)"
step tests 140 "$python" -m pytest -q -m gpu tests/gpu --durations=5 -p no:cacheprovider
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
if [ -x "$sanitizer" ]; then
    for tool in memcheck racecheck; do
        step "$tool" 35 "$sanitizer" --tool "$tool" --error-exitcode 9 "$python" tools/gpu_sanitize.py
    done
else
    echo "-- no compute-sanitizer here: memory accesses and races were not looked at"
fi
if [ "${1:-}" != --no-bench ]; then
    step bench 80 "$python" -m benchmarks.gpu --output "$out"
    [ ! -f "$out/RESULTS-gpu.md" ] || cat "$out/RESULTS-gpu.md"
fi
if [ ${#failed[@]} -gt 0 ]; then
    echo "gpu_check: FAILED: ${failed[*]} (logs in $out)" >&2
    exit 1
fi
echo "gpu_check: all is well ($SECONDS s; logs in $out)"
