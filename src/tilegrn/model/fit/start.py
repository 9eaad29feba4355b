"""Where training on deep cells starts: Poisson regressions of each gene on the leading components of accessibility.

They are shrunk component by component, and predict better than a ridge regression; the network adds what they miss.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.cores import n_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

__all__ = ["poisson_loadings"]

_BLOCK = 250
"""Genes at a time in a thread: as many on any machine, so that rounding does not depend on threads."""
_MOST_THREADS = 8
_STEPS = 8
_LARGEST = 8.0
"""Largest log fold of a rate over the gene's mean."""


def poisson_loadings(
    counts: sparse.csr_matrix, size_factor: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Regress each gene's counts on scores of cells: rates exp(offset + scores @ loadings) at size factor 1.

    Loadings of component k have a normal prior of mean 0 and a variance estimated by moments over all genes (empirical
    Bayes), so that a component that tells nothing of expression is shrunk away. Newton steps with the information at
    the mean rate, halved where they do not lower the deviance.

    Parameters
    ----------
    counts
        Cells x genes.
    size_factor
        Per cell.
    scores
        Cells x components, standardised.

    Returns
    -------
    Components x genes, and offsets per gene; float32.
    """
    size = np.asarray(size_factor, dtype=np.float64)
    z = scores.astype(np.float64) - (scores * size[:, None]).sum(0) / size.sum()
    mean = np.maximum(np.asarray(counts.sum(0), dtype=np.float64).ravel() / size.sum(), 1e-7)
    information = (z * size[:, None]).T @ z  # of a gene, per unit of its mean rate
    slope = np.asarray((counts.T @ z) - np.outer(mean, z.T @ size))  # genes x components
    variance = np.linalg.inv(information + 1e-6 * np.trace(information) / len(information) * np.eye(len(information)))
    first = slope @ variance / mean[:, None]
    weight = mean / mean.sum()
    moment = (weight[:, None] * (first**2 - np.diag(variance) / mean[:, None])).sum(0)
    scale = np.sqrt(np.maximum(moment, 1e-6))
    value, vector = np.linalg.eigh(information * np.outer(scale, scale))
    z = z * scale
    loadings = np.zeros((z.shape[1], len(mean)), dtype=np.float32)
    offset = np.zeros(len(mean), dtype=np.float32)

    def fit(first: int) -> None:
        at = slice(first, min(first + _BLOCK, len(mean)))
        y = counts[:, at].toarray().astype(np.float64)
        found, intercept = _newton(y, size, z, mean[at], value, vector)
        loadings[:, at] = found * scale[:, None]
        offset[at] = intercept

    with ThreadPoolExecutor(min(n_cores(), _MOST_THREADS)) as pool:
        for done in [pool.submit(fit, first) for first in range(0, len(mean), _BLOCK)]:
            done.result()
    center = (scores * size[:, None]).sum(0) / size.sum()
    return loadings, (offset - center @ loadings).astype(np.float32)


def _newton(
    y: NDArray[np.float64],
    size: NDArray[np.float64],
    z: NDArray[np.float64],
    mean: NDArray[np.float64],
    value: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Penalised Poisson regressions of some genes on components whose prior has variance 1."""
    total = y.sum(0)

    def tried(b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Rates, intercepts and losses."""
        eta = np.clip(z @ b, -_LARGEST, _LARGEST)
        fit = (y * eta).sum(0)
        np.exp(eta, out=eta)
        eta *= size[:, None]
        intercept = np.log(np.maximum(total, 1e-3) / np.maximum(eta.sum(0), 1e-300))
        eta *= np.exp(intercept)
        return eta, intercept, -fit - total * intercept + 0.5 * (b * b).sum(0)

    b = np.zeros((z.shape[1], y.shape[1]))
    mu, intercept, best = tried(b)
    damping = np.ones(y.shape[1])
    for _ in range(_STEPS):
        gradient = z.T @ (y - mu) - b
        step = vector @ ((vector.T @ gradient) / (np.outer(value, mean) + 1.0))
        trial = b + damping * step
        mu_trial, intercept_trial, now = tried(trial)
        better = now <= best
        b = np.where(better, trial, b)
        np.copyto(mu, mu_trial, where=better)
        intercept = np.where(better, intercept_trial, intercept)
        best = np.where(better, now, best)
        damping = np.where(better, damping, damping / 2)
    return b, intercept
