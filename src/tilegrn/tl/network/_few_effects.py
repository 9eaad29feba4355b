"""Which TFs act on a gene, and how strongly, when few do: the mean over a posterior of spikes and signed slabs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["few_effects"]

EXPONENT = 1.5
"""Of the support, in the odds that a TF acts."""
LEAST = 1e-3
"""Support below this share of the average is taken as this much: no pair is ruled out for good."""
WIDEST = 0.25
"""Largest variance of effects at average support: half of a gene's mean rate per standard deviation of a TF."""
ROUNDS = 6
"""Of fitting what the pairs have in common."""
_SWEEPS = 60
_CLOSE = 1e-3
"""Of the gene's mean rate: an effect that would change by less is left as it is."""
_SIGNS = 2.0
"""Effects of either sign that a TF is taken to have had before any was seen."""
_LEAST_NOISE = 0.3
"""Of a gene's variance: part of it that no TF explains."""


def few_effects(
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    variance: NDArray[np.float64],
    cells: NDArray[np.float64],
    weight: NDArray[np.float64],
    candidate: NDArray[np.bool_],
    fitted: NDArray[np.int64],
) -> NDArray[np.float64]:
    r"""Return the posterior mean effect of each TF on each gene.

    Parameters
    ----------
    gram
        TFs x TFs, covariance of standardised levels.
    cross
        TFs x genes, covariance of levels and relative rates.
    variance
        Of the relative rates, per gene.
    cells
        Cells per TF that its noise leaves: their number times the reliable share of the TF's variance.
    weight
        TFs x genes, support over its mean.
    candidate
        TFs x genes, the pairs that may have an effect.
    fitted
        Genes that tell what pairs have in common.

    Notes
    -----
    TF t acts on gene g with odds :math:`e^a S_{tg}^{1.5}`; its effect is then half of a normal distribution of
    variance :math:`s^2 S_{tg}`, positive with a probability of the TF's own. The posterior is taken to factorise over
    TFs and found by coordinate ascent (Carbonetto and Stephens 2012, for normal slabs); a, s and the TFs'
    probabilities are fitted in turn with it (variational EM).
    """
    k = len(gram)
    weight = np.maximum(weight, LEAST)
    order = np.lexsort((np.arange(k), -cells))  # not the order in which TFs come
    odds, sign, spread = -3.0, np.full(k, 0.5), 0.1
    noise = variance.copy()
    log_weight = EXPONENT * np.log(weight)
    if len(fitted):
        mine = candidate[:, fitted]
        some = [np.ascontiguousarray(a[:, fitted]) for a in (cross, weight, log_weight)]
        mean = np.zeros_like(some[0])
        for _ in range(ROUNDS):
            chance = np.where(mine, odds + some[2], -np.inf)
            up, down, square = _ascend(mean, gram, some[0], chance, sign, noise[fitted], cells, spread * some[1], order)
            explained = 2 * (mean * some[0]).sum(0) - ((gram @ mean) * mean).sum(0)
            noise[fitted] = np.maximum(variance[fitted] - explained, _LEAST_NOISE * variance[fitted])
            acts = up + down
            odds = _odds(odds, some[2][mine], acts[mine])
            sign = np.clip((up.sum(1) + _SIGNS) / (acts.sum(1) + 2 * _SIGNS), 0.02, 0.98)
            spread = float(np.clip((square / some[1]).sum() / max(acts.sum(), 1e-12), 1e-4, WIDEST))
        other = np.ones(len(noise), dtype=bool)
        other[fitted] = False
        noise[other] *= noise[fitted].sum() / max(variance[fitted].sum(), 1e-300)
    out = np.zeros_like(cross)
    if len(fitted):
        out[:, fitted] = mean
    chance = np.where(candidate, odds + log_weight, -np.inf)
    _ascend(out, gram, cross, chance, sign, noise, cells, spread * weight, order)
    return out


def _odds(odds: float, log_weight: NDArray[np.float64], acts: NDArray[np.float64]) -> float:
    """Log odds at average support with which as many pairs act as are seen to: Newton's steps, none above 1."""
    for _ in range(15):
        chance = 1 / (1 + np.exp(-(odds + log_weight)))
        odds += float(np.clip((acts - chance).sum() / ((chance * (1 - chance)).sum() + 1e-9), -1, 1))
    return odds


@compiled
def _ascend(
    mean: NDArray[np.float64],
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    odds: NDArray[np.float64],
    sign: NDArray[np.float64],
    noise: NDArray[np.float64],
    cells: NDArray[np.float64],
    slab: NDArray[np.float64],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coordinate ascent, gene by gene, on mean effects: chances of an effect above and below 0, mean squares."""
    k, n_genes = cross.shape
    square, up, down = np.zeros((k, n_genes)), np.zeros((k, n_genes)), np.zeros((k, n_genes))
    for gene in range(n_genes):
        effect = mean[:, gene].copy()
        rest = cross[:, gene] - gram @ effect
        for _ in range(_SWEEPS):
            moved = False
            for t in order:
                if odds[t, gene] == -np.inf:
                    continue
                known = cells[t] / noise[gene]
                width = 1.0 / (known * gram[t, t] + 1.0 / slab[t, gene])
                center = width * known * (rest[t] + gram[t, t] * effect[t])
                sd = math.sqrt(width)
                z = center / sd
                above = max(0.5 * math.erfc(-z / math.sqrt(2.0)), 1e-300)
                below = max(0.5 * math.erfc(z / math.sqrt(2.0)), 1e-300)
                both = odds[t, gene] + 0.5 * math.log(width / slab[t, gene]) + 0.5 * z * z
                log_up = both + math.log(2.0 * sign[t] * above)
                log_down = both + math.log(2.0 * (1.0 - sign[t]) * below)
                top = max(log_up, log_down, 0.0)
                p, q, none = math.exp(log_up - top), math.exp(log_down - top), math.exp(-top)
                total = p + q + none
                p, q = p / total, q / total
                # Means of normal distributions cut off at 0; far out, where both densities vanish, they meet it.
                density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
                over = density / above if above > 1e-290 else -z
                under = density / below if below > 1e-290 else z
                new = p * (center + sd * over) + q * (center - sd * under)
                step = new - effect[t]
                if abs(step) > _CLOSE:
                    for u in range(k):
                        rest[u] -= gram[t, u] * step
                    effect[t] = new
                    moved = True
                up[t, gene], down[t, gene] = p, q
                whole = width + center * center
                square[t, gene] = p * (whole + center * sd * over) + q * (whole - center * sd * under)
            if not moved:
                break
        mean[:, gene] = effect
    return up, down, square
