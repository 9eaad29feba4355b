"""The loops of :mod:`tilegrn._core.intervals`, compiled: millions of pairs at the speed of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tilegrn._core.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fill_pairs", "pair_order", "reduce_pairs"]

Ints: TypeAlias = "NDArray[np.int64]"


@compiled
def fill_pairs(
    start: Ints,
    end: Ints,
    number: Ints,
    low: Ints,
    high: Ints,
    site: Ints,
    farthest: int,
    anchor: int,
    interval: Ints,
    which: Ints,
    bp: Ints,
) -> int:
    """Write the pairs of each site and its run of candidates (sorted by start) that are near enough; their number."""
    n = 0
    for j in range(len(site)):
        pos = site[j]
        for k in range(low[j], high[j]):
            if anchor == 0:
                d = max(0, max(start[k] - pos, pos - (end[k] - 1)))
            elif anchor == 1:
                d = abs((start[k] + end[k]) // 2 - pos)
            else:
                d = abs(end[k] - pos)
            if d <= farthest:
                interval[n], which[n], bp[n] = number[k], j, d
                n += 1
    return n


@compiled
def pair_order(gene: Ints, interval: Ints, dist: Ints, n_genes: int) -> Ints:
    """Order of pairs by gene, interval and distance.

    Pairs come in runs, one a TSS, of rising intervals: they are put together by gene, and a gene's runs are merged.
    """
    first = np.zeros(n_genes + 1, np.int64)
    for i in range(len(gene)):
        first[gene[i] + 1] += 1
    for g in range(n_genes):
        first[g + 1] += first[g]
    order = np.empty(len(gene), np.int64)
    place = first[:-1].copy()
    for i in range(len(gene)):
        order[place[gene[i]]] = i
        place[gene[i]] += 1
    most = 0
    for g in range(n_genes):
        most = max(most, first[g + 1] - first[g])
    merged = np.empty(most, np.int64)
    for g in range(n_genes):
        start, stop = first[g], first[g + 1]
        done = start + 1  # in order from start to here
        while done < stop:
            i, j = order[done - 1], order[done]
            if interval[i] < interval[j] or (interval[i] == interval[j] and dist[i] <= dist[j]):
                done += 1
                continue
            end = done + 1  # of the run that follows
            while end < stop:
                i, j = order[end - 1], order[end]
                if interval[i] > interval[j] or (interval[i] == interval[j] and dist[i] > dist[j]):
                    break
                end += 1
            left, right, at = start, done, 0
            while left < done and right < end:
                i, j = order[left], order[right]
                if interval[j] < interval[i] or (interval[j] == interval[i] and dist[j] < dist[i]):
                    merged[at] = j
                    right += 1
                else:
                    merged[at] = i
                    left += 1
                at += 1
            while left < done:
                merged[at] = order[left]
                left, at = left + 1, at + 1
            order[start : start + at] = merged[:at]  # what is left of the run is in its place
            done = end
    return order


@compiled
def reduce_pairs(
    gene: Ints,
    interval: Ints,
    dist: Ints,
    score: NDArray[np.float64],
    order: Ints,
    out_gene: Ints,
    out_interval: Ints,
    out_dist: Ints,
    out_score: NDArray[np.float64],
) -> int:
    """Write one row for each gene and interval: the nearest, and the sum of scores (none given: not summed)."""
    n = 0
    for i in order:
        if n and out_gene[n - 1] == gene[i] and out_interval[n - 1] == interval[i]:
            if len(score):
                out_score[n - 1] += score[i]
            continue
        out_gene[n], out_interval[n], out_dist[n] = gene[i], interval[i], dist[i]
        if len(score):
            out_score[n] = score[i]
        n += 1
    return n
