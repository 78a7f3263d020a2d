"""Exceptions and warnings that callers may want to tell apart.

Wrong arguments of an operation raise the built-in ``TypeError`` or ``ValueError`` (``MemoryError`` for sizes beyond
the machine). The classes here are for what arguments cannot show: files, stores, checkpoints, backends.
"""

from __future__ import annotations


class PlrFastError(Exception):
    """Base of all errors that plr_fast defines."""


class BackendUnavailableError(PlrFastError, RuntimeError):
    """A backend was asked for by name and cannot run here; the message says why and how to mend it."""


class DeviceMemoryError(PlrFastError, MemoryError):
    """A GPU has no memory left for what an operation needs; the message says on which, and how much was asked for."""


class DataError(PlrFastError, ValueError):
    """Input data break a rule: unknown columns, duplicated ids, patients in two splits, empty classes."""


class ImageReadError(DataError):
    """An image file cannot be read; the message names the file."""


class StoreError(DataError):
    """A slice store is missing, incomplete, damaged, or was written by a newer version."""


class ConfigError(PlrFastError, ValueError):
    """A configuration value is out of range or contradicts another."""


class CheckpointError(PlrFastError, RuntimeError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class WorkerError(PlrFastError, RuntimeError):
    """A worker process died; the message names what it was at work on."""


class ExperimentError(PlrFastError, RuntimeError):
    """Cells of an experiment have failed; the message names them."""


class StorageError(PlrFastError, OSError):
    """Writing failed (full disk, no permission); what was there before is untouched."""

    def __str__(self) -> str:
        # OSError would put "[Errno 28]" before the sentence.
        return str(self.strerror or super().__str__())


class BackendFallbackWarning(RuntimeWarning):
    """The compiled extension is missing and the slower Numba backend does its work; the results are the same."""


class EmptyMaskWarning(UserWarning):
    """Some images have no lung pixel and were returned unchanged."""
