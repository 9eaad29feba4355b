"""Files and folders that are there whole or not at all; their hashes, and JSON read back from them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gzip
import hashlib
import io
import json
import logging
import os
import re
import secrets
import shutil
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tilegrn.errors import InputError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


__all__ = [
    "check_room",
    "disk_errors",
    "new_file",
    "new_folder",
    "new_text",
    "parsed_json",
    "read_json",
    "real_target",
    "sha256",
    "sweep",
    "write_bytes",
    "write_text",
]

logger = logging.getLogger(__name__)

_STALE_SECONDS = 24 * 3600
_SPARE_BYTES = 2**20
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_NEW, _OLD = "tilegrn-tmp", "tilegrn-old"
"""Last part of the names of what is being written, and of a folder that stands aside while another takes its place."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def new_file(path: str | os.PathLike[str], *, need: int = 0) -> Iterator[Path]:
    """Give a path beside ``path``; what the block writes there takes its place, or is removed after an error.

    The file is brought to disk before it takes the place of an older one, and its folder after. Through a symbolic link
    the file itself is replaced, and it keeps its mode. What killed runs left beside it is removed first.

    Parameters
    ----------
    path
        The file.
    need
        Bytes that are to be written, as far as known.

    Raises
    ------
    InputError
        Before the block: if the folder does not exist, cannot be written to or has too little room, or ``path`` is a
        folder, a device or a file that is read-only.
    WriteError
        If the system refuses to write. An older file is as it was.
    """
    target = real_target(path)
    if target.is_dir():
        msg = f"'{target}' is a folder; give the path of a file."
        raise InputError(msg)
    sweep(target)
    if need:
        check_room(target, need)
    with _named(target, all_errors=True), _beside(target) as temporary:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        if mode is not None:  # before anything is written: what only its owner may read is never there for others
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            temporary.chmod(mode)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    _sync_name(target)


@contextmanager
def new_folder(path: str | os.PathLike[str], *, need: int = 0) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that takes its place when the block ends, or is removed after an error.

    As :func:`new_file`: all within is brought to disk first. Parents are made. An older folder is exchanged in one step
    (in two renames where the system cannot exchange; a kill between them leaves the older one aside, and the next call
    puts it back first).

    Raises
    ------
    InputError
        Before the block: if the parent folder cannot be written to or has too little room.
    WriteError
        If the system refuses to write. An older folder is as it was.
    """
    target = real_target(path, parents=True)
    sweep(target)
    if need:
        check_room(target, need)
    with _named(target, all_errors=False), _beside(target) as temporary:
        temporary.mkdir()
        yield temporary
        with _named(target, all_errors=True):
            for entry in (*temporary.rglob("*"), temporary):
                if not entry.is_symlink():
                    _sync(entry)
            if target.is_dir():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            _exchange(temporary, target)
            _sync_name(target)


@contextmanager
def new_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    r"""Give a UTF-8 text file to write, gzipped if ``path`` ends in ``.gz``; there whole or not at all.

    Line ends stay as they are written. The file is opened again and its bytes are compared with those that were
    written before it takes the place of an older one.

    Raises
    ------
    InputError, WriteError
        As :func:`new_file`.
    """
    with new_file(path) as part:
        raw = _Hashed(part)
        with io.BufferedWriter(raw) as buffered:
            zipped = os.fspath(path).endswith(".gz")
            packed = gzip.GzipFile(fileobj=buffered, mode="wb", filename="", mtime=0) if zipped else buffered
            with io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
                yield text
        _check_same(part, raw.sum.hexdigest())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is there whole or not at all; it is opened again and compared first.

    Raises
    ------
    InputError, WriteError
        As :func:`new_file`.
    """
    with new_file(path, need=len(data)) as part:
        part.write_bytes(data)
        _check_same(part, hashlib.sha256(data).hexdigest())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file as :func:`write_bytes`; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


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
    return parsed_json(path.read_bytes(), path)


def parsed_json(data: bytes, path: Path) -> dict[str, Any]:
    """Parse the bytes of a file that holds a JSON object; ``path`` is its name for messages."""
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # of the encoding, of the JSON, or braces by the thousand
        msg = f"'{path}' is damaged, it is no valid JSON: {error}."
        raise InputError(msg) from error
    if not isinstance(value, dict):
        msg = f"'{path}' is damaged: it holds no table of names and values."
        raise InputError(msg)
    return value


