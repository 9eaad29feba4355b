"""A Poisson count on the log-normalised scale: mean and variance of ``log1p(K / size factor)``, and the way back.

All three are sums over the counts that K may take, brought into power series; arrays are cells x genes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    Float = NDArray[np.float64]

__all__ = ["excess_share", "expected_log1p", "implied_mean", "variance_log1p"]

# Largest Poisson mean of each class of entries, and the number of series terms that leaves an error below 1e-10.
_SERIES = ((0.25, 8), (1.0, 14), (4.0, 27), (16.0, 56), (64.0, 135), (128.0, 226))
_BLOCK = 1 << 17
"""Entries worked on at once: small enough for the cache."""


def _horner(mean: Float, table: Float, out: Float) -> None:
    """``out = sum_k table[..., k] mean^k / k! * exp(-mean)``; the table's leading axes broadcast against ``mean``."""
    n = table.shape[-1]
    out[...] = table[..., n - 1]
    for k in range(n - 1, 0, -1):
        out *= mean
        out *= 1.0 / k
        out += table[..., k - 1]
    out *= np.exp(-mean)


def _expand(mean: Float, s: Float) -> tuple[Float, Float]:
    """Return E[D] and E[D^2] of ``D = log1p(K / s) - log1p(mean / s)`` for large means.

    Taylor at the mean with Poisson moments up to the eighth: D = log(1 + u) with u = (K - mean) / (s + mean), and
    log(1 + u)^2 = 2 sum_n (-1)^n H(n - 1) / n u^n with the harmonic numbers H.
    """
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
    first, second = np.zeros_like(mean), np.zeros_like(mean)
    harmonic = 0.0
    for order, moment in enumerate(moments, start=2):
        harmonic += 1.0 / (order - 1)
        term = (-1.0) ** order / order * moment * x**order
        first -= term
        second += 2.0 * harmonic * term
    return first, second


def _series(mean: Float, s: Float, values: Callable[[Float], Float]) -> Float:
    """Return the expectation of a function of the count, in a block, by its power series; right for means up to 128.

    Parameters
    ----------
    mean
        Cells x genes.
    s
        Size factor per cell.
    values
        From log1p(k / s), for k = 0, 1, ... along the last axis, to the function at all but the last two of them.
    """

    def table(n: int) -> Float:
        return values(np.log1p(np.arange(n + 2) / s[:, None]))

    value = np.empty_like(mean)
    low, n_small = _SERIES[0]
    _horner(np.minimum(mean, low), table(n_small)[:, None, :], value)
    for high, n_terms in _SERIES[1:]:
        r, c = np.nonzero((mean > low) & (mean <= high))
        if len(r):
            part = np.empty(len(r))
            _horner_rows(mean[r, c], table(n_terms), r, part)
            value[r, c] = part
        low = high
    return value


def _first(y: Float) -> Float:
    return y[:, :-2]


def _square(y: Float) -> Float:
    return y[:, :-2] ** 2


def _slope(y: Float) -> Float:
    return y[:, 1:-1] - y[:, :-2]


def _bend(y: Float) -> Float:
    return y[:, 2:] - 2.0 * y[:, 1:-1] + y[:, :-2]


def _bend_of_square(y: Float) -> Float:
    return _bend(y**2)


