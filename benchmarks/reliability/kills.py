"""Kill a writer at any moment of writing: afterwards the old file is there unchanged, or the new one whole.

Each kill meets a process of its own, forked so that packages are loaded once. Kills are spread evenly over the time
that one write takes there, measured first, and half of it again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._made import small, table

from tilegrn.io import read_h5mu, write_h5mu, write_zarr

if TYPE_CHECKING:
    from mudata import MuData

KINDS = ("h5mu", "zarr")


def _started(path: Path, mdata: MuData) -> int:
    """Fork a writer; return its number once it starts to write."""
    reading, started = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(started, b"x")
        try:
            (write_zarr if path.suffix == ".zarr" else write_h5mu)(path, mdata)
        except KeyboardInterrupt:
            os._exit(130)
        os._exit(0)
    os.close(started)
    os.read(reading, 1)
    os.close(reading)
    return pid


def _sum(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    joined = hashlib.sha256()
    for file in files:
        joined.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return joined.hexdigest()


def _n_cells(path: Path) -> int:
    if path.is_file():
        return int(read_h5mu(path).n_obs)
    import mudata

    return int(mudata.read_zarr(str(path)).n_obs)


def kill(kind: str, n_kills: int, number: int, folder: Path) -> Counter[str]:
    """Kill so many writers; return how often which file was found."""
    path = folder / f"x.{kind}"
    write = write_zarr if kind == "zarr" else write_h5mu
    sizes = {n: small(n_cells=n) for n in (30, 60)}
    write(path, sizes[30])
    times = []
    for n in (60, 30, 60):
        begun = time.perf_counter()
        os.waitpid(_started(path, sizes[n]), 0)
        times.append(time.perf_counter() - begun)
    found: Counter[str] = Counter()
    for i in range(n_kills):
        before, n_before = _sum(path), _n_cells(path)
        new = 60 if n_before == 30 else 30
        pid = _started(path, sizes[new])
        time.sleep(sorted(times)[1] * 1.5 * (i + 0.5) / n_kills)
        os.kill(pid, number)
        os.waitpid(pid, 0)
        found["left a temporary"] += any(p.name.startswith(".") for p in folder.iterdir())
        try:
            if _sum(path) == before:
                found["old, identical"] += 1
            elif _n_cells(path) == new:
                found["new, read back"] += 1
            else:
                found["broken"] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is not whole
            print(f"{kind}, kill {i}: {error}", file=sys.stderr)
            found["broken"] += 1
            write(path, sizes[30])
    write(path, sizes[30])
    if [p.name for p in folder.iterdir()] != [path.name]:
        found["never swept"] += 1
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=50, help="SIGINT and SIGTERM, half each")
    options = parser.parse_args()
    rows = []
    for kind in KINDS:
        half = options.signals // 2
        for number, n in ((signal.SIGKILL, options.kills), (signal.SIGINT, half), (signal.SIGTERM, half)):
            with tempfile.TemporaryDirectory() as folder:
                found = kill(kind, n, number, Path(folder))
            names = ("old, identical", "new, read back", "broken", "left a temporary", "never swept")
            rows.append([kind, number.name, n, *(found[name] for name in names)])
    head = ("file", "signal", "kills", "old, identical", "new, read back", "broken", "temporaries left", "never swept")
    print(table(head, rows))


if __name__ == "__main__":
    main()
