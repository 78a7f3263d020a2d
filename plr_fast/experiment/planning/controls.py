"""The controls without a network that a method of an experiment may be; :mod:`plr_fast.experiment.engine.controls` has
what they do."""

from __future__ import annotations

from collections.abc import Mapping

CONTROLS: Mapping[str, str] = {
    "grey-forest": "grey-level statistics and a random forest",
    "nearest-slice": "copies the label of the most similar training slice",
}
"""Name in experiment files -> what it is, in a few plain words."""
