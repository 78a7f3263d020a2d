"""``python -m plr_fast`` is ``plr-fast``."""

from __future__ import annotations

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
