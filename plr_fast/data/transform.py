"""Corruption of batches that are already there: a training step's way to pseudo lesions, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from ..backends.specs import Blend, Shape
from ..ops import FreshLesions, LesionBank, MaskIndex, gaussian_blur, local_shuffle, paste_clouds, paste_lesions
from ..ops.arguments import integer, sample_ids, seed_value
from ..ops.homes import HOST, Home, home_of, home_on
from ..ops.paste import Inside
from .clean import clean_samples, share_of_clean

Corruption = Literal["perlin", "gaussian", "shuffle"]
Lesions = Literal["bank", "fresh", "clouds"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)


def patches_for(lesions: object, bank: LesionBank | FreshLesions | None, seed: int) -> LesionBank | FreshLesions:
    """Return what to paste: ``bank``, or one of the paper's settings made from ``seed``.

    Raises:
        ValueError: ``lesions`` is neither "bank" nor "fresh", or contradicts ``bank``.
    """
    if lesions not in get_args(Lesions):
        raise ValueError(f"lesions must be one of {', '.join(get_args(Lesions))}, not {lesions!r}")
    if bank is None:
        return FreshLesions(seed=seed) if lesions == "fresh" else LesionBank.generate(seed=seed)
    if isinstance(bank, FreshLesions) and lesions == "bank":
        raise ValueError('bank is FreshLesions: pass lesions="fresh" with it')
    if isinstance(bank, LesionBank) and lesions == "fresh":
        raise ValueError('lesions="fresh" has no use for a LesionBank: pass FreshLesions as bank, or none')
    return bank


def cloud_settings(
    corruption: object, lesions: object, bank: object, clouds: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return the settings of :func:`plr_fast.paste_clouds`, None where lesions are no clouds.

    Raises:
        ValueError: there are settings of clouds or of patches for what is something else.
    """
    if corruption != "perlin" or lesions != "clouds":
        if clouds is not None:
            raise ValueError('clouds are settings of corruption="perlin" with lesions="clouds"')
        return None
    if bank is not None:
        raise ValueError('lesions="clouds" has no use for patches: leave bank out')
    return dict(clouds or {})


