"""What all reports of the package share: skeleton, style and pieces of self-contained HTML pages.

A page is one file that holds its pictures, style and script and fetches nothing: it opens offline, from a mail or a
USB stick, and years later. Templates extend ``layout.html.j2`` and import ``macros.html.j2``.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    from jinja2 import Environment

_PNG = b"\x89PNG\r\n\x1a\n"


def environment(folder: Path) -> Environment:
    """Templates of ``folder`` together with the shared ones; names are escaped, undefined ones are errors."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).with_name("templates")]),
        autoescape=select_autoescape(("html", "html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def content_policy(script: str = "") -> str:
    """A Content-Security-Policy that forbids all fetching, and every script but ``script`` itself.

    Script that got into a page through a name in the data would not run even if it were not escaped.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if not script:
        return policy
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return f"{policy}; script-src 'sha256-{digest}'"


def embed_png(path: Path) -> dict[str, Any]:
    """``uri`` (a data URI), ``width`` and ``height`` in pixels of a PNG file, as the macros want pictures.

    Raises:
        DataError: it is missing or not a PNG file; names it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"picture {path} cannot be read ({error.strerror or error})") from error
    if content[:8] != _PNG or len(content) < 24:
        raise DataError(f"{path} is not a PNG file")
    # The header of a PNG file holds its size at a fixed place; the page needs it to lay itself out before decoding.
    width, height = struct.unpack(">II", content[16:24])
    return {
        "uri": "data:image/png;base64," + base64.b64encode(content).decode("ascii"),
        "width": width,
        "height": height,
    }
