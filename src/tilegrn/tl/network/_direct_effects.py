"""Sizes of direct TF effects: regression shrunk towards what binding, accessibility and distance allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from tilegrn.tl.network._tf_levels import TFLevels, fit_levels, level_of, measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DirectEffects", "fit_direct_effects"]

PENALTY = 10.0
"""Strength of the ridge's shrinkage of a pair with average support. Chosen on one simulation, see docs."""
MOST_STRETCH = 3.0
"""Largest factor by which effects are stretched."""
LEAST = 0.01
"""Support below this share of the average is taken as this much: no pair is ruled out for good."""
FITTED_TO = 2000
"""Genes to which is fitted what pairs have in common, those with the most counts."""


@dataclass(frozen=True, eq=False)
class DirectEffects:
    """Relative change of genes per standard deviation of TFs' levels, counting noise set apart.

    Attributes
    ----------
    effect
        TFs x genes, float32: change of the rate over the gene's mean rate.
    scale
        Standard deviation per TF of its level without the noise of counting; infinite where a TF does not vary.
    levels
        The levels to which the effects were fitted.
    reliability
        Per TF, the share of the variance of measured levels that is no noise of counting.
    """

    effect: NDArray[np.float32]
    scale: NDArray[np.float64]
    levels: TFLevels
    reliability: NDArray[np.float64]

    def change(
        self,
        tfs: NDArray[np.int64],
        counts: NDArray[np.float64],
        new: NDArray[np.float64],
        size: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the factor on rates, cells x genes, when some TFs come to new expected counts.

        Parameters
        ----------
        counts
            Cells x these TFs. The level a cell had is taken to be what its count says in view of its noise: the mean
            over cells, plus the reliable share of what it differs by.
        new
            Expected count of each of these TFs.
        size
            Size factor per cell.
        """
        rate, mean = self.levels.rate[tfs], self.levels.mean[tfs]
        had = mean + self.reliability[tfs] * (measured(counts, size, rate) - mean)
        return np.clip(1.0 + ((level_of(new, size, rate) - had) / self.scale[tfs]) @ self.effect[tfs], 0.05, 20.0)


def fit_direct_effects(
    counts: sparse.csr_matrix,
    size: NDArray[np.float64],
    tfs: NDArray[np.int64],
    genes: NDArray[np.int64],
    support: NDArray[np.float32],
) -> DirectEffects:
    r"""Fit the effects of all TFs on each gene at once, with a prior from support.

    Parameters
    ----------
    counts
        Cells x genes of raw counts.
    size
        Size factor per cell.
    tfs, genes
        Columns of the TFs and of the genes.
    support
        TFs x genes: where a TF can act, see :mod:`tilegrn.tl.network._support`.

    Notes
    -----
    Counts of a TF measure its level with Poisson noise, which flattens every slope fitted to them. The variance of the
    level itself (:class:`TFLevels`) takes the place of the measured variance on the diagonal of the TFs' covariance
    (regression with errors in variables, Fuller 1987), and covariances between TFs are shrunk to 0 by the share of
    their squares that is noise (Schäfer and Strimmer 2005). Effects are per standard deviation of the level.

    The result is the mean of two estimates. One is a ridge regression: the effect of TF t on gene g has prior mean
    :math:`b_t S_{tg}` and precision proportional to :math:`1 / S_{tg}`, S over its mean. :math:`b_t`, positive for an
    activator and negative for a repressor, is fitted over all genes to plain ridge coefficients: what a TF does to
    the many genes that it can reach informs what it does to one of them. It ranks and signs weak effects well, and
    shrinks strong ones. The other lets few TFs act on a gene (:func:`few_effects`) and hardly shrinks them. What
    shrinkage takes from the size of either is given back by one factor for all, the slope of the expression of the
    genes that are no TFs on what the effects predict.
    """
    from tilegrn.tl.network._few_effects import few_effects  # numba takes its time

    n, k = counts.shape[0], len(tfs)
    size = np.maximum(size, 1e-12)
    levels = fit_levels(counts, size, tfs)
    x = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    x.data /= np.repeat(size, np.diff(x.indptr))
    rate = sparse.csc_matrix(x[:, genes])
    mean = np.maximum(np.asarray(rate.mean(axis=0)).ravel(), 1e-9)
    variance = np.asarray(rate.multiply(rate).mean(axis=0)).ravel() / mean**2 - 1.0
    level, center = levels.value, levels.mean
    products = np.asarray((level.T @ level).toarray()) / n - np.outer(center, center)
    spread = np.maximum(np.diagonal(products), 0.0)
    varies = spread > 1e-18
    reliability = np.where(varies, levels.reliable(spread), 1.0)
    sd = np.where(varies, np.sqrt(spread * reliability), np.inf)
    gram = _covariance(products / np.outer(sd, sd), reliability, n)
    cross = (np.asarray((level.T @ rate).toarray()) / n - np.outer(center, mean)) / sd[:, None] / mean
    usual = float(support[support > 0].mean()) if (support > 0).any() else 1.0
    weight = np.asarray(support, dtype=np.float64) / max(usual, 1e-30)
    itself = tfs[:, None] == genes[None, :]
    weight[itself] = 0.0
    share = np.flatnonzero(~np.isin(genes, tfs))
    fitted = share[np.argsort(-mean[share], kind="stable")[:FITTED_TO]]
    few = few_effects(
        gram, cross, np.maximum(variance, 1e-9), n * reliability, weight, ~itself & varies[:, None], np.sort(fitted)
    )
    ridge = _ridge(gram, cross, max(k / n, 0.01), weight, itself, share)
    out = (_stretched(ridge, gram, cross, share) + _stretched(few, gram, cross, share)) / 2
    return DirectEffects(out.astype(np.float32), sd, levels, reliability)


def _covariance(gram: NDArray[np.float64], reliability: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return a covariance with ones on the diagonal, what is noise taken from the rest."""
    k = len(gram)
    off = ~np.eye(k, dtype=bool)
    squares = float((gram[off] ** 2).sum())
    noise = float((1.0 / np.outer(reliability, reliability))[off].sum()) / n
    gram = gram * (1.0 - min(noise / squares, 1.0) if squares > 0 else 0.0)
    gram[np.arange(k), np.arange(k)] = 1.0
    # The nearest matrix that is a covariance: taking noise off the diagonal can leave one that is none.
    value, vector = np.linalg.eigh(gram)
    return np.asarray((vector * np.maximum(value, 0.0)) @ vector.T)


def _ridge(
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    plain_penalty: float,
    weight: NDArray[np.float64],
    itself: NDArray[np.bool_],
    share: NDArray[np.int64],
) -> NDArray[np.float64]:
    k = len(gram)
    plain = np.linalg.solve(gram + plain_penalty * np.eye(k), cross)
    norm = (weight[:, share] ** 2).sum(1)
    mode = np.divide((plain * weight)[:, share].sum(1), norm, out=np.zeros(k), where=norm > 0)
    prior = mode[:, None] * weight
    penalty = PENALTY / np.maximum(weight, LEAST)
    penalty[itself] = 1e12
    out = np.zeros_like(cross)
    rest = cross - gram @ prior
    diagonal = np.arange(k)
    for gene in range(cross.shape[1]):
        system = gram.copy(order="F")  # as LAPACK wants it, to be overwritten
        system[diagonal, diagonal] += penalty[:, gene]
        found = linalg.solve(system, rest[:, gene], assume_a="pos", overwrite_a=True, check_finite=False)
        out[:, gene] = prior[:, gene] + found
    out[itself] = 0.0
    return out


def _stretched(
    effect: NDArray[np.float64], gram: NDArray[np.float64], cross: NDArray[np.float64], share: NDArray[np.int64]
) -> NDArray[np.float64]:
    made = effect[:, share]
    size_of = float(((gram @ made) * made).sum())
    return effect * np.clip((cross[:, share] * made).sum() / size_of, 1.0, MOST_STRETCH) if size_of > 0 else effect
