"""Sizes of direct TF effects: regression shrunk towards what binding, accessibility and distance allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse
from scipy.stats import binom, gamma, poisson

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DirectEffects", "fit_direct_effects"]

PENALTY = 10.0
"""Strength of the shrinkage of a pair with average support. Chosen on one simulation, see docs."""
LEAST_SHARED = 0.1
"""Smallest share of a TF's variance taken for its expression's own: below, the estimate is noise."""
MOST_STRETCH = 3.0
"""Largest factor by which effects are stretched."""
_LARGE = 60
_BLOCK = 1 << 20
_NODES = 40
LEAST = 0.01
"""Support below this share of the average is taken as this much: no pair is ruled out for good."""


@dataclass(frozen=True, eq=False)
class DirectEffects:
    """Relative change of genes per standard deviation of TFs' expression, counting noise set apart.

    Attributes
    ----------
    effect
        TFs x genes, float32: change of the rate over the gene's mean rate.
    scale
        Standard deviation per TF of its expression, as log1p(count / size factor) measures it, without the noise of
        counting; infinite where a TF does not vary.
    mean
        Mean of log1p(count / size factor) per TF.
    reliability
        Per TF, the share of the variance of log1p(count / size factor) that is no noise of counting.
    """

    effect: NDArray[np.float32]
    scale: NDArray[np.float64]
    mean: NDArray[np.float64]
    reliability: NDArray[np.float64]

    def change(
        self, tfs: NDArray[np.int64], measured: NDArray[np.float64], new: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the factor on rates, cells x genes, when some TFs come to new levels.

        Parameters
        ----------
        measured, new
            Cells x these TFs, log1p(count / size factor). The level a cell had is taken to be what its count says in
            view of its noise: the mean over cells, plus the reliable share of what it differs by.
        """
        level = self.mean[tfs] + self.reliability[tfs] * (measured - self.mean[tfs])
        return np.clip(1.0 + ((new - level) / self.scale[tfs]) @ self.effect[tfs], 0.05, 20.0)


def fit_direct_effects(
    counts: sparse.csr_matrix,
    size: NDArray[np.float64],
    tfs: NDArray[np.int64],
    genes: NDArray[np.int64],
    support: NDArray[np.float32],
) -> DirectEffects:
    r"""Fit the effects of all TFs on each gene at once, by ridge regression with a prior from support.

    Parameters
    ----------
    counts
        Cells x genes of raw counts.
    size
        Size factor per cell.
    tfs, genes
        Columns of the TFs and of the genes.
    support
        TFs x genes: binding x accessibility x distance.

    Notes
    -----
    Counts of a TF measure its expression with Poisson noise, which flattens every slope fitted to them. The variance of
    the expression itself is estimated by splitting counts (what two random halves of a cell's counts share, in
    expectation), and takes the place of the measured variance on the diagonal of the TFs' covariance (regression
    with errors in variables, Fuller 1987). Effects and shrinkage are per standard deviation of that expression.

    Empirical Bayes: the effect of TF t on gene g has prior mean :math:`b_t S_{tg}` and precision proportional to
    :math:`1 / S_{tg}`, S over its mean. :math:`b_t`, positive for an activator and negative for a repressor, is fitted
    over all genes to plain ridge coefficients: what a TF does to the many genes that it can reach informs what it does
    to one of them. What the shrinkage takes from the size of effects is given back by one factor for all, the slope of
    the expression of the genes that are no TFs on what the effects predict.
    """
    n, k = counts.shape[0], len(tfs)
    x = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    x.data /= np.repeat(np.maximum(size, 1e-12), np.diff(x.indptr))
    rate = sparse.csc_matrix(x[:, genes])
    mean = np.maximum(np.asarray(rate.mean(axis=0)).ravel(), 1e-9)
    level = sparse.csc_matrix(x[:, tfs])
    level.data = np.log1p(level.data)
    center = np.asarray(level.mean(axis=0)).ravel()
    square = np.asarray(level.multiply(level).mean(axis=0)).ravel()
    sd = np.sqrt(np.maximum(square - center**2, 0.0))
    varies = sd > 1e-9
    sd = np.where(varies, sd, 1.0)
    reliability = np.where(varies, np.clip(shared_variance(counts, size, tfs) / sd**2, LEAST_SHARED, 1.0), 1.0)
    sd = np.where(varies, sd * np.sqrt(reliability), np.inf)
    gram = (np.asarray((level.T @ level).toarray()) / n - np.outer(center, center)) / np.outer(sd, sd)
    gram[np.arange(k), np.arange(k)] = 1.0
    gram = _positive(gram)
    cross = (np.asarray((level.T @ rate).toarray()) / n - np.outer(center, mean)) / sd[:, None] / mean
    plain = np.linalg.solve(gram + max(k / n, 0.01) * np.eye(k), cross)
    weight = support / max(float(support[support > 0].mean()) if (support > 0).any() else 1.0, 1e-30)
    weight = weight.astype(np.float64)
    itself = np.zeros((k, len(genes)), dtype=bool)
    itself |= tfs[:, None] == genes[None, :]
    weight[itself] = 0.0
    share = ~np.isin(genes, tfs)
    norm = (weight[:, share] ** 2).sum(1)
    mode = np.divide((plain * weight)[:, share].sum(1), norm, out=np.zeros(k), where=norm > 0)
    prior = mode[:, None] * weight
    penalty = PENALTY / np.maximum(weight, LEAST)
    penalty[itself] = 1e12
    out = np.zeros((k, len(genes)), dtype=np.float32)
    rest = cross - gram @ prior
    diagonal = np.arange(k)
    for gene in range(len(genes)):
        system = gram.copy(order="F")  # as LAPACK wants it, to be overwritten
        system[diagonal, diagonal] += penalty[:, gene]
        found = linalg.solve(system, rest[:, gene], assume_a="pos", overwrite_a=True, check_finite=False)
        out[:, gene] = prior[:, gene] + found
    out[itself] = 0.0
    made = out[:, share].astype(np.float64)
    size_of = float(((gram @ made) * made).sum())
    if size_of > 0:
        out *= np.float32(np.clip((cross[:, share] * made).sum() / size_of, 1.0, MOST_STRETCH))
    return DirectEffects(out, sd, center, reliability)


