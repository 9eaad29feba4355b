"""The loops of :mod:`tilegrn._core.intervals`, compiled: millions of pairs at the speed of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tilegrn._core.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fill_pairs", "reduce_pairs"]

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
def reduce_pairs(
    gene: Ints,
    interval: Ints,
    dist: Ints,
    score: NDArray[np.float64],
    n_genes: int,
    out_gene: Ints,
    out_interval: Ints,
    out_dist: Ints,
    out_score: NDArray[np.float64],
) -> int:
    """Write one row for each gene and interval: the nearest, and the sum of scores (none given: not summed).

    Pairs come in runs, one a TSS, of rising intervals. A gene's runs are merged, and rows written in order of gene,
    interval and distance, without an order of all pairs; the number of rows is returned.
    """
    total, summed, n_runs = len(gene), len(score) > 0, 0
    begins = np.empty(total + 1, np.int64)  # what is not written takes no memory
    first = np.zeros(n_genes + 1, np.int64)
    for i in range(total):
        if (
            i == 0
            or gene[i] != gene[i - 1]
            or interval[i] < interval[i - 1]
            or (interval[i] == interval[i - 1] and dist[i] < dist[i - 1])
        ):
            begins[n_runs] = i
            n_runs += 1
            first[gene[i] + 1] += 1
    begins[n_runs] = total
    for g in range(n_genes):
        first[g + 1] += first[g]
    run = np.empty(n_runs, np.int64)
    place = first[:-1].copy()
    for r in range(n_runs):
        g = gene[begins[r]]
        run[place[g]] = r
        place[g] += 1
    left, merged = np.empty(0, np.int64), np.empty(0, np.int64)
    n = 0
    for g in range(n_genes):
        size = 0
        for k in range(first[g], first[g + 1]):
            size += begins[run[k] + 1] - begins[run[k]]
        if size > len(left):
            left, merged = np.empty(2 * size, np.int64), np.empty(2 * size, np.int64)
        n_left, begun = 0, n
        for k in range(first[g], first[g + 1]):
            j, stop, a, n_merged = begins[run[k]], begins[run[k] + 1], 0, 0
            last = k + 1 == first[g + 1]
            while a < n_left or j < stop:
                take = j
                if j == stop or (
                    a < n_left
                    and (
                        interval[left[a]] < interval[j]
                        or (interval[left[a]] == interval[j] and dist[left[a]] <= dist[j])
                    )
                ):
                    take = left[a]
                    a += 1
                else:
                    j += 1
                if not last:
                    merged[n_merged] = take
                    n_merged += 1
                elif n > begun and out_interval[n - 1] == interval[take]:
                    if summed:
                        out_score[n - 1] += score[take]
                else:
                    out_gene[n], out_interval[n], out_dist[n] = g, interval[take], dist[take]
                    if summed:
                        out_score[n] = score[take]
                    n += 1
            left, merged, n_left = merged, left, n_merged
    return n
