"""A change inside a file that a kill at any moment leaves as it was, or done.

What HDF5 writes behind the old end of the file goes there at once: nothing points to it yet. What it writes over is
kept in memory, in pages. To commit, the old pages go to a journal beside the file, the new ones into the file, and the
journal is removed. Whoever opens the file next and finds a journal puts the old pages back and cuts the file to its old
length.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tilegrn._core.atomic import disk_errors, write_bytes
from tilegrn.errors import InputError
from tilegrn.io.h5mu._guarded import for_hdf5, used_by_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["changing", "journal_of", "recover"]

logger = logging.getLogger(__name__)

_PAGE = 4096
_MAGIC = b"tilegrn journal 1\n"


def journal_of(path: Path) -> Path:
    """Return the place of a file's journal."""
    return path.with_name(f".{path.name}.tilegrn-journal")


def recover(path: Path) -> bool:
    """Take back a change that was not finished; tell whether there was one.

    Raises
    ------
    InputError
        If another process is at work on the file, or the journal is damaged.
    WriteError
        If the system refuses to write to the file.
    """
    path = path.resolve()
    journal = journal_of(path)
    if not journal.is_file() or journal.is_symlink():
        return False
    with disk_errors(path), path.open("r+b") as file, _alone(file, path):
        if not journal.is_file():  # the process that was at work has finished
            return False
        size, pages = _read(journal)
        if file.seek(0, os.SEEK_END) < size:
            msg = f"'{path}' is shorter than before the change that its journal '{journal}' tells of; was it replaced?"
            raise InputError(msg + " If so, remove the journal.")
        for at, page in pages.items():
            os.pwrite(file.fileno(), page, at)
        file.truncate(size)
        os.fsync(file.fileno())
        journal.unlink()
    logger.warning("'%s' is as it was before a change that was not finished", path)
    return True


@contextmanager
def changing(path: Path, check: Callable[[], None]) -> Iterator[Changed]:
    """Give a file that h5py takes in the place of a path; what the block writes is there whole or not at all.

    Parameters
    ----------
    path
        The file.
    check
        Looks at the changed file (by its path, without a lock) while the change can still be taken back: raises if it
        is not as it should be.

    Raises
    ------
    InputError
        If the file is open elsewhere.
    OSError
        What the system refuses; the file is as it was.
    """
    recover(path)
    journal = journal_of(path)
    with path.open("r+b", buffering=0) as raw, _alone(raw, path):
        file = Changed(raw)
        write_bytes(journal, _packed(file.size, {}))
        try:
            with for_hdf5(file):
                yield file
            os.fsync(raw.fileno())
            write_bytes(journal, _packed(file.size, file.old_pages()))
            file.apply()
            check()
        except BaseException:
            file.take_back()
            journal.unlink()
            raise
        journal.unlink()


class Changed:
    """A file whose old part stays as it is on disk until :meth:`apply`; errors of writing are kept for the end.

    HDF5 ends in a segmentation fault after an error of writing: see :mod:`tilegrn.io.h5mu._guarded`.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.size = os.fstat(raw.fileno()).st_size
        self._end = self.size
        self._at = 0
        self._new: dict[int, bytearray] = {}
        self.error: BaseException | None = None

    def _page(self, number: int) -> bytearray:
        if number not in self._new:
            begin = number * _PAGE
            self._new[number] = bytearray(os.pread(self._raw.fileno(), min(_PAGE, self.size - begin), begin))
        return self._new[number]

    def write(self, data: Any) -> int:
        """Write all, or nothing from the first error on."""
        view = memoryview(data).cast("B")
        try:
            if self.error is None:
                self._put(view)
        except Exception as error:  # noqa: BLE001 - none may reach HDF5
            self.error = error
        self._at += len(view)
        return len(view)

    def _put(self, view: memoryview) -> None:
        at, done = self._at, 0
        while done < len(view) and at < self.size:
            page = self._page(at // _PAGE)
            inside = at % _PAGE
            n = min(len(page) - inside, len(view) - done)
            page[inside : inside + n] = view[done : done + n]
            at, done = at + n, done + n
        while done < len(view):
            n = os.pwrite(self._raw.fileno(), view[done:], at)
            at, done = at + n, done + n
        self._end = max(self._end, at)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; zeros behind the end."""
        view = memoryview(buffer).cast("B")
        at, done = self._at, 0
        while done < len(view):
            if at < self.size and at // _PAGE in self._new:
                page = self._new[at // _PAGE]
                inside = at % _PAGE
                part = bytes(page[inside : inside + len(view) - done])
            else:
                upto = (at // _PAGE + 1) * _PAGE if at < self.size else at + len(view) - done
                part = os.pread(self._raw.fileno(), min(upto - at, len(view) - done), at)
            if not part:
                break
            view[done : done + len(part)] = part
            at, done = at + len(part), done + len(part)
        view[done:] = bytes(len(view) - done)
        self._at += len(view)
        return len(view)

    def read(self, size: int = -1) -> bytes:
        """Read from the place on."""
        out = bytearray(max(self._end - self._at, 0) if size < 0 else size)
        self.readinto(out)
        return bytes(out)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Set the length; the old part stays until it is written over."""
        wanted = max(self._at if size is None else size, self.size)
        try:
            if self.error is None:
                os.ftruncate(self._raw.fileno(), wanted)
                self._end = wanted
        except Exception as error:  # noqa: BLE001 - none may reach HDF5
            self.error = error
        return wanted

    def flush(self) -> None:
        """Nothing is kept back."""

    def old_pages(self) -> dict[int, bytes]:
        """Return what stands in the file where it is to be written over, by place."""
        return {n * _PAGE: os.pread(self._raw.fileno(), len(page), n * _PAGE) for n, page in self._new.items()}

    def apply(self) -> None:
        """Write over the old part."""
        self._replaced = self.old_pages()
        for number, page in self._new.items():
            os.pwrite(self._raw.fileno(), page, number * _PAGE)
        os.fsync(self._raw.fileno())

    def take_back(self) -> None:
        """Bring the file to what it was."""
        for at, page in getattr(self, "_replaced", {}).items():
            os.pwrite(self._raw.fileno(), page, at)
        os.ftruncate(self._raw.fileno(), self.size)
        os.fsync(self._raw.fileno())


used_by_hdf5(Changed)


@contextmanager
def _alone(file: Any, path: Path) -> Iterator[None]:
    """Lock a file as HDF5 does, so that nobody reads it meanwhile."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = (
            f"'{path}' is open elsewhere, perhaps by read_h5mu(..., backed=True). Close it (mdata.file.close()) first."
        )
        raise InputError(msg) from error
    try:
        yield
    finally:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _packed(size: int, pages: dict[int, bytes]) -> bytes:
    head = json.dumps({"size": size, "pages": {str(at): len(page) for at, page in pages.items()}}).encode()
    body = struct.pack("<Q", len(head)) + head + b"".join(pages.values())
    return _MAGIC + hashlib.sha256(body).digest() + body


def _read(journal: Path) -> tuple[int, dict[int, bytes]]:
    data = journal.read_bytes()
    n = len(_MAGIC)
    body = data[n + 32 :]
    if data[:n] != _MAGIC or hashlib.sha256(body).digest() != data[n : n + 32]:
        msg = f"'{journal}' is damaged. If the file beside it reads as it should, remove this journal."
        raise InputError(msg)
    (length,) = struct.unpack("<Q", body[:8])
    head = json.loads(body[8 : 8 + length])
    at, pages = 8 + length, {}
    for place, size in head["pages"].items():
        pages[int(place)] = body[at : at + size]
        at += size
    return int(head["size"]), pages
