"""How far the spread over networks falls short of their error: one factor, fitted on validation cells.

Networks of several seeds see the same cells and the same inputs, so they err together, and what they differ by
understates what they are wrong by. In log1p units, let y be the observation, p the mean prediction, V the variance that
Poisson noise gives y at the predicted mean count, and s2 the variance over networks. If the prediction is wrong by f
times what the networks differ by, the excess error e = (y - p)^2 - V is c f^2 s2 on average, with the share c of
:func:`tilegrn._poisson.excess_share` (near 1 where counts are many, less where they are few). The factor f comes of
weighted least squares through the origin.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from tilegrn._metrics import normalised_log1p
from tilegrn._poisson import excess_share, expected_log1p, variance_log1p

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tilegrn.model.batches import CellData
    from tilegrn.model.grn_model import GRNModel

    Float = NDArray[np.float64]

__all__ = ["calibrate", "excess_weight", "factor_of_sums", "spread_sums"]

logger = logging.getLogger(__name__)

_VARIANCE_FLOOR: Final = 1e-4
"""In squared log1p units: reached by genes of one count in some thousand cells, which say nothing about the spread."""


def excess_weight(variance: ArrayLike, mean: ArrayLike) -> Float:
    """Return one over the variance of the excess error of gene-cell pairs, as Poisson noise alone makes it.

    For a Poisson count K, var (K - m)^2 = m^2 (2 + 1 / m); on the log1p scale m becomes V. The term 1 / m matters: a
    plain 1 / V^2 would trust the squared error of a pair that is almost always 0 far too much.

    Parameters
    ----------
    variance
        Poisson variance V of log1p(count / size factor); floored at 1e-4.
    mean
        Mean count m.

    Returns
    -------
    Weights, float64.
    """
    v = np.maximum(np.asarray(variance, dtype=np.float64), _VARIANCE_FLOOR)
    m = np.maximum(np.asarray(mean, dtype=np.float64), 1e-12)
    return np.asarray(1.0 / (v * v * (2.0 + 1.0 / m)))


def spread_sums(logged: ArrayLike, rates: ArrayLike, size_factor: ArrayLike) -> tuple[Float, Float]:
    """Return what each cell adds to numerator and denominator of the squared factor.

    Parameters
    ----------
    logged
        Observed log1p(count / size factor), cells x genes.
    rates
        Networks x cells x genes, expected counts at size factor 1.
    size_factor
        One per cell, above 0.

    Returns
    -------
    Sums over genes of w c s2 e and of w (c s2)^2, one per cell each, float64, with w of :func:`excess_weight`.
    """
    rates = np.asarray(rates)
    size = np.asarray(size_factor, dtype=np.float64)
    each = np.stack([expected_log1p(r, size) for r in rates])
    spread = each.var(axis=0).astype(np.float64)
    rate = rates.mean(axis=0)
    variance = variance_log1p(rate, size)
    excess = (np.asarray(logged, dtype=np.float64) - each.mean(axis=0)) ** 2 - variance
    shown = excess_share(rate, size) * spread
    weighted = excess_weight(variance, rate * size[:, None]) * shown
    return (weighted * excess).sum(axis=1), (weighted * shown).sum(axis=1)


def factor_of_sums(numerator: ArrayLike, denominator: ArrayLike) -> tuple[float, float, float]:
    """Return the factor of the standard deviation with its 95 % interval over cells.

    Parameters
    ----------
    numerator, denominator
        Per cell, as :func:`spread_sums` returns them.

    Returns
    -------
    The factor and both ends of its interval (of a ratio of sums, by linearisation); none is below 0. All are 0 where
    the networks do not differ.
    """
    a, b = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    total = float(b.sum())
    if not total > 0:
        return 0.0, 0.0, 0.0
    squared = float(a.sum()) / total
    error = float(np.sqrt(np.square(a - squared * b).sum())) / total
    factor, low, high = (float(np.sqrt(max(v, 0.0))) for v in (squared, squared - 1.96 * error, squared + 1.96 * error))
    return factor, low, high


def calibrate(model: GRNModel, val: CellData | None, *, batch_size: int = 128) -> dict[str, float]:
    """Fit the factor of a model on validation cells, over genes that are no TFs.

    Parameters
    ----------
    model
        As trained.
    val
        Validation cells with counts, prepared by the model's preparation.
    batch_size
        Cells at a time.

    Returns
    -------
    Entries of the model's record: ``spread_factor``, ``spread_factor_low``, ``spread_factor_high``; nothing where there
    are no such cells or genes, or one network only.
    """
    plain = np.ones(len(model.vocabulary.genes), dtype=bool)
    target = model.preparation.tf_target
    plain[target[target >= 0]] = False
    if val is None or val.counts is None or len(model.networks) < 2 or not plain.any():
        return {}
    sums = []
    for rows, rates, _ in model.iter_rates(val, batch_size=batch_size):
        size = val.size_factor[rows].astype(np.float64)
        logged = normalised_log1p(val.counts[rows], size).toarray()
        sums.append(spread_sums(logged[:, plain], rates[:, :, plain], size))
    factor, low, high = factor_of_sums(*(np.concatenate(part) for part in zip(*sums, strict=True)))
    if factor > 0:
        logger.info(
            "The spread over %d networks, times %.2f (95 %% interval %.2f to %.2f), is their error beyond counting "
            "noise on %d validation cells.",
            *(len(model.networks), factor, low, high, val.n_cells),
        )
    else:
        logger.info(
            "No error beyond counting noise shows on the %d validation cells: the spread stays uncalibrated.",
            val.n_cells,
        )
    return {"spread_factor": factor, "spread_factor_low": low, "spread_factor_high": high}
