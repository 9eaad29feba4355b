"""How far the spread over networks falls short of their error: one factor, fitted on validation cells.

Networks of several seeds see the same cells and the same inputs, so they err together, and what they differ by
understates what they are wrong by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._stats.metrics import normalised_log1p
from tilegrn._stats.poisson import excess_share, expected_log1p, variance_log1p

if TYPE_CHECKING:
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.grn_model import GRNModel

__all__ = ["calibrate"]


def calibrate(model: GRNModel, val: CellData | None) -> dict[str, float]:
    """Fit the factor of a model's spread on validation cells, over genes that are no TFs.

    In log1p units, the squared error exceeds the Poisson variance V by share x (factor x spread)^2 on average; weighted
    least squares through the origin. Weights are one over the variance that Poisson noise gives a squared error: for a
    count of mean m, var (K - m)^2 = m^2 (2 + 1 / m), and on the log1p scale m becomes V. The term 1 / m matters:
    without it, a pair that is almost always 0 would be trusted far too much.

    Returns
    -------
    ``spread_factor`` for the model's record, 0 where no error beyond counting noise shows; nothing without such cells
    or genes, or with one network only.
    """
    plain = np.ones(len(model.vocabulary.genes), dtype=bool)
    target = model.preparation.tf_target
    plain[target[target >= 0]] = False
    if val is None or val.counts is None or len(model.networks) < 2 or not plain.any():
        return {}
    sums = []
    for rows, rates, _ in model.iter_rates(val):
        size = val.size_factor[rows].astype(np.float64)
        observed = normalised_log1p(val.counts[rows], size).toarray()[:, plain].astype(np.float64)
        each = np.stack([expected_log1p(r, size) for r in rates[:, :, plain]])
        rate = rates[:, :, plain].mean(axis=0)
        variance = variance_log1p(rate, size)
        shown = excess_share(rate, size) * each.var(axis=0).astype(np.float64)
        mean = np.maximum(rate * size[:, None], 1e-12)
        weighted = 1.0 / (np.maximum(variance, 1e-4) ** 2 * (2.0 + 1.0 / mean)) * shown
        excess = (observed - each.mean(axis=0)) ** 2 - variance
        sums.append(np.stack([(weighted * excess).sum(axis=1), (weighted * shown).sum(axis=1)]))
    above, below = np.concatenate(sums, axis=1).sum(axis=1)
    return {"spread_factor": float(np.sqrt(max(above / below, 0.0))) if below > 0 else 0.0}
