"""Features that all baselines of the scorecard share, every statistic from the training cells.

Expression of the TFs, ATAC components (tf-idf and truncated SVD), log size factor and log ATAC depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

from tilegrn._stats.lsi import fit_components, tf_idf
from tilegrn._stats.metrics import normalised_log1p, size_factors
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["N_LOADINGS", "N_MASKED_PASSES", "BaselineInputs", "judged_genes", "lsi", "make_inputs"]

N_MASKED_PASSES: Final = 5
"""Passes in which TF genes are predicted: each hides a fifth of the TFs and predicts those."""


N_LOADINGS: Final = 64
"""Components of a window that a DeepSet starts from."""


@dataclass(frozen=True)
class BaselineInputs:
    """Features and targets of all cells, made from training statistics.

    Attributes
    ----------
    counts
        Cells x genes, raw counts, CSR.
    logged
        Cells x genes, ``log1p(counts / size factor)``, CSR.
    size_factor
        RNA depth over the median depth of the training cells, shape (cells,).
    tf_genes
        Columns of ``counts`` that are TFs, shape (TFs,).
    tf
        Cells x TFs, ``log1p(counts)`` scaled to unit variance over the training cells. (Raw counts did better than
        counts over size factor, and unit variance better than unit range, for every baseline on the mouse cortex.)
    context
        Cells x (components + 2): ATAC components, log size factor, log ATAC depth; standardised over the training
        cells.
    accessible
        Cells x peaks or windows, CSR, 1 where any fragment lies.
    loadings
        Peaks or windows x up to 64 ATAC components, the first of which are those of ``context``.
    train, val, test
        Row numbers.
    mean_rate
        Training counts per unit of size factor, shape (genes,), above 0.
    """

    counts: sparse.csr_matrix
    logged: sparse.csr_matrix
    size_factor: Float
    tf_genes: Index
    tf: Float32
    context: Float32
    accessible: sparse.csr_matrix
    loadings: Float32
    train: Index
    val: Index
    test: Index
    mean_rate: Float

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.counts.shape[1])

    @property
    def unit(self) -> Float:
        """Log-normalised value per unit of rate, per gene: see :class:`Fitted`."""
        mean = np.asarray(self.logged[self.train].mean(axis=0)).ravel()
        return np.where(mean > 0, mean, 1.0) / self.mean_rate

    @property
    def pass_of_gene(self) -> Index:
        """Masked pass that predicts each gene: 0 (nothing hidden) for genes that are no TF, 1.. for TFs."""
        out = np.zeros(self.n_genes, dtype=np.int64)
        out[self.tf_genes] = 1 + np.arange(len(self.tf_genes)) % N_MASKED_PASSES
        return out

    def tf_in_pass(self, number: int) -> Float32:
        """TF features with those that a masked pass predicts set to 0."""
        if number == 0:
            return self.tf
        return np.where(self.pass_of_gene[self.tf_genes] == number, np.float32(0.0), self.tf)

    def tuning_cells(self, seed: int) -> tuple[Index, Index]:
        """Cells to fit on and cells to choose on: train and val; a tenth of train when there are no val cells."""
        if len(self.val):
            return self.train, self.val
        mixed = np.random.default_rng(seed).permutation(self.train)
        n = max(1, len(mixed) // 10)
        return np.sort(mixed[n:]), np.sort(mixed[:n])


def lsi(accessible: sparse.csr_matrix, train: Index, *, n_components: int = 50) -> tuple[Float32, Float32]:
    """Return cells x components and peaks x components (the loadings), fitted on the training cells; float32.

    Parameters
    ----------
    accessible
        Cells x peaks or windows, CSR of 0 and 1.
    train
        Rows the statistics come from.
    n_components
        At most this many; fewer for very small data.
    """
    idf, loadings = fit_components(accessible[train], min(n_components, max(len(train) - 1, 1)))
    return np.asarray(tf_idf(accessible, idf) @ loadings, dtype=np.float32), loadings


def _unit_variance(x: Float, train: Index, *, centre: bool) -> Float32:
    mean = x[train].mean(axis=0) if centre else 0.0
    std = x[train].std(axis=0)
    return ((x - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)


def make_inputs(
    counts: sparse.csr_matrix,
    accessibility: sparse.csr_matrix,
    is_tf: NDArray[np.bool_],
    splits: tuple[Index, Index, Index],
    *,
    reference_depth: float | None = None,
    n_components: int = 50,
) -> BaselineInputs:
    """Compute the features that all baselines share, every statistic from the training cells.

    Parameters
    ----------
    counts
        Cells x genes, raw counts.
    accessibility
        Cells x peaks (or windows), raw counts.
    is_tf
        Which genes are TFs, shape (genes,).
    splits
        Rows of the training, validation and test cells; all must have RNA counts.
    reference_depth
        RNA depth at size factor 1; the median of the training cells when None.
    n_components
        ATAC components.
    """
    train, val, test = splits
    if len(train) < 2:
        msg = f"Baselines need at least 2 training cells, there are {len(train)}. Run grn.pp.split_cells(mdata) again."
        raise InputError(msg)
    counts = sparse.csr_matrix(counts, dtype=np.float32)
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    sf = size_factors(depth, depth[train]) if reference_depth is None else depth / reference_depth
    safe = np.where(sf > 0, sf, 1.0)
    logged = normalised_log1p(counts, safe)
    accessible = sparse.csr_matrix(accessibility, dtype=np.float32, copy=True)
    atac_depth = np.asarray(accessible.sum(axis=1), dtype=np.float64).ravel()
    accessible.eliminate_zeros()
    accessible.data[:] = 1.0
    used = np.flatnonzero(np.asarray(accessible.sum(axis=0)).ravel() > 0)
    accessible = sparse.csr_matrix(accessible[:, used])
    components, loadings = lsi(accessible, train, n_components=max(n_components, N_LOADINGS))
    context = np.column_stack([components[:, :n_components], np.log(safe), np.log1p(atac_depth)])
    tf_genes = np.flatnonzero(is_tf)
    total = float(sf[train].sum())
    train_counts = np.asarray(counts[train].sum(axis=0), dtype=np.float64).ravel()
    return BaselineInputs(
        counts=counts,
        logged=logged,
        size_factor=sf,
        tf_genes=tf_genes,
        tf=_unit_variance(np.log1p(np.asarray(counts[:, tf_genes].todense(), dtype=np.float64)), train, centre=False),
        context=_unit_variance(context, train, centre=True),
        accessible=accessible,
        loadings=loadings,
        train=train,
        val=val,
        test=test,
        mean_rate=np.maximum(train_counts, 0.5) / total,
    )


def judged_genes(inputs: BaselineInputs, cells: Index, *, most: int = 2000) -> Index:
    """Genes worth tuning on: those seen in enough of the tuning cells, the most seen first, TFs left out."""
    seen = np.asarray((inputs.counts[cells] > 0).sum(axis=0)).ravel()
    seen[inputs.tf_genes] = 0
    order = np.argsort(-seen, kind="stable")[:most]
    enough = order[seen[order] >= 5]
    return enough if len(enough) else order
