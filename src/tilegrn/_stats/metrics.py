"""How good a prediction of expression is: correlations, deviance, bootstrap intervals. Only numpy and scipy.

The unit of a prediction is the expected ``log1p(count / size factor)``. A model that predicts rates is brought there by
:func:`expected_log1p`, which takes the expectation over the Poisson noise instead of ``log1p`` of the mean: the two
differ most where counts are few, which is everywhere in single-cell data.

Arrays are cells x genes. Functions that see all genes at once are meant to be fed a few hundred genes at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from tilegrn._stats.poisson import expected_log1p, implied_mean, variance_log1p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Float = NDArray[np.float64]

__all__ = [
    "CellCorrelation",
    "balanced_groups",
    "bootstrap_pearson",
    "expected_log1p",
    "implied_mean",
    "interval",
    "normalised_log1p",
    "pearson",
    "poisson_deviance",
    "ranks",
    "size_factors",
    "spearman",
    "standardised",
    "variance_log1p",
]


def size_factors(depth: ArrayLike, reference: ArrayLike | None = None) -> Float:
    """Depth of each cell divided by the median depth of the reference (training) cells.

    Parameters
    ----------
    depth
        Counts per cell, shape (cells,).
    reference
        Depths whose median is 1; by default ``depth`` itself.

    Returns
    -------
    Size factors, float64; 0 for a cell without counts.
    """
    depth = np.asarray(depth, dtype=np.float64).ravel()
    ref = depth if reference is None else np.asarray(reference, dtype=np.float64).ravel()
    ref = ref[ref > 0]
    if not len(ref):
        return np.zeros_like(depth)
    return depth / np.median(ref)


def normalised_log1p(counts: sparse.spmatrix, size_factor: ArrayLike) -> sparse.csr_matrix:
    """``log1p(counts / size factor)``, still sparse (cells x genes, float64)."""
    out = sparse.csr_matrix(counts.astype(np.float64, copy=True))  # wide before duplicates are added up
    out.sum_duplicates()
    sf = np.asarray(size_factor, dtype=np.float64)
    out.data = np.log1p(out.data / np.repeat(sf, np.diff(out.indptr)))
    return out


def standardised(x: ArrayLike) -> Float:
    """Columns with mean 0 and norm 1; columns that do not vary become 0."""
    values: Float = np.asarray(x, dtype=np.float64)
    size = np.abs(values).max(axis=0, initial=0.0)
    values = values - values.mean(axis=0)
    norm = np.sqrt(np.einsum("ij,ij->j", values, values))
    # Centring a constant leaves rounding residue of about 1e-16 of its size; a correlation with residue is noise.
    keep = norm > 1e-10 * size * np.sqrt(len(values))
    scale = np.zeros_like(norm)
    np.divide(1.0, norm, out=scale, where=keep)
    return cast("Float", values * scale)


def pearson(observed: ArrayLike, predicted: ArrayLike) -> Float:
    """Pearson correlation of each column (gene) over the rows (cells), shape (genes,); 0 where either is constant."""
    return cast("Float", np.einsum("ij,ij->j", standardised(observed), standardised(predicted)))


def ranks(x: ArrayLike) -> Float:
    """Return the rank of each row in its column, ties given their mean rank."""
    return cast("Float", rankdata(np.asarray(x), axis=0))


def spearman(observed: ArrayLike, predicted: ArrayLike) -> Float:
    """Spearman correlation of each column over the rows, ties given their mean rank; 0 where either is constant.

    Predictions are ranked at float32, so that what a float32 layer cannot tell apart is a tie.
    """
    return pearson(ranks(observed), ranks(np.asarray(predicted, dtype=np.float32)))


def poisson_deviance(counts: ArrayLike, mean: ArrayLike, floor: ArrayLike) -> Float:
    """Poisson deviance of each column, summed over the rows.

    Parameters
    ----------
    counts, mean
        Cells x genes.
    floor
        Smallest mean taken seriously (broadcasts): a mean of 0 under a positive count would cost infinity.
    """
    k = np.asarray(counts, dtype=np.float64)
    mu = np.maximum(np.asarray(mean, dtype=np.float64), floor)
    term = mu - k
    positive = k > 0
    term[positive] += k[positive] * np.log(k[positive] / mu[positive])
    return cast("Float", 2.0 * term.sum(axis=0))


@dataclass
class CellCorrelation:
    """Pearson correlation of each cell over the genes, gathered from chunks of genes.

    Subtract each gene's training mean from both sides first: otherwise highly expressed genes make any two profiles
    alike.
    """

    n_cells: int
    _n: int = 0
    _sums: Float = field(init=False)

    def __post_init__(self) -> None:
        self._sums = np.zeros((5, self.n_cells))

    def add(self, observed: Float, predicted: Float) -> None:
        """Take in some more genes (cells x genes, both sides centred by gene)."""
        self._n += observed.shape[1]
        self._sums += np.stack(
            [
                observed.sum(axis=1),
                predicted.sum(axis=1),
                np.einsum("ij,ij->i", observed, observed),
                np.einsum("ij,ij->i", predicted, predicted),
                np.einsum("ij,ij->i", observed, predicted),
            ]
        )

    def result(self) -> Float:
        """Return one correlation per cell; 0 where either side is constant."""
        a, b, aa, bb, ab = self._sums
        n = max(self._n, 1)
        va, vb = aa - a * a / n, bb - b * b / n
        ok = (va > 1e-12 * np.maximum(aa, 1e-12)) & (vb > 1e-12 * np.maximum(bb, 1e-12))
        out = np.zeros(self.n_cells)
        out[ok] = (ab - a * b / n)[ok] / np.sqrt(va[ok] * vb[ok])
        return out


def bootstrap_pearson(observed: ArrayLike, predicted: Sequence[ArrayLike], weights: ArrayLike) -> Float:
    """Sum over genes of the Pearson correlation, for each resampling of the cells and each method.

    All methods see the same resampled cells, so differences between them are paired.

    Parameters
    ----------
    observed
        Cells x genes.
    predicted
        One array of that shape per method.
    weights
        Resamplings x cells: how often each cell was drawn.

    Returns
    -------
    Resamplings x methods, float64; a gene that does not vary in a resampling adds 0.

    Notes
    -----
    Cells are standardised first, so that the moments can be summed by matrix products in float32 (relative error of a
    correlation about 1e-5).
    """
    w = np.asarray(weights, dtype=np.float32)
    w = w / w.sum(axis=1, keepdims=True)
    n = np.sqrt(w.shape[1])
    y = (standardised(observed) * n).astype(np.float32)
    my = w @ y
    vy = w @ (y * y) - my * my
    out = np.zeros((len(w), len(predicted)))
    for j, pred in enumerate(predicted):
        p = (standardised(pred) * n).astype(np.float32)
        mp = w @ p
        vp = w @ (p * p) - mp * mp
        cov = w @ (p * y) - my * mp
        ok = (vy > 1e-6) & (vp > 1e-6)
        r = np.zeros_like(cov)
        np.divide(cov, np.sqrt(np.where(ok, vy * vp, 1.0)), out=r, where=ok)
        out[:, j] = np.clip(r, -1.0, 1.0).sum(axis=1, dtype=np.float64)
    return out


def interval(samples: ArrayLike, estimate: float, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples, moved so that their mean is the estimate.

    Resampled cells repeat, which biases the correlation of rarely seen genes; the shift takes that bias out.
    """
    values = np.asarray(samples, dtype=np.float64)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail]) + (estimate - values.mean())
    return float(low), float(high)


def balanced_groups(features: ArrayLike, size: int) -> NDArray[np.int64]:
    """Form groups of about ``size`` similar rows, by halving along the leading principal axis again and again.

    Deterministic; all groups differ by at most a factor of two in size.

    Parameters
    ----------
    features
        Cells x features.
    size
        Wanted cells per group.

    Returns
    -------
    Group number of each row, 0-based.
    """
    x = np.asarray(features, dtype=np.float64)
    groups = np.zeros(len(x), dtype=np.int64)
    todo = [np.arange(len(x))]
    n = 0
    while todo:
        rows = todo.pop()
        if len(rows) < 2 * size:
            groups[rows] = n
            n += 1
            continue
        part = x[rows] - x[rows].mean(axis=0)
        axis = np.linalg.eigh(part.T @ part)[1][:, -1]
        order = rows[np.argsort(part @ axis, kind="stable")]
        half = len(order) // 2
        todo += [order[half:], order[:half]]
    return groups
