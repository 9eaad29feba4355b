"""What counts tell of a TF's level: a level that saturates, and how much of its variance is noise of counting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TFLevels", "fit_levels", "level_of", "measured"]

HALF = float(np.log(2.0))
"""A TF at its mean rate has half of the effect that it can have: the usual guess where no constant is known."""
MOST_BEND = 0.75
"""Largest p of 1 - (1 - p)^N. Towards 1 the variance of the estimate grows, most in cells that show little."""
LEAST_SHARED = 0.2
"""Smallest share of a TF's variance taken for its level's own: below, the estimate is noise."""


@dataclass(frozen=True, eq=False)
class TFLevels:
    r"""Levels of some TFs in some cells.

    Attributes
    ----------
    value
        Cells x TFs, CSC float64: an estimate of :math:`(1 - e^{-\kappa x}) / \kappa` without bias, x the rate.
    rate
        Mean count over size factor per TF.
    mean
        Mean level per TF.
    noise
        Variance of the levels per TF that counting makes.

    Notes
    -----
    :math:`E (1 - p)^N = e^{-p s x}` for a Poisson count N of rate s x, so that :math:`(1 - (1 - p)^N) / (p s)`
    estimates the level of a TF with :math:`\kappa = p s` without bias, and :math:`1 - 2 (1 - p)^N + (1 - 2p)^N` its
    square (times :math:`p^2 s^2`): what the squared estimate has more is noise. :math:`\kappa` is ln 2 over the mean
    rate, so that a TF at its mean has half of its largest effect, but p is no larger than .75.
    """

    value: sparse.csc_matrix
    rate: NDArray[np.float64]
    mean: NDArray[np.float64]
    noise: NDArray[np.float64]

    def reliable(self, variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of variances of the levels that is no noise of counting; 1 where there is none."""
        share = 1.0 - np.divide(self.noise, variance, out=np.zeros_like(variance), where=variance > 0)
        return np.where(variance > 0, np.clip(share, LEAST_SHARED, 1.0), 1.0)


def fit_levels(counts: sparse.csr_matrix, size: NDArray[np.float64], columns: NDArray[np.int64]) -> TFLevels:
    """Return the levels that some columns of a matrix of counts tell of.

    Parameters
    ----------
    counts
        Cells x genes of raw counts.
    size
        Size factor per cell, above 0.
    columns
        Columns of the TFs.
    """
    part = sparse.csc_matrix(sparse.csr_matrix(counts)[:, columns], dtype=np.float64)
    n = part.shape[0]
    cell, tf = part.indices, np.repeat(np.arange(len(columns)), np.diff(part.indptr))
    rate = np.bincount(tf, weights=part.data / size[cell], minlength=len(columns)) / n
    value, square = _estimates(np.rint(part.data), size[cell], rate[tf])
    mean = np.bincount(tf, weights=value, minlength=len(columns)) / n
    noise = np.bincount(tf, weights=value**2 - square, minlength=len(columns)) / n
    level = sparse.csc_matrix((value, part.indices, part.indptr), shape=part.shape)
    return TFLevels(level, rate, mean, np.maximum(noise, 0.0))


def measured(count: NDArray[np.float64], size: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the levels that counts tell of, cells x TFs; size per cell, mean rate per TF."""
    return _estimates(np.rint(count), size[:, None], rate[None, :])[0]


def level_of(count: NDArray[np.float64], size: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the levels of TFs whose expected counts are set, one per TF, cells x TFs."""
    p = _bend(size[:, None], rate[None, :])
    return np.asarray(-np.expm1(-p * count[None, :]) / (p * size[:, None]))


def _bend(size: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.minimum(HALF / np.maximum(rate * size, 1e-12), MOST_BEND))


def _estimates(
    count: NDArray[np.float64], size: NDArray[np.float64], rate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimates of the level and of its square."""
    p = _bend(size, rate)
    left = (1.0 - p) ** count
    return (1.0 - left) / (p * size), (1.0 - 2.0 * left + (1.0 - 2.0 * p) ** count) / (p * size) ** 2
