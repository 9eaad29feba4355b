"""How long a training will take, said once some of its steps were timed."""

from __future__ import annotations

import logging
import time
from typing import Any

import lightning.pytorch as pl

__all__ = ["Foretells"]

logger = logging.getLogger(__name__)

_FROM, _TO = 5, 25
"""Steps between which time is taken: the first ones load and compile."""
_WORTH_SAYING = 60.0
"""Seconds of a training below which nobody asks."""


class Foretells(pl.Callback):
    """Logs what an epoch and the whole training are going to take, unless that is a minute or less.

    An early end, where the validation loss stalls, and validation itself are left out.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._since = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count steps, and say it once."""
        del outputs, batch, batch_idx
        self._steps += 1
        if self._steps == _FROM:
            self._since = time.monotonic()
        if self._steps != _TO or not trainer.is_global_zero:
            return
        step = (time.monotonic() - self._since) / (_TO - _FROM)
        total, epochs = pl_module.n_steps(), int(trainer.max_epochs or 1)
        left = step * (total - pl_module.step)
        if left > _WORTH_SAYING:
            logger.info(
                "A step takes %.0f ms, an epoch about %s; all %d epochs at most %s more.",
                1000 * step,
                in_words(step * total / epochs),
                epochs,
                in_words(left),
            )


def in_words(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
