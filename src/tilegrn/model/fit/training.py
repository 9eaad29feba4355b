"""What Lightning trains: the loss of a network, its optimiser, and which of its weights are kept.

Every process of a training on several devices keeps the same weights, averages and history: each takes its part of
every batch, Lightning's strategy averages the gradients, and what is decided by losses is decided by those of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from tilegrn.errors import InputError
from tilegrn.model.fit.feed import Epochs, Whole
from tilegrn.model.fit.schedule import one_cycle
from tilegrn.model.fit.sketch import alike, sketch
from tilegrn.model.fit.watch import NotFiniteError, Watch
from tilegrn.model.net.loss import cell_loss, gene_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import Batch, BatchMaker
    from tilegrn.model.fit.teacher import TeacherRates
    from tilegrn.model.net.network import Network

__all__ = ["Training"]

_LOOK = 50
"""Steps between looks at the loss: each look waits for the device."""


class Training(pl.LightningModule):
    """Loss, optimiser, averaged weights and the best weights of one network."""

    tf_known: Tensor
    tf_column: Tensor

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
        # The other devices hold the same buffers: to send those of all windows before each step would take its time.
        self._ddp_params_and_buffers_to_ignore = [f"network.{name}" for name, _ in network.named_buffers()]
        self.maker = train
        self.val_maker = val
        self.batches = Epochs(train, self.share, seed, self.epoch)
        self.held_out = None if val is None else Whole(val, self.share)
        self.teacher = teacher
        self.config_ = config
        self.register_buffer("tf_known", tf_target >= 0, persistent=False)
        self.register_buffer("tf_column", tf_target[tf_target >= 0], persistent=False)
        self.average: list[Tensor] | None = None
        self.n_averaged = 0
        self.best: tuple[Tensor, list[Tensor]] | None = None
        self.best_step = 0
        self.step = 0
        self.history: dict[str, list[float]] = {"train_loss": [], "val_loss": []}
        self.start = torch.zeros(0)
        self.at_start: list[Tensor] = []
        self.done = False
        self.watch = Watch()
        self._val: list[tuple[Tensor, Tensor]] = []

    def share(self) -> tuple[int, int]:
        """Return the number of this process, and how many there are."""
        return self.trainer.global_rank, self.trainer.world_size

    def epoch(self) -> int:
        """Return the number of the epoch that the trainer is in."""
        return int(self.trainer.current_epoch)

    def train_dataloader(self) -> Epochs:
        """Return the batches of the epoch."""
        return self.batches

    def val_dataloader(self) -> Any:
        """Return the validation cells, if there are any."""
        return [] if self.held_out is None else self.held_out

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch."""
        del dataloader_idx
        return batch.to(device)

    def setup(self, stage: str) -> None:
        """Leave out weights of parts that are switched off: processes would wait for gradients that never come."""
        del stage
        if self.trainer.world_size == 1:
            return
        batch = self.maker.evaluate(np.arange(min(2, self.maker.data.n_cells)))
        batch = batch.to(next(self.network.parameters()).device)
        if batch.counts is None:
            return
        weights = list(self.network.parameters())
        found = torch.autograd.grad(self._loss(batch, batch.counts), weights, allow_unused=True)
        for weight, gradient in zip(weights, found, strict=True):
            weight.requires_grad_(gradient is not None)

    def on_fit_start(self) -> None:
        """Move what no module holds, and compare the processes."""
        if self.teacher is not None:
            self.teacher = self.teacher.to(self.device)
        if self.trainer.world_size > 1:
            self._agree()

    def _agree(self) -> None:
        """Refuse to train together what cannot be: too few cells for the devices, or other inputs on each."""
        world, least = self.trainer.world_size, self.maker.least_batch()
        if least < world:
            msg = (
                f"A training step of {least} cells cannot be shared by {world} devices. Use fewer devices, or a larger "
                "ModelConfig(batch_size=...), which counts the cells of all devices together."
            )
            raise InputError(msg)
        mine = (
            torch.from_numpy(np.concatenate([sketch(self.maker.data, self.teacher), self.batches.resumed]))
            .float()
            .to(self.device)
        )
        each: Any = self.all_gather(mine)
        if not alike(each, mine):
            msg = (
                "The processes prepared their inputs differently. Give all of them the same data, seed and number of "
                "threads (OMP_NUM_THREADS)."
            )
            raise RuntimeError(msg)

    def _target_weight(self, batch: Batch) -> Tensor | None:
        """Let a TF count as a target only in the cells where it was hidden."""
        if not len(self.tf_column) or batch.counts is None:
            return None
        weight = torch.ones_like(batch.counts)
        weight[:, self.tf_column] = batch.hidden[:, self.tf_known].to(weight.dtype)
        return weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss, weighed so that the mean over processes is the mean over cells."""
        del batch_idx
        target = batch.counts
        if target is None:
            msg = "Training needs counts."
            raise ValueError(msg)
        teacher = self.config_.teacher
        if self.teacher is not None and teacher is not None:
            smooth = self.teacher.rates(batch.cells) * torch.exp(batch.log_size)[:, None]
            target = (1 - teacher.weight) * target + teacher.weight * smooth
        loss = self._loss(batch, target) * batch.weight
        self.watch.loss(loss)
        return loss

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient by its norm, as Lightning does, and keep that norm."""
        del gradient_clip_algorithm
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(weights, gradient_clip_val or float("inf"))
        self.watch.gradient(norm, float(optimizer.param_groups[0]["lr"]))

    def look(self) -> None:
        """Look at the losses and gradients since the last look.

        Raises
        ------
        NotFiniteError
            Naming the step.
        """
        before = self.watch.n
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        wrong = self.watch.look(self.trainer.strategy, self.trainer.world_size, scaled=scaled)
        if wrong is None:
            return
        step = before + wrong[0]
        place = f" in epoch {self.current_epoch + 1}, step {step + 1} of {self.maker.n_batches()},"
        msg = f"{wrong[1].format(place)}. Lower ModelConfig(learning_rate=...) or check the counts for extreme values."
        raise NotFiniteError(msg, self.batches.cells(step))

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
        """Look at the losses now and then, and average the weights of late steps."""
        del outputs, batch
        if (batch_idx + 1) % _LOOK == 0 or batch_idx + 1 == len(self.batches):
            self.look()
        self.step += 1
        if self.step < self.config_.average_from * self.n_steps() or self.step % 4:
            return
        with torch.no_grad():
            now = [p.detach() for p in self.network.parameters()]
            self.n_averaged += 1
            if self.average is None:
                self.average = [p.clone() for p in now]
            else:
                torch._foreach_lerp_(self.average, now, 1.0 / self.n_averaged)

    def on_train_epoch_end(self) -> None:
        """Keep the mean loss of the epoch."""
        self.history["train_loss"].append(self.watch.mean())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge some held-out cells."""
        del batch_idx
        self._val.append((batch.cells, self._held_out(batch)))

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
            )

    def _in_order(self, found: list[tuple[Tensor, Tensor]], n: int, *, alone: bool) -> Tensor:
        """Put losses of cells in the order of the cells; those that other processes judged come from there."""
        out = torch.zeros(n, device=next(self.network.parameters()).device)
        for cells, each in found:
            out[cells.to(out.device)] = each.to(out.device)
        return (out if alone else self.trainer.strategy.reduce(out, reduce_op="sum")).cpu()

    def on_validation_epoch_end(self) -> None:
        """Keep the weights if they are the best so far."""
        if self.trainer.sanity_checking or self.val_maker is None:
            return
        each = self._in_order(self._val, self.val_maker.data.n_cells, alone=self.trainer.world_size == 1)
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
            self.best = (each, self._copied())
            self.best_step = self.step

    def _copied(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.network.parameters()]

    def take(self, weights: list[Tensor]) -> None:
        """Put weights in place of the network's."""
        with torch.no_grad():
            for mine, given in zip(self.network.parameters(), weights, strict=True):
                mine.copy_(given)

    def n_steps(self) -> int:
        """Return the number of steps of the whole training."""
        return self.maker.n_batches() * self.config_.max_epochs

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
            each = self._all_held_out(self.val_maker, 0, 1)
            self.start = each
            self.best = (each, self._copied())
            self.at_start = self.best[1]
            self.network.train()

    def _all_held_out(self, maker: BatchMaker, rank: int, world: int) -> Tensor:
        device = next(self.network.parameters()).device
        batches = Whole(maker, lambda: (rank, world))
        found = [(batch.cells, self._held_out(batch.to(device))) for batch in batches]
        return self._in_order(found, maker.data.n_cells, alone=world == 1)

    def on_train_end(self) -> None:
        """Choose the weights here and not later: processes spawned for the training end with it."""
        self.finish(*self.share())

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a process that was spawned for the training brings back beside the weights."""
        return {"history": self.history, "done": self.done}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over what such a process brought back."""
        self.history.clear()
        self.history.update(state["history"])
        self.done = bool(state["done"])

    def close(self) -> None:
        """End the threads that make batches."""
        for feed in (self.batches, self.held_out):
            if feed is not None:
                feed.close()

    def finish(self, rank: int = 0, world: int = 1) -> None:
        """Leave the best weights in the network.

        The average over the last steps generalises better than any single step, so it is kept unless the best epoch
        beats it on the validation cells by more than twice the standard error of their difference. Without a teacher
        the start is a regression of its own, and stays where the average does not beat it by as much. After a training
        that was interrupted each process does it for itself (a ``world`` of 1): the others may be gone.
        """
        self.done = True
        if self.average is None:
            if self.best is not None:
                self.take(self.best[1])
            return
        self.take(self.average)
        if self.val_maker is None or self.best is None:
            return
        self.network.eval()
        each = self._all_held_out(self.val_maker, rank, world)
        self.history["averaged_val_loss"] = [float(each.mean())]
        if len(self.start):
            self.history["start_val_loss"] = [float(self.start.mean())]
        gap = each - self.best[0] if len(each) == len(self.best[0]) else each[:0]
        if len(gap) > 1 and float(gap.mean()) > 2 * float(gap.std()) / len(gap) ** 0.5:
            self.take(self.best[1])
            return
        gain = self.start - each if len(self.start) else None
        if gain is not None and float(gain.mean()) < 2 * float(gain.std()) / max(len(gain), 2) ** 0.5:
            self.take(self.at_start)

    def configure_optimizers(self) -> Any:
        """Return AdamW on a one-cycle schedule."""
        cfg = self.config_
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=cfg.learning_rate,
            betas=(0.9, 0.99),
            fused="mixed" not in str(self.trainer.precision),  # Lightning refuses to clip gradients beside it
        )
        schedule = one_cycle(optimiser, cfg.learning_rate, self.n_steps(), cfg.warmup)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
