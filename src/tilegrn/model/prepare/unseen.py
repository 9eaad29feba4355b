"""Loadings of genes that were never trained on, from the windows around them.

Each window is given the mean state of the training cells in which it is open, shrunk for windows that few cells open.
A gene's windows are pooled with exp(-d / L) at several L, and a ridge, fitted on the trained genes, maps the pooled
states to loadings. What lies around a gene thus says in which cells it is expressed, with no number of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_ridge", "pool_windows", "window_states"]

FEW_CELLS = 30.0
"""Cells that a window must be open in for its mean state to count half."""
FEW_WINDOWS = 4.0
"""Summed weight of windows at which the pooled state of a gene counts half."""


def window_states(open_windows: sparse.csr_matrix, codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the shrunk mean of standardised codes over the cells in which each window is open, windows x codes."""
    centred = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-6)
    binary = sparse.csr_matrix(
        (np.ones(open_windows.nnz, np.float32), open_windows.indices, open_windows.indptr), shape=open_windows.shape
    )
    n = np.asarray(binary.sum(0), dtype=np.float32).ravel()
    return np.asarray((binary.T @ centred) / (n + FEW_CELLS)[:, None], dtype=np.float32)


def pool_windows(
    distance: sparse.csr_matrix, states: NDArray[np.float32], lengths: tuple[float, ...]
) -> NDArray[np.float32]:
    """Pool window states around genes.

    Parameters
    ----------
    distance
        Genes x windows, bp to the TSS plus one; no entry beyond reach.
    states
        Windows x codes.
    lengths
        Reaches in bp.

    Returns
    -------
    Genes x (codes + 1) * lengths: pooled states, and log1p of the summed weight.
    """
    parts = []
    for length in lengths:
        weight = sparse.csr_matrix(distance, dtype=np.float32, copy=True)
        weight.data = np.exp(-(weight.data - 1) / np.float32(length))
        total = np.asarray(weight.sum(1), dtype=np.float32).ravel()
        parts += [(weight @ states) / (total + FEW_WINDOWS)[:, None], np.log1p(total)[:, None]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def fit_ridge(
    features: NDArray[np.float32],
    made: NDArray[np.float32],
    weight: NDArray[np.float64],
    folds: NDArray[np.int64],
    penalties: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
) -> tuple[NDArray[np.float32], float]:
    """Fit features -> values with a penalty chosen by cross-validation.

    Parameters
    ----------
    features
        Genes x features.
    made
        Genes x values.
    weight
        How much each gene counts; 0 leaves it out.
    folds
        Fold of each gene: its chromosome, so that neighbours do not help each other.

    Returns
    -------
    (features + 1) x values, float32, intercepts in the last row, for features as given; and the penalty.
    """
    w = weight / max(float(weight.mean()), 1e-12)
    used = weight > 0
    center = features[used].mean(0).astype(np.float64)
    scale = np.maximum(features[used].std(0).astype(np.float64), 1e-6)
    x = np.c_[(features - center) / scale, np.ones(len(features))]
    y = made.astype(np.float64)

    xw = x * w[:, None]

    def products(rows: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return xw[rows].T @ x[rows], xw[rows].T @ y[rows]

    def solve(gram: NDArray[np.float64], cross: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
        ridge = np.full(len(gram), penalty)
        ridge[-1] = 1e-6
        return np.asarray(np.linalg.solve(gram + np.diag(ridge), cross))

    best = (np.inf, penalties[len(penalties) // 2])
    names = np.unique(folds[used])
    if len(names) > 1:
        errors = np.zeros(len(penalties))
        for fold in names:
            out = folds == fold
            gram, cross = products(~out & used)
            for i, penalty in enumerate(penalties):
                errors[i] += float((w[out, None] * (x[out] @ solve(gram, cross, penalty) - y[out]) ** 2).sum())
        best = min(best, *zip(errors.tolist(), penalties, strict=True))
    found = solve(*products(used), best[1])
    slope = found[:-1] / scale[:, None]
    return np.vstack([slope, found[-1] - center @ slope]).astype(np.float32), best[1]
