"""A file for HDF5 to write to that never tells it of an error: after a failed flush HDF5 ends in a segmentation fault.

HDF5 keeps what it could not write and tries again whenever an object is closed, and at the latest when the interpreter
ends, and crashes there. So the first error is kept here, the rest of the writing goes nowhere, and the error is raised
once HDF5 has closed the file.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import CodeType, FrameType


__all__ = ["for_hdf5", "guarded", "used_by_hdf5"]

_AGAIN_S = 0.005
_INSIDE: set[CodeType] = set()
_Handler = Callable[[int, "FrameType | None"], object]


@contextmanager
def guarded(path: Path) -> Iterator[GuardedFile]:
    """Give a file that h5py takes in the place of a path; the first error of writing is raised at the end.

    A signal that comes while HDF5 waits for the file (Ctrl-C) waits too, until HDF5 is done with this piece.
    """
    with GuardedFile(path) as file, for_hdf5(file):
        yield file


@contextmanager
def for_hdf5(file: Any) -> Iterator[None]:
    """Let HDF5 use a file that keeps its first error (``file.error``) to itself: it is raised at the end."""
    with _signals_outside():
        try:
            yield
        except Exception as error:  # what HDF5 then says of the file is a consequence
            if file.error is not None:
                raise file.error from error
            raise
    if file.error is not None:
        raise file.error


def used_by_hdf5(kind: type) -> type:
    """Have signals wait while HDF5 is inside one of the functions of a class."""
    _INSIDE.update(f.__code__ for f in vars(kind).values() if hasattr(f, "__code__"))
    return kind


class GuardedFile:
    """A file opened for reading and writing whose ``write`` and ``truncate`` keep their errors to themselves.

    It can be given to what takes paths as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = io.FileIO(path, "w+")
        self.error: BaseException | None = None

    def __enter__(self) -> GuardedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __fspath__(self) -> str:
        return os.fspath(self._path)

    def write(self, data: Any) -> int:
        """Write all, or nothing from the first error on."""
        view = memoryview(data).cast("B")
        at = 0
        try:
            while self.error is None and at < len(view):
                at += self._file.write(view[at:])
        except Exception as error:  # noqa: BLE001 - none may reach HDF5
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length, unless there was an error."""
        try:
            if self.error is None:
                return self._file.truncate(size)
        except Exception as error:  # noqa: BLE001
            self.error = error
        return size or 0

    def flush(self) -> None:
        """Nothing is kept back."""

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read from the place on."""
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        at = 0
        while at < len(view) and (n := self._file.readinto(view[at:])):
            at += n
        view[at:] = bytes(len(view) - at)
        return len(view)


used_by_hdf5(GuardedFile)


@contextmanager
def _signals_outside() -> Iterator[None]:
    """Let handlers of signals, which may raise, wait while HDF5 is inside one of the file's functions.

    An exception there would be an error of writing to HDF5. Such a signal is sent again a moment later.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return

    def patient(handler: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if frame is not None and frame.f_code in _INSIDE:
                threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
            else:
                handler(number, frame)

        return handle

    before: dict[int, _Handler] = {}
    try:
        for number in map(int, signal.valid_signals()):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, patient(handler))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
