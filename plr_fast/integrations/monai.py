"""MONAI: pseudo lesions as random transforms, for arrays and for dictionaries."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch

from ..ops import LesionBank
from ..ops.arguments import Array, Images
from .channel_first import ChannelFirstPaste
from .required import required

with required("monai"):
    from monai.transforms import MapTransform, RandomizableTransform
    from monai.utils import TransformBackends, convert_to_dst_type, ensure_tuple

Keys = Hashable | tuple[Hashable, ...] | list[Hashable]


class RandPseudoLesion(RandomizableTransform):
    """Paste pseudo lesions into the lungs of an image (C, H, W) or a volume (C, H, W, D).

    Every call draws one seed from ``self.R``; the rest is a pure function of it. NumPy array, tensor or ``MetaTensor``
    in, the same kind, dtype and metadata out.

    Args:
        prob: probability that a call pastes anything.
        bank: the patches; by default the paper's bank is made at once.
        value_range: the image values that are black and white, e.g. (-1350, 150) for Hounsfield units. ``None``: 0..255
            for uint8, 0..1 for floats, checked.
        slice_axis: for volumes, the spatial axis along which the slices lie; each is pasted on its own.
        paste: further arguments of :func:`plr_fast.paste_lesions`: ``count``, ``blend``, ``alpha``, ``feather``.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]  # noqa: RUF012 - as the base class has it

    def __init__(
        self,
        prob: float = 1.0,
        *,
        bank: LesionBank | None = None,
        value_range: tuple[float, float] | None = None,
        slice_axis: int = -1,
        **paste: Any,
    ) -> None:
        super().__init__(prob)
        self.paste = ChannelFirstPaste(bank, value_range, slice_axis, paste)
        self._seed = 0

    def randomize(self, data: Any = None) -> None:
        """Draw whether to paste, and what."""
        super().randomize(data)
        if self._do_transform:
            self._seed = int(self.R.randint(2**63 - 1, dtype=np.int64))

    def __call__(self, img: Images, mask: Array, randomize: bool = True) -> Images:
        """Return ``img`` with lesions where ``mask`` (1, ...) is not zero; not ``randomize``: the same ones again."""
        if randomize:
            self.randomize()
        if not self._do_transform:
            return img
        pasted: Images = convert_to_dst_type(self.paste(_plain(img), _plain(mask), self._seed), img)[0]
        return pasted


class RandPseudoLesiond(RandomizableTransform, MapTransform):
    """Dictionary form of :class:`RandPseudoLesion`: the images of all ``keys`` get the same lesions.

    Args:
        keys: the images.
        mask_key: the lung mask (1, ...) or (C, ...), any real dtype; non-zero = lung.
        prob: probability that a call pastes anything.
        target_key: where to put the images as they were, the targets of a restoration; one for each of ``keys``.
        lesion_mask_key: where to put which pixels changed in any image, bool (1, ...). Both are set in every call, so
            that samples collate, whether anything was pasted or not.
        allow_missing_keys: pass over ``keys`` that a sample does not have.
        bank, value_range, slice_axis, paste: see :class:`RandPseudoLesion`.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
        KeyError: in a call, an image or its mask is missing.
    """

    backend = RandPseudoLesion.backend

    def __init__(
        self,
        keys: Keys,
        mask_key: Hashable,
        prob: float = 1.0,
        target_key: Keys | None = None,
        lesion_mask_key: Hashable | None = None,
        allow_missing_keys: bool = False,
        *,
        bank: LesionBank | None = None,
        value_range: tuple[float, float] | None = None,
        slice_axis: int = -1,
        **paste: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.mask_key = mask_key
        self.target_keys = (None,) * len(self.keys) if target_key is None else ensure_tuple(target_key)
        if len(self.target_keys) != len(self.keys):
            raise ValueError(f"target_key must name one target for each of the {len(self.keys)} keys, not {target_key}")
        self.lesion_mask_key = lesion_mask_key
        self.transform = RandPseudoLesion(bank=bank, value_range=value_range, slice_axis=slice_axis, **paste)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandPseudoLesiond:
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        self.transform.randomize()
        lesions = None
        for key, target_key in self.key_iterator(d, self.target_keys):
            image = d[key]
            if self.mask_key not in d:
                raise KeyError(f"key {self.mask_key!r}, the lung mask of RandPseudoLesiond, is missing in the data")
            if self._do_transform:
                d[key] = self.transform(image, d[self.mask_key], randomize=False)
            if target_key is not None:
                # Nothing pasted: a copy, so that later transforms in place can't reach the target through the image.
                d[target_key] = image if self._do_transform else _copy(image)
            if self.lesion_mask_key is not None:
                changed = (_plain(d[key]) != _plain(image)).any(0)[None]
                lesions = changed if lesions is None else lesions | changed
                d[self.lesion_mask_key] = convert_to_dst_type(lesions, image, dtype=bool)[0]
        return d


RandPseudoLesionD = RandPseudoLesionDict = RandPseudoLesiond


def _plain(value: Any) -> Any:
    """Return a ``MetaTensor`` as the plain tensor that it is, anything else as it is."""
    return value.as_subclass(torch.Tensor) if isinstance(value, torch.Tensor) else value


def _copy(value: Array) -> Array:
    return value.clone() if isinstance(value, torch.Tensor) else value.copy()
