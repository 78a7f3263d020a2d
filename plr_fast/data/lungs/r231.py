"""Lung masks by R231, the U-Net of the package ``lungmask``, for slices in Hounsfield units.

Hofmanninger et al., "Automatic lung segmentation in routine imaging is primarily a data diversity problem, not a
methodology problem", European Radiology Experimental 4:50 (2020), https://doi.org/10.1186/s41747-020-00173-2. It finds
lung that is as dense as soft tissue, which :func:`plr_fast.lung_mask` cannot. The package is an optional
extra, ``pip install 'plr-fast[lungmask]'``; its weights are downloaded at the first use, unless a file is given.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ...errors import CheckpointError
from .masks import as_array, check_settings, check_values, is_hounsfield
from .morphology import holes
from .quality import Features, MaskQuality, judge

__all__ = ["lung_mask_r231"]

MODELS = ("R231", "R231CovidWeb")


@overload
def lung_mask_r231(
    volume: torch.Tensor,
    *,
    return_quality: Literal[False] = ...,
    model: str = ...,
    weights: str | os.PathLike[str] | None = ...,
    connected: bool = ...,
    batch_size: int = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> torch.Tensor: ...


@overload
def lung_mask_r231(
    volume: torch.Tensor,
    *,
    return_quality: Literal[True],
    model: str = ...,
    weights: str | os.PathLike[str] | None = ...,
    connected: bool = ...,
    batch_size: int = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> tuple[torch.Tensor, list[MaskQuality]]: ...


@overload
def lung_mask_r231(
    volume: npt.NDArray[Any],
    *,
    return_quality: Literal[False] = ...,
    model: str = ...,
    weights: str | os.PathLike[str] | None = ...,
    connected: bool = ...,
    batch_size: int = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> npt.NDArray[np.bool_]: ...


@overload
def lung_mask_r231(
    volume: npt.NDArray[Any],
    *,
    return_quality: Literal[True],
    model: str = ...,
    weights: str | os.PathLike[str] | None = ...,
    connected: bool = ...,
    batch_size: int = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> tuple[npt.NDArray[np.bool_], list[MaskQuality]]: ...


def lung_mask_r231(
    volume: torch.Tensor | npt.NDArray[Any],
    *,
    return_quality: bool = False,
    model: str = "R231",
    weights: str | os.PathLike[str] | None = None,
    connected: bool = True,
    batch_size: int = 20,
    min_share: float = 0.0,
    max_share: float = 0.75,
) -> Any:
    """Segment the lungs of a volume with the network R231 of the package ``lungmask``.

    Args:
        volume: ``(H, W)``, ``(D, H, W)`` or ``(D, 1, H, W)`` in Hounsfield units (slope and intercept applied): int16,
            int32 or floating point, NumPy array or torch tensor; air about -1000. Each side at least 16. Patient as
            usual, front up and left on the right. The network runs on a GPU where torch sees one.
        return_quality: also return a :class:`~plr_fast.data.lungs.quality.MaskQuality` for each slice.
        model: "R231", or "R231CovidWeb", which was trained on COVID-19 slices from the web besides. Only names the
            result where ``weights`` are given.
        weights: a file of weights in the package's form. Default: the package's own, downloaded at the first use.
        connected: the slices are neighbours of one volume, in order: per lung, only the largest part in space is kept
            and holes are filled in space. False: each slice on its own.
        batch_size: slices that the network sees at once.
        min_share: smallest plausible part of a slice that is lung; 0 as a volume has slices without.
        max_share: largest plausible part.

    Returns:
        A bool mask of the same kind, shape and device as ``volume`` (both lungs together); with ``return_quality=True``
        a tuple of it and a list of D qualities.

    Raises:
        TypeError: not an array or tensor, or of a dtype that cannot be HU, as 8-bit pictures are.
        ValueError: wrong shape, NaN or infinity, values that cannot be HU, or a parameter out of range.
        ImportError: ``lungmask`` or something that it needs is not installed.
        CheckpointError: the weights cannot be downloaded or read.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
    settings = check_settings(min_share=min_share, max_share=max_share)
    array = as_array(volume)
    is_hounsfield(array.dtype, "hounsfield")
    slices = array.reshape(-1, *array.shape[-2:])
    check_values(slices, True)
    masks = np.zeros(slices.shape, np.bool_)
    if len(slices):
        masks = _infer(slices, model, weights, connected, batch_size)
    result: torch.Tensor | npt.NDArray[np.bool_] = masks.reshape(array.shape)
    if isinstance(volume, torch.Tensor):
        result = torch.from_numpy(result).to(volume.device)
    if not return_quality:
        return result
    return result, [judge(mask, _features(mask), settings, model, float("nan")) for mask in masks]


