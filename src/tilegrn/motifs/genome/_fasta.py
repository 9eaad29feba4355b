"""Sequences of intervals from plain or bgzipped FASTA and from 2bit files, without writing beside the user's file.

All three kinds are read through ranges of bytes, so that many threads can fetch at once and no file is loaded whole.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tilegrn.errors import InputError
from tilegrn.motifs.genome._bytes import BgzfBytes, PlainBytes, RandomBytes, is_gzip
from tilegrn.motifs.genome._twobit import TwoBit, is_twobit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = ["Fasta", "SequenceFile", "open_sequences"]

logger = logging.getLogger(__name__)

_CHUNK = 1 << 24


class SequenceFile(Protocol):
    """What the scanner needs of a genome file."""

    @property
    def lengths(self) -> Mapping[str, int]:
        """Sequence name -> length in bp, in the order of the file."""

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        """Letters from ``start`` to ``end`` (0-based, half-open), in the case of the file."""

    def close(self) -> None:
        """Close the file."""


def open_sequences(path: str | Path) -> SequenceFile:
    """Open a FASTA (plain or bgzipped) or 2bit file, told apart by content.

    Raises
    ------
    InputError
        If the file is missing, a folder, plain gzip (random access needs bgzip), or neither FASTA nor 2bit.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "missing"
        msg = f"The sequence file '{path}' is {kind}; give a FASTA (plain or bgzipped) or a 2bit file."
        raise InputError(msg)
    return TwoBit(path) if is_twobit(path) else Fasta(path)


@dataclass(frozen=True)
class _Record:
    """Where a sequence lies: ``line_bases`` letters in every line of ``line_bytes``, from byte ``offset`` on."""

    length: int
    offset: int
    line_bases: int
    line_bytes: int
    end: int = -1
    """Byte after the record if its lines differ in length (then it is read whole); else -1."""

    def place(self, base: int) -> int:
        """Byte of a base."""
        return self.offset + base // self.line_bases * self.line_bytes + base % self.line_bases


