"""The folder in which a training survives: what it is of, which networks are done, the model at its end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import store
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.fit.checkpoints import Checkpoints
    from tilegrn.model.fit.watch import NotFiniteError
    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.training._source import Source

__all__ = ["Survival", "named_step", "remove_checkpoint", "training_of"]

logger = logging.getLogger(__name__)

_MODEL, _NETWORK = "model", "network"
_OURS = re.compile(rf"{_MODEL}|{_NETWORK}[0-9]+|\.({_MODEL}|{_NETWORK}[0-9]+)\..*\.tilegrn-(tmp|old)")
_SHOWN = 3


@dataclass(frozen=True)
class Survival:
    """Where a training keeps itself.

    Attributes
    ----------
    folder
        ``network1`` and so on while it lasts, ``model`` at its end.
    training
        What it is of, see :func:`training_of`.
    every
        Steps between checkpoints, or None.
    """

    folder: Path
    training: dict[str, Any]
    every: int | None

    @classmethod
    def open(cls, folder: str | Path, training: dict[str, Any], every: int | None) -> Survival:
        """Check what is there, before any work is done.

        Raises
        ------
        InputError
            If the folder holds anything else, another training keeps itself there, no checkpoint is intact, or
            ``every`` is no number of steps.
        StaleError
            If its checkpoints are of another training.
        """
        target = Path(folder).expanduser()
        if every is not None and every < 1:
            msg = f"checkpoint_every is {every}; give a number of steps of at least 1, or None."
            raise InputError(msg)
        if target.exists() and not target.is_dir():
            msg = f"checkpoint='{target}' is no folder; name another one."
            raise InputError(msg)
        there = sorted(p.name for p in target.iterdir() if p.name != ".DS_Store") if target.is_dir() else []
        foreign = [name for name in there if not _OURS.fullmatch(name)]
        if foreign:
            msg = f"checkpoint='{target}' holds more than checkpoints ({', '.join(foreign[:3])}); name another folder."
            raise InputError(msg)
        out = cls(target, training, every)
        if there:
            with out.alone():
                pass
        for name in there:
            if name.startswith(_NETWORK):
                kept = out._kept(name)
                if kept.finished() is None:
                    kept.latest(warn=False)
        return out

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder, so that no other training keeps itself there; of processes that train together, the first.

        Raises
        ------
        InputError
            If another training holds it.
        """
        from lightning.pytorch.utilities import rank_zero_only

        # Lightning tells ranks from what torchrun and SLURM set; where it starts the processes of each node itself, the
        # number of the node is all there is yet.
        if getattr(rank_zero_only, "rank", 0) or int(os.environ.get("NODE_RANK", "0")):
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        held = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                msg = (
                    f"Another training keeps itself in checkpoint='{self.folder}'. Wait for its end, or name another "
                    "folder."
                )
                raise InputError(msg) from error
            except OSError:
                logger.warning("'%s' lies on a disk without locks: let no other training write there.", self.folder)
            yield
        finally:
            os.close(held)

    def network(self, i: int) -> Checkpoints:
        """Return where the i-th network keeps itself."""
        return self._kept(f"{_NETWORK}{i + 1}")

    def _kept(self, name: str) -> Checkpoints:
        from tilegrn.model.fit.checkpoints import Checkpoints

        return Checkpoints(self.folder / name, self.training, self.every)

    def model(self) -> GRNModel | None:
        """Return the model if the training came to its end.

        Raises
        ------
        InputError
            If it is damaged.
        StaleError
            If it is of another training.
        """
        from tilegrn.model.checkpoint import read_folder
        from tilegrn.model.fit.checkpoints import unlike_training
        from tilegrn.model.grn_model import GRNModel

        place = self.folder / _MODEL
        if not place.is_dir():
            return None
        try:
            unlike_training(read_folder(place)[0].get("training"), self.training, self.folder)
            model = GRNModel.load(place)
        except InputError as error:
            msg = f"{error} Or remove '{self.folder}' to train again."
            raise InputError(msg) from error
        logger.info("This training came to its end before: its model is read from '%s'.", place)
        return model

    def end(self, model: GRNModel) -> None:
        """Keep the model, and remove what led to it. The first process writes."""
        from tilegrn.model.checkpoint import is_first_process, write_folder

        if not is_first_process():
            return
        text, arrays = model.contents()
        write_folder(self.folder / _MODEL, text | {"training": self.training}, arrays)
        for entry in self.folder.glob(f"{_NETWORK}[0-9]*"):
            shutil.rmtree(entry, ignore_errors=True)


def remove_checkpoint(folder: Path) -> None:
    """Remove what :func:`train` keeps in a folder, and the folder if that was all."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if _OURS.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def training_of(
    source: Source,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    targets: NDArray[np.int64],
    ranges: tuple[pd.Series, NDArray[np.float64]] | None,
    config: ModelConfig,
    *,
    data_hash: str,
    **choices: float | str,
) -> dict[str, Any]:
    """Return what makes two trainings the same: hashes of all that is read, and every choice.

    Parameters
    ----------
    data_hash
        Of counts, accessibility and names.
    choices
        Seed, number of networks, precision.
    """
    binding = source.binding
    return {
        "counts and accessibility": data_hash,
        "TFs, distances and binding": _hashed(
            source.is_tf,
            *(part for mat in (source.distance, binding) if mat is not None for part in (mat.indptr, mat.indices)),
            *(mat.data for mat in (source.distance, binding) if mat is not None),
        ),
        "training cells": store.names_fingerprint(source.cells[train]),
        "validation cells": store.names_fingerprint(source.cells[val]),
        "target genes": store.names_fingerprint(source.genes[targets]),
        "scaled ranges": "" if ranges is None else _hashed(ranges[0].to_numpy(np.float64), ranges[1]),
        "config": config.to_dict(),
        **choices,
        "tilegrn": version("tilegrn"),
    }


def _hashed(*arrays: NDArray[Any]) -> str:
    h = hashlib.sha256()
    for array in arrays:
        h.update(f"{array.dtype.kind}{array.shape}".encode())
        h.update(np.ascontiguousarray(array, dtype=f"<{array.dtype.kind}8" if array.dtype.kind in "if" else None).data)
    return h.hexdigest()[:16]


def named_step(error: NotFiniteError, data: CellData, cells: NDArray[np.object_], genes: tuple[str, ...]) -> str:
    """Say which cells a step was of, and the largest of their counts: what went wrong is often to be seen there.

    Parameters
    ----------
    data
        Training cells.
    cells, genes
        Their names, and those of the genes they are trained on.
    """
    names = ", ".join(f"'{c}'" for c in cells[error.cells[:_SHOWN]])
    more = len(error.cells) - _SHOWN
    text = f"{error} The cells of that step are {names}{f' and {more} more' if more > 0 else ''}"
    if data.counts is None:
        return text + "."
    counts = data.counts[error.cells].tocoo()
    if not counts.nnz:
        return text + "."
    top = int(counts.data.argmax())
    cell, gene = cells[error.cells[counts.row[top]]], genes[counts.col[top]]
    return f"{text}; their largest count is {counts.data[top]:.6g}, of gene '{gene}' in cell '{cell}'."
