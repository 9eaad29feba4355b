"""Losses and gradient norms of the latest steps: added up, and the first that is not finite is named.

Each look at a number of a device waits for it, so that both are kept there for some steps. A step that goes wrong is
told from them afterwards; nothing that came of it is ever kept, since whoever keeps anything looks first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NotFiniteError", "Watch"]


class NotFiniteError(FloatingPointError):
    """A loss or a gradient that is not finite.

    Attributes
    ----------
    cells
        Rows of the cells of the step among the training cells, in the order of the batch.
    """

    def __init__(self, message: str, cells: NDArray[np.int64]) -> None:
        super().__init__(message)
        self.cells = cells


class Watch:
    """What the steps since the last look told.

    Attributes
    ----------
    total, n
        Sum and number of the losses of this epoch that were looked at. They are added one after the other, so that it
        does not matter when one looks.
    """

    def __init__(self) -> None:
        self.total, self.n = 0.0, 0
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._rates: list[float] = []

    def loss(self, value: Tensor) -> None:
        """Take the loss of a step."""
        self._losses.append(value.detach())

    def gradient(self, norm: Tensor, rate: float) -> None:
        """Take the norm of a step's gradient, which all processes share, and the learning rate."""
        self._norms.append(norm.detach())
        self._rates.append(rate)

    def look(self, strategy: Any, world: int, *, scaled: bool) -> tuple[int, str] | None:
        """Add up the losses of all processes since the last look.

        Parameters
        ----------
        strategy
            Lightning's, which adds over processes.
        scaled
            Whether gradients are scaled for half precision: then those that overflow are skipped and no fault.

        Returns
        -------
        None, or which of the steps looked at was the first to go wrong, and how.
        """
        if not self._losses:
            return None
        each = strategy.reduce(torch.stack(self._losses), reduce_op="sum").float()
        norms = torch.stack(self._norms).to(each) if self._norms and not scaled else torch.zeros_like(each)
        losses, lengths = torch.stack([each, norms]).tolist()  # one wait for both
        rates = self._rates
        self._losses, self._norms, self._rates = [], [], []
        for i, (summed, norm) in enumerate(zip(losses, lengths, strict=True)):
            value = summed / world
            if not (math.isfinite(value) and math.isfinite(norm)):
                what = f"training loss became {value}" if not math.isfinite(value) else f"gradient's norm became {norm}"
                return i, f"The {what}{{}} at the learning rate {rates[i]:.2g}"
            self.total += value
        self.n += len(losses)
        return None

    def mean(self) -> float:
        """Return the mean loss of the epoch, and begin the next one."""
        mean = self.total / max(self.n, 1)
        self.total, self.n = 0.0, 0
        return mean