class Fasta:
    """A FASTA file, plain or bgzipped.

    A ``.fai`` beside the file is used if it is newer and its entries are found to fit; otherwise the file is read once
    and the index kept in memory only.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._bytes: RandomBytes = BgzfBytes(self.path) if is_gzip(self.path) else PlainBytes(self.path)
        self._whole: dict[str, bytes] = {}
        try:
            self._records = self._read_fai() or self._index()
        except BaseException:
            self._bytes.close()
            raise
        self.lengths = {name: record.length for name, record in self._records.items()}

    def __enter__(self) -> Fasta:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        """Letters from ``start`` to ``end`` (0-based, half-open), in the case of the file."""
        record = self._records[chrom]
        if record.end >= 0:
            if chrom not in self._whole:
                self._whole[chrom] = _letters(self._bytes.read(record.offset, record.end))
            return self._whole[chrom][start:end]
        if end <= start:
            return b""
        letters = _letters(self._bytes.read(record.place(start), record.place(end - 1) + 1))
        if len(letters) != end - start:
            msg = f"'{self.path}' changed while it was read: {chrom}:{start}-{end} gave {len(letters)} letters."
            raise InputError(msg)
        return letters

    def _read_fai(self) -> dict[str, _Record]:
        """Read the index beside the file; empty where it is absent, older than the file, or does not fit it."""
        fai = self.path.with_name(self.path.name + ".fai")
        if not fai.is_file():
            return {}
        records: dict[str, _Record] = {}
        reason = "it is older than the file" if fai.stat().st_mtime < self.path.stat().st_mtime else ""
        if not reason:
            for line in fai.read_text(encoding="utf-8", errors="replace").splitlines():
                fields = line.split("\t")
                numbers = [int(f) for f in fields[1:5] if f.isdecimal()]
                if len(numbers) != 4 or fields[0] in records:
                    reason = f"the line '{line[:60]}' is no entry, or one that stands there twice"
                    break
                records[fields[0]] = _Record(*numbers)
                if not self._fits(fields[0], records[fields[0]]):
                    reason = f"its entry for '{fields[0]}' does not fit the file"
                    break
        if reason or not records:
            logger.info("The index '%s' is not used: %s. The FASTA is indexed in memory.", fai, reason or "it is empty")
            return {}
        return records

    def _fits(self, name: str, record: _Record) -> bool:
        """Tell whether an index entry points behind a header of that name, and ends where a line ends."""
        header = f">{name}".encode()
        before = self._bytes.read(max(record.offset - len(header) - 4096, 0), record.offset)
        line = before.rstrip(b"\r\n").rpartition(b"\n")[2]
        if not before.endswith(b"\n") or line.split(maxsplit=1)[:1] != [header]:
            return False
        if record.length == 0:
            return True
        if not 0 < record.line_bases < record.line_bytes <= record.line_bases + 2:
            return False
        last = record.place(record.length - 1)
        tail = self._bytes.read(last, last + 4)
        return len(tail) > 0 and tail[:1] not in b"\r\n>" and (len(tail) == 1 or tail[1:2] in b"\r\n")

    def _index(self) -> dict[str, _Record]:
        """Index the file by reading it once.

        Raises
        ------
        InputError
            If it does not begin with ``>``, holds no sequence, or a name stands there twice.
        """
        records: dict[str, _Record] = {}
        name, offset, widths = "", 0, _Lines()
        for starts, sizes, bases, headers in self._lines():
            lo = 0
            for at in [*np.flatnonzero(headers != b"").tolist(), len(starts)]:
                if at > lo and not offset and bases[lo:at].any():
                    self._refuse()
                widths.add(sizes[lo:at], bases[lo:at])
                if at < len(starts):
                    if offset:
                        self._keep(records, name, offset, widths, int(starts[at]))
                    words = headers[at][1:].split(maxsplit=1)
                    name = words[0].decode("utf-8", "replace") if words else ""
                    offset, widths = int(starts[at] + sizes[at]), _Lines()
                    lo = at + 1
        if not offset:
            self._refuse()
        self._keep(records, name, offset, widths, self._bytes.size())
        return records

    def _keep(self, records: dict[str, _Record], name: str, offset: int, widths: _Lines, end: int) -> None:
        if name in records:
            msg = f"'{self.path}' holds two sequences named '{name}'; names must differ."
            raise InputError(msg)
        if widths.regular:
            records[name] = _Record(widths.length, offset, max(widths.bases, 1), max(widths.bytes, 1))
        else:
            records[name] = _Record(widths.length, offset, 1, 1, end)

    def _refuse(self) -> None:
        msg = f"'{self.path}' is no FASTA file: it does not begin with a line such as '>chr1'."
        raise InputError(msg)

    def _lines(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.object_]]]:
        """Yield, chunk by chunk, the lines: first byte, bytes, letters without line ends, and headers (else empty)."""
        at, rest = 0, b""
        for piece in self._bytes.stream(_CHUNK):
            text = rest + piece
            cut = text.rfind(b"\n") + 1
            if cut:
                yield _split(text[:cut], at)
                at += cut
            rest = text[cut:]
        if rest:
            yield _split(rest, at)


class _Lines:
    """Widths of the lines of one record: regular if all but the last are as long as the first."""

    def __init__(self) -> None:
        self.bases = self.bytes = self.length = 0
        self.regular = True
        self._ended = False

    def add(self, sizes: NDArray[np.int64], bases: NDArray[np.int64]) -> None:
        """Take the next lines."""
        if not len(sizes):
            return
        if not self.bytes:
            self.bases, self.bytes = int(bases[0]), int(sizes[0])
        same = (bases == self.bases) & (sizes == self.bytes)
        last_shorter = bases[-1] < self.bases or (bases[-1] == self.bases and sizes[-1] < self.bytes)
        if self._ended or not same[:-1].all() or not (same[-1] or last_shorter):
            self.regular = False
        self._ended = not bool(same[-1])
        self.length += int(bases.sum())


def _split(text: bytes, at: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.object_]]:
    letters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(letters == ord("\n")).astype(np.int64)
    full = ends if len(ends) and ends[-1] == len(text) - 1 else np.append(ends, len(text))
    starts = np.concatenate([[0], full[:-1] + 1]).astype(np.int64)
    sizes = np.minimum(full + 1, len(text)) - starts
    bases = full - starts
    bases -= (bases > 0) & (letters[np.maximum(full - 1, 0)] == ord("\r"))
    headers = np.full(len(starts), b"", dtype=object)
    for i in np.flatnonzero(letters[starts] == ord(">")):
        headers[i] = text[starts[i] : full[i]]
    return starts + at, sizes, bases, headers


def _letters(raw: bytes) -> bytes:
    return raw.translate(None, b"\r\n")
