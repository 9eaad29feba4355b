"""Ranges of bytes from plain and from bgzipped files."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BgzfBytes", "PlainBytes", "RandomBytes", "is_gzip"]

_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 16
"""Bytes that a bgzip block may hold, packed or unpacked."""
_LEAST = 26
"""Bytes of a block's header and trailer."""
_KEPT = 64


class RandomBytes(Protocol):
    """A file that gives any range of its (unpacked) bytes; safe to use from several threads."""

    def read(self, start: int, end: int) -> bytes:
        """Bytes from ``start`` to ``end``, fewer at the end of the file."""

    def stream(self, chunk: int) -> Iterator[bytes]:
        """All bytes, in pieces of about ``chunk``."""

    def size(self) -> int:
        """Return the number of bytes."""

    def close(self) -> None:
        """Close the file."""


def is_gzip(path: Path) -> bool:
    """Tell whether a file begins like gzip."""
    with path.open("rb") as handle:
        return handle.read(2) == _MAGIC


class PlainBytes:
    """A file as it is."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def read(self, start: int, end: int) -> bytes:
        """Bytes from ``start`` to ``end``, fewer at the end of the file."""
        return os.pread(self._file.fileno(), max(end - start, 0), start)

    def stream(self, chunk: int) -> Iterator[bytes]:
        """All bytes, in pieces of about ``chunk``."""
        at = 0
        while piece := self.read(at, at + chunk):
            yield piece
            at += len(piece)

    def size(self) -> int:
        """Return the number of bytes."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BgzfBytes:
    """A file packed by bgzip: blocks of at most 64 kB, each of which can be unpacked by itself.

    The places of the blocks are read from their headers, so no ``.gzi`` is needed.

    Raises
    ------
    InputError
        If the file is plain gzip, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._packed, self._unpacked = self._blocks()
        except BaseException:
            self._file.close()
            raise

    def _blocks(self) -> tuple[list[int], list[int]]:
        """First bytes of all blocks, packed and unpacked, and the ends."""
        size = os.fstat(self._file.fileno()).st_size
        packed, unpacked = [0], [0]
        while packed[-1] < size:
            at = packed[-1]
            next_at = at + self._block_size(os.pread(self._file.fileno(), 512, at), at)
            whole = at + _LEAST <= next_at <= size
            held = struct.unpack("<I", os.pread(self._file.fileno(), 4, next_at - 4))[0] if whole else _BLOCK + 1
            if held > _BLOCK:
                msg = f"'{self._path}' is cut short or damaged at byte {at}; pack it again with bgzip."
                raise InputError(msg)
            packed.append(next_at)
            unpacked.append(unpacked[-1] + held)
        return packed, unpacked

    def _block_size(self, head: bytes, at: int) -> int:
        """Read the size of a block from the extra field ``BC`` of its gzip header."""
        if len(head) >= 18 and head[:2] == _MAGIC and head[3] & 4:
            end = 12 + struct.unpack_from("<H", head, 10)[0]
            place = 12
            while place + 6 <= min(end, len(head)):
                name, length = head[place : place + 2], struct.unpack_from("<H", head, place + 2)[0]
                if name == b"BC" and length == 2:
                    return int(struct.unpack_from("<H", head, place + 4)[0]) + 1
                place += 4 + length
        if at:
            msg = f"'{self._path}' is damaged at byte {at}; pack it again with bgzip."
        else:
            msg = (
                f"'{self._path}' is plain gzip, which gives no random access. "
                "Use bgzip: gunzip the file and pack it again with 'bgzip FILE' (htslib), or leave it unpacked."
            )
        raise InputError(msg)

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
        lo, hi = self._packed[number : number + 2]
        held = self._unpacked[number + 1] - self._unpacked[number]
        try:
            # A block says how much it holds; reading no more than that, a crafted one cannot fill the memory.
            text = zlib.decompressobj(31).decompress(os.pread(self._file.fileno(), hi - lo, lo), held + 1)
        except zlib.error as error:
            msg = f"'{self._path}' is damaged at byte {lo} ({error}); pack it again with bgzip."
            raise InputError(msg) from error
        if len(text) != held:
            msg = f"'{self._path}' is damaged at byte {lo}: the block holds another number of bytes than it says."
            raise InputError(msg)
        with self._lock:
            self._cache[number] = text
            if len(self._cache) > _KEPT:
                self._cache.popitem(last=False)
        return text

    def read(self, start: int, end: int) -> bytes:
        """Bytes from ``start`` to ``end``, fewer at the end of the file."""
        end = min(end, self._unpacked[-1])
        if start >= end:
            return b""
        first = bisect_right(self._unpacked, start) - 1
        pieces = []
        for number in range(first, len(self._packed) - 1):
            base = self._unpacked[number]
            if base >= end:
                break
            pieces.append(self._block(number)[max(start - base, 0) : end - base])
        return b"".join(pieces)

    def stream(self, chunk: int) -> Iterator[bytes]:
        """All bytes, in pieces of about ``chunk``."""
        for start in range(0, self._unpacked[-1], chunk):
            yield self.read(start, start + chunk)

    def size(self) -> int:
        """Return the number of bytes."""
        return self._unpacked[-1]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
