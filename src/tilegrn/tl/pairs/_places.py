"""Where elements, peaks and genes lie: sums over peaks, nearest TSSs and genes in between, for millions of pairs.

Arrays in, arrays out. Chromosome code and position make one whole number, so that a sorted search serves all
chromosomes at once; sums over the peaks of an interval are differences of running sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["NO_TSS", "PeakSums", "Places", "Sites", "on_line"]

_CHROM = np.int64(1) << 40
"""Longer than any chromosome, so that no interval reaches into the next one."""

NO_TSS = np.int64(10**9)
"""Distance in bp given to a pair whose gene has no TSS on the element's chromosome: longer than any chromosome."""


def on_line(chrom: Ints, pos: Ints) -> Ints:
    """Chromosome code and position as one number; codes below 0 lie before everything."""
    return np.asarray(chrom, dtype=np.int64) * _CHROM + np.asarray(pos, dtype=np.int64)


class PeakSums:
    """Sums of values over the peaks that an interval touches, or whose middle it holds.

    Parameters
    ----------
    chrom, start, end
        Peaks (half-open, bp), in any order.
    """

    def __init__(self, chrom: Ints, start: Ints, end: Ints) -> None:
        chrom = np.where(chrom < 0, -3, chrom)  # out of reach of elements whose chromosome is unknown (-1), too
        starts, ends = on_line(chrom, start), on_line(chrom, end)
        middle = on_line(chrom, (start + end) // 2)
        self._by_start, self._by_end, self._by_middle = (np.argsort(v, kind="stable") for v in (starts, ends, middle))
        self._starts, self._ends, self._middle = (
            starts[self._by_start],
            ends[self._by_end],
            middle[self._by_middle],
        )

    def touched(self, low: Ints, high: Ints, values: Floats) -> Floats:
        """Sum of ``values`` (peaks, or peaks x k) over peaks that share a base with ``[low, high)`` (:func:`on_line`).

        All peaks that start before ``high``, without those that end by ``low``: each of the latter is among the former.
        """
        before = _running(values[self._by_start])[np.searchsorted(self._starts, high, side="left")]
        gone = _running(values[self._by_end])[np.searchsorted(self._ends, low, side="right")]
        return np.asarray(before - gone, dtype=np.float64)

    def places_between(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """Positions in the running sum of peaks whose middle lies strictly between ``low`` and ``high``."""
        first = np.searchsorted(self._middle, low, side="right")
        return first, np.maximum(np.searchsorted(self._middle, high, side="left"), first)

    def running(self, values: Floats) -> Floats:
        """Return the running sum that :meth:`places_between` points into."""
        return _running(values[self._by_middle])


def _running(values: Floats) -> Floats:
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0, dtype=np.float64)])


@dataclass(frozen=True, eq=False)
class Places:
    """Where the genes of pairs lie as seen from their elements.

    Attributes
    ----------
    distance
        bp from the element's middle to the nearest TSS of the gene; :data:`NO_TSS` where it has none there.
    tss
        0-based position of that TSS; -1 where there is none.
    low, high
        Element's middle and that TSS, ordered (:func:`on_line`); equal where there is none.
    between
        Other genes between the two; all genes where there is no TSS.
    nearer
        Other genes nearer to the element than that TSS; all genes where there is no TSS.
    density
        Other genes within 100 kb of the gene.
    placed
        Whether there is a TSS.
    """

    distance: Ints
    tss: Ints
    low: Ints
    high: Ints
    between: Ints
    nearer: Ints
    density: Ints
    placed: NDArray[np.bool_]


