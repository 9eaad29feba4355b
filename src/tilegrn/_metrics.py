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
    "size_factors",
    "spearman",
]

# Largest Poisson mean of each class of entries, and the number of series terms that leaves an error below 1e-10.
_SERIES = ((0.25, 8), (1.0, 14), (4.0, 27), (16.0, 56), (64.0, 135), (128.0, 226))
_BLOCK = 1 << 17
"""Entries worked on at once: small enough for the cache."""


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
    out = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    sf = np.asarray(size_factor, dtype=np.float64)
    out.data = np.log1p(out.data / np.repeat(sf, np.diff(out.indptr)))
    return out


def _horner(mean: Float, table: Float, out: Float) -> None:
    """``out = sum_k table[..., k] mean^k / k! * exp(-mean)``; the table's leading axes broadcast against ``mean``."""
    n = table.shape[-1]
    out[...] = table[..., n - 1]
    for k in range(n - 1, 0, -1):
        out *= mean
        out *= 1.0 / k
        out += table[..., k - 1]
    out *= np.exp(-mean)


def _asymptotic(mean: Float, s: Float) -> Float:
    """Return expected ``log1p(K / s)`` for large means: Taylor at the mean, Poisson moments up to the eighth."""
    x = 1.0 / (s + mean)
    m = mean
    moments = (
        m,
        m,
        m * (3 * m + 1),
        m * (10 * m + 1),
        m * (15 * m**2 + 25 * m + 1),
        m * (105 * m**2 + 56 * m + 1),
        m * (105 * m**3 + 490 * m**2 + 119 * m + 1),
    )
    out = np.log1p(mean / s)
    for order, moment in enumerate(moments, start=2):
        out += (-1.0) ** (order - 1) / order * moment * x**order
    return cast("Float", out)


def expected_log1p(rate: ArrayLike, size_factor: ArrayLike) -> NDArray[np.float32]:
    """Return the expected ``log1p(K / size factor)`` of a Poisson count K with mean ``rate * size factor``.

    This is the unit of ``rna.layers["predicted"]``. Exact to about 1e-7: the power series of the expectation for means
    up to 128, an eighth-order expansion above. One exponential and a dozen multiplications per entry (about 0.3 s for
    7,000 cells x 1,700 genes), in blocks that fit the cache, so it can be called on the whole matrix or on any slice of
    it.

    Parameters
    ----------
    rate
        Expected counts at size factor 1, cells x genes (or any shape whose first axis is the cells). The size factor is
        NOT yet multiplied in: for a model with a log offset, ``rate = exp(log rate without the offset)``.
    size_factor
        One per cell, above 0.

    Returns
    -------
    Same shape as ``rate``, float32. NaN stays NaN.
    """
    rate = np.asarray(rate)
    s = np.asarray(size_factor, dtype=np.float64).ravel()
    flat = rate.reshape(len(s), int(np.prod(rate.shape[1:])))
    out = np.empty(flat.shape, dtype=np.float32)
    rows = max(1, _BLOCK // max(flat.shape[1], 1))
    n_small = _SERIES[0][1]
    small = np.log1p(np.arange(n_small) / s[:, None])
    for i in range(0, len(s), rows):
        block = slice(i, i + rows)
        mean = flat[block].astype(np.float64) * s[block, None]
        value = np.empty_like(mean)
        _horner(np.minimum(mean, _SERIES[0][0]), small[block, None, :], value)
        low = _SERIES[0][0]
        for high, n_terms in _SERIES[1:]:
            r, c = np.nonzero((mean > low) & (mean <= high))
            if len(r):
                table = np.log1p(np.arange(n_terms) / s[block, None])
                part = np.empty(len(r))
                _horner_rows(mean[r, c], table, r, part)
                value[r, c] = part
            low = high
        r, c = np.nonzero(mean > low)
        if len(r):
            value[r, c] = _asymptotic(mean[r, c], s[block][r])
        out[block] = value
    return out.reshape(rate.shape)


def _horner_rows(mean: Float, table: Float, rows: NDArray[np.intp], out: Float) -> None:
    n = table.shape[1]
    columns = np.ascontiguousarray(table.T)
    out[...] = columns[n - 1][rows]
    for k in range(n - 1, 0, -1):
        out *= mean
        out *= 1.0 / k
        out += columns[k - 1][rows]
    out *= np.exp(-mean)


def implied_mean(expected: ArrayLike, size_factor: ArrayLike, *, n_grid: int = 500) -> Float:
    """Poisson mean count whose expected ``log1p(K / size factor)`` is the given value: :func:`expected_log1p` undone.

    Needed for the deviance of predictions that come in log-normalised units. Interpolated in logarithms on a grid of
    means per cell; relative error below 1e-3.

    Parameters
    ----------
    expected
        Cells x genes. Values at or below 0 give 0.
    size_factor
        One per cell, above 0.

    Returns
    -------
    Mean counts, size factor included, float64.
    """
    expected = np.asarray(expected, dtype=np.float64)
    s = np.asarray(size_factor, dtype=np.float64).ravel()
    out = np.zeros(expected.shape)
    finite = np.where(np.isfinite(expected), expected, 0.0)
    if not finite.size:
        return out
    top = 4.0 * np.expm1(np.minimum(finite.max(axis=1), 30.0)) + 1.0
    grid = np.geomspace(1e-9, max(float(top.max()), 1.0), n_grid)
    rates = np.broadcast_to(grid, (len(s), n_grid))
    log_value = np.log(np.maximum(expected_log1p(rates, s).astype(np.float64), 1e-300))
    log_grid = np.log(grid)
    for i in range(len(s)):
        positive = expected[i] > 0
        log_rate = np.interp(np.log(expected[i, positive]), log_value[i], log_grid)
        out[i, positive] = np.exp(log_rate) * s[i]
    out[np.isnan(expected)] = np.nan
    return out


def _standardised(x: ArrayLike) -> Float:
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
    return cast("Float", np.einsum("ij,ij->j", _standardised(observed), _standardised(predicted)))


def spearman(observed: ArrayLike, predicted: ArrayLike) -> Float:
    """Spearman correlation of each column over the rows, ties given their mean rank; 0 where either is constant.

    Predictions are ranked at float32, so that what a float32 layer cannot tell apart is a tie.
    """
    return pearson(rankdata(np.asarray(observed), axis=0), rankdata(np.asarray(predicted, dtype=np.float32), axis=0))


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
    y = (_standardised(observed) * n).astype(np.float32)
    my = w @ y
    vy = w @ (y * y) - my * my
    out = np.zeros((len(w), len(predicted)))
    for j, pred in enumerate(predicted):
        p = (_standardised(pred) * n).astype(np.float32)
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
