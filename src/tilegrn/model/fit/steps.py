"""Between two steps of a training: what an earlier one left is taken up, states are kept, wishes to stop are heard."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch

from tilegrn.errors import InputError, StaleError, WriteError
from tilegrn.model.fit.sketch import alike, sketch

if TYPE_CHECKING:
    from tilegrn.model.fit.checkpoints import Checkpoints
    from tilegrn.model.fit.fences import Stops
    from tilegrn.model.fit.training import Training

__all__ = ["BetweenSteps", "go_on"]

logger = logging.getLogger(__name__)

_SECONDS = 60.0
"""Between checkpoints, where no number of steps was asked for."""
_SHARE = 0.05
"""Of the time since the last checkpoint: where writing one takes more, the end of an epoch is no reason to."""
_POSITION = ("last_epoch", "_step_count", "_last_lr")
"""What of a schedule of the learning rate changes from step to step."""


def go_on(trainer: pl.Trainer, module: Training, state: dict[str, Any]) -> None:
    """Have a training begin where an earlier one stopped: the place now, weights when Lightning has set up its own.

    Batches and their noise follow from seed, epoch and cell alone, so that no draws have to be repeated.

    Raises
    ------
    StaleError
        If the inputs came out differently.
    """
    there, here = np.asarray(state["sketch"]), sketch(module.maker.data, module.teacher)
    if there.shape != here.shape or not alike(there, here):
        msg = (
            "The inputs were prepared differently than for the checkpoint, though from the same data: it was written "
            "on another machine, or with other versions. Go on there, or remove its folder to start over."
        )
        raise StaleError(msg)
    module.batches.resumed = (int(state["epoch"]), int(state["batch"]))
    done: Any = trainer.fit_loop.epoch_progress
    for count in (done.current, done.total):
        count.ready = count.started = count.processed = count.completed = int(state["epoch"])


class BetweenSteps(pl.Callback):
    """Takes up a state, saves states, and stops the training.

    All happens before a step, when that before it is complete: its averages, and at the end of an epoch what its
    validation decided.

    Parameters
    ----------
    stops
        Hears SIGINT and SIGTERM.
    checkpoints
        Where to keep states; None: nowhere.
    state
        To go on from.
    """

    def __init__(self, stops: Stops, checkpoints: Checkpoints | None, state: dict[str, Any] | None) -> None:
        self.stops = stops
        self.checkpoints = checkpoints
        self._state = state
        self._saved = 0
        self._since = time.monotonic()
        self._took = 0.0
        self._unkept: set[str] = set()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Put an earlier state in place; Lightning has caught SIGTERM by now, which is taken from it."""
        self._since = time.monotonic()
        if self._state is not None:
            self._restore(trainer, pl_module, self._state)
            self._saved, self._state = pl_module.step, None
        self.stops.listen()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Save where it is time, and stop where that is wished."""
        del batch
        place = pl_module.batches.first() + batch_idx
        asked, due = self._agreed(trainer, pl_module, place)
        if self.checkpoints is not None and pl_module.step != self._saved and (asked or due):
            pl_module.look()  # what is not finite is never kept
            state = self._state_of(trainer, pl_module, place)
            if trainer.is_global_zero:
                began = time.monotonic()
                try:
                    self.checkpoints.save(state, pl_module.step, best=pl_module.best_step)
                except (InputError, WriteError) as error:  # a full disk is no reason to lose the training
                    logger.warning("No checkpoint was written: %s Training goes on.", error)
                self._took = time.monotonic() - began
            self._saved, self._since = pl_module.step, time.monotonic()
        if asked:
            self.stops.asked = asked
            self.stops.place = f"in epoch {trainer.current_epoch + 1} after step {place}"
            if asked == signal.SIGTERM:
                raise SystemExit(128 + signal.SIGTERM)
            raise KeyboardInterrupt

    def _agreed(self, trainer: pl.Trainer, module: Training, place: int) -> tuple[int, bool]:
        """Return the signal that any process got, and whether it is time to save: all do the same in the same step."""
        due = False
        if self.checkpoints is not None:
            every, passed = self.checkpoints.every, time.monotonic() - self._since
            if every is None:
                due = passed >= _SECONDS or (place == 0 and self._took <= _SHARE * passed)
            else:
                due = module.step - self._saved >= every or place == 0
        if trainer.world_size == 1:
            return self.stops.asked, due
        told = torch.tensor([self.stops.asked, int(due)], device=module.device)
        each: Any = module.all_gather(told)
        return int(each[:, 0].max()), bool(each[0, 1])

    def _state_of(self, trainer: pl.Trainer, module: Training, place: int) -> dict[str, Any]:
        schedule: Any = trainer.lr_scheduler_configs[0].scheduler
        return {
            "epoch": int(trainer.current_epoch),
            "batch": place,
            "sketch": sketch(module.maker.data, module.teacher),
            "training": _state(module),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedule": {k: v for k, v in schedule.state_dict().items() if k in _POSITION},
            "precision": dict(trainer.precision_plugin.state_dict()),
            "callbacks": self._states(trainer),
        }

    def _states(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Return what the callbacks keep, early stopping among them."""
        out = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            kept = callback.state_dict()
            if kept and _is_plain(kept):
                out[callback.state_key] = kept
            elif kept and callback.state_key not in self._unkept:
                self._unkept.add(callback.state_key)
                logger.warning(
                    "The state of the callback %s is more than numbers and text: it begins anew where training goes on "
                    "from a checkpoint.",
                    callback.state_key,
                )
        return out

    def _restore(self, trainer: pl.Trainer, module: Training, state: dict[str, Any]) -> None:
        _restore(module, state["training"])
        trainer.optimizers[0].load_state_dict(state["optimizer"])
        for group in trainer.optimizers[0].param_groups:
            group["betas"] = tuple(group["betas"])
        schedule: Any = trainer.lr_scheduler_configs[0].scheduler
        schedule.load_state_dict(state["schedule"])
        if state["precision"]:
            trainer.precision_plugin.load_state_dict(state["precision"])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        trainer.fit_loop.epoch_loop.on_load_checkpoint({"_batches_that_stepped": module.step})  # what loggers count
        logger.info("Training goes on in epoch %d after step %d", state["epoch"] + 1, state["batch"])


def _state(module: Training) -> dict[str, Any]:
    """Return all that changes from step to step, but for the optimiser."""
    return {
        "step": module.step,
        "weights": list(module.network.parameters()),
        "average": module.average,
        "n_averaged": module.n_averaged,
        "best": module.best,
        "best_step": module.best_step,
        "history": module.history,
        "losses": [module.watch.total, module.watch.n],
    }


def _restore(module: Training, state: dict[str, Any]) -> None:
    module.step, module.n_averaged, module.best_step = state["step"], state["n_averaged"], state["best_step"]
    module.take(state["weights"])
    if state["average"] is not None:
        module.average = [t.to(module.device) for t in state["average"]]
    if state["best"] is not None:
        losses, weights = state["best"]
        module.best = losses, [t.to(module.device) for t in weights]
    module.history.clear()
    module.history.update(state["history"])
    module.watch.total, module.watch.n = state["losses"]


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, (int, str)) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, torch.Tensor))
