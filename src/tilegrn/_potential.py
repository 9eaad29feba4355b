"""Binding and regulatory potentials of a cell or a pool of cells, as sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn import _check, _store
from tilegrn._tss_pairs import peak_gene_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["Ingredients", "Pooled", "gather", "pooled_potentials"]


@dataclass(frozen=True, eq=False)
class Pooled:
    """Potentials of one pool of cells.

    Attributes
    ----------
    tf_peak
        Peaks x TFs binding potential: binding score x TF expression, CSR float64.
    peak_tg
        Peaks x genes regulatory potential: accessibility x distance score, CSR float64.
    peak_window
        Window number of each peak; -1 without one.
    tfs, peaks, genes
        Labels.
    """

    tf_peak: sparse.csr_matrix
    peak_tg: sparse.csr_matrix
    peak_window: NDArray[np.int64]
    tfs: list[str]
    peaks: pd.Index
    genes: pd.Index


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What the potentials of any pool are made of, read and checked once."""

    expression: sparse.csr_matrix
    accessibility: sparse.csr_matrix
    binding: sparse.csr_matrix
    distance: sparse.csr_matrix
    peak_window: NDArray[np.int64]
    tf_row: NDArray[np.int64]
    tfs: list[str]
    cells: pd.Index
    peaks: pd.Index
    genes: pd.Index

    def pool(self, rows: NDArray[np.int64], *, mean: bool = True) -> Pooled:
        """Multiply the four factors for the mean (or sum) over some cells."""
        scale = 1.0 / len(rows) if mean else 1.0
        x = np.asarray(self.expression[rows].sum(axis=0), dtype=np.float64).ravel() * scale
        a = np.asarray(self.accessibility[rows].sum(axis=0), dtype=np.float64).ravel() * scale
        tf_peak = sparse.csr_matrix(self.binding @ sparse.diags(x[self.tf_row]))
        peak_tg = sparse.csr_matrix(sparse.diags(a) @ self.distance)
        tf_peak.eliminate_zeros()
        peak_tg.eliminate_zeros()
        return Pooled(tf_peak, peak_tg, self.peak_window, self.tfs, self.peaks, self.genes)


def gather(mdata: MuData, *, layer: str | None, atac_layer: str | None, rna: str, atac: str) -> Ingredients:
    """Read counts, binding and distances.

    Raises
    ------
    MissingStepError
        If a step was not run; the message names it.
    """
    radata, aadata = _check.paired(mdata, rna, atac)
    binding, tfs = _store.peak_binding(mdata, atac, score=True)
    row = radata.var_names.get_indexer(pd.Index(tfs))  # exactly: what was stored was spelt as the genes were
    if (row < 0).any():  # genes were removed since: their TFs have no expression any more
        kept = np.flatnonzero(row >= 0)
        binding, tfs, row = binding[:, kept], [tfs[i] for i in kept], row[kept]
    peak, gene, _, score = peak_gene_pairs(mdata, rna=rna, atac=atac)
    membership = _store.peak_windows(mdata, atac)
    window = np.full(aadata.n_vars, -1, dtype=np.int64)
    window[np.flatnonzero(np.diff(membership.indptr))] = membership.indices
    return Ingredients(
        expression=_check.counts(radata, rna, layer, warn_empty=False),
        accessibility=_check.counts(aadata, atac, atac_layer, integer=False, warn_empty=False),
        binding=binding.astype(np.float64),
        distance=sparse.csr_matrix((score, (peak, gene)), shape=(aadata.n_vars, radata.n_vars)),
        peak_window=window,
        tf_row=row,
        tfs=tfs,
        cells=radata.obs_names,
        peaks=aadata.var_names,
        genes=radata.var_names,
    )


def pooled_potentials(
    mdata: MuData, cells: str | Sequence[str] | None, *, layer: str | None, rna: str, atac: str
) -> Pooled:
    """Potentials of one cell, or of the mean of several."""
    got = gather(mdata, layer=layer, atac_layer=None, rna=rna, atac=atac)
    return got.pool(_check.rows_of(mdata, cells, got.cells))
