"""Pairs of intervals and sites within reach of each other: the join behind every distance.

Arrays in, arrays out. A sorted search gives each site its run of candidate intervals, so that cost follows the number
of pairs (a hand-written join because libraries were measured 2 to 10 times slower on 3 M pairs, and none gives all
anchors).
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
    order = np.lexsort((start, chrom))
    found: list[tuple[Ints, Ints, Ints]] = []
    for code in np.unique(chrom[chrom >= 0]):
        mine = order[np.searchsorted(chrom[order], code) : np.searchsorted(chrom[order], code, side="right")]
        sites = np.flatnonzero(site_chrom == code)
        if not len(sites):
            continue
        s, widest = start[mine], int((end[mine] - start[mine]).max())
        low = np.searchsorted(s, site[sites] - max_distance - widest - 1)
        high = np.searchsorted(s, site[sites] + max_distance + 1, side="right")
        n = high - low
        which = np.repeat(np.arange(len(sites)), n)
        within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n) + low[which]
        i, j = mine[within], sites[which]
        d = distance(start[i], end[i], site[j], anchor)
        keep = d <= max_distance
        found.append((i[keep], j[keep], d[keep]))
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return none, none.copy(), none.copy()
    i, j, d = (np.concatenate(parts).astype(np.int64) for parts in zip(*found, strict=True))
    by_site = np.argsort(j, kind="stable")
    return i[by_site], j[by_site], d[by_site]


def sum_or_nearest(
    gene: Ints, interval: Ints, dist: Ints, *, decay: float, multiple: Multiple
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Reduce several TSSs of a gene to one row per (gene, interval).

    Returns
    -------
    Gene, interval, smallest distance, and score: exp(-d / decay) of the nearest TSS, or the sum over all.
    """
    order = np.lexsort((dist, interval, gene))
    gene, interval, dist = gene[order], interval[order], dist[order]
    first = np.ones(len(gene), dtype=bool)
    first[1:] = (np.diff(gene) != 0) | (np.diff(interval) != 0)
    heads = np.flatnonzero(first)
    score = np.exp(-dist / decay)
    summed = multiple == "all" and len(heads) > 0
    return gene[heads], interval[heads], dist[heads], np.add.reduceat(score, heads) if summed else score[heads]
