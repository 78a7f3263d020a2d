"""Checks shared by the operations: arguments in, arrays and plain numbers out, messages that name the argument."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ..backends.specs import ImageArray, Int64Array, Uint8Array, Windows
from . import memory
from .homes import HOST, Home, home_of, same_home

Array = torch.Tensor | np.ndarray
Images = TypeVar("Images", torch.Tensor, np.ndarray)

LARGEST_SIDE = 2**31 - 1
_MOST_PIXELS = 2**31  # lung pixels are counted and drawn in 32 bits
_HARMLESS_BYTES = 2**24  # asking for the machine's memory takes longer than a small call may


def integer(value: object, name: str, low: int, high: int) -> int:
    """Return ``value`` as an int in low..high; NumPy integers count, booleans and floats do not."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low}..{high}, not {value}")
    return int(value)


def number(value: object, name: str, low: float, high: float) -> float:
    """Return ``value`` as a finite float in low..high."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be a finite number in {low:g}..{high:g}, not {value}")
    return float(value)


def pair(value: object, name: str, low: int, high: int) -> tuple[int, int]:
    """Return a range as (first, last): a number n means (n, n), a pair is taken as it is."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be a number or a pair (low, high), not {len(value)} values")
        first, last = (integer(v, name, low, high) for v in value)
    else:
        first = last = integer(value, name, low, high)
    if first > last:
        raise ValueError(f"{name} must be (low, high) with low <= high, not ({first}, {last})")
    return first, last


