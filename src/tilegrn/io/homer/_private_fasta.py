"""A genome under a plain name for an outside program: a link to the user's FASTA, or a clean copy of it."""

from __future__ import annotations

import gzip
import zlib
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["private_fasta"]

_CHUNK = 1 << 24
_WIDTH = 80
_LONG_LINE = 10_000


def private_fasta(source: Path, target: Path, chroms: set[str]) -> dict[str, int]:
    """Make a FASTA at ``target`` that holds ``chroms`` under bare names; return the lengths of the source's sequences.

    A plain file whose headers are bare names and whose lines are short is linked; any other (gzipped, CRLF,
    descriptions behind the names, sequences in one line) is copied, only the sequences asked for.

    Raises
    ------
    InputError
        If it is no FASTA, a gzip stream is damaged, a name repeats, or a chromosome is missing.
    """
    with source.open("rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    walk = _Walk(chroms)
    try:
        if zipped:
            with gzip.open(source, "rb") as handle, target.open("wb") as out:
                walk.read(cast("IO[bytes]", handle), out)
        else:
            with source.open("rb") as handle:
                walk.read(handle, None)
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        msg = f"FASTA '{source}' is damaged: its gzip stream cannot be unpacked ({err}). Copy or download it again."
        raise InputError(msg) from err
    except ValueError as err:
        msg = f"FASTA '{source}': {err}"
        raise InputError(msg) from err
    missing = sorted(chroms - set(walk.lengths))
    if missing:
        has = ", ".join(list(walk.lengths)[:5])
        msg = f"FASTA '{source}' lacks {len(missing)} of the peaks' chromosomes, e.g. {missing[:3]}; it has {has}, ..."
        raise InputError(msg)
    if not zipped:
        if walk.clean:
            target.symlink_to(source.resolve())
        else:
            with source.open("rb") as handle, target.open("wb") as out:
                _Walk(chroms).read(handle, out)
    return walk.lengths


class _Walk:
    """One pass over a FASTA, in blocks."""

    def __init__(self, chroms: set[str]) -> None:
        self.chroms = chroms
        self.lengths: dict[str, int] = {}
        self.clean = True
        self._name = ""
        self._rest = b""

    def read(self, handle: IO[bytes], out: IO[bytes] | None) -> None:
        """Walk through, writing the wanted sequences to ``out``."""
        carry = b""
        first = True
        while chunk := handle.read(_CHUNK):
            if first:
                if chunk.startswith(b"\xef\xbb\xbf"):
                    chunk, self.clean = chunk[3:], False
                if not chunk.lstrip().startswith(b">"):
                    msg = f"it begins {chunk[:20]!r}, not with '>'."
                    raise ValueError(msg)
                first = False
            block, carry, place = carry + chunk, b"", 0
            while True:
                header = block.find(b">", place)
                self._sequence(block[place : header if header >= 0 else len(block)], out)
                if header < 0:
                    break
                end = block.find(b"\n", header)
                if end < 0:
                    carry = block[header:]
                    break
                self._header(block[header + 1 : end], out)
                place = end + 1
        if carry:
            self._header(carry[1:], out)
        if first:
            msg = "it is empty."
            raise ValueError(msg)
        self._flush(out)

    def _header(self, text: bytes, out: IO[bytes] | None) -> None:
        self._flush(out)
        words = text.split()
        self._name = words[0].decode("utf-8", errors="replace") if words else ""
        if not self._name or self._name in self.lengths:
            msg = f"the sequence name '{self._name}' stands there twice." if self._name else "a sequence has no name."
            raise ValueError(msg)
        self.clean &= text == words[0]
        self.lengths[self._name] = 0
        if out is not None and self._name in self.chroms:
            out.write(b">" + words[0] + b"\n")

    def _sequence(self, text: bytes, out: IO[bytes] | None) -> None:
        if not text or not self._name:
            return
        breaks = text.count(b"\n")
        if any(odd in text for odd in (b"\r", b" ", b"\t")) or len(text) > _LONG_LINE * (breaks + 1):
            self.clean = False
        linked = out is None and self.clean
        bases = b"" if linked else text.translate(None, b"\r\n\t ")
        self.lengths[self._name] += len(text) - breaks if linked else len(bases)
        if out is not None and self._name in self.chroms:
            bases = self._rest + bases
            whole = len(bases) // _WIDTH * _WIDTH
            lines = np.full((whole // _WIDTH, _WIDTH + 1), ord("\n"), dtype=np.uint8)
            lines[:, :_WIDTH] = np.frombuffer(bases, dtype=np.uint8, count=whole).reshape(-1, _WIDTH)
            out.write(lines.tobytes())
            self._rest = bases[whole:]

    def _flush(self, out: IO[bytes] | None) -> None:
        if out is not None and self._rest:
            out.write(self._rest + b"\n")
        self._rest = b""