def sweep(target: Path) -> None:
    """Remove what killed runs left beside a target; put back a folder that one of them left aside.

    For targets written in minutes: temporaries of another host's process, or a day old, are taken for left behind.
    """
    pattern = re.compile(re.escape(f".{target.name}.") + rf"([0-9]+)-[0-9a-f]{{8}}\.({_NEW}|{_OLD})")
    for entry in target.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match is None or entry.is_symlink():
            continue
        try:
            age = time.time() - entry.stat().st_mtime
        except FileNotFoundError:  # its writer has just finished
            continue
        # A day old: its number may by now be another process's.
        if age <= _STALE_SECONDS and _is_running(int(match[1])):
            continue
        if match[2] == _OLD and not target.exists():
            logger.warning("putting '%s' back, which a run that was killed had set aside", target)
            entry.rename(target)
        else:
            logger.info("removing %s, left behind by a run that was killed", entry)
            _remove(entry)


def real_target(path: str | os.PathLike[str], *, parents: bool = False) -> Path:
    """Return the path to write to, through symbolic links to the file itself.

    Parameters
    ----------
    path
        File or folder.
    parents
        Whether to make the folders above it.

    Raises
    ------
    InputError
        If its folder does not exist or cannot be written to, or what is there is read-only, no file and no folder.
    """
    try:
        target = Path(path).expanduser().resolve()
    except (RuntimeError, OSError) as error:
        msg = f"Cannot write '{path}': it leads nowhere ({error}). Give another path."
        raise InputError(msg) from error
    if target.is_symlink():  # Python 3.13 resolves a circle of links to itself
        msg = f"Cannot write '{path}': it leads nowhere, in a circle of links. Give another path."
        raise InputError(msg)
    if parents:
        with _named(target, all_errors=True):
            target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.is_dir():
        msg = f"Cannot write '{target}': the folder '{target.parent}' does not exist; make it first."
        raise InputError(msg)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        msg = f"The folder '{target.parent}' is not writable; choose another, or change its permissions."
        raise InputError(msg)
    if target.exists() and not (target.is_file() or target.is_dir()):
        msg = f"'{target}' is a device, a socket or a pipe, not a file; give the path of a file."
        raise InputError(msg)
    if target.is_file() and not os.access(target, os.W_OK):
        msg = f"'{target}' is read-only, so it is not replaced; chmod u+w it, or give another path."
        raise InputError(msg)
    return target


def check_room(target: Path, need: int) -> None:
    """Raise if the disk has no room for so many bytes.

    Raises
    ------
    InputError
        With the bytes that are free and that are needed.
    """
    free = shutil.disk_usage(target.parent).free
    if free < need + _SPARE_BYTES:
        msg = (
            f"'{target.parent}' has {free:,} bytes free, but up to {need + _SPARE_BYTES:,} are needed. Make room, or "
            "choose another disk."
        )
        raise InputError(msg)


class _Hashed(io.FileIO):
    """A file that remembers the SHA-256 of what was written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self.sum = hashlib.sha256()

    def write(self, data: Any) -> int:
        n = super().write(data)
        self.sum.update(memoryview(data)[:n])
        return n


def disk_errors(target: Path) -> AbstractContextManager[None]:
    """Turn what the system refuses inside a block into a :class:`~tilegrn.errors.WriteError`."""
    return _named(target, all_errors=True)


@contextmanager
def _named(target: Path, *, all_errors: bool) -> Iterator[None]:
    """Turn the system's refusals into an error that says what is to be done.

    Inside a long block only those that come of a disk; others may be about files that are read.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteError) or not (all_errors or error.errno in _OF_THE_DISK):
            raise
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        mend = "Make room, or choose another disk." if full else "Try again, or choose another folder."
        why = error.strerror or next(iter(str(error).splitlines()), type(error).__name__)
        why += f": '{error.filename}'" if error.filename else ""
        msg = f"'{target}' could not be written: {why}. What was there before is unchanged. {mend}"
        raise WriteError(msg, number=error.errno) from error


def _check_same(part: Path, wanted: str) -> None:
    if sha256(part) != wanted:
        msg = (
            f"What was written to '{part.parent}' does not read back the same; is the disk sound? Nothing was replaced."
        )
        raise WriteError(msg, number=errno.EIO)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a new name in the target's folder; whatever stands there in the end is removed."""
    temporary = _temporary(target)
    try:
        yield temporary
    finally:
        _remove(temporary)


def _temporary(target: Path, kind: str = _NEW) -> Path:
    return target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}"


def _exchange(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another; the old one is left under the temporary name."""
    if not target.exists():
        temporary.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(temporary), os.fsencode(target)
    if hasattr(libc, "renameat2") and libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    aside = _temporary(target, _OLD)
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        for _ in range(20):  # threads of a failed writer may still be adding files
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                break
            time.sleep(0.02)
    else:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_name(target: Path) -> None:
    """Bring a new name to disk. Should this fail, what it names is there and whole, so it is no error."""
    try:
        _sync(target.parent)
    except OSError as error:
        logger.warning(
            "'%s' is written, but its folder could not be brought to disk (%s): after a loss of power in the next "
            "seconds the older one may be back",
            target,
            error.strerror,
        )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or the number of another system
        pass
    return True
