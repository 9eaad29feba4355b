"""Simple networks that a learned one has to beat: co-expression, trees, motifs, distance, potentials."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core.rows import column_sums
from tilegrn._core.tss_pairs import window_scores
from tilegrn._stats.metrics import normalised_log1p, size_factors
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["BASELINES", "baseline_network"]

BASELINES = ("correlation", "trees", "motif", "distance", "potential")
"""Names of the baseline networks."""

logger = logging.getLogger(__name__)


def baseline_network(
    mdata: MuData,
    method: str,
    tfs: NDArray[np.int64],
    genes: NDArray[np.int64],
    *,
    max_cells: int = 2000,
    seed: int = 0,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> NDArray[np.float32]:
    """Score every TF-gene pair by a simple method.

    Parameters
    ----------
    mdata
        Prepared data; ``"motif"``, ``"distance"`` and ``"potential"`` need ``tss_distance`` and binding.
    method
        ``"correlation"``: absolute Pearson correlation of log-normalised expression over all cells.
        ``"trees"``: importance of the TF in extremely randomised trees that predict the gene from all other TFs, as in
        GENIE3 (Huynh-Thu et al. 2010), which GRNBoost2 follows; on at most ``max_cells`` cells.
        ``"motif"``: binding summed over the open windows within reach, whatever their distance.
        ``"distance"``: exp(-d / decay) of the nearest open window that the TF binds.
        ``"potential"``: the notebook's score: binding x TF expression x accessibility x exp(-d / decay), summed over
        the windows.
    tfs, genes
        Columns of the RNA.
    max_cells, seed
        Cells drawn for trees.

    Returns
    -------
    TFs x genes, float32, 0 or more.
    """
    if method not in BASELINES:
        msg = f"'{method}' is no baseline network; there are {list(BASELINES)}."
        raise InputError(msg)
    adata, _ = check.paired(mdata, rna, atac)
    if method in ("correlation", "trees"):
        counts = check.counts(adata, rna, layer, warn_empty=False)
        depth = np.asarray(counts.sum(1), dtype=np.float64).ravel()
        size = np.maximum(size_factors(depth), 1e-3)
        expression = normalised_log1p(counts, size)
        if method == "correlation":
            return correlation(expression, tfs, genes)
        rng = np.random.default_rng(seed)
        order = check.by_name(adata.obs_names)
        rows = order[np.sort(rng.choice(len(order), size=min(max_cells, len(order)), replace=False))]
        return tree_importance(expression[rows], tfs, genes, seed=seed)
    binding = store.window_binding(mdata, rna, atac)[tfs].astype(np.float64)
    near = window_scores(mdata, rna)[genes]
    opened = column_sums(store.window_rows(mdata, atac)) / adata.n_obs
    used = np.flatnonzero(opened)
    binding, near = sparse.csr_matrix(binding[:, used]), sparse.csr_matrix(near[:, used])
    if method == "distance":
        return nearest_bound(binding, near)
    if method == "motif":
        near.data[:] = 1.0
        return np.asarray((binding @ near.T).toarray(), dtype=np.float32)
    counts = check.counts(adata, rna, layer, warn_empty=False)
    level = np.asarray(counts[:, tfs].mean(axis=0), dtype=np.float64).ravel()
    weighted = sparse.diags(level) @ binding @ sparse.diags(opened[used])
    return np.asarray((weighted @ near.T).toarray(), dtype=np.float32)


def correlation(expression: sparse.csr_matrix, tfs: NDArray[np.int64], genes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Absolute Pearson correlation of columns, TFs x genes, without a dense copy of the cells; 0 for constant ones."""
    x = sparse.csc_matrix(expression)
    n = x.shape[0]
    a, b = x[:, tfs], x[:, genes]
    mean_a, mean_b = (np.asarray(m.mean(axis=0)).ravel() for m in (a, b))
    var_a, var_b = (
        np.maximum(np.asarray(m.multiply(m).mean(axis=0)).ravel() - mean**2, 0.0)
        for m, mean in ((a, mean_a), (b, mean_b))
    )
    cov = np.asarray((a.T @ b).toarray()) / n - np.outer(mean_a, mean_b)
    scale = np.sqrt(np.outer(var_a, var_b))
    out = np.divide(cov, scale, out=np.zeros_like(cov), where=scale > 1e-12)
    return np.asarray(np.abs(out), dtype=np.float32)


def tree_importance(
    expression: sparse.csr_matrix, tfs: NDArray[np.int64], genes: NDArray[np.int64], *, seed: int, n_trees: int = 50
) -> NDArray[np.float32]:
    """Impurity importance of each TF for each gene in trees of depth 8."""
    from sklearn.ensemble import ExtraTreesRegressor

    x = np.ascontiguousarray(expression[:, tfs].toarray(), dtype=np.float32)
    y = sparse.csc_matrix(expression[:, genes])
    out = np.zeros((len(tfs), len(genes)), dtype=np.float32)
    for j, gene in enumerate(genes):
        target = y[:, [j]].toarray().ravel()
        if target.std() < 1e-12:
            continue
        columns = np.flatnonzero(tfs != gene)
        if not len(columns):
            continue
        trees = ExtraTreesRegressor(
            n_estimators=n_trees, max_depth=8, max_features="sqrt", min_samples_leaf=5, random_state=seed, n_jobs=1
        )
        trees.fit(x[:, columns], target / target.std())
        out[columns, j] = trees.feature_importances_
        if (j + 1) % 500 == 0:
            logger.info("Trees for %d of %d genes", j + 1, len(genes))
    return out


def nearest_bound(binding: sparse.csr_matrix, near: sparse.csr_matrix) -> NDArray[np.float32]:
    """Largest distance score over the windows that a TF binds, TFs x genes; 0 where it binds none within reach."""
    by_window = sparse.csc_matrix(near)
    out = np.zeros((binding.shape[0], near.shape[0]), dtype=np.float32)
    for t in range(binding.shape[0]):
        mine = binding.indices[binding.indptr[t] : binding.indptr[t + 1]]
        if len(mine):
            out[t] = by_window[:, mine].max(axis=1).toarray().ravel()
    return out
