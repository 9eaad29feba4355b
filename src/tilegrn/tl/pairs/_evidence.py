"""What the cells themselves say about a peak and a gene: whether they rise and fall together.

Arrays in, arrays out. Cells are described by the leading axes of their accessibility (latent semantic indexing); the
profile of a peak or gene is its least-squares fit of counts on these axes, weighted by the cells' depth, over its mean.
In whitened axes that fit is a plain weighted mean: the place of the cells in which its counts fall, less the place of
the average count. The cosine of two profiles is then the correlation, across cells, of two fitted rates.

Counting noise moves a profile by 1 / (its counts) in each axis; shrinking its length by that (James and Stein 1961)
takes the correlation of features that few counts describe towards 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from tilegrn._stats.lsi import inverse_frequency, leading_windows, tf_idf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.tl.pairs._places import Floats, Ints

__all__ = ["Profiles", "cell_axes", "correlation", "fit_profiles", "shrunken"]

N_AXES = 30
"""Axes of accessibility that are tried; those along which no gene differs are left out again."""
_TOO_SMALL = 0.1
"""Least variance of genes along an axis, in units of counting noise, above what noise alone can reach."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles of peaks and genes on the same axes.

    Attributes
    ----------
    peak_sum, gene_sum
        Features x axes: profile x counts, so that peaks of one element can be added up.
    peak_counts, gene_counts
        Counts of each feature.
    n_effective
        How many equally strong axes would tell genes apart as much: the participation ratio. 0: nothing to go by.
    """

    peak_sum: Floats
    gene_sum: Floats
    peak_counts: Floats
    gene_counts: Floats
    n_effective: float


def cell_axes(peaks: sparse.csr_matrix, n: int = N_AXES) -> Floats:
    """Leading axes of accessibility without the first, which is depth: cells x axes.

    Parameters
    ----------
    peaks
        Cells x peaks, counts; only open or closed is used.
    n
        Number of axes; cut at what the data can give.
    """
    cells = peaks.shape[0]
    idf = inverse_frequency(peaks)
    k = min(n + 1, min(cells, int((idf > 0).sum())) - 1)
    if k < 2:
        return np.zeros((cells, 0))
    axes = leading_windows(peaks, idf, k)
    return np.asarray(tf_idf(peaks, idf) @ axes, dtype=np.float64)[:, 1:]


def fit_profiles(peaks: sparse.csr_matrix, genes: sparse.csr_matrix, axes: Floats) -> Profiles:
    """Fit peaks and genes on the axes of the cells.

    Parameters
    ----------
    peaks, genes
        Cells x features, counts.
    axes
        Cells x axes.
    """
    peak_sum, peak_cov, peak_counts = _moments(peaks, axes)
    gene_sum, gene_cov, gene_counts = _moments(genes, axes)
    seen = int((gene_counts > 0).sum())
    rank = _rank(gene_cov)
    if not rank or not seen or not peak_counts.any():
        flat_peaks, flat_genes = np.zeros((len(peak_counts), 0)), np.zeros((len(gene_counts), 0))
        return Profiles(flat_peaks, flat_genes, peak_counts, gene_counts, 0.0)
    value, vector = linalg.eigh(gene_cov)
    white = vector[:, -rank:] / np.sqrt(value[-rank:])
    gene_sum = gene_sum @ white
    # Cells deep in RNA need not be deep in ATAC: peaks are fitted under their own depth, then read in the same axes.
    peak_sum = linalg.lstsq(white.T @ peak_cov @ white, (peak_sum @ white).T)[0].T
    spread = gene_sum.T @ (gene_sum / np.maximum(gene_counts, 1.0)[:, None]) / seen
    value, vector = linalg.eigh(spread)
    signal = value - 1.0
    # Largest eigenvalue of pure noise (Marchenko and Pastur 1967).
    kept = signal > (1 + np.sqrt(rank / seen)) ** 2 - 1 + _TOO_SMALL
    strength = signal[kept]
    n = float(strength.sum() ** 2 / (strength**2).sum()) if kept.any() else 0.0
    turn = vector[:, kept]
    return Profiles(peak_sum @ turn, gene_sum @ turn, peak_counts, gene_counts, n)


def _moments(counts: sparse.csr_matrix, axes: Floats) -> tuple[Floats, Floats, Floats]:
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    total = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    weight = depth / max(depth.sum(), 1.0)
    centred = axes - weight @ axes
    cov = (centred * weight[:, None]).T @ centred
    return np.asarray(counts.T @ centred, dtype=np.float64), cov, total


def _rank(cov: Floats) -> int:
    value = linalg.eigvalsh(cov) if cov.size else np.zeros(0)
    return int((value > 1e-8 * value.max(initial=0.0)).sum()) if value.max(initial=0.0) > 0 else 0


def shrunken(total: Floats, counts: Floats) -> NDArray[np.float32]:
    """Directions of profiles, shortened to the square root of their reliability: features x axes, float32.

    Parameters
    ----------
    total
        Profile x counts.
    counts
        Of each feature; its reliability is 1 - axes / (counts x squared length), at least 0.
    """
    length2 = (total**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = np.maximum(1.0 - total.shape[1] * counts / length2, 0.0)
        out = total * np.sqrt(reliability / length2)[:, None]
    return np.where((length2 > 0) & (counts > 0.5), out.T, 0.0).T.astype(np.float32)


def correlation(
    peak: NDArray[np.float32], gene: NDArray[np.float32], rows: Ints, columns: Ints, block: int = 1 << 18
) -> NDArray[np.float64]:
    """Shrunken correlations of pairs, in blocks that bound the memory; rows or columns below 0 have none (0)."""
    out = np.zeros(len(rows))
    for i in range(0, len(rows), block):
        r, c = rows[i : i + block], columns[i : i + block]
        found = (r >= 0) & (c >= 0) & (c < len(gene))
        value = np.einsum("ij,ij->i", peak[np.where(found, r, 0)], gene[np.where(found, c, 0)])
        out[i : i + block] = np.where(found, value, 0.0)
    return out
