"""uint8 grey to float32."""

from __future__ import annotations

import numpy as np

from ..specs import Float32Array, Uint8Array


def scale_grey(images: Uint8Array, out: Float32Array, threads: int) -> None:  # noqa: ARG001 - one thread
    out[...] = images.astype(np.float64) / 255
