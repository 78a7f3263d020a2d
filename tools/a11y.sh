#!/usr/bin/env bash
# Check HTML files against WCAG 2.2 AA and axe-core's best practices in headless Chromium: light and dark, 1280 and 360
# pixels wide; besides, that they request nothing and never scroll sideways as a whole. Exit status 1 with violations.
#   tools/a11y.sh report.html ...
# Needs node, npm and Chromium (Debian: apt install chromium npm). The first call fetches axe-core and puppeteer-core from
# npm into PLR_FAST_A11Y (~/.cache/plr_fast/a11y by default); tests use them from there.
set -euo pipefail
[[ $# -gt 0 ]] || { echo "usage: tools/a11y.sh FILE.html ..." >&2; exit 2; }
for file in "$@"; do
    [[ -f "$file" ]] || { echo "tools/a11y.sh: no file $file" >&2; exit 2; }
done
here=$(cd "$(dirname "$0")" && pwd)
export PLR_FAST_A11Y="${PLR_FAST_A11Y:-${XDG_CACHE_HOME:-$HOME/.cache}/plr_fast/a11y}"
for name in node npm; do
    command -v "$name" > /dev/null || { echo "tools/a11y.sh: $name is not installed" >&2; exit 2; }
done
if [[ ! -d "$PLR_FAST_A11Y/node_modules/axe-core" || ! -d "$PLR_FAST_A11Y/node_modules/puppeteer-core" ]]; then
    mkdir -p "$PLR_FAST_A11Y"
    npm install --prefix "$PLR_FAST_A11Y" --no-fund --no-audit --ignore-scripts axe-core@4 puppeteer-core@24 > /dev/null
fi
exec node "$here/a11y.mjs" "$@"
