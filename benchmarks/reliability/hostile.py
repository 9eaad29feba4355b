"""Read crafted and mutated files of every format: no crash, no endless read, no other file opened, refusals named.

Each file is read in a child with a time limit of 10 s and an address space of 1 GiB beyond what the loaded packages
map themselves. A canary file lies beside: that nothing opens it is seen by an audit hook, by its time of access (which
HDF5's own reading changes, too) and by its numbers, which must not appear in what was read.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._crafted import CANARY, CRAFTED, canary
from benchmarks.reliability._crafted_models import resigned
from benchmarks.reliability._formats import FORMATS
from benchmarks.reliability._made import table

from tilegrn.errors import TileGRNError

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 10
ROOM = 2**30
GOOD = ("named error", "read")


def _child(read: Callable[[Path], Any], path: Path, secret: Path, pipe: int) -> None:
    opened = []
    sys.addaudithook(lambda event, args: opened.append(1) if event == "open" and args[0] == str(secret) else None)
    status = Path("/proc/self/statm")
    used = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 2**32
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = read(path)
        held = isinstance(value, float) and abs(value) >= CANARY
        said = "outside file opened" if held else "read"
    except TileGRNError as error:
        said = "named error: " + " ".join(str(error).split())[:200]
    except BaseException as error:  # noqa: BLE001
        said = f"{type(error).__name__}: " + " ".join(str(error).split())[:200]
    if opened:
        said = "outside file opened"
    os.write(pipe, said.encode())
    os._exit(0)


def attempt(read: Callable[[Path], Any], path: Path, secret: Path) -> str:
    """Read a file in a child; return what came of it."""
    os.utime(secret, (1, 2))  # older than the last change, so that the system notes the next access
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(read, path, secret, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"over {LIMIT_S} s" if number == signal.SIGALRM else f"signal {number}"
    return "outside file opened" if secret.stat().st_atime > 1 else said


def crafted(names: list[str]) -> dict[str, str]:
    """Read crafted files; return what came of each."""
    found = {}
    for name in names:
        base, make = CRAFTED[name]
        if base not in FORMATS:
            continue
        with tempfile.TemporaryDirectory() as folder:
            secret, path = Path(folder) / "secret.h5", Path(folder) / base
            canary(secret)
            make(path, secret)
            found[name] = attempt(FORMATS[base].read, path, secret)
    return found


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes, or cut, double, insert or blank a stretch."""
    out = bytearray(data)
    kind = rng.integers(6)
    at = int(rng.integers(len(out)))
    n = int(rng.integers(1, 64))
    if kind == 0:
        for place in rng.integers(len(out), size=rng.integers(1, 20)):
            out[place] = rng.integers(256)
    elif kind == 1:
        out[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del out[at:]
    elif kind == 3:
        out[at:at] = out[max(0, at - n) : at]
    elif kind == 4:
        word = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF])
        out[at : at + 4] = int(word).to_bytes(4, "little")
    else:
        out[at : at + n] = bytes(n)
    return bytes(out)


def mutated(name: str, n: int, seed: int = 0) -> Counter[str]:
    """Read mutated files of a format; a model is signed again half the time."""
    rng = np.random.default_rng([seed, *name.encode()])
    found: Counter[str] = Counter()
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        secret, good = Path(folder) / "secret.h5", Path(folder) / name
        canary(secret)
        form.make(good)
        for i in range(n):
            path = Path(folder) / str(i) / name
            path.parent.mkdir()
            if good.is_dir():
                shutil.copytree(good, path)
                target = sorted(path.iterdir())[i % 3]
                target.write_bytes(mutate(target.read_bytes(), rng))
                if i % 2 and (path / "manifest.json").is_file():
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        resigned(path)
            else:
                path.write_bytes(mutate(good.read_bytes(), rng))
            said = attempt(form.read, path, secret)
            kind = said.split(":")[0]
            found[kind] += 1
            if kind not in GOOD:
                print(f"{name}, mutation {i}: {said}", file=sys.stderr)
            shutil.rmtree(path.parent)
    return found


def warm() -> None:
    """Load all packages in the parent, so that no child pays for it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for form in FORMATS.values():
            path = Path(folder) / form.name
            form.make(path)
            form.read(path)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000, help="over all formats")
    parser.add_argument("--only", default="", help="part of the name of a crafted file or a format")
    options = parser.parse_args()
    warm()
    found = crafted([name for name in CRAFTED if options.only in name])
    for name, said in found.items():
        print(f"{name}: {said}", file=sys.stderr)
    counts = Counter(said.split(":")[0] for said in found.values())
    print(table(("crafted files", *counts), [[len(found), *counts.values()]]), end="\n\n")
    names = [name for name in FORMATS if options.only in name]
    rows = []
    for name in names:
        n = -(-options.mutations // len(FORMATS))
        tried = mutated(name, n)
        bad = {k: v for k, v in tried.items() if k not in GOOD}
        rows.append([name, n, tried["named error"], tried["read"], bad or 0])
    print(table(("mutated", "files", "named error", "read", "anything else"), rows))


if __name__ == "__main__":
    main()