def _infer(
    slices: npt.NDArray[Any],
    model: str,
    weights: str | os.PathLike[str] | None,
    connected: bool,
    batch_size: int,
) -> npt.NDArray[np.bool_]:
    """Masks [D, H, W] of ``slices`` [D, H, W] in HU."""
    inferer = _load(model, *_identify(weights))
    inferer.batch_size = batch_size
    values = slices.astype(np.float32) if slices.dtype.kind == "f" else slices  # the package cannot resize float16
    volumes = [values] if connected else [values[index : index + 1] for index in range(len(values))]
    with _quiet():
        return np.concatenate([inferer.apply(volume) != 0 for volume in volumes])


def _identify(weights: str | os.PathLike[str] | None) -> tuple[str | None, tuple[int, int]]:
    """A file of weights and what changes when it is written anew."""
    if weights is None:
        return None, (0, 0)
    path = Path(weights)
    try:
        state = path.stat()
    except OSError as error:
        raise CheckpointError(f"the weights {path} cannot be read: {error.strerror}; check the path") from error
    return str(path.absolute()), (state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _load(model: str, weights: str | None, _state: tuple[int, int]) -> Any:
    """The package's inferer with its network; the last one is kept, as loading takes longer than a few slices."""
    package = _import_lungmask()
    if weights is not None:
        _check_weights(weights)
    try:
        with _quiet():
            return package.LMInferer(modelname=model, modelpath=weights, tqdm_disable=True)
    except (OSError, RuntimeError) as error:  # no network, no space, a broken download, or weights of another network
        if weights is not None:
            raise CheckpointError(f"the weights {weights} do not fit the network of lungmask: {error}") from error
        url, folder = package.mask.MODEL_URLS[model][0], Path(torch.hub.get_dir()) / "checkpoints"
        raise CheckpointError(
            f"the weights of {model} could not be downloaded ({error}); get {url} where there is a network, then "
            f"give the file as weights=..., or put it into {folder}"
        ) from error


def _import_lungmask() -> Any:
    try:
        with _quiet():
            package = importlib.import_module("lungmask")
            importlib.import_module("lungmask.mask")
    except ImportError as error:
        raise ImportError(
            f"lung_mask_r231 needs the package lungmask ({error}): pip install 'plr-fast[lungmask]'", name=error.name
        ) from error
    return package


def _check_weights(weights: str) -> None:
    """Refuse what is no plain file of tensors: older versions of torch would run what a pickle says."""
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling damaged bytes comes to
        raise CheckpointError(f"the weights {weights} are no file of tensors as torch.save writes: {error}") from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"the weights {weights} are not a state_dict: names with their tensors")


@contextmanager
def _quiet() -> Iterator[None]:
    """The package changes the filters of warnings for all when imported, and prints to standard output."""
    logger = logging.getLogger("lungmask")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.addFilter(_only_warnings)
        try:
            yield
        finally:
            logger.removeFilter(_only_warnings)


def _only_warnings(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _features(mask: npt.NDArray[np.bool_]) -> Features:
    area = int(np.count_nonzero(mask))
    regions = int(ndimage.label(mask)[1])
    return Features(regions, float(holes(mask)[1].sum()) / max(1, area), corner=False)
