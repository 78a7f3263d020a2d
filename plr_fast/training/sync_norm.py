"""Batch norm whose statistics are those of all ranks, on any device."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ..errors import ConfigError


class SyncNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all ranks: the same as one process gets on all of them, but for rounding.

    torch.nn.SyncBatchNorm has no CPU form, and cannot leave out a rank that takes part without samples of its own.

    Attributes:
        idle: Whether this rank's batch is a stand-in, which counts for nothing and gets no gradient.
    """

    idle = False

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor) -> Tensor:
        """Float (B, C, H, W) → the same shape and dtype. In evaluation mode nothing is exchanged."""
        if not self.training:
            return super().forward(images)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        result, mean, variance, count = _normalise(images, self.weight, self.bias, self.eps, self.idle)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return result


def _normalise(*arguments: Any) -> tuple[Tensor, ...]:
    return cast(tuple[Tensor, ...], _Normalise.apply(*arguments))  # type: ignore[no-untyped-call]


def share_norms(module: nn.Module) -> list[SyncNorm]:
    """Turn every ``BatchNorm2d`` of ``module`` into a :class:`SyncNorm` with its own parameters, in place; return them.

    The names in the state dict stay.

    Raises:
        ConfigError: there is a batch norm of another class, which would keep its own statistics.
    """
    found: list[SyncNorm] = []
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SyncNorm
        if isinstance(child, SyncNorm):
            found.append(child)
        elif isinstance(child, nn.BatchNorm2d):
            raise ConfigError(
                f"sync_norm cannot share the statistics of this encoder's own batch norm ({type(child).__name__}); "
                "leave sync_norm out, or take another encoder"
            )
    return found


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float, idle: bool) -> tuple[Tensor, ...]:
        values = images.to(torch.promote_types(images.dtype, torch.float32))
        count = 0 if idle else values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        mine = torch.stack([mean, variance, torch.full_like(mean, count)])
        everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, mine)
        means, variances, counts = torch.stack(everyone, dim=1)
        total = counts[:, 0].sum()
        shared = (means * counts).sum(0) / total
        # About the common mean: the difference of two large sums would cancel.
        shared_variance = ((variances + (means - shared).square()) * counts).sum(0) / total
        scale = (shared_variance + eps).rsqrt()
        normal = (values - _spread(shared)) * _spread(scale)
        ctx.save_for_backward(normal, weight, scale, total)
        ctx.idle = idle
        ctx.mark_non_differentiable(shared, shared_variance, total)
        return (normal * _spread(weight) + _spread(bias)).to(images.dtype), shared, shared_variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_others: Tensor) -> tuple[Tensor | None, ...]:
        normal, weight, scale, total = ctx.saved_tensors
        given = gradient.to(normal.dtype)
        to_bias, to_weight = given.sum((0, 2, 3)), (given * normal).sum((0, 2, 3))
        sums = torch.cat([to_bias, to_weight])
        dist.all_reduce(sums)
        from_mean, from_scale = (sums / total).chunk(2)
        to_images = (given - _spread(from_mean) - normal * _spread(from_scale)) * _spread(weight * scale)
        if ctx.idle:
            # Other ranks' statistics have a say in it, but this batch had none in theirs.
            to_images = torch.zeros_like(to_images)
        return to_images.to(gradient.dtype), to_weight, to_bias, None, None


def _spread(values: Tensor) -> Tensor:
    return values[:, None, None]
