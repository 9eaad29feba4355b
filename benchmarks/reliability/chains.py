"""Kill trainings with SIGKILL again and again, and go on each time: in the end they are as if nothing had been.

Each chain is a training that is killed at random moments of its whole duration, from the preparation to the last
checkpoint, and started again with the same call until it is done. Weights, losses, the optimiser's state and
predictions are compared bit for bit with those of a training that nothing disturbed, in a process of its own as well.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._made import table
from benchmarks.reliability._training import CASES, outcome, ready

if TYPE_CHECKING:
    from mudata import MuData

KINDS = ("weights", "losses", "optimiser", "predictions")


def _started(mdata: MuData, case: str, checkpoint: Path | None, folder: Path) -> int:
    """Fork a training; return its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            outcome(mdata, case, checkpoint, folder)
            code = 0
        finally:
            os._exit(code)
    return pid


def _ended(pid: int, seconds: float) -> int | None:
    """Wait so long at most; return the exit status of a process that ended by itself."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def chain(mdata: MuData, case: str, n_kills: int, seconds: float, folder: Path, rng: np.random.Generator) -> Counter:
    """Kill a training so often, let it come to its end, and count where it was met."""
    checkpoint, found = folder / "checkpoint", Counter()
    for _ in range(n_kills):
        pid = _started(mdata, case, checkpoint, folder)
        status = _ended(pid, float(rng.uniform(0, 0.7 * seconds)))
        if status is not None:
            found["failed"] += status != 0
            return found
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found["kills"] += 1
        there = [p.name for p in checkpoint.rglob("*")] if checkpoint.is_dir() else []
        found["before the first"] += not any(n.startswith(("step-", "done", "model")) for n in there)
        found["half-written"] += any(n.startswith(".") for n in there)
    pid = _started(mdata, case, checkpoint, folder)
    found["failed"] += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    return found


def _same(folder: Path, wanted: Path, kind: str) -> bool:
    files = sorted(p.name for p in wanted.glob(f"{kind}*.npz"))
    if not files or files != sorted(p.name for p in folder.glob(f"{kind}*.npz")):
        return False
    for name in files:
        one, other = np.load(folder / name), np.load(wanted / name)
        if set(one) != set(other) or any(one[k].tobytes() != other[k].tobytes() for k in other):
            return False
    return True


def run(mdata: MuData, case: str, n: int, n_kills: int, rng: np.random.Generator) -> Counter:
    """Try so many chains of a case, and count."""
    with tempfile.TemporaryDirectory() as at:
        wanted = Path(at) / "undisturbed"
        wanted.mkdir()
        begun = time.perf_counter()
        os.waitpid(_started(mdata, case, None, wanted), 0)
        seconds = time.perf_counter() - begun
        found: Counter = Counter()
        for i in range(n):
            folder = Path(at) / f"chain{i}"
            folder.mkdir()
            found += chain(mdata, case, n_kills, seconds, folder, rng)
            found.update({kind: int(_same(folder, wanted, kind)) for kind in KINDS})
    print(f"{case}: {seconds:.1f} s undisturbed, {dict(found)}", file=sys.stderr)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--kills", type=int, default=6, help="in each chain")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    mdata = ready()
    rows = []
    for case, n in zip(CASES, [len(a) for a in np.array_split(np.arange(options.chains), len(CASES))], strict=True):
        found = run(mdata, case, n, options.kills, rng)
        told = [found[k] for k in ("kills", "before the first", "half-written", *KINDS, "failed")]
        rows.append([case, n, *told])
    head = ("training", "chains", "kills", "before any checkpoint", "left a half-written one")
    print(table((*head, *(f"same {kind}" for kind in KINDS), "anything else"), rows))


if __name__ == "__main__":
    main()
