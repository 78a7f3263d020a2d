"""Progress bars where nobody sees them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from plr_fast import console


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_leaves_nothing_in_a_file(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    said = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=said, force_terminal=terminal))
    with console.progress_bar() as progress:
        progress.advance(progress.add_task("work", total=1, note=""))
    assert ("work" in said.getvalue()) is terminal
    assert terminal or said.getvalue() == ""
