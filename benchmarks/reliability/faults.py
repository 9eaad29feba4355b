"""Let every n-th write, fsync and rename fail, fill the disk, forbid the folder: nothing is lost, each error is named.

Each case is a process of its own, since what is feared is a crash at its end. Faults are injected into the system calls
of Python and into those that HDF5 makes through the file it is given; the disk is filled by a limit of file size.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import gc
import io
import os
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._made import small, table

from tilegrn.errors import TileGRNError
from tilegrn.io import write_h5mu, write_network, write_zarr
from tilegrn.io.h5mu import _guarded
from tilegrn.model.checkpoint import write_folder

if TYPE_CHECKING:
    from collections.abc import Callable


def _table(path: Path, n: int) -> None:
    import pandas as pd

    write_network(path, pd.DataFrame({"source": ["A"] * n, "target": [f"g{i}" for i in range(n)], "score": 1.0}))


def _model(path: Path, n: int) -> None:
    import numpy as np

    write_folder(path, {"n": n}, {"a": np.arange(n * 100.0)})


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "x.h5mu": lambda path, n: write_h5mu(path, small(n_cells=n)),
    "x.zarr": lambda path, n: write_zarr(path, small(n_cells=n)),
    "model": _model,
    "x.csv": _table,
    "x.csv.gz": _table,
}


class Nth:
    """Fail at the n-th call and at all after it."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise OSError(errno.EIO if self.left % 2 else errno.ENOSPC, "injected")

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*args: Any, **kwargs: Any) -> Any:
            self()
            return call(*args, **kwargs)

        return failing


def _inject(what: str, n: int) -> None:
    nth = Nth(n)
    if what == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))
    elif what == "fsync":
        os.fsync = nth.before(os.fsync)
    elif what == "rename":
        os.replace, os.rename = nth.before(os.replace), nth.before(os.rename)
        import tilegrn._core.atomic as atomic

        atomic._exchange = nth.before(atomic._exchange)
    else:

        class Failing(io.FileIO):
            def write(self, data: Any) -> int:
                nth()
                return super().write(data)

        _guarded.io.FileIO = Failing  # type: ignore[misc]  # HDF5's writes, and those of tables
        import tilegrn._core.atomic as atomic

        atomic._Hashed.write = nth.before(atomic._Hashed.write)  # type: ignore[method-assign]
        import zarr.storage._local

        zarr.storage._local._put = nth.before(zarr.storage._local._put)
        for name in ("write_bytes", "write_text"):
            setattr(Path, name, nth.before(getattr(Path, name)))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def case(name: str, what: str, n: int, folder: Path) -> str:
    """Write over an older file with one fault in a child; return what came of it."""
    path = folder / name
    WRITERS[name](path, 10)
    before = _contents(folder)
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _inject(what, n)
        try:
            WRITERS[name](path, 30)
            said = b"written"
        except TileGRNError:
            said = b"named error"
        except BaseException as error:  # noqa: BLE001
            said = f"other error: {type(error).__name__}".encode()
        os.write(writing, said)
        gc.collect()
        ctypes.CDLL(None).exit(
            0
        )  # as a script ends, so that HDF5 closes what it still holds, but for Python's clean-up
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    if said != "written" and _contents(folder) != before:
        return "old file changed"
    return said or "nothing said"


def forbidden(name: str, folder: Path) -> str:
    """Write into a folder without permission, as a user who is bound by permissions."""
    path = folder / name
    WRITERS[name](path, 10)
    before = _contents(folder)
    folder.chmod(0o555)
    pid = os.fork()
    if pid == 0:
        if os.getuid() == 0:
            folder.parent.chmod(0o755)
            os.setgid(65534)
            os.setuid(65534)
        try:
            WRITERS[name](path, 30)
        except TileGRNError:
            os._exit(3)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    folder.chmod(0o755)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    named = os.waitstatus_to_exitcode(status) == 3
    return "named error" if named and _contents(folder) == before else "other error"


def run(name: str, what: str, counts: list[int]) -> Counter[str]:
    """Try each count; return how often what came of it."""
    found: Counter[str] = Counter()
    for n in counts:
        with tempfile.TemporaryDirectory() as folder:
            result = forbidden(name, Path(folder)) if what == "forbidden" else case(name, what, n, Path(folder))
        found[result] += 1
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=60, help="of each kind and file")
    options = parser.parse_args()
    rows = []
    for name in WRITERS:
        for what in ("write", "fsync", "rename", "disk full", "forbidden"):
            counts = [1 + (i * i) // 12 for i in range(options.faults)]
            if what == "disk full":
                counts = [10 + 60 * i * i for i in range(options.faults)]
            counts = {"rename": [1, 2], "forbidden": [1], "fsync": list(range(1, 9))}.get(what, counts)
            found = run(name, what, counts)
            bad = {k: v for k, v in found.items() if k not in ("named error", "written")}
            rows.append([name, what, len(counts), found["named error"], found["written"], bad or 0])
    print(
        table(("file", "fault", "cases", "named error, old file whole", "written all the same", "anything else"), rows)
    )


if __name__ == "__main__":
    main()
