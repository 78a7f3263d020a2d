"""Named configs and config files: settings of ``prepare``, ``pretrain``, ``finetune`` and ``evaluate`` in one place.

A named config is a YAML file of this folder whose comments say where each setting comes from; a file of your own may
say ``base: sars-cov-2`` and change what it likes.

    from plr_fast.recipes import load_config
    from plr_fast.training import pretrain

    recipe = load_config("sars-cov-2")
    pretrain(recipe.pretrain(store=Path("store-512"), run=Path("runs/plr-p"), seed=1))

What is given counts before what the file says, and that before the default.
"""

from __future__ import annotations

from .document import named_configs
from .recipe import Recipe, Setting, load_config
from .sections import SECTIONS, Section

__all__ = ["SECTIONS", "Recipe", "Section", "Setting", "load_config", "named_configs"]
