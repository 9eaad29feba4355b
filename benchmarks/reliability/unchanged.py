"""Every public call on every kind of MuData: what it changes beside what it says that it writes.

    python benchmarks/reliability/unchanged.py [SHAPE ...]

Each call of tests/tl/_calls.py runs on each of the kinds of data of tests/tl/_shapes.py, where it can with copy=True
first. Before and after, every slot of the MuData (and of the MuData behind a view), the tables and the model given, all
files, the global random numbers of Python, numpy and torch, warnings, loggers, the environment, threads, signals,
matplotlib's settings and temporary files are hashed. Prints a markdown table; exits with 1 if anything else changed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.tl._calls import CALLS, all_trespasses, given_in, warmed
from tests.tl._shapes import SHAPES


def main() -> None:
    """Run all calls on all shapes."""
    warmed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "given").mkdir()
        (folder / "tmp").mkdir()
        tempfile.tempdir = str(folder / "tmp")
        like, given = given_in(folder / "given")
        print("| data | calls | changed beside what is said |\n|---|---|---|")
        total = 0
        for shape in sys.argv[1:] or SHAPES:
            place = folder / shape.replace(" ", "_")
            place.mkdir()
            found = all_trespasses(shape, like, given, place)
            total += len(found)
            print(f"| {shape} | {len(CALLS)} | {len(found)} |", flush=True)
            for line in found:
                print(line, file=sys.stderr)
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
