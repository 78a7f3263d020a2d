from __future__ import annotations

from collections.abc import Iterator

import pytest

from plr_fast.evaluation import figures


@pytest.fixture(autouse=True, scope="session")
def _small_figures() -> Iterator[None]:
    """Draw at a quarter of the resolution: nothing tested depends on it, and drawing is most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 60)
        yield