def _blocks(rate: ArrayLike, size_factor: ArrayLike) -> Iterator[tuple[slice, Float, Float]]:
    """Yield rows, mean counts and size factors of blocks that fit the cache; the rate is cells x anything."""
    rate = np.asarray(rate)
    s = np.asarray(size_factor, dtype=np.float64).ravel()
    flat = rate.reshape(len(s), int(np.prod(rate.shape[1:])))
    rows = max(1, _BLOCK // max(flat.shape[1], 1))
    for i in range(0, len(s), rows):
        block = slice(i, i + rows)
        yield block, flat[block].astype(np.float64) * s[block, None], s[block]


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
    shape = np.shape(rate)
    out = np.empty((shape[0], int(np.prod(shape[1:]))), dtype=np.float32)
    for block, mean, s in _blocks(rate, size_factor):
        value = _series(mean, s, _first)
        r, c = np.nonzero(mean > _SERIES[-1][0])
        if len(r):
            value[r, c] = np.log1p(mean[r, c] / s[r]) + _expand(mean[r, c], s[r])[0]
        out[block] = value
    return out.reshape(shape)


def variance_log1p(rate: ArrayLike, size_factor: ArrayLike) -> Float:
    """Return the variance of ``log1p(K / size factor)`` of a Poisson count K with mean ``rate * size factor``.

    The squared error that counting noise alone gives a perfect prediction, by the same series as
    :func:`expected_log1p`; relative error below 1e-5.

    Parameters
    ----------
    rate, size_factor
        As for :func:`expected_log1p`.

    Returns
    -------
    Same shape as ``rate``, float64. NaN stays NaN.
    """
    shape = np.shape(rate)
    out = np.empty((shape[0], int(np.prod(shape[1:]))))
    for block, mean, s in _blocks(rate, size_factor):
        value = np.maximum(_series(mean, s, _square) - _series(mean, s, _first) ** 2, 0.0)
        r, c = np.nonzero(mean > _SERIES[-1][0])
        if len(r):
            first, second = _expand(mean[r, c], s[r])
            value[r, c] = second - first**2
        out[block] = value
    return out.reshape(shape)


def excess_share(rate: ArrayLike, size_factor: ArrayLike) -> Float:
    """Return how much of an uncertain rate's variance shows in squared errors on the scale of log1p(K / size factor).

    Let the true rate vary around ``rate`` with a variance that makes :func:`expected_log1p` of it vary by v. The mean
    squared error of the prediction then exceeds :func:`variance_log1p` by share x v, to second order in the rate. For
    plain counts the share is 1. The logarithm damps the large counts by which uncertainty shows: the share is close to
    1 for means of ten and more, about a quarter for rare counts at size factor 1, and below 0 for rare counts in cells
    of size factor below about a third.

    Parameters
    ----------
    rate, size_factor
        As for :func:`expected_log1p`.

    Returns
    -------
    Same shape as ``rate``, float64; 1 for means above 128. NaN stays NaN.

    Notes
    -----
    Of a Poisson count, the second derivative of E[h(K)] by the mean is E[h(K + 2) - 2 h(K + 1) + h(K)], the first that
    of E[h(K + 1) - h(K)]; here h is the squared error around the prediction.
    """
    shape = np.shape(rate)
    out = np.empty((shape[0], int(np.prod(shape[1:]))))
    for block, mean, s in _blocks(rate, size_factor):
        bend = _series(mean, s, _bend_of_square) - 2.0 * _series(mean, s, _first) * _series(mean, s, _bend)
        value = 0.5 * bend / _series(mean, s, _slope) ** 2
        value[mean > _SERIES[-1][0]] = 1.0
        out[block] = value
    return out.reshape(shape)


def _horner_rows(mean: Float, table: Float, rows: NDArray[np.intp], out: Float) -> None:
    n = table.shape[1]
    columns = np.ascontiguousarray(table.T)
    out[...] = columns[n - 1][rows]
    for k in range(n - 1, 0, -1):
        out *= mean
        out *= 1.0 / k
        out += columns[k - 1][rows]
    out *= np.exp(-mean)


def implied_mean(expected: ArrayLike, size_factor: ArrayLike) -> Float:
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
    grid = np.geomspace(1e-9, max(float(top.max()), 1.0), 500)
    rates = np.broadcast_to(grid, (len(s), 500))
    log_value = np.log(np.maximum(expected_log1p(rates, s).astype(np.float64), 1e-300))
    log_grid = np.log(grid)
    for i in range(len(s)):
        positive = expected[i] > 0
        log_rate = np.interp(np.log(expected[i, positive]), log_value[i], log_grid)
        out[i, positive] = np.exp(log_rate) * s[i]
    out[np.isnan(expected)] = np.nan
    return out
