"""Flip bits of what is saved and cut it short, of a model and of a training's newest checkpoint.

Each damage of a model is an error that names the file. Each damage of a checkpoint is a warning that names it, and the
one before it is read instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._made import ARCHIVE, table

from tilegrn.errors import InputError
from tilegrn.model.checkpoint import read_folder
from tilegrn.model.fit.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def of_model(model: Path) -> Callable[[Path], str]:
    """Return a try at reading a model of which a file is damaged, that says what came of it."""

    def read(file: Path) -> str:
        try:
            read_folder(model)
        except InputError as error:
            named = file.name in str(error) or str(model) in str(error)
            return "caught" if named else "unnamed"
        return "missed"

    read_folder(model)
    return read


def of_checkpoint(kept: Checkpoints) -> Callable[[Path], str]:
    """Return the same for the newest of two checkpoints: caught if it is named and the other one is read."""
    before, newest = kept.steps()
    step = int(before.name.split("-")[1])
    log, heard = logging.getLogger("tilegrn.model.fit.checkpoints"), Heard()
    log.addHandler(heard)
    log.propagate = False

    def read(file: Path) -> str:
        heard.said.clear()
        state = kept.latest()
        if state is None or state["training"]["step"] != step:
            return "missed"
        named = any(file.name in text or str(newest) in text for text in heard.said)
        return "caught" if named else "unnamed"

    return read


def damage(
    folder: Path, attempt: Callable[[Path], str], flips: int, cuts: int, seed: int = 0
) -> dict[str, Counter[str]]:
    """Damage the files of a folder by their size, each in a tenth of the tries at least; count what is caught."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.iterdir())
    sizes = np.array([f.stat().st_size for f in files], dtype=np.float64)
    share = 0.1 + (1 - 0.1 * len(files)) * sizes / sizes.sum()
    found = {file.name: Counter[str]() for file in files}
    for kind, n in (("flip", flips), ("cut", cuts)):
        for file, tries in zip(files, rng.multinomial(n, share / share.sum()), strict=True):
            whole = file.read_bytes()
            for _ in range(tries):
                place = int(rng.integers(len(whole)))
                data = bytearray(whole[:place] if kind == "cut" else whole)
                if kind == "flip":
                    data[place] ^= 1 << int(rng.integers(8))
                file.write_bytes(data)
                try:
                    found[file.name][f"{kind} {attempt(file)}"] += 1
                except Exception as error:  # noqa: BLE001
                    found[file.name][f"{kind} {type(error).__name__}"] += 1
            file.write_bytes(whole)
    return found


def show(found: dict[str, Counter[str]]) -> None:
    """Print a table."""
    rows = []
    for name, counts in found.items():
        bad = {k: v for k, v in counts.items() if not k.endswith("caught")}
        rows.append([name, counts["flip caught"], counts["cut caught"], bad or 0])
    print(table(("file", "bit flips caught", "truncations caught", "anything else"), rows))


def two_checkpoints(folder: Path) -> Checkpoints:
    """Train until two checkpoints are there, and fall."""
    from benchmarks.reliability._training import ready, train

    class Fall(pl.Callback):
        def on_train_batch_start(self, trainer: object, pl_module: Any, batch: object, batch_idx: int) -> None:
            if pl_module.step == 13:
                raise RuntimeError

    with contextlib.suppress(RuntimeError):
        train(ready(), "two networks, every 5 steps", folder, [Fall()])
    (place,) = folder.iterdir()
    text = json.loads((place / "step-00000010" / "checkpoint.json").read_text())
    return Checkpoints(place, text["training"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--cuts", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        shutil.copytree(ARCHIVE / "model", model)
        show(damage(model, of_model(model), options.flips, options.cuts))
        read_folder(model)
        kept = two_checkpoints(Path(folder) / "checkpoint")
        show(damage(kept.steps()[-1], of_checkpoint(kept), options.flips, options.cuts))


if __name__ == "__main__":
    main()
