"""Make the picture of docs/recipe.md from the phantom: `python tools/make_lesion_rows.py docs/images/lesions.png`.

Rows: the paper's lesions, and those that docs/recipe.md recommends for a likeness with ground glass.
"""

from __future__ import annotations

import sys
from pathlib import Path

from plr_fast import LesionBank, paste_lesions
from plr_fast.cli.pictures import captioned, comparison, write_png
from plr_fast.data import thorax_phantom

SIZE = 256


def main(target: Path) -> None:
    phantom = thorax_phantom(2, 4, SIZE, positive_share=0.0, seed=1)
    slices, masks = phantom.slices[2::4], phantom.masks[2::4]
    paper = paste_lesions(slices, masks, LesionBank.generate(), seed=4)
    bank = LesionBank.generate(cells=8, patch=(10, 50), threshold=150)
    clouds = paste_lesions(slices, masks, bank, count=12, shape="cloud", blend="add", alpha=(0.3, 0.7), seed=4)
    rows = [
        ("the paper's: rectangles of 5 to 25 pixels that replace the lung, 30 in a slice", comparison(slices, paper)),
        ("clouds of 10 to 50 pixels added with opacity 0.3 to 0.7, 12 in a slice", comparison(slices, clouds)),
    ]
    write_png(target, captioned(rows))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
