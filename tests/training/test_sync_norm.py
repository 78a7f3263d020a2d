"""What becomes of a network's batch norms; their arithmetic is tested on several processes in test_ranks.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plr_fast.errors import ConfigError
from plr_fast.models import UNet
from plr_fast.training.sync_norm import share_norms


def test_every_norm_is_replaced_in_place_under_its_name() -> None:
    network = UNet(1, 1, (2, 3, 4, 4, 4), "batch").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.rand(2, 1, 32, 32)
    expected = network(images)
    assert len(share_norms(network)) == 18
    assert network.state_dict().keys() == before.keys()
    assert torch.equal(network(images), expected)


def test_norms_of_other_classes_are_refused() -> None:
    class Special(nn.BatchNorm2d):
        pass

    with pytest.raises(ConfigError, match=r"own batch norm \(Special\)"):
        share_norms(nn.Sequential(nn.BatchNorm2d(2), Special(2)))