class PseudoLesionTransform:
    """Corrupts batches of images in the memory where they are, as :class:`PseudoLesionDataset` corrupts its slices.

    On a GPU a call queues a few kernels on the current stream and returns at once; nothing is copied to the host, and
    with ids in the GPU's memory nothing from it either. It pickles, and counts on in the copy.

    What an image becomes depends on ``seed`` and its sample id alone. Without ``samples``, ids are counted from
    ``next_sample`` on (0 at first), one for each image of each call: save and set that attribute to go on after an
    interruption, and give every process of a distributed run ids of its own. A CUDA graph repeats the ids it was
    recorded with, unless they come as a tensor whose values are renewed between replays.

    Args:
        corruption: "perlin" (PLR-P), "gaussian" (PLR-G) or "shuffle" (PLR-L).
        lesions: for "perlin", "bank" pastes from a fixed number of patches, "fresh" makes new ones for every image, and
            "clouds" outlines lesions by noise over the whole image.
        bank: the :class:`plr_fast.LesionBank` or :class:`plr_fast.FreshLesions`; by default one with the paper's
            settings is made from ``seed``. It is taken along to the device of the images.
        clouds: for lesions="clouds", settings of :func:`plr_fast.paste_clouds` by name (``cells``, ``threshold``,
            ``alpha``, ...); those of patches are not looked at then.
        count, blend, alpha, feather, shape, inside: see :func:`plr_fast.paste_lesions`.
        windows: for "gaussian" and "shuffle", corrupt only this many random windows; default the whole image.
        clean_share: share of the images that stay as they are, 0 up to 1, chosen by ``seed`` and sample id alone.
        seed: 0..2^64-1.
        device: take the patches there now; otherwise at the first batch on a device.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
        BackendUnavailableError: there is no such device, or nothing that can run on it.
    """

    def __init__(
        self,
        corruption: Corruption = "perlin",
        *,
        lesions: Lesions = "bank",
        bank: LesionBank | FreshLesions | None = None,
        clouds: Mapping[str, Any] | None = None,
        count: int | tuple[int, int] = 30,
        blend: Blend = "replace",
        alpha: float | tuple[float, float] = 1.0,
        feather: int = 0,
        shape: Shape = "rectangle",
        inside: Inside = "centre",
        windows: int | None = None,
        clean_share: float = 0.0,
        seed: int = 0,
        device: str | torch.device | None = None,
    ) -> None:
        home = HOST if device is None else home_on(device)
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, not {corruption!r}")
        self.corruption = corruption
        self.seed = seed_value(seed)
        self.windows = windows
        self.clean_share = share_of_clean(clean_share)
        self.paste: dict[str, Any] = {
            "count": count, "blend": blend, "alpha": alpha, "feather": feather, "shape": shape, "inside": inside,
        }  # fmt: skip
        self.next_sample = 0
        self._banks: dict[str, LesionBank | FreshLesions] = {}
        self.clouds = cloud_settings(corruption, lesions, bank, clouds)
        if corruption == "perlin" and self.clouds is None:
            self._banks[HOST.device] = patches_for(lesions, bank, seed).at(HOST)
            self._bank_at(home)
        # Refuse bad settings now, not at the first batch; nobody asked for its result.
        blank = np.zeros((1, 64, 64), np.uint8)
        self._corrupted(blank, np.ones_like(blank), [0], None, False)

    def to(self, device: str | torch.device) -> PseudoLesionTransform:
        """Take the patches to a device beforehand, and return the transform itself."""
        if self._banks:
            self._bank_at(home_on(device))
        return self

    def __call__(
        self,
        images: torch.Tensor,
        masks: torch.Tensor | MaskIndex | None = None,
        *,
        samples: Iterable[int] | torch.Tensor | None = None,
        out: torch.Tensor | None = None,
        lesion_mask: torch.Tensor | None = None,
        clean: torch.Tensor | None = None,
        check: bool | None = None,
    ) -> torch.Tensor:
        """Return corrupted copies of ``images``.

        Args:
            images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1]; tensors, or arrays of NumPy or CuPy.
            masks: lung masks, bool or uint8, like the images, or a :class:`plr_fast.MaskIndex`; for "perlin" only.
            samples: ids of the images; default: counted, see the class.
            out: where to write, like ``images``; may be ``images`` itself.
            lesion_mask: bool or uint8 like ``images``, receives the altered pixels: those that lesions were written to
                ("perlin"), or whose grey has changed.
            clean: bool (B,), receives which images have no altered pixel.
            check: see :func:`plr_fast.paste_lesions`.

        Raises:
            TypeError, ValueError: wrong kind, rank, dtype, device, range, or masks missing or of another shape.
        """
        if self.corruption == "perlin" and masks is None:
            raise ValueError('corruption="perlin" pastes into lungs: pass their masks')
        ids: Any = samples
        first = self.next_sample
        if samples is None:
            ids = range(first, first + len(images))
        kept: Any = None
        if self.clean_share:
            home = home_of(images, "images")
            # Ids in a GPU's memory stay there; those of the host may come from a generator, which gives them once.
            on_device = not home.on_host and home.holds(ids)
            ids = ids if on_device else sample_ids(ids, len(images))
            kept = clean_samples(self.seed, ids, self.clean_share)
            kept = kept if on_device else home.upload(kept)
        result = self.apply(images, masks, ids, kept, out=out, lesion_mask=lesion_mask, clean=clean, check=check)
        if samples is None:
            self.next_sample = integer(first + len(images), "next_sample", 0, 2**63 - 1)
        return result

    def apply(
        self,
        images: Any,
        masks: Any,
        samples: Any,
        kept: Any = None,
        *,
        out: Any = None,
        lesion_mask: Any = None,
        clean: Any = None,
        check: bool | None = None,
    ) -> torch.Tensor:
        """As a call with ``samples``, but the caller says which images are ``kept`` as they are: bool (B,) where the
        images are, or None for none."""
        marks = lesion_mask
        if marks is None and clean is not None:
            shape = tuple(images.shape)
            on_torch = isinstance(images, torch.Tensor)
            marks = (
                images.new_empty(shape, dtype=torch.bool)
                if on_torch
                else home_of(images, "images").empty(shape, "bool")
            )
        by_grey = marks is not None and self.corruption != "perlin"
        before = images
        if out is not None and (kept is not None or by_grey):
            before = images.clone() if isinstance(images, torch.Tensor) else images.copy()
        paste_marks = False if marks is None or by_grey else marks
        result = self._corrupted(images, masks, samples, out, check, paste_marks)
        if kept is not None:
            _put(result, before, kept)
            if paste_marks is not False:
                _put(marks, False, kept)
        if by_grey:
            marks[...] = result != before
        if clean is not None:
            clean[...] = ~(marks != 0).reshape(len(marks), -1).any(1)
        return cast(torch.Tensor, result)

    def _corrupted(
        self, images: Any, masks: Any, samples: Any, out: Any, check: bool | None, lesion_mask: Any = False
    ) -> Any:
        common: dict[str, Any] = {"seed": self.seed, "samples": samples, "out": out, "check": check}
        if self.corruption == "gaussian":
            return gaussian_blur(images, windows=self.windows, **common)
        if self.corruption == "shuffle":
            return local_shuffle(images, windows=self.windows, **common)
        if self.clouds is not None:
            return paste_clouds(images, masks, lesion_mask=lesion_mask, **common, **self.clouds)
        bank = self._bank_at(home_of(images, "images"))
        return paste_lesions(images, masks, bank, lesion_mask=lesion_mask, **common, **self.paste)

    def _bank_at(self, home: Home) -> LesionBank | FreshLesions:
        if home.device not in self._banks:
            self._banks[home.device] = self._banks[HOST.device].at(home)
        return self._banks[home.device]

    def __getstate__(self) -> dict[str, Any]:
        # Copies take the patches along to their devices when they get there.
        return {**self.__dict__, "_banks": {name: bank for name, bank in self._banks.items() if name == HOST.device}}

    def __repr__(self) -> str:
        return f"PseudoLesionTransform({self.corruption!r}, seed={self.seed}, next_sample={self.next_sample})"


def _put(target: Any, value: Any, rows: Any) -> None:
    """Write ``value``, or its rows, to the ``rows`` (bool) of ``target``; a GPU is not waited for."""
    if not isinstance(target, torch.Tensor):
        np.copyto(target, value, where=rows.reshape(-1, *[1] * (target.ndim - 1)))
        return
    rows = torch.as_tensor(rows).view(-1, *[1] * (target.ndim - 1))
    if isinstance(value, torch.Tensor):
        torch.where(rows, value, target, out=target)
    else:
        target.masked_fill_(rows, value)
