"""The classifier: encoder, global average pooling, hidden layer, one logit."""

from __future__ import annotations

import pytest
import torch

from plr_fast.models import Classifier

WIDTHS = (2, 3, 4, 5, 6)


def test_matches_its_parts_written_out() -> None:
    torch.manual_seed(0)
    model = Classifier(WIDTHS, hidden=7).double().eval()
    images = torch.rand(3, 1, 32, 48, dtype=torch.float64)
    pooled = model.encoder(images)[4].flatten(2).sum(-1) / (2 * 3)
    hidden = (pooled @ model.hidden.weight.T + model.hidden.bias).clamp(min=0)
    expected = (hidden @ model.output.weight.T + model.output.bias)[:, 0]
    logits = model(images)
    assert logits.shape == (3,)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (20, 33)])
def test_takes_any_size(size: tuple[int, int]) -> None:
    assert Classifier(WIDTHS, hidden=7)(torch.rand(2, 1, *size)).shape == (2,)


def test_default_has_512_neurons_on_512_features() -> None:
    model = Classifier()
    assert tuple(model.hidden.weight.shape) == (512, 512)
    assert tuple(model.output.weight.shape) == (1, 512)


def test_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(1)
    model = Classifier(WIDTHS, "batch", hidden=7)
    model(torch.rand(4, 1, 32, 32)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_bad_hidden_is_named() -> None:
    with pytest.raises(ValueError, match="hidden"):
        Classifier(WIDTHS, hidden=0)
