"""Training through Lightning."""

from __future__ import annotations

import logging
import signal
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch

from tilegrn.errors import InputError
from tilegrn.model.data.batches import BatchMaker, CellData
from tilegrn.model.fit.fences import quiet, stops
from tilegrn.model.fit.foretell import Foretells
from tilegrn.model.fit.steps import BetweenSteps, go_on
from tilegrn.model.fit.training import Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.fit.checkpoints import Checkpoints
    from tilegrn.model.fit.teacher import TeacherRates
    from tilegrn.model.net.network import Network

__all__ = ["FitOptions", "fit_network"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitOptions:
    """What goes to Lightning's Trainer."""

    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: Any = "32-true"
    logger: Any = False
    callbacks: Sequence[Any] = field(default_factory=tuple)
    progress: bool = True


def fit_network(
    network: Network,
    train: CellData,
    val: CellData | None,
    *,
    teacher: TeacherRates | None,
    tf_target: NDArray[np.int64],
    config: ModelConfig,
    seed: int,
    options: FitOptions,
    checkpoints: Checkpoints | None = None,
) -> tuple[dict[str, list[float]], bool]:
    """Train a network in place.

    Parameters
    ----------
    network
        Left with its best weights, in evaluation mode, on the CPU.
    train, val
        Cells with counts; ``val`` chooses among epochs and may be None.
    tf_target
        Target gene number of each TF, -1 where it is none.
    checkpoints
        Where states are kept, and taken up if there are any.

    Returns
    -------
    Losses per epoch, and whether Ctrl-C ended the training.

    Raises
    ------
    NotFiniteError
        If a loss or gradient is not finite; it names the step.
    InputError
        If the weights were to be kept in half precision, a step has fewer cells than there are devices, or no
        checkpoint is intact.
    StaleError
        If the checkpoints are of another training.
    SystemExit
        If the process was told to end (SIGTERM).
    KeyboardInterrupt
        At the second Ctrl-C, which ends the training in the midst of a step.
    """
    if str(options.precision) in {"16-true", "bf16-true"}:
        msg = (
            f"precision={options.precision!r} keeps the weights themselves in half precision, too coarse for log "
            f"rates. Use '{str(options.precision).replace('true', 'mixed')}'."
        )
        raise InputError(msg)
    donors = None if teacher is None or not config.window_swap else teacher.alike(config.n_donors, seed=seed)
    module = Training(
        network,
        BatchMaker(train, config, donors),
        None if val is None or not val.n_cells else BatchMaker(val, config),
        teacher,
        torch.from_numpy(tf_target),
        config,
        seed,
    )
    if teacher is None:
        module.begin()
    state = None if checkpoints is None else checkpoints.latest()
    with tempfile.TemporaryDirectory(prefix="tilegrn-") as folder, quiet(), stops() as heard:
        trainer = pl.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy=options.strategy,
            precision=options.precision,
            logger=options.logger if options.logger is not None else False,
            callbacks=[
                *options.callbacks,
                *module.stops(options.callbacks),
                Foretells(),
                BetweenSteps(heard, checkpoints, state),
            ],
            max_epochs=config.max_epochs,
            log_every_n_steps=max(1, min(50, module.maker.n_batches())),
            gradient_clip_val=config.gradient_clip,
            enable_progress_bar=options.progress,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0 if module.val_maker is None else 1.0,
            default_root_dir=folder,
            use_distributed_sampler=False,
            # After the rest of an epoch come longer ones: Lightning is to ask for their length.
            reload_dataloaders_every_n_epochs=int(state is not None and state["batch"] > 0),
        )
        if state is not None:
            go_on(trainer, module, state)
        try:
            trainer.fit(module)
        except SystemExit as stop:  # Lightning makes one of Ctrl-C, too
            if heard.at_once:
                heard.leave()
            if trainer.received_sigterm or stop.code == 128 + signal.SIGTERM:
                _say(trainer, heard.place, checkpoints, "")
                raise SystemExit(128 + signal.SIGTERM) from stop
            if not trainer.interrupted:
                raise
        finally:
            module.close()
        if trainer.interrupted:
            _say(trainer, heard.place, checkpoints, "; the best weights so far are kept")
        elif heard.asked:  # in the last epoch, after which there was nothing to stop
            if heard.asked == signal.SIGTERM:
                heard.leave()
            return _ended(network, module), True
    if not module.done:
        module.finish()
    return _ended(network, module), bool(trainer.interrupted)


def _ended(network: Network, module: Training) -> dict[str, list[float]]:
    network.eval().requires_grad_()
    network.to("cpu")
    return module.history


def _say(trainer: pl.Trainer, place: str, checkpoints: Checkpoints | None, kept: str) -> None:
    """Tell where a training stopped, and how it goes on; the first process does."""
    if not trainer.is_global_zero:
        return
    tail = ""
    if checkpoints is not None and checkpoints.steps():
        tail = f" The same call with checkpoint='{checkpoints.folder.parent}' goes on from '{checkpoints.steps()[-1]}'."
    logger.warning("Training was interrupted%s%s.%s", f" {place}" if place else "", kept, tail)
