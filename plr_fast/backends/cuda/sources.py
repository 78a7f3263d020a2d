"""Where the text of the kernels lies, for compiling them at run time."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import plr_fast

# The units of csrc/cuda: each is one program, <unit>.cu. They include nothing but headers of these two folders.
UNITS = ("noise", "mask", "paste", "filters", "bank", "fresh", "clouds")
FOLDERS = ("cuda", "core")


def source_root() -> Path:
    """Return the folder with ``core/`` and ``cuda/``: a wheel's ``plr_fast/_cuda_src``, else the checkout's ``csrc``.

    Raises:
        FileNotFoundError: neither is there; the message says how to mend that.
    """
    package = Path(plr_fast.__file__).parent
    places = (package / "_cuda_src", package.parent / "csrc")
    for place in places:
        if all((place / "cuda" / f"{unit}.cu").is_file() for unit in UNITS):
            return place
    raise FileNotFoundError(
        f"the sources of the CUDA kernels are neither at {places[0]} nor at {places[1]}: reinstall plr_fast"
    )


def include_folders() -> list[Path]:
    """Return the folders in which a compiler must look for headers."""
    root = source_root()
    return [root / folder for folder in FOLDERS]


def unit_source(unit: str) -> str:
    """Return the program of a unit."""
    if unit not in UNITS:
        raise ValueError(f"no unit is named {unit!r}; choose one of {', '.join(UNITS)}")
    return (source_root() / "cuda" / f"{unit}.cu").read_text(encoding="utf-8")


@cache
def kernel_units() -> dict[str, str]:
    """Return the unit of each kernel: those of unit u are listed by ``PLR_KERNELS_u`` in ``u_kernels.h``."""
    units = {}
    for unit in UNITS:
        text = (source_root() / "cuda" / f"{unit}_kernels.h").read_text(encoding="utf-8")
        listed = re.search(rf"#define PLR_KERNELS_{unit}\(X\)((?:.*\\\n)*.*)", text)
        assert listed is not None, f"{unit}_kernels.h lists no kernels"
        units.update(dict.fromkeys(re.findall(r"\bX\((\w+),", listed[1]), unit))
    return units


@cache
def fingerprint() -> str:
    """Return SHA-256 (hex) of all text that units are compiled from: caches that know only the unit's own need it."""
    digest = hashlib.sha256()
    for folder in include_folders():
        for path in sorted(folder.glob("*.h")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
