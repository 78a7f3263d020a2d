"""A store that is cut or vanishes while it is mapped would end the process without a word (SIGBUS): look in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError


def require_files(dataset: Any) -> None:
    """Refuse to go on when a file that ``dataset.store`` has mapped is gone, or shorter than it was.

    Two calls of ``stat``, some microseconds. Data sets without such a store pass.

    Raises:
        StoreError: names the file.
    """
    store = getattr(dataset, "store", None)
    for array in (getattr(store, "slices", None), getattr(store, "masks", None)):
        if not isinstance(array, np.memmap) or array.filename is None:
            continue
        path, expected = Path(array.filename), array.offset + array.nbytes
        try:
            size = path.stat().st_size
        except OSError as error:
            raise StoreError(f"{path} went away while it was in use ({error.strerror}); {_MEND}") from error
        if size < expected:
            raise StoreError(f"{path} was cut from {expected} to {size} bytes while it was in use; {_MEND}")


_MEND = "put the same store back, then continue with --resume"
