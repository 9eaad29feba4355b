"""A small training for the scripts, and all that it leaves, as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch

import tilegrn as grn
from tilegrn.model.config import ModelConfig, TeacherConfig

if TYPE_CHECKING:
    from pathlib import Path

    from mudata import MuData

__all__ = ["CASES", "Keep", "outcome", "ready", "train"]

SMALL = {
    "width": 16,
    "n_latents": 4,
    "n_heads": 4,
    "n_blocks": 1,
    "hidden": 32,
    "rank": 8,
    "n_components": 8,
    "n_loadings": 8,
    "max_epochs": 6,
    "batch_size": 16,
}
CASES: dict[str, dict[str, Any]] = {
    "teacher, saved at every step": {"checkpoint_every": 1},
    "regression, every 3 steps": {"teacher": None, "checkpoint_every": 3},
    "two networks, every 5 steps": {"n_models": 2, "max_epochs": 4, "checkpoint_every": 5},
    "bfloat16, at ends of epochs": {"precision": "bf16-mixed"},
}


def ready(n_cells: int = 300) -> MuData:
    """Simulate cells and prepare them for training."""
    mdata = grn.datasets.simulate(n_cells=n_cells, n_genes=80, n_peaks=300, n_tfs=8, n_chroms=2, seed=1)
    told = mdata.uns["simulation"]
    grn.pp.bin_peaks(mdata, {str(k): int(v) for k, v in told["chrom_sizes"].items()})
    grn.pp.tss_distance(mdata, told["tss"])
    grn.pp.add_binding(mdata, told["binding"])
    grn.pp.split_cells(mdata, seed=0)
    return mdata


class Keep(pl.Callback):
    """Leaves the optimiser's state at the end of each network's training, in a file named by its seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        state = trainer.optimizers[0].state_dict()
        arrays = {f"{i}.{k}": v.numpy() for i, each in state["state"].items() for k, v in each.items()}
        rates = [group["lr"] for group in state["param_groups"]]
        np.savez(self.folder / f"optimiser{pl_module.batches.seed}.npz", rates=np.array(rates), **arrays)


def train(mdata: MuData, case: str, checkpoint: Path | None, callbacks: list[Any]) -> Any:
    """Train with the choices of a case."""
    choices = dict(CASES[case])
    config = {k: choices.pop(k) for k in ("teacher", "max_epochs") if k in choices}
    teacher = TeacherConfig(rank=4, hidden=16, max_epochs=2)
    if checkpoint is None:
        choices.pop("checkpoint_every", None)
    return grn.tl.train(
        mdata,
        config=ModelConfig(**({"teacher": teacher} | SMALL | config)),
        checkpoint=checkpoint,
        callbacks=callbacks,
        progress=False,
        accelerator="cpu",
        **choices,
    )


def outcome(mdata: MuData, case: str, checkpoint: Path | None, folder: Path) -> None:
    """Train, and leave weights, losses, optimisers and predictions in a folder."""
    torch.set_num_threads(1)
    model = train(mdata, case, checkpoint, [Keep(folder)])
    grn.tl.predict(mdata, model)
    weights = {f"{i}.{k}": v.numpy() for i, net in enumerate(model.networks) for k, v in net.state_dict().items()}
    losses = {f"{i}.{k}": np.array(v) for i, h in enumerate(model.record["history"]) for k, v in h.items()}
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "losses.npz", **losses)
    np.savez(folder / "predictions.npz", x=mdata["rna"].layers["predicted"])
