#!/usr/bin/env bash
# Make the virtual environment .venv (PLR_FAST_VENV names another place) and install plr_fast into it.
#   tools/setup.sh            what users need
#   tools/setup.sh dev        editable, with everything that development and the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${PLR_FAST_VENV:-.venv}"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
if [ "${1:-}" = dev ]; then
    "$venv/bin/python" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
else
    "$venv/bin/python" -m pip install --quiet --constraint constraints.txt .
fi
