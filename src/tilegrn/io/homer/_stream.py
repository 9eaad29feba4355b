"""A file read once from front to back, unzipped on the way, that knows whether it was whole."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TextStream"]

_BOM = b"\xef\xbb\xbf"
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 300  # HOMER's widest count tables, nearly all zeros, shrink some 100-fold; gzip's limit is 1032


class TextStream(io.RawIOBase):
    """Bytes of a text file, gzipped or not, without byte-order mark.

    Parameters
    ----------
    path
        An existing file.

    Raises
    ------
    InputError
        While reading: the gzip stream is damaged or cut short, or unpacks beyond all measure.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.last = b""
        self._size = path.stat().st_size
        self._raw = path.open("rb")
        zipped = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        self._file = cast("BinaryIO", gzip.GzipFile(fileobj=self._raw) if zipped else self._raw)
        self._total = 0
        self._ahead = self._take(1 << 16).removeprefix(_BOM)

    def _take(self, n: int) -> bytes:
        try:
            data = self._file.read(n)
        except (EOFError, zlib.error, gzip.BadGzipFile) as err:
            msg = f"'{self.path}' is cut short or damaged: its gzip stream cannot be unpacked ({err}). Make it anew."
            raise InputError(msg) from err
        self._total += len(data)
        if self._total > _BOMB_BYTES and self._total > _BOMB_RATIO * self._size:
            msg = f"'{self.path}' unpacks to more than {_BOMB_RATIO} times its size; this is no HOMER output."
            raise InputError(msg)
        if data:
            self.last = data[-1:]
        return data

    def peek_lines(self, n_bytes: int = 1 << 22) -> list[str]:
        """Look at the lines in the first ``n_bytes``, without using them up; the last may be cut."""
        while len(self._ahead) < n_bytes:
            more = self._take(n_bytes - len(self._ahead))
            if not more:
                break
            self._ahead += more
        try:
            return self._ahead.decode("utf-8").splitlines()
        except UnicodeDecodeError as err:
            if len(self._ahead) >= n_bytes and err.start > n_bytes - 4:  # a character cut in two by the end of the look
                return self._ahead[: err.start].decode("utf-8").splitlines()
            msg = f"'{self.path}' is no plain text (byte {err.start} is not UTF-8)."
            raise InputError(msg) from err

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._ahead:
            data, self._ahead = self._ahead[: len(view)], self._ahead[len(view) :]
        else:
            data = self._take(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()
        super().close()
