"""Files and folders that are there whole or not at all; their hashes, and JSON read back from them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["new_file", "new_folder", "read_json", "real_target", "sha256", "sweep", "write_text"]

logger = logging.getLogger(__name__)

_STALE_SECONDS = 24 * 3600
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside ``path``; what the block writes there takes its place, or is removed after an error.

    The file is brought to disk before it takes the place of an older one, and its folder after. Through a symbolic link
    the file itself is replaced.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to.
    """
    target = real_target(path)
    with _beside(target) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that takes its place when the block ends, or is removed after an error.

    As :func:`new_file`: all within is brought to disk first. Parents are made. An older folder is exchanged in one step
    (in two renames where the system cannot exchange).

    Raises
    ------
    InputError
        If the parent folder cannot be written to.
    """
    Path(path).expanduser().resolve().parent.mkdir(parents=True, exist_ok=True)
    target = real_target(path)
    with _beside(target) as temporary:
        temporary.mkdir()
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        _exchange(temporary, target)
        _sync(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file that is there whole or not at all; line ends stay as they are.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to.
    """
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises
    ------
    InputError
        If it does not.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding or of the JSON
        msg = f"'{path}' is damaged, it is no valid JSON: {error}."
        raise InputError(msg) from error
    if not isinstance(value, dict):
        msg = f"'{path}' is damaged: it holds no table of names and values."
        raise InputError(msg)
    return value


def sweep(target: Path) -> None:
    """Remove temporaries that killed runs left beside a target.

    For targets written in minutes: those of another host's process, or a day old, are taken for left behind.
    """
    pattern = re.compile(re.escape(f".{target.name}.") + r"([0-9]+)-[0-9a-f]{8}\.tilegrn-tmp")
    for entry in target.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match is None or entry.is_symlink():
            continue
        old = time.time() - entry.stat().st_mtime > _STALE_SECONDS  # its number may by now be another process's
        if old or not _is_running(int(match[1])):
            logger.info("removing %s, left behind by a run that was killed", entry)
            _remove(entry)


def real_target(path: str | os.PathLike[str]) -> Path:
    """Return the path to write to, through symbolic links to the file itself.

    Raises
    ------
    InputError
        If its folder does not exist or cannot be written to.
    """
    target = Path(path).expanduser().resolve()
    if not target.parent.is_dir():
        msg = f"Cannot write '{target}': the folder '{target.parent}' does not exist; make it first."
        raise InputError(msg)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        msg = f"The folder '{target.parent}' is not writable; choose another, or change its permissions."
        raise InputError(msg)
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a new name in the target's folder; whatever stands there in the end is removed."""
    temporary = _temporary(target)
    try:
        yield temporary
    finally:
        _remove(temporary)


def _temporary(target: Path) -> Path:
    return target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tilegrn-tmp"


def _exchange(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another; the old one is left under the temporary name."""
    if not target.exists():
        temporary.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(temporary), os.fsencode(target)
    if hasattr(libc, "renameat2") and libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    aside = _temporary(target)
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