def choice(value: object, name: str, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in (known := tuple(choices)):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return str(value)


def seed_value(value: object) -> int:
    """Return a seed: an integer in 0..2^64-1."""
    return integer(value, "seed", 0, 2**64 - 1)


def sample_ids(samples: object, batch: int) -> Int64Array:
    """Return the ids of ``batch`` samples as int64; ``None`` means 0..batch-1."""
    if samples is None:
        return np.arange(batch, dtype=np.int64)
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu().numpy()
    if isinstance(samples, np.ndarray):
        if samples.dtype.kind not in "iu" and samples.size:
            raise TypeError(f"samples must be integers, not {samples.dtype}")
        values: object = samples.tolist() if samples.dtype == np.uint64 else samples
    elif isinstance(samples, Iterable):
        try:
            values = [operator.index(value) for value in samples]
        except TypeError as error:
            raise TypeError(f"samples must be integers: {error}") from None
    else:
        raise TypeError(f"samples must be a sequence of integers, not {type(samples).__name__}")
    try:
        ids = np.array(values, dtype=np.int64)
    except OverflowError:
        raise ValueError("samples must lie in -2^63..2^63-1") from None
    if ids.shape != (batch,):
        raise ValueError(f"samples must hold one id for each of the {batch} samples, not shape {ids.shape}")
    return ids


def ids_at(home: Home, samples: object, batch: int) -> Any:
    """Return ids as the backend of ``home`` takes them. Those in the home's own memory stay there.

    Raises:
        TypeError, ValueError: as :func:`sample_ids`.
    """
    if home.on_host or not home.holds(samples):
        return home.samples(sample_ids(samples, batch), batch)
    ids: Any = samples
    if home.dtype(ids) not in ("uint8", "int8", "int16", "int32", "int64"):
        raise TypeError(f"samples must be integers of up to 64 bits with a sign, not {home.dtype(ids)}")
    if tuple(ids.shape) != (batch,):
        raise ValueError(f"samples must hold one id for each of the {batch} samples, not shape {tuple(ids.shape)}")
    return home.samples(home.contiguous(home.cast(ids, "int64")), batch)


def require_memory(size: int, what: str) -> None:
    """Refuse what this machine could never hold, before it is tried.

    Raises:
        MemoryError: ``size`` bytes are more than the machine, or its cgroup, has.
    """
    if size <= _HARMLESS_BYTES:
        return
    total = machine_memory()
    if size > total:
        raise MemoryError(
            f"{what} needs {size / 2**30:,.1f} GiB, but this machine has {total / 2**30:,.1f} GiB: "
            "make fewer or smaller samples at a time"
        )


def machine_memory() -> int:
    """Return the bytes of memory this process could ever have: the machine's, cut by a cgroup limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


@dataclass(frozen=True)
class Batch:
    """Images as the backends want them: (B, H, W), C-contiguous, uint8 or float32, of the kind that ``home`` knows."""

    array: ImageArray
    original: Array
    home: Home = HOST

    def new(self) -> Array:
        """Return fresh memory of the kind (torch, NumPy, CuPy), shape and dtype that the caller passed."""
        if not self.home.on_host:
            made: Array = self.home.empty(tuple(self.original.shape), self.home.dtype(self.original))
            return made
        if isinstance(self.original, torch.Tensor):
            return memory.fresh(self.original.shape, self.original.dtype)
        return np.empty(self.original.shape, self.original.dtype)  # NumPy asks for huge pages itself


def array_of(home: Home, value: Any, name: str) -> Any:
    """Return an array as the backend of its home takes it: a NumPy view on the host, else without its gradient."""
    if home.on_host:
        return cpu_array(value, name)
    if not isinstance(value, torch.Tensor):
        return value
    _check_dense(value, name)
    return value.detach()


def cpu_array(value: Array, name: str) -> np.ndarray:
    """Return a tensor or array of the host as a NumPy view."""
    if isinstance(value, torch.Tensor):
        if not value.is_cpu:
            raise ValueError(f"{name} is on {value.device}, but must be on the CPU here: pass {name}.cpu()")
        _check_dense(value, name)
        return (value.detach() if value.requires_grad else value).numpy()  # detaching takes a microsecond
    if isinstance(value, np.ndarray):
        return value
    raise TypeError(f"{name} must be a torch tensor or a NumPy array, not {type(value).__name__}")


def _check_dense(value: torch.Tensor, name: str) -> None:
    if value.dtype == torch.bfloat16 or value.is_sparse or value.is_quantized:
        raise TypeError(f"{name} must be a dense tensor of a dtype that NumPy has, not {value.dtype}")


def planes(array: Any, name: str) -> Any:
    """Return (B, H, W) of an array (B, H, W) or (B, 1, H, W)."""
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3:
        hint = {2: f": one slice is {name}[None]", 4: ": slices are grey, with one channel"}.get(array.ndim, "")
        raise ValueError(f"{name} must have shape (B, H, W) or (B, 1, H, W), not {tuple(array.shape)}{hint}")
    _, height, width = array.shape
    if height * width >= _MOST_PIXELS:
        raise ValueError(f"{name} must have fewer than 2^31 pixels each, not {height} x {width}")
    if height == 0 or width == 0:
        raise ValueError(f"{name} must have at least one pixel, not shape {tuple(array.shape)}")
    return array


def image_batch(images: Array, name: str = "images", *, check: bool | None = True) -> Batch:
    """Return checked images; non-contiguous ones are copied once.

    Raises:
        TypeError: not a tensor or array, or neither uint8 nor float32.
        ValueError: wrong rank or device; with ``check`` (None: on the host), float images with NaN or beyond [0, 1].
        BackendUnavailableError: nothing here can run on their device.
    """
    home = home_of(images, name)
    array = planes(array_of(home, images, name), name)
    dtype = home.dtype(array)
    if dtype not in ("uint8", "float32"):
        raise TypeError(f"{name} must be uint8 or float32, not {dtype}: convert them first")
    array = home.contiguous(array)
    if (home.on_host if check is None else check) and dtype == "float32" and math.prod(array.shape):
        low, high = float(array.min()), float(array.max())  # both pass NaN on
        if math.isnan(low):
            bad = np.isnan(home.download(array)).any(axis=(1, 2)).nonzero()[0]
            raise ValueError(f"{name} contain NaN (in image {', '.join(map(str, bad[:5]))}): clean them first")
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} range from {low:g} to {high:g}, but float32 images must lie in [0, 1]: scale them first "
                "(or pass check=False if this is meant)"
            )
    return Batch(array, images, home)


def mask_batch(masks: Array, shape: tuple[int, ...], name: str = "masks", *, home: Home = HOST) -> Uint8Array:
    """Return masks as uint8 (on devices also bool) (B, H, W), non-zero = inside.

    Raises:
        TypeError: neither bool nor uint8.
        ValueError: another shape or device than the images.
    """
    same_home(home, masks, name)
    array = planes(array_of(home, masks, name), name)
    if home.dtype(array) not in ("bool", "uint8"):
        raise TypeError(f"{name} must be bool or uint8, not {home.dtype(array)}: pass for instance {name} > 0")
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} must have the shape of the images, {shape}, not {tuple(array.shape)}")
    array = home.contiguous(array)
    result: Uint8Array = array.view(np.uint8) if home.on_host else array
    return result


def output_for(batch: Batch, out: Array | None) -> tuple[ImageArray, Array]:
    """Return the array (B, H, W) to write to and what the caller gets: ``out`` checked, or new memory for both."""
    home = batch.home
    if out is None:
        result = batch.new()
        return planes(array_of(home, result, "out"), "out"), result
    same_home(home, out, "out")
    written(out)
    array = planes(array_of(home, out, "out"), "out")
    if array.shape != batch.array.shape or array.dtype != batch.array.dtype:
        wanted, given = (f"{tuple(a.shape)} and dtype {home.dtype(a)}" for a in (batch.array, array))
        raise ValueError(f"out must have shape {wanted} like the images, not {given}")
    if not home.is_contiguous(array):
        raise ValueError("out must be contiguous")
    if not writeable(array):
        raise ValueError("out must be writeable")
    # Most that share memory are the same, which takes microseconds to see from outside.
    if out is not batch.original and home.overlap(array, batch.array) and not home.same_memory(array, batch.array):
        raise ValueError("out overlaps the images in part: pass the images themselves or another buffer")
    return array, out


def writeable(array: Any) -> bool:
    """Tell whether an array may be written to; only NumPy knows arrays that may not."""
    return bool(array.flags.writeable) if isinstance(array, np.ndarray) else True


def written(out: object) -> None:
    """Tell autograd that ``out`` is about to change, as torch's own operations do.

    Raises:
        ValueError: it is part of a graph that gradients are to flow through.
    """
    if not isinstance(out, torch.Tensor):
        return
    if out.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "out requires grad, but what is written to it has none: pass out.detach(), or use torch.no_grad()"
        )
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)


def window_ranges(count: object, size: object, shape: tuple[int, int]) -> Windows:
    """Return random windows; each side is 1 to a tenth of the image's unless ``size`` (low, high) says else."""
    n = 0 if count is None else integer(count, "windows", 1, 2**24 - 1)
    if size is None:
        return Windows(n, (1, max(1, shape[0] // 10)), (1, max(1, shape[1] // 10)))
    low, high = pair(size, "window", 1, LARGEST_SIDE)
    if high > min(shape):
        raise ValueError(f"window must fit into the image, {shape[0]} x {shape[1]}, not be up to {high} pixels")
    return Windows(n, (low, high), (low, high))
