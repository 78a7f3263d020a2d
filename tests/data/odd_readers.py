"""A reader for the tests of worker processes, which import it from here: sources that do as their text says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from plr_fast.data.readers import RawSlice
from plr_fast.errors import ImageReadError


class OddError(Exception):
    """Cannot be pickled: its arguments are not those that it was made with."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class OddReader:
    """``slices N``: a volume of N slices, one by one; ``broken N``: the same, then an error; ``die``; ``bug``; ..."""

    names_patients = True

    def claims(self, path: Path) -> bool:
        return path.suffix == ".odd"

    def count(self, path: Path) -> int:
        return int(path.read_text().split()[-1])

    def read(self, path: Path) -> Iterator[RawSlice]:
        kind, count = path.read_text().split()
        for page in range(int(count)):
            values = np.random.default_rng([page, int(path.stem)]).integers(-1400, 200, (48, 40)).astype(np.int16)
            yield RawSlice(values, page=page, hounsfield=True, spacing=(0.5, 0.7), patient=path.parent.name)
        if kind == "broken":
            raise ImageReadError(f"{path} breaks off")
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "bug":
            raise KeyError("nobody foresaw this")
        if kind == "odd":
            raise OddError("very", " odd")
        if kind == "wait":
            time.sleep(600)
