"""Loadings of genes that were never trained on: a ridge from what lies around them to what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_unseen_map"]


def fit_unseen_map(
    features: NDArray[np.float32],
    made: NDArray[np.float32],
    weight: NDArray[np.float64],
    *,
    penalties: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0),
    folds: NDArray[np.int64],
) -> tuple[NDArray[np.float32], float]:
    """Fit features -> (loadings, log rate) with a penalty chosen by cross-validation over folds of genes.

    Parameters
    ----------
    features
        Genes x features, standardised; genes without windows have weight 0.
    made
        Genes x (rank + 1): trained loadings and log rates.
    weight
        How much is known of each gene.
    folds
        Fold of each gene; whole chromosomes, so that neighbours do not help each other.

    Returns
    -------
    (features + 1) x (rank + 1) matrix, float32, intercepts in the last row; and the penalty.
    """
    x = np.c_[features, np.ones(len(features))].astype(np.float64)
    y = made.astype(np.float64)
    w = weight / max(float(weight.mean()), 1e-12)

    def solve(rows: NDArray[np.bool_], penalty: float) -> NDArray[np.float64]:
        xw = x[rows] * w[rows, None]
        gram = xw.T @ x[rows]
        ridge = np.full(len(gram), penalty)
        ridge[-1] = 1e-6
        return np.asarray(np.linalg.solve(gram + np.diag(ridge), xw.T @ y[rows]))

    best = (np.inf, penalties[-1])
    if len(np.unique(folds)) > 1:
        for penalty in penalties:
            error = 0.0
            for fold in np.unique(folds):
                out = folds == fold
                if (w[~out] > 0).any():
                    gap = (x[out] @ solve(~out, penalty) - y[out])[:, :-1]
                    error += float((w[out, None] * gap**2).sum())
            best = min(best, (error, penalty))
    return solve(np.ones(len(x), dtype=bool), best[1]).astype(np.float32), best[1]
