"""Training through Lightning."""

from __future__ import annotations

import logging
import signal
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from tilegrn.model.data.batches import Batch, BatchMaker, CellData
from tilegrn.model.fit.fences import quiet, restored_signals
from tilegrn.model.fit.schedule import one_cycle
from tilegrn.model.net.loss import cell_loss, gene_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.fit.teacher import TeacherRates
    from tilegrn.model.net.network import Network

__all__ = ["FitOptions", "fit_network"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitOptions:
    """What goes to Lightning's Trainer."""

    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    strategy: str = "auto"
    precision: Any = "32-true"
    logger: Any = False
    callbacks: Sequence[Any] = field(default_factory=tuple)
    progress: bool = True


class _Epochs:
    """Iterable over the batches of the epoch that the trainer is in, this rank's share of them."""

    def __init__(self, maker: BatchMaker, seed: int, module: _Training) -> None:
        self.maker = maker
        self.seed = seed
        self.module = module

    def __len__(self) -> int:
        return self.maker.n_batches()

    def __iter__(self) -> Iterator[Batch]:
        trainer = self.module.trainer
        yield from self.maker.epoch(
            self.seed, trainer.current_epoch, rank=trainer.global_rank, world=trainer.world_size
        )


class _Whole:
    """Iterable over all cells, without noise."""

    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __len__(self) -> int:
        return len(self.maker.slices())

    def __iter__(self) -> Iterator[Batch]:
        for cells in self.maker.slices():
            yield self.maker.evaluate(cells)


class _Training(pl.LightningModule):
    """Loss, optimiser, averaged weights and the best weights of one network."""

    def __init__(
        self,
        network: Network,
        train: BatchMaker,
        val: BatchMaker | None,
        teacher: TeacherRates | None,
        tf_target: Tensor,
        config: ModelConfig,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.maker = train
        self.val_maker = val
        self.teacher = teacher
        self.config_ = config
        self.seed = seed
        self.tf_known = tf_target >= 0
        self.tf_column = tf_target[self.tf_known]
        self.average: list[Tensor] | None = None
        self.n_averaged = 0
        self.best: tuple[Tensor, dict[str, Tensor]] | None = None
        self.history: dict[str, list[float]] = {"train_loss": [], "val_loss": []}
        self.start = torch.zeros(0)
        self.at_start: dict[str, Tensor] = {}
        self._sums = [0.0, 0.0]
        self._val: list[Tensor] = []

    def train_dataloader(self) -> _Epochs:
        return _Epochs(self.maker, self.seed, self)

    def val_dataloader(self) -> Any:
        return [] if self.val_maker is None else _Whole(self.val_maker)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        del dataloader_idx
        return batch.to(device)

    def on_fit_start(self) -> None:
        if self.teacher is not None:
            self.teacher = self.teacher.to(self.device)
        self.tf_known, self.tf_column = self.tf_known.to(self.device), self.tf_column.to(self.device)

    def _target_weight(self, batch: Batch) -> Tensor | None:
        """Let a TF count as a target only in the cells where it was hidden."""
        if not len(self.tf_column) or batch.counts is None:
            return None
        weight = torch.ones_like(batch.counts)
        weight[:, self.tf_column] = batch.hidden[:, self.tf_known].to(weight.dtype)
        return weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        del batch_idx
        target = batch.counts
        if target is None:
            msg = "Training needs counts."
            raise ValueError(msg)
        teacher = self.config_.teacher
        if self.teacher is not None and teacher is not None:
            smooth = self.teacher.rates(batch.cells) * torch.exp(batch.log_size)[:, None]
            target = (1 - teacher.weight) * target + teacher.weight * smooth
        loss = self._loss(batch, target)
        value = float(loss.detach())
        if not value < float("inf"):
            msg = (
                f"The training loss became {value} in epoch {self.current_epoch + 1} at the learning rate "
                f"{self.trainer.optimizers[0].param_groups[0]['lr']:.2g}. Lower ModelConfig(learning_rate=...) "
                "or check the counts for extreme values."
            )
            raise FloatingPointError(msg)
        self._sums[0] += value
        self._sums[1] += 1
        return loss

    def _loss(self, batch: Batch, target: Tensor) -> Tensor:
        """Fit the state to the target, and the cis head to the counts: the teacher knows nothing of single loci."""
        state, cis = self.network.parts(batch)
        weight = self._target_weight(batch)

        def loss(log_rate: Tensor, to: Tensor) -> Tensor:
            return gene_loss(log_rate, batch.log_size, to, weight, self.config_.loss, self.network.log_dispersion)

        if cis is None or batch.counts is None:
            return loss(state, target)
        if target is batch.counts:
            return loss(state + cis, target)
        return (loss(state, target) + loss(state.detach() + cis, batch.counts)) / 2

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        del outputs, batch, batch_idx
        step, total = self.trainer.global_step, self.trainer.estimated_stepping_batches
        if step < self.config_.average_from * total or step % 4:
            return
        with torch.no_grad():
            now = [p.detach() for p in self.network.parameters()]
            self.n_averaged += 1
            if self.average is None:
                self.average = [p.clone() for p in now]
            else:
                torch._foreach_lerp_(self.average, now, 1.0 / self.n_averaged)

    def on_train_epoch_end(self) -> None:
        self.history["train_loss"].append(self._sums[0] / max(self._sums[1], 1.0))
        self._sums = [0.0, 0.0]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        del batch_idx
        self._val.append(self._held_out(batch))

    def _held_out(self, batch: Batch) -> Tensor:
        """Return the loss of each cell, in fp32, over the genes that are no TFs."""
        with torch.autocast(device_type=self.device.type, enabled=False), torch.no_grad():
            if batch.counts is None:
                msg = "Validation needs counts."
                raise ValueError(msg)
            weight = torch.ones_like(batch.counts)
            weight[:, self.tf_column] = 0.0
            return cell_loss(
                self.network(batch).float(),
                batch.log_size,
                batch.counts,
                weight,
                self.config_.loss,
                self.network.log_dispersion,
            ).cpu()

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking or not self._val:
            return
        each = torch.cat(self._val)
        self._val = []
        value = float(each.mean())
        self.history["val_loss"].append(value)
        self.log(
            "val_loss",
            value,
            prog_bar=True,
            logger=self.trainer.logger is not None,
            sync_dist=self.trainer.world_size > 1,
        )
        if self.best is None or value < float(self.best[0].mean()):
            self.best = (each, {k: v.detach().clone() for k, v in self.network.state_dict().items()})

    def stops(self, given: Sequence[Any]) -> list[pl.Callback]:
        """Return what ends the training where the validation loss stalls; nothing beside a caller's own early stop."""
        if self.val_maker is None or any(isinstance(callback, EarlyStopping) for callback in given):
            return []
        # Losses stop falling for a while at the peak of the learning rate; only a long stall means overfitting.
        patience = self.config_.patience or max(8, self.config_.max_epochs // 3)
        stop = EarlyStopping("val_loss", patience=patience, check_finite=False)  # the next step names what is wrong
        if self.best is not None:
            stop.best_score = self.best[0].mean()
        return [stop]

    def begin(self) -> None:
        """Judge a start that is a regression of its own: what follows has to be better."""
        if self.val_maker is not None:
            self.network.eval()
            each = self._all_held_out(self.val_maker)
            self.start = each
            self.best = (each, {k: v.detach().clone() for k, v in self.network.state_dict().items()})
            self.at_start = self.best[1]
            self.network.train()

    def _all_held_out(self, maker: BatchMaker) -> Tensor:
        device = next(self.network.parameters()).device
        return torch.cat([self._held_out(maker.evaluate(cells).to(device)) for cells in maker.slices()])

    def finish(self) -> None:
        """Leave the best weights in the network.

        The average over the last steps generalises better than any single step, so it is kept unless the best epoch
        beats it on the validation cells by more than twice the standard error of their difference. Without a teacher
        the start is a regression of its own, and stays where the average does not beat it by as much.
        """
        if self.average is None:
            if self.best is not None:
                self.network.load_state_dict(self.best[1])
            return
        with torch.no_grad():
            for p, a in zip(self.network.parameters(), self.average, strict=True):
                p.copy_(a)
        if self.val_maker is None or self.best is None:
            return
        self.network.eval()
        each = self._all_held_out(self.val_maker)
        self.history["averaged_val_loss"] = [float(each.mean())]
        if len(self.start):
            self.history["start_val_loss"] = [float(self.start.mean())]
        gap = each - self.best[0] if len(each) == len(self.best[0]) else each[:0]
        if len(gap) > 1 and float(gap.mean()) > 2 * float(gap.std()) / len(gap) ** 0.5:
            self.network.load_state_dict(self.best[1])
            return
        gain = self.start - each if len(self.start) else None
        if gain is not None and float(gain.mean()) < 2 * float(gain.std()) / max(len(gain), 2) ** 0.5:
            self.network.load_state_dict(self.at_start)

    def configure_optimizers(self) -> Any:
        cfg = self.config_
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=cfg.learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        schedule = one_cycle(optimiser, cfg.learning_rate, int(self.trainer.estimated_stepping_batches), cfg.warmup)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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

    Returns
    -------
    Losses per epoch, and whether Ctrl-C ended the training.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    SystemExit
        If the process was told to end (SIGTERM).
    """
    donors = None if teacher is None or not config.window_swap else teacher.alike(config.n_donors, seed=seed)
    module = _Training(
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
    with tempfile.TemporaryDirectory(prefix="tilegrn-") as folder, quiet(), restored_signals():
        trainer = pl.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=options.strategy,
            precision=options.precision,
            logger=options.logger if options.logger is not None else False,
            callbacks=[*options.callbacks, *module.stops(options.callbacks)],
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
        )
        try:
            trainer.fit(module)
        except SystemExit as stop:
            if trainer.received_sigterm:  # Lightning would leave with the status of a success
                raise SystemExit(128 + signal.SIGTERM) from stop
            if not trainer.interrupted:
                raise
        if trainer.interrupted:
            logger.warning("Training was interrupted; the best weights so far are kept.")
        module.finish()
    network.eval()
    network.to("cpu")
    return module.history, bool(trainer.interrupted)
