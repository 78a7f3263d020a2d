"""A device for tests without a GPU: tensors of the CPU, kernels run by the host launcher.

While :func:`pretended` is on, operations treat torch's tensors of the CPU as a GPU's. NumPy's arrays stay the host's,
so that the native backend gives what is expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from plr_fast.backends.cuda.launch import HostLauncher, Launch
from plr_fast.ops import homes
from plr_fast.ops.home_devices import TorchHome

CPU = torch.device("cpu")


class Recorder(HostLauncher):
    """Remembers what it launched: kernels, with the device and stream that they were queued on."""

    def __init__(self, *, backwards: bool = False) -> None:
        super().__init__(backwards=backwards)
        self.launched: list[tuple[str, int, int]] = []

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        self.launched.append((launch.kernel, device, stream))
        super().launch(launch, device, stream)


class PretendedHome(TorchHome):
    """Counts the results that it makes, and has a stream to pass on."""

    def __init__(self, launcher: Recorder) -> None:
        super().__init__(CPU, launcher)
        self.launcher = launcher
        self.stream = 7
        self.made: list[tuple[tuple[int, ...], str]] = []

    def _stream(self) -> int:
        return self.stream

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        self.made.append((shape, dtype))
        return super().empty(shape, dtype).view(torch.uint8).fill_(0xA5).view(getattr(torch, dtype))


@contextmanager
def pretended(*, backwards: bool = False) -> Iterator[PretendedHome]:
    """Take tensors of the CPU for a device's; ``backwards`` lets the last block and the last thread begin."""
    home = PretendedHome(Recorder(backwards=backwards))
    before = homes.OF_TORCH[CPU]
    homes.OF_TORCH[CPU] = home
    # A MaskIndex or bank of NumPy arrays says "cpu" too; this device has a name of its own.
    home.device = "cuda:0"
    homes.OF_TORCH[torch.device("cuda:0")] = home
    try:
        yield home
    finally:
        homes.OF_TORCH[CPU] = before
        del homes.OF_TORCH[torch.device("cuda:0")]
