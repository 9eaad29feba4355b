"""How each gene goes with each TF when all other TFs and the depth are held: ridge regression from sparse sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._stats.metrics import normalised_log1p

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

__all__ = ["conditional_covariation"]


def conditional_covariation(
    counts: sparse.csr_matrix,
    tfs: NDArray[np.int64],
    genes: NDArray[np.int64],
    *,
    depth: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Return standardised coefficients of genes on all TFs at once, TFs x genes.

    Ridge on log-normalised expression with the log depth as one more regressor; penalty ``TFs / cells`` (at least .01)
    on the scale of correlations. A gene that is a TF is regressed on the others. Only sums of products are formed, so
    memory follows TFs x genes, not the cells.

    Parameters
    ----------
    counts
        Cells x genes of raw counts.
    tfs, genes
        Columns of the TFs and of the genes.
    depth
        Counts per cell; the sums of ``counts`` by default.

    Notes
    -----
    With the precision matrix P of the regressors, the coefficients of regressor j on the others are ``-P[i, j] /
    P[j, j]``, which gives the TFs as targets without a fit of their own.
    """
    n = counts.shape[0]
    total = np.asarray(counts.sum(1), dtype=np.float64).ravel() if depth is None else depth
    size = np.maximum(total, 1.0) / max(float(np.median(total)), 1.0)
    x = normalised_log1p(counts, size)
    log_size = np.log(size)
    log_size = log_size - log_size.mean()
    spread = float(log_size.std())
    a, b = x[:, tfs], x[:, genes]
    k = len(tfs)
    mean_a, sd_a = _moments(a)
    mean_b, sd_b = _moments(b)
    gram = np.zeros((k + 1, k + 1))
    gram[:k, :k] = (np.asarray((a.T @ a).toarray()) / n - np.outer(mean_a, mean_a)) / np.outer(sd_a, sd_a)
    cross = np.zeros((k + 1, len(genes)))
    cross[:k] = (np.asarray((a.T @ b).toarray()) / n - np.outer(mean_a, mean_b)) / np.outer(sd_a, sd_b)
    if spread > 1e-9:
        gram[k, :k] = gram[:k, k] = np.asarray(a.T @ log_size).ravel() / n / (sd_a * spread)
        gram[k, k] = 1.0
        cross[k] = np.asarray(b.T @ log_size).ravel() / n / (sd_b * spread)
    penalty = max(k / max(n, 1), 0.01)
    precision = np.linalg.inv(gram + penalty * np.eye(k + 1))
    out = (precision @ cross)[:k]
    place = {int(t): i for i, t in enumerate(tfs)}
    for j, gene in enumerate(genes):
        i = place.get(int(gene))
        if i is not None:
            out[:, j] = -precision[:k, i] / precision[i, i]
            out[i, j] = 0.0
    return np.asarray(out, dtype=np.float32)


def _moments(x: sparse.csr_matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of columns; the latter infinite where a column does not vary."""
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(x.multiply(x).mean(axis=0), dtype=np.float64).ravel()
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    return mean, np.where(sd > 1e-9, sd, np.inf)
