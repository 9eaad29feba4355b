"""UCSC 2bit files: four bases to a byte, N and lower case as lists of blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilegrn.errors import InputError
from tilegrn.motifs.genome._bytes import PlainBytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TwoBit", "is_twobit"]

_SIGNATURE = 0x1A412743
_BASES = np.frombuffer(b"TCAG", dtype=np.uint8)
_UNPACKED = _BASES[(np.arange(256)[:, None] >> np.array([6, 4, 2, 0])) & 3].view(np.uint32).ravel()
"""The four letters of every byte, as one number so that one look-up finds them."""


def is_twobit(path: Path) -> bool:
    """Tell whether a file begins with the 2bit signature, in either byte order."""
    with path.open("rb") as handle:
        head = handle.read(4)
    return head in (struct.pack("<I", _SIGNATURE), struct.pack(">I", _SIGNATURE))


@dataclass(frozen=True, eq=False)
class _Record:
    length: int
    packed: int
    """First byte of the bases."""
    n_blocks: NDArray[np.int64]
    """Starts and ends of runs of N."""
    masked: NDArray[np.int64]
    """Starts and ends of lower case."""


class TwoBit:
    """A 2bit file (versions 0 and 1).

    Raises
    ------
    InputError
        If the file is cut short or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = PlainBytes(path)
        try:
            self._records = self._index()
        except BaseException:
            self._bytes.close()
            raise
        self.lengths = {name: record.length for name, record in self._records.items()}

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        """Letters from ``start`` to ``end`` (0-based, half-open); lower case where the file says masked."""
        record = self._records[chrom]
        if end <= start:
            return b""
        first = start // 4
        raw = np.frombuffer(self._read(record.packed + first, (end + 3) // 4 - first), dtype=np.uint8)
        letters = _UNPACKED.take(raw).view(np.uint8)[start - 4 * first : end - 4 * first]
        for lo, hi in _overlaps(record.n_blocks, start, end):
            letters[lo:hi] = ord("N")
        for lo, hi in _overlaps(record.masked, start, end):
            letters[lo:hi] |= 0x20
        return bytes(letters.tobytes())

    def _read(self, start: int, n: int) -> bytes:
        raw = self._bytes.read(start, start + n)
        if len(raw) != n:
            msg = f"'{self._path}' is cut short or damaged: {n} bytes were wanted at {start}, {len(raw)} are there."
            raise InputError(msg)
        return raw

    def _index(self) -> dict[str, _Record]:
        order = "<" if self._read(0, 4) == struct.pack("<I", _SIGNATURE) else ">"
        version, count = struct.unpack(f"{order}II", self._read(4, 8))
        if version not in (0, 1):
            msg = f"'{self._path}' is of 2bit version {version}; 0 and 1 are known."
            raise InputError(msg)
        wide = "Q" if version == 1 else "I"
        records: dict[str, _Record] = {}
        at = 16
        for _ in range(count):
            size = self._read(at, 1)[0]
            name = self._read(at + 1, size).decode("utf-8", "replace")
            offset_bytes = struct.calcsize(wide)
            offset = struct.unpack(order + wide, self._read(at + 1 + size, offset_bytes))[0]
            at += 1 + size + offset_bytes
            if name in records:
                msg = f"'{self._path}' holds two sequences named '{name}'; names must differ."
                raise InputError(msg)
            records[name] = self._record(order, offset)
        return records

    def _record(self, order: str, at: int) -> _Record:
        length = struct.unpack(f"{order}I", self._read(at, 4))[0]
        at += 4
        blocks = []
        for _ in range(2):
            n = struct.unpack(f"{order}I", self._read(at, 4))[0]
            if 8 * n > self._bytes.size():
                msg = f"'{self._path}' is cut short or damaged: byte {at} says that {n} blocks follow."
                raise InputError(msg)
            numbers = np.frombuffer(self._read(at + 4, 8 * n), dtype=f"{order}u4").astype(np.int64).reshape(2, n)
            blocks.append(np.stack([numbers[0], numbers.sum(axis=0)]))
            at += 4 + 8 * n
        return _Record(int(length), at + 4, blocks[0], blocks[1])


def _overlaps(blocks: NDArray[np.int64], start: int, end: int) -> list[tuple[int, int]]:
    """Parts of sorted blocks between start and end, counted from start."""
    lo = int(blocks[1].searchsorted(start, side="right"))
    hi = int(blocks[0].searchsorted(end, side="left"))
    if lo >= hi:
        return []
    return [(max(int(a) - start, 0), min(int(b), end) - start) for a, b in blocks[:, lo:hi].T]