class Sites:
    """TSSs of genes, and one place for each gene by which genes are counted.

    Parameters
    ----------
    gene, chrom, pos
        Gene number, chromosome code and 0-based position of each TSS. A gene may have several, on several chromosomes.
    """

    def __init__(self, gene: Ints, chrom: Ints, pos: Ints) -> None:
        keep = chrom >= 0
        gene, chrom, pos = (np.asarray(v, dtype=np.int64)[keep] for v in (gene, chrom, pos))
        order = np.lexsort((pos, chrom, gene))
        self.gene, self.chrom, self.pos = gene[order], chrom[order], pos[order]
        head = np.ones(len(order), dtype=bool)
        head[1:] = (np.diff(self.gene) != 0) | (np.diff(self.chrom) != 0)
        first = np.flatnonzero(head)
        last = np.append(first[1:], len(order))
        # The middle TSS stands for the gene, so that a gene of ten TSSs is counted once.
        middle = (first + last) // 2
        self._landmark = on_line(self.chrom[middle], self.pos[middle])
        self._sorted = np.sort(self._landmark)
        self._key_gene, self._key_chrom = self.gene[first], self.chrom[first]
        self._first, self._last = first, last

    def _blocks(self, gene: Ints, chrom: Ints) -> Ints:
        """Which (gene, chromosome) block of TSSs each pair has; -1 for none."""
        width = int(max(self._key_chrom.max(initial=0), chrom.max(initial=0))) + 2
        keys = self._key_gene * width + self._key_chrom
        wanted = np.where((gene >= 0) & (chrom >= 0), gene * width + chrom, -1)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        if not len(keys):
            return np.full(len(gene), -1, dtype=np.int64)
        return np.asarray(np.where((wanted >= 0) & (keys[at] == wanted), at, -1), dtype=np.int64)

    def _inside(self, low: Ints, high: Ints) -> Ints:
        """Genes strictly between ``low`` and ``high``."""
        n = np.searchsorted(self._sorted, high, side="left") - np.searchsorted(self._sorted, low, side="right")
        return np.asarray(np.maximum(n, 0))

    def place(self, gene: Ints, chrom: Ints, middle: Ints) -> Places:
        """Place pairs of an element (chromosome code, middle in bp) and a gene (number, -1 if unknown)."""
        block = self._blocks(gene, chrom)
        placed = block >= 0
        x = on_line(chrom, middle)
        tss = x.copy()
        own = x.copy()
        if placed.any():
            b = block[placed]
            here = on_line(self.chrom, self.pos)
            # Within its block a gene's TSSs are sorted: the nearest is one of the two around the element.
            tss[placed] = _nearest(here, self._first[b], self._last[b], x[placed])
            own[placed] = self._landmark[b]
        distance = np.where(placed, np.abs(x - tss), NO_TSS)
        low, high = np.minimum(x, tss), np.maximum(x, tss)
        everything = len(self._sorted)
        between = self._inside(low, high) - ((own > low) & (own < high))
        nearer = self._inside(x - distance, x + distance) - (np.abs(own - x) < distance)
        density = self._inside(own - 100_001, own + 100_001) - 1
        return Places(
            distance=distance.astype(np.int64),
            tss=np.where(placed, middle + tss - x, -1).astype(np.int64),
            low=low,
            high=high,
            between=np.where(placed, between, everything).astype(np.int64),
            nearer=np.where(placed, nearer, everything).astype(np.int64),
            density=np.where(placed, density, 0).astype(np.int64),
            placed=placed,
        )


def _nearest(sites: Ints, first: Ints, last: Ints, x: Ints) -> Ints:
    """Nearest of ``sites[first:last]`` (sorted within) to each x, the left one of two as near."""
    low, high = first.copy(), last.copy()
    # A binary search in many short sorted runs at once: as many steps as the longest run needs.
    while (low < high).any():
        mid = (low + high) // 2
        inside = low < high
        right = inside & (sites[np.minimum(mid, len(sites) - 1)] < x)
        low = np.where(right, mid + 1, low)
        high = np.where(inside & ~right, mid, high)
    after, before = np.minimum(low, last - 1), np.maximum(low - 1, first)
    return np.asarray(np.where(np.abs(sites[before] - x) <= np.abs(sites[after] - x), sites[before], sites[after]))
