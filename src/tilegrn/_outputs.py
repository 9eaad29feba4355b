"""The folder that a run leaves: whole or not at all, with a record of what it was made from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RECORD", "check_target", "file_record", "new_folder", "versions", "write_record"]

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


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``target`` that takes its place when the block ends without an error.

    On an error or interruption it is removed, and ``target`` stays as it was.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-unfinished-"))
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())
        if target.exists():
            aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-old-"))
            target.replace(aside / target.name)
            try:
                stage.replace(target)
            except OSError:
                (aside / target.name).replace(target)
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            stage.replace(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _umask() -> int:
    """Permissions that new folders of this process lack (``mkdtemp`` makes private ones)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_record(path: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


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
