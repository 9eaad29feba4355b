"""Sums of a bigWig over places, in a process of its own: the library that reads it crashes on damaged files.

Run as a script, it reads ``[path, [[chrom, start, end], ...]]`` from its input and imports nothing of tilegrn, so that
it starts in milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["bigwig_sums"]

_TIMEOUT_S = 3600


def bigwig_sums(path: Path, places: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    """Return ``chroms``, ``total`` and ``sums`` of a file, or ``error``: what is wrong with it, or ``missing``."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__],
            input=json.dumps([str(path), list(places)]),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it is damaged (pyBigWig did not end within {_TIMEOUT_S} s)"}
    try:
        found = json.loads(done.stdout.rpartition("\n")[2])
    except ValueError:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"error": f"it is damaged (pyBigWig ended with {how})"}
    return found if isinstance(found, dict) else {"error": "it is damaged"}


def _read(path: str, places: list[tuple[str, int, int]]) -> dict[str, Any]:
    try:
        import pyBigWig
    except ImportError:
        return {"error": "missing"}
    try:
        file = pyBigWig.open(path)
        sizes = {str(k): int(v) for k, v in file.chroms().items()}
        sums = []
        for name, low, high in places:
            stop = min(high, sizes.get(name, 0))
            value = file.stats(name, low, stop, type="sum", exact=True)[0] if low < stop else None
            sums.append(0.0 if value is None else float(value))
        return {"chroms": sizes, "total": float(file.header()["sumData"]), "sums": sums}
    except Exception as error:  # noqa: BLE001 - the caller names the file
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    asked_path, asked_places = json.load(sys.stdin)
    sys.stdout.write("\n" + json.dumps(_read(asked_path, asked_places)))
