#!/usr/bin/env bash
# Install plr_fast into .venv and run the whole recipe: pretrain, fine-tune, evaluate, report.
# Arguments go to `plr-fast demo`, e.g. --quick, or --source FOLDER for your own slices.
set -euo pipefail
root="$(dirname "$0")/.."
"$root/tools/setup.sh"
venv="${PLR_FAST_VENV:-$root/.venv}"
exec "$venv/bin/plr-fast" demo "$@"
