"""Flip bits of a saved model and cut it short: each damage is an error that names the file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._made import ARCHIVE, table

from tilegrn.errors import InputError
from tilegrn.model.checkpoint import read_folder


def damage(model: Path, flips: int, cuts: int, seed: int = 0) -> dict[str, Counter[str]]:
    """Damage the files of a model by their size, each in a tenth of the tries at least; count what is caught."""
    rng = np.random.default_rng(seed)
    files = sorted(model.iterdir())
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
                    read_folder(model)
                    found[file.name][f"{kind} missed"] += 1
                except InputError as error:
                    named = file.name in str(error) or str(model) in str(error)
                    found[file.name][f"{kind} caught" if named else f"{kind} unnamed"] += 1
                except Exception as error:  # noqa: BLE001
                    found[file.name][f"{kind} {type(error).__name__}"] += 1
            file.write_bytes(whole)
    read_folder(model)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--cuts", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        shutil.copytree(ARCHIVE / "model", model)
        found = damage(model, options.flips, options.cuts)
    rows = []
    for name, counts in found.items():
        bad = {k: v for k, v in counts.items() if not k.endswith("caught")}
        rows.append([name, counts["flip caught"], counts["cut caught"], bad or 0])
    print(table(("file", "bit flips caught", "truncations caught", "anything else"), rows))


if __name__ == "__main__":
    main()