def _positive(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest matrix that is a covariance: taking noise off the diagonal can leave one that is none."""
    value, vector = np.linalg.eigh(gram)
    return np.asarray((vector * np.maximum(value, 0.0)) @ vector.T)


def shared_variance(
    counts: sparse.csr_matrix, size: NDArray[np.float64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the variance over cells, per column, of what log1p(count / size) is expected to be given its Poisson rate.

    Halves A and B of a count split at random, one by one, are independent given its rate: over cells, log1p(2 A / size)
    and log1p(2 B / size) share the variance of what the rate makes of halves (the expectation over the splits is
    exact). What it makes of whole counts varies a little more, by a factor taken from Gamma-distributed rates with
    the column's mean and variance.
    """
    part = sparse.csr_matrix(counts)[:, columns].tocoo()
    n = counts.shape[0]
    count = np.rint(part.data).astype(np.int64)
    half, both = np.zeros(len(count)), np.zeros(len(count))
    cell_size = np.maximum(np.asarray(size, dtype=np.float64)[part.row], 1e-12)
    for value in np.unique(count[count > 0]):
        mine = np.flatnonzero(count == value)
        if value > _LARGE:  # the halves of a large count hardly differ
            half[mine] = np.log1p(value / cell_size[mine])
            both[mine] = half[mine] ** 2
            continue
        taken = np.arange(value + 1)
        weight = binom.pmf(taken, value, 0.5)
        for rows in np.array_split(mine, -(-len(mine) * int(value + 1) // _BLOCK)):
            level = np.log1p(2.0 * taken / cell_size[rows, None])
            half[rows] = level @ weight
            both[rows] = (level * level[:, ::-1]) @ weight
    mean = np.bincount(part.col, weights=half, minlength=len(columns)) / n
    product = np.bincount(part.col, weights=both, minlength=len(columns)) / n
    scaled = sparse.csc_matrix((part.data / cell_size, (part.row, part.col)), shape=part.shape)
    rate = np.asarray(scaled.sum(axis=0)).ravel() / n
    noise = np.bincount(part.col, weights=part.data / cell_size**2, minlength=len(columns)) / n
    spread = np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel() / n - rate**2 - noise
    return np.asarray((product - mean**2) * _whole_over_half(rate, np.maximum(spread, 0.01 * rate**2)))


def _whole_over_half(rate: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of E log1p(N) over that of E log1p(2 A), for counts N and their halves A, of Gamma-distributed rates."""
    out = np.ones(len(rate))
    count = np.arange(4 * _LARGE)
    at = (np.arange(_NODES) + 0.5) / _NODES
    for i in np.flatnonzero((rate > 0) & (rate < _LARGE)):
        level = gamma.ppf(at, rate[i] ** 2 / spread[i], scale=spread[i] / rate[i])[:, None]
        whole = poisson.pmf(count, level) @ np.log1p(count)
        half = poisson.pmf(count, level / 2) @ np.log1p(2.0 * count)
        out[i] = whole.var() / max(half.var(), 1e-30)
    return out
