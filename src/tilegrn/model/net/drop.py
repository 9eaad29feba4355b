"""Dropout whose masks are drawn per cell, whichever cells stand beside it and on whichever device."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CellDropout", "number_dropouts"]

_GOLDEN, _FIRST, _SECOND = (
    k - (1 << 64) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # the constants of splitmix64 as int64: torch calculates with no unsigned numbers
_PIECES = 4
"""Each hash of 64 bits serves four units, with 16 bits each."""


class CellDropout(nn.Module):
    """Dropout of the units of each cell by a hash of the cell's seed, the layer and the unit."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layer = 0

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Drop units in training.

        Parameters
        ----------
        x
            Cells x whatever.
        noise
            Seed of each cell, int64; None: ordinary dropout.
        """
        if not self.training or self.rate <= 0:
            return x
        if noise is None:
            return F.dropout(x, self.rate)
        least = round(self.rate * (1 << 16))
        n = x[0].numel() if len(x) else 0
        number = torch.arange(-(-n // _PIECES), device=x.device) + (self.layer << 40)
        bits = _mix(noise[:, None] + (number + 1) * _GOLDEN).view(torch.int16)[:, :n]
        keep = (bits >= least - (1 << 15)).view(x.shape)
        return x * keep.to(x.dtype).mul_((1 << 16) / ((1 << 16) - least))

    def extra_repr(self) -> str:
        """Say what makes it this layer."""
        return f"rate={self.rate}, layer={self.layer}"


def number_dropouts(network: nn.Module) -> None:
    """Give each dropout of a network draws of its own."""
    count = itertools.count()
    for module in network.modules():
        if isinstance(module, CellDropout):
            module.layer = next(count)


def _mix(z: Tensor) -> Tensor:
    """Finaliser of splitmix64, as in :mod:`tilegrn._core.mix`; shifts of int64 copy the sign, which is masked away."""
    z = (z ^ (z >> 30).bitwise_and_((1 << 34) - 1)).mul_(_FIRST)
    z.bitwise_xor_((z >> 27).bitwise_and_((1 << 37) - 1)).mul_(_SECOND)
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))
