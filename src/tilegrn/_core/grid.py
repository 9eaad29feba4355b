"""The windows of an assembly: one vocabulary for every sample of it.

Half-open windows ``[k * size, (k + 1) * size)`` on each chromosome, the last one cut at the chromosome's length,
numbered through the chromosomes in the order of the sizes file. A window's number, or its name ``chr1:3000-4000``,
means the same in every sample of the assembly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Windows of ``window_size`` bp over chromosomes of known length.

    Parameters
    ----------
    chroms
        Chromosome names, in order.
    lengths
        Their lengths in bp, int64.
    window_size
        Window size in bp.
    assembly
        Name for messages and provenance; may be empty.
    seed
        Draws the window of a peak that is split evenly, so it is part of what a window means.
    """

    chroms: tuple[str, ...]
    lengths: NDArray[np.int64]
    window_size: int
    assembly: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.window_size < 1:
            msg = f"window_size is {self.window_size}; it must be at least 1 bp."
            raise InputError(msg)
        if len(self.chroms) != len(self.lengths):
            msg = f"{len(self.chroms)} chromosome names for {len(self.lengths)} lengths."
            raise InputError(msg)

    @cached_property
    def windows_per_chrom(self) -> NDArray[np.int64]:
        """Number of windows of each chromosome."""
        return -(-np.asarray(self.lengths, dtype=np.int64) // self.window_size)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Number of the first window of each chromosome, and the total at the end."""
        return np.concatenate([[0], np.cumsum(self.windows_per_chrom)]).astype(np.int64)

    @property
    def n_windows(self) -> int:
        """Number of windows of the assembly."""
        return int(self.offsets[-1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of chromosomes, lengths, window size and seed; equal for equal vocabularies."""
        text = ";".join(f"{c}={n}" for c, n in zip(self.chroms, self.lengths, strict=True)) + f"|{self.window_size}"
        text += f"|{self.seed}" if self.seed else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        seed = f", even splits drawn with seed {self.seed}" if self.seed else ""
        return f"windows of {self.window_size} bp on {self.assembly or 'a custom assembly'}{seed}"

    @cached_property
    def _code(self) -> dict[str, int]:
        return {c: i for i, c in enumerate(self.chroms)}

    def chrom_codes(self, chroms: Iterable[str]) -> NDArray[np.int64]:
        """Position of each chromosome name in ``chroms``; -1 where absent."""
        return np.fromiter((self._code.get(c, -1) for c in chroms), dtype=np.int64)

    def chrom_of(self, windows: ArrayLike) -> NDArray[np.int64]:
        """Chromosome code of each window number."""
        return np.searchsorted(self.offsets, np.asarray(windows, dtype=np.int64), side="right") - 1

    def starts(self, windows: ArrayLike) -> NDArray[np.int64]:
        """Start in bp of each window number."""
        w = np.asarray(windows, dtype=np.int64)
        return (w - self.offsets[self.chrom_of(w)]) * self.window_size

    def ends(self, windows: ArrayLike) -> NDArray[np.int64]:
        """End in bp (exclusive) of each window number, cut at the chromosome's length."""
        w = np.asarray(windows, dtype=np.int64)
        return np.minimum(self.starts(w) + self.window_size, np.asarray(self.lengths)[self.chrom_of(w)])

    def names(self, windows: ArrayLike) -> NDArray[np.object_]:
        """Names such as ``chr1:3000-4000`` of window numbers."""
        w = np.asarray(windows, dtype=np.int64)
        chroms = np.asarray(self.chroms, dtype=object)[self.chrom_of(w)]
        return np.array(
            [f"{c}:{s}-{e}" for c, s, e in zip(chroms, self.starts(w), self.ends(w), strict=True)], dtype=object
        )

    def numbers(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Window numbers of names; -1 where a name is no window of this grid."""
        out = []
        for name in names:
            chrom, _, span = str(name).rpartition(":")
            start, _, end = span.partition("-")
            code = self._code.get(chrom, -1)
            number = -1
            if code >= 0 and start.isdigit() and end.isdigit() and int(start) % self.window_size == 0:
                k = int(start) // self.window_size
                stop = min(int(start) + self.window_size, int(self.lengths[code]))
                if k < self.windows_per_chrom[code] and int(end) == stop:
                    number = int(self.offsets[code]) + k
            out.append(number)
        return np.asarray(out, dtype=np.int64)
