"""The folder that a run leaves: whole or not at all, with a record of what it was made from."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from tilegrn._core.atomic import sha256
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RECORD", "check_target", "file_record", "versions", "write_record"]

RECORD = "run.json"
"""File by which a folder is known as the result of a run."""
_PACKAGES = ("tilegrn", "anndata", "mudata", "numpy", "scipy", "pandas", "torch", "lightning")


def check_target(target: Path, *, force: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a folder that cannot be written, or must not be replaced, before any work is done.

    Raises
    ------
    InputError
        If ``target`` is a file, holds something and ``force`` is not given, is no result of tilegrn, holds an input, or
        its parent cannot be written.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        msg = f"'{target}' is no folder; name another one for the results."
        raise InputError(msg)
    if target.is_dir() and any(target.iterdir()):
        if not force:
            msg = f"The folder '{target}' is not empty. Name another one, or replace it with --force."
            raise InputError(msg)
        if not (target / RECORD).is_file():
            msg = f"'{target}' does not look like a result of tilegrn (no {RECORD}), so --force will not replace it."
            raise InputError(msg)
        for path in inputs:
            if path.resolve().is_relative_to(target.resolve()):
                msg = f"The input '{path}' lies in '{target}', which --force would replace. Name another folder."
                raise InputError(msg)
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".tilegrn-"):
            pass
    except OSError as err:
        msg = f"Cannot write results to '{target}': {err.strerror} ('{parent}')."
        raise InputError(msg) from err


def file_record(path: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file; of a folder (zarr) that of its files' names and sums, sorted."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        sums = "".join(f"{sha256(p)}  {p.relative_to(path).as_posix()}\n" for p in files)
        whole = hashlib.sha256(sums.encode()).hexdigest()
        return {"name": path.name, "bytes": sum(p.stat().st_size for p in files), "sha256": whole}
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def versions() -> dict[str, str]:
    """Versions of Python, the machine's system, and the packages that shape a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far in MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    text = json.dumps({**record, "versions": versions()}, indent=2, sort_keys=False, default=str)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
