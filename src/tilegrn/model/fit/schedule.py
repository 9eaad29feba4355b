"""The learning rate over a training run."""

from __future__ import annotations

import torch

__all__ = ["one_cycle"]


def one_cycle(
    optimiser: torch.optim.Optimizer, peak: float, steps: int, warmup: float
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Return a one-cycle schedule (Smith and Topin 2018) that also works for a handful of steps.

    Parameters
    ----------
    peak
        Largest learning rate.
    steps
        Number of steps.
    warmup
        Share of them on the way up. torch divides by ``warmup * steps - 1``, so it is raised where there are few.
    """
    steps = max(steps, 4)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=steps, pct_start=min(max(warmup, 1.5 / steps), 0.5)
    )
