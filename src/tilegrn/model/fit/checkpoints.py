"""The checkpoints of one network: a folder each, the last two and that of the best epoch.

Each is whole or not at all, and carries what training it belongs to. Tensors are in safetensors, the rest is JSON:
nothing in them is run when they are read.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tilegrn._core.atomic import sweep
from tilegrn.errors import InputError, StaleError
from tilegrn.model.checkpoint import Kind, is_first_process, read_folder, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Checkpoints", "unlike_training"]

logger = logging.getLogger(__name__)

KIND = Kind("checkpoint", 1, "An earlier checkpoint beside it may be sound.", "train with the tilegrn that wrote it")
_KEPT = 2
_STEP = "step-"
_DONE = "done"
_TENSOR = "tensor"
_HASH = 16
"""Letters from which on a value is a hash, which tells a reader nothing."""


@dataclass
class Checkpoints:
    """Where the states of one network's training are kept.

    Attributes
    ----------
    folder
        Of this network.
    training
        What the training is of: names and plain values. A checkpoint of another training is refused.
    every
        Steps between checkpoints; one is written at the end of each epoch, too. None: as many as fit into a minute, and
        at the end of an epoch unless writing the last one took more than a twentieth of the time since.
    """

    folder: Path
    training: dict[str, Any]
    every: int | None = None

    def steps(self) -> list[Path]:
        """Return the folders of checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.name.startswith(_STEP))

    def save(self, state: dict[str, Any], step: int, *, best: int) -> Path:
        """Write the state after a step, and remove what is neither among the last two nor the ``best`` step's."""
        self._sweep()
        target = self.folder / f"{_STEP}{step:08d}"
        self._write(target, state)
        there = self.steps()
        for old in there:
            if old not in there[-_KEPT:] and old.name != f"{_STEP}{best:08d}":
                shutil.rmtree(old, ignore_errors=True)
        return target

    def latest(self, *, warn: bool = True) -> dict[str, Any] | None:
        """Return the newest state that is intact; None if there is no checkpoint at all.

        A damaged one is named in a warning, if one is wanted, and the one before it is read.

        Raises
        ------
        InputError
            If there are checkpoints and none is intact.
        StaleError
            If they are of another training.
        """
        self._sweep()
        wrong: InputError | None = None
        for folder in reversed(self.steps()):
            try:
                state = self._read(folder)
            except InputError as error:
                wrong = wrong or error
                if warn:
                    logger.warning("%s The checkpoint before it is used.", str(error).replace(KIND.mend, "").strip())
                continue
            return state
        if wrong is not None:
            msg = (
                f"No checkpoint in '{self.folder}' is intact: {str(wrong).replace(KIND.mend, '').strip()} Remove that "
                "folder to train this network from its beginning, or name another one."
            )
            raise InputError(msg) from wrong
        return None

    def finish(self, weights: dict[str, torch.Tensor], history: dict[str, list[float]]) -> None:
        """Keep a finished network; checkpoints of its way there are removed. The first process writes."""
        if not is_first_process():
            return
        self._sweep()
        self._write(self.folder / _DONE, {"weights": weights, "history": history})
        for old in self.steps():
            shutil.rmtree(old, ignore_errors=True)

    def finished(self) -> dict[str, Any] | None:
        """Return weights and history of the network if its training came to the end.

        Raises
        ------
        InputError
            If they are damaged.
        StaleError
            If they are of another training.
        """
        folder = self.folder / _DONE
        if not folder.is_dir():
            return None
        try:
            return self._read(folder)
        except InputError as error:
            msg = (
                f"{str(error).replace(KIND.mend, '').strip()} Remove '{self.folder}' to train this network from its "
                "beginning."
            )
            raise InputError(msg) from error

    def _write(self, target: Path, state: dict[str, Any]) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        text = {"training": self.training, "state": _packed(state, arrays, "")}
        write_folder(target, text, arrays, kind=KIND)

    def _read(self, folder: Path) -> dict[str, Any]:
        text, arrays = read_folder(folder, kind=KIND)
        unlike_training(text.get("training"), self.training, self.folder.parent)
        state: dict[str, Any] = _unpacked(text["state"], arrays)
        return state

    def _sweep(self) -> None:
        """Remove what killed writers left, whichever step it was of."""
        if self.folder.is_dir():
            for name in {p.name[1:].partition(".")[0] for p in self.folder.iterdir() if p.name.startswith(".")}:
                sweep(self.folder / name)


def unlike_training(there: Any, now: dict[str, Any], folder: Path) -> None:
    """Raise if a checkpoint is of another training.

    Raises
    ------
    StaleError
        Naming what differs.
    """
    there = there if isinstance(there, dict) else {}
    differing = []
    for name, value in json.loads(json.dumps(now)).items():
        old = there.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            differing += [f"{k} ({old.get(k)} there, {v} now)" for k, v in value.items() if k not in old or old[k] != v]
        elif old != value:
            told = len(str(value)) < _HASH
            differing.append(f"{name} ({old} there, {value} now)" if told else name)
    if differing:
        msg = (
            f"'{folder}' holds the checkpoints of another training. What differs: {', '.join(differing)}. Name another "
            "folder, or remove this one to start over."
        )
        raise StaleError(msg)


def _packed(value: Any, arrays: dict[str, NDArray[Any]], name: str) -> Any:
    """Bring a state to plain values; tensors go to ``arrays`` and leave their name."""
    if isinstance(value, torch.Tensor):
        arrays[name] = value.detach().cpu().numpy()
        return {_TENSOR: name}
    if isinstance(value, dict):
        # As pairs: JSON would turn numbers, by which optimisers know weights, into text.
        return {"items": [[k, _packed(v, arrays, f"{name}.{k}" if name else str(k))] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(v, arrays, f"{name}.{i}") for i, v in enumerate(value)]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    msg = f"'{name}' is a {type(value).__name__}, which no checkpoint can hold."
    raise TypeError(msg)


def _unpacked(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return torch.from_numpy(arrays[value[_TENSOR]].copy())
    return {k: _unpacked(v, arrays) for k, v in value["items"]}
