"""Doubling feature maps: torch's values and torch's gradients, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plr_fast.models.upsample import enlarge


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(6, 10), (7, 10), (3, 5), (9, 11)])
def test_values_and_gradients_are_those_of_interpolate(layout: torch.memory_format, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 3, 5, generator=generator).to(memory_format=layout)
    skip = torch.randn(2, 4, *size, generator=generator).to(memory_format=layout)
    weights = torch.randn(2, 7, *size, generator=generator)
    gradients = []
    for function in (enlarge, lambda maps, size: F.interpolate(maps, size=size, mode="nearest")):
        maps = features.clone().requires_grad_()
        joined = torch.cat((skip, function(maps, size)), dim=1)  # type: ignore[no-untyped-call]
        (joined * weights).sum().backward()
        gradients.append((joined.detach(), maps.grad))
    (ours, our_gradient), (theirs, their_gradient) = gradients
    assert torch.equal(ours, theirs)
    assert our_gradient is not None
    assert their_gradient is not None
    assert torch.equal(our_gradient, their_gradient)
    assert our_gradient.is_contiguous(memory_format=layout) or size == (3, 5)
