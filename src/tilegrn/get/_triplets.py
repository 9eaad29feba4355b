"""TF x region x TG sums, sparse: only what is not zero is ever formed.

The product of TF-peak and peak-TG potentials has one entry for each pair of a TF and a TG that share a peak. Peaks are
taken window by window in blocks, so that memory follows the block and the result, not the product of the three axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scipy import sparse

__all__ = ["Triplets", "count_products", "triplet_sums"]

BLOCK = 4_000_000
"""Products formed at a time (about 32 bytes each)."""


class Triplets(NamedTuple):
    """Positions of TF, region and TG, and the score, of each entry that is not zero."""

    tf: NDArray[np.int64]
    region: NDArray[np.int64]
    gene: NDArray[np.int64]
    score: NDArray[np.float64]


def count_products(tf_peak: sparse.csr_matrix, peak_tg: sparse.csr_matrix) -> int:
    """Count the (TF, peak, TG) products that are not zero."""
    return int(np.dot(np.diff(tf_peak.indptr).astype(np.int64), np.diff(peak_tg.indptr).astype(np.int64)))


def _products(
    tf_peak: sparse.csr_matrix, peak_tg: sparse.csr_matrix, peaks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Triplets]:
    n_tf = np.diff(tf_peak.indptr)[peaks].astype(np.int64)
    n_tg = np.diff(peak_tg.indptr)[peaks].astype(np.int64)
    size = n_tf * n_tg
    which = np.repeat(np.arange(len(peaks)), size)
    within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    i = tf_peak.indptr[peaks].astype(np.int64)[which] + within // n_tg[which]
    j = peak_tg.indptr[peaks].astype(np.int64)[which] + within % n_tg[which]
    peak = peaks[which]
    score = tf_peak.data[i].astype(np.float64) * peak_tg.data[j]
    return peak, Triplets(tf_peak.indices[i].astype(np.int64), peak, peak_tg.indices[j].astype(np.int64), score)


def triplet_sums(
    tf_peak: sparse.csr_matrix, peak_tg: sparse.csr_matrix, region: NDArray[np.int64]
) -> Iterator[Triplets]:
    """Sum TF-peak-TG products over the peaks of each region, block by block.

    Parameters
    ----------
    tf_peak, peak_tg
        Peaks x TFs and peaks x genes, CSR.
    region
        Region of each peak (its window, or the peak itself); peaks with a negative one are left out.

    Yields
    ------
    Entries that are not zero, ordered by region, TF and gene.
    """
    size = np.diff(tf_peak.indptr).astype(np.int64) * np.diff(peak_tg.indptr)
    peaks = np.flatnonzero((size > 0) & (region >= 0)).astype(np.int64)
    peaks = peaks[np.argsort(region[peaks], kind="stable")]
    heads = np.flatnonzero(np.r_[True, np.diff(region[peaks]) != 0]) if len(peaks) else np.zeros(0, dtype=np.int64)
    per_region = np.add.reduceat(size[peaks], heads) if len(peaks) else np.zeros(0, dtype=np.int64)
    stops = np.r_[heads[1:], len(peaks)]
    first = 0
    while first < len(heads):
        total = np.cumsum(per_region[first:])
        last = first + max(1, int(np.searchsorted(total, BLOCK, side="right")))
        mine = peaks[heads[first] : stops[last - 1]]
        peak, flat = _products(tf_peak, peak_tg, mine)
        where = region[peak]
        order = np.lexsort((flat.gene, flat.tf, where))
        tf, where, gene, score = flat.tf[order], where[order], flat.gene[order], flat.score[order]
        new = np.r_[True, (np.diff(where) != 0) | (np.diff(tf) != 0) | (np.diff(gene) != 0)]
        at = np.flatnonzero(new)
        yield Triplets(tf[at], where[at], gene[at], np.add.reduceat(score, at))
        first = last
