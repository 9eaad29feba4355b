"""Pairs of intervals and sites within reach of each other: the join behind every distance.

Arrays in, arrays out. A sorted search gives each site its run of candidate intervals, so that cost follows the number
of pairs (a hand-written join because libraries were measured several times slower on 3 M pairs, see the page on
performance, and none gives all anchors).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Anchor", "DistanceRule", "Multiple", "distance", "distance_pairs", "sum_or_nearest"]

Anchor: TypeAlias = Literal["edge", "center", "end"]
Multiple: TypeAlias = Literal["nearest", "all"]

Ints: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True)
class DistanceRule:
    """How distances were measured and are scored: what samples that go together must share.

    Attributes
    ----------
    max_distance
        Cut-off in bp, inclusive.
    decay
        Decay length of the score in bp.
    anchor, multiple
        See :func:`tilegrn.pp.tss_distance`.
    tss_sha256
        Hash of the TSS table.
    """

    max_distance: int
    decay: float
    anchor: Anchor
    multiple: Multiple
    tss_sha256: str

    def unlike(self, other: DistanceRule) -> str:
        """Say how another rule differs, in the terms of ``tss_distance``; empty if it does not."""
        said = [
            f"{name}={getattr(self, name)!r} against {getattr(other, name)!r}"
            for name in ("max_distance", "decay", "anchor", "multiple")
            if getattr(self, name) != getattr(other, name)
        ]
        if self.tss_sha256 != other.tss_sha256:
            said.append(
                f"TSS tables of hash {self.tss_sha256[:8] or '(none)'} against {other.tss_sha256[:8] or '(none)'}"
            )
        return ", ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "max_distance": self.max_distance,
            "decay": self.decay,
            "anchor": self.anchor,
            "multiple": self.multiple,
            "tss_sha256": self.tss_sha256,
        }


def distance(start: Ints, end: Ints, pos: Ints, anchor: Anchor) -> Ints:
    """Distance in bp between half-open intervals and 1-bp sites, without sign.

    Parameters
    ----------
    start, end
        Intervals.
    pos
        0-based site.
    anchor
        See :func:`tilegrn.pp.tss_distance`.
    """
    if anchor == "edge":
        d: Ints = np.maximum(0, np.maximum(start - pos, pos - (end - 1)))
    elif anchor == "center":
        d = np.abs((start + end) // 2 - pos)
    else:
        d = np.abs(end - pos)
    return d


def distance_pairs(
    chrom: Ints,
    start: Ints,
    end: Ints,
    site_chrom: Ints,
    site: Ints,
    *,
    max_distance: int,
    anchor: Anchor = "edge",
) -> tuple[Ints, Ints, Ints]:
    """Return all (interval, site) pairs within ``max_distance`` (inclusive) on one chromosome.

    Returns
    -------
    Positions of the intervals and of the sites, and the distances, int64; ordered by site, then by interval start.
    Chromosome codes below 0 match nothing.
    """
    from tilegrn._core.interval_loops import fill_pairs

    order = np.flatnonzero(chrom >= 0)
    if not _sorted(chrom, start):
        order = order[np.lexsort((start[order], chrom[order]))]
    chrom, start, end = chrom[order], start[order], end[order]
    widest = int((end - start).max(initial=0))
    low, high = np.zeros(len(site), np.int64), np.zeros(len(site), np.int64)
    for code in np.unique(site_chrom[site_chrom >= 0]):
        first, last = np.searchsorted(chrom, (code, code + 1))
        mine = np.flatnonzero(site_chrom == code)
        low[mine] = first + np.searchsorted(start[first:last], site[mine] - max_distance - widest - 1)
        high[mine] = first + np.searchsorted(start[first:last], site[mine] + max_distance + 1, side="right")
    interval, which, bp = (np.empty(int((high - low).sum()), np.int64) for _ in range(3))
    code = ("edge", "center", "end").index(anchor)
    n = fill_pairs(start, end, order, low, high, site, max_distance, code, interval, which, bp)
    return interval[:n], which[:n], bp[:n]


def _sorted(chrom: Ints, start: Ints) -> bool:
    """Whether intervals lie in order of chromosome and start."""
    same = chrom[1:] == chrom[:-1]
    return bool((chrom[1:] >= chrom[:-1]).all() and (start[1:] >= start[:-1])[same].all())


def sum_or_nearest(
    gene: Ints, interval: Ints, dist: Ints, *, decay: float | None, multiple: Multiple
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Reduce several TSSs of a gene to one row per (gene, interval).

    Returns
    -------
    Gene, interval, smallest distance, and score: exp(-d / decay) of the nearest TSS, or the sum over all. Without
    ``decay`` there are no scores (none are calculated).
    """
    from tilegrn._core.interval_loops import reduce_pairs

    summed = multiple == "all" and decay is not None
    score = np.zeros(0) if decay is None or not summed else np.exp(-dist / decay)
    genes, intervals, nearest = (np.empty(len(gene), np.int64) for _ in range(3))
    total = np.empty(len(gene) if summed else 0)
    n = reduce_pairs(gene, interval, dist, score, int(gene.max(initial=-1)) + 1, genes, intervals, nearest, total)
    genes, intervals, nearest = genes[:n], intervals[:n], nearest[:n]
    if decay is None or summed:
        return genes, intervals, nearest, total[:n]
    return genes, intervals, nearest, np.exp(-nearest / decay)
