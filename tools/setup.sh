#!/usr/bin/env bash
# Make the virtual environment .venv (PLR_FAST_VENV names another place) and install plr_fast into it.
#   tools/setup.sh            what users need
#   tools/setup.sh dev        editable, with everything that development and the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${PLR_FAST_VENV:-.venv}"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --constraint constraints.txt)
"${pip[@]}" --upgrade pip
if [ "${1:-}" = dev ]; then
    # The build's own requirements first: the build then happens in this environment, incrementally.
    "${pip[@]}" 'setuptools>=77' pybind11 cmake ninja
    PATH="$(cd "$venv/bin" && pwd):$PATH" "${pip[@]}" --no-build-isolation --editable '.[dev]'
else
    "${pip[@]}" .
fi
