"""TF-peak, peak-TG and TF-peak-TG potentials: the notebook's scores, for any cell or pool of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core.symbols import labelled, match_symbols
from tilegrn._core.tss_pairs import peak_gene_pairs
from tilegrn.errors import InputError
from tilegrn.get._triplets import count_products, triplet_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid

__all__ = ["Potentials", "Tensor", "potentials", "tensor"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A dense slice of TF x window x TG scores.

    Attributes
    ----------
    values
        TFs x windows x genes, float64.
    tfs, windows, genes
        Labels of the axes.

    Examples
    --------
    >>> cell = mdata["rna"].obs_names[0]
    >>> part = grn.get.tensor(mdata, cell, tfs=["Tf1", "Tf2"], genes=["Gene12"])
    >>> part.values.shape == (len(part.tfs), len(part.windows), len(part.genes))
    True
    """

    values: NDArray[np.float64]
    tfs: list[str]
    windows: list[str]
    genes: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of TFs, windows and genes."""
        return self.values.shape


@dataclass(frozen=True, eq=False)
class Potentials:
    """Potentials of one cell or pool of cells; all sparse, and the triplets made on demand.

    Attributes
    ----------
    tf_peak
        Peaks x TFs binding potential (binding score x mean TF count), CSR float64.
    peak_tg
        Peaks x genes regulatory potential (mean peak count x distance score), CSR float64.
    n_cells
        Number of cells pooled.
    peak_window
        Window number of each peak; -1 without one.
    tfs, peaks, genes
        Labels of the axes.

    Examples
    --------
    >>> pool = grn.tl.potentials(mdata)  # the mean of all cells
    >>> pool.tf_tg.shape  # TFs x genes
    (8, 40)
    >>> pool.scores(level="peak", genes=["Gene12"]).columns.tolist()
    ['source_id', 'peak_id', 'target_id', 'tf_peak_tg_score']
    """

    tf_peak: sparse.csr_matrix
    peak_tg: sparse.csr_matrix
    n_cells: int
    peak_window: NDArray[np.int64]
    tfs: list[str]
    peaks: pd.Index
    genes: pd.Index
    _grid: Grid

    @property
    def tf_tg(self) -> sparse.csr_matrix:
        """TFs x genes: TF-peak-TG scores summed over all peaks, CSR float64."""
        return sparse.csr_matrix(self.tf_peak.T @ self.peak_tg)

    def scores(
        self,
        *,
        level: Literal["peak", "window"] = "window",
        tfs: Sequence[str] | None = None,
        genes: Sequence[str] | None = None,
        max_rows: int = 50_000_000,
    ) -> pd.DataFrame:
        """List TF-peak-TG scores, or their sums over the peaks of each window.

        Parameters
        ----------
        level
            ``"peak"`` or ``"window"``.
        tfs, genes
            Keep these only.
        max_rows
            Refuse to form more products than this.

        Returns
        -------
        DataFrame with ``source_id``, ``peak_id`` or ``window_id``, ``target_id`` (categorical) and
        ``tf_peak_tg_score`` or ``tf_window_tg_score`` (float64); rows that are zero are left out.

        Raises
        ------
        InputError
            If there are more than ``max_rows`` products, or a label or level is unknown.
        """
        if level not in ("peak", "window"):
            msg = f"level='{level}' must be 'peak' or 'window'."
            raise InputError(msg)
        tf_peak, tf_names = _restrict(self.tf_peak, self.tfs, tfs, "TFs with binding")
        peak_tg, gene_names = _restrict(self.peak_tg, list(self.genes), genes, "genes")
        n = count_products(tf_peak, peak_tg)
        if n > max_rows:
            msg = (
                f"{n} TF-peak-TG products are not zero, more than max_rows={max_rows}. Name fewer tfs or genes, or use "
                "tf_tg, which sums over the peaks."
            )
            raise InputError(msg)
        region = self.peak_window if level == "window" else np.arange(len(self.peaks), dtype=np.int64)
        parts = list(triplet_sums(tf_peak, peak_tg, region))
        cat = [np.concatenate([p[k] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for k in range(4)]
        if level == "window":
            used, code = np.unique(cat[1], return_inverse=True)
            names = self._grid.names(used)
        else:
            code, names = cat[1], self.peaks.to_numpy(object)
        return pd.DataFrame(
            {
                "source_id": labelled(cat[0], tf_names),
                f"{level}_id": labelled(code, names),
                "target_id": labelled(cat[2], gene_names),
                f"tf_{level}_tg_score": cat[3].astype(np.float64),
            }
        )

    def tensor(
        self,
        *,
        tfs: Sequence[str] | None = None,
        windows: Sequence[str] | None = None,
        genes: Sequence[str] | None = None,
        max_gb: float = 1.0,
    ) -> Tensor:
        """Build a dense slice of the TF x window x TG scores, the sums over the peaks of each window.

        Parameters
        ----------
        tfs, windows, genes
            Labels to keep, in this order; all when None (windows: all that hold peaks).
        max_gb
            Refuse to build more than this many gigabytes.

        Returns
        -------
        :class:`Tensor`: TFs x windows x genes, float64, with its labels.

        Raises
        ------
        InputError
            If the slice does not fit ``max_gb``, or a label is unknown.
        """
        tf_peak, tf_names = _restrict(self.tf_peak, self.tfs, tfs, "TFs with binding")
        peak_tg, gene_names = _restrict(self.peak_tg, list(self.genes), genes, "genes")
        number = np.unique(self.peak_window[self.peak_window >= 0]) if windows is None else self._grid.numbers(windows)
        if (number < 0).any():
            bad = np.asarray(windows, dtype=object)[number < 0]
            msg = (
                f"{len(bad)} windows are none of this assembly, e.g. '{bad[0]}'; grn.get.windows(mdata) lists those "
                f"with peaks."
            )
            raise InputError(msg)
        shape = (len(tf_names), len(number), len(gene_names))
        size = shape[0] * shape[1] * shape[2] * 8 / 1e9
        if size > max_gb:
            msg = (
                f"{shape[0]} TFs x {shape[1]} windows x {shape[2]} genes would take {size:.1f} GB, more than "
                f"max_gb={max_gb}. Name fewer tfs, windows or genes, or use scores, which leaves zeros out."
            )
            raise InputError(msg)
        region = pd.Index(number).get_indexer(pd.Index(self.peak_window)).astype(np.int64)
        values = np.zeros(shape)
        for part in triplet_sums(tf_peak, peak_tg, region):
            values[part.tf, part.region, part.gene] = part.score
        return Tensor(values, tf_names, [str(n) for n in self._grid.names(number)], gene_names)


def _restrict(
    mat: sparse.csr_matrix, names: list[str], wanted: Sequence[str] | None, what: str
) -> tuple[sparse.csr_matrix, list[str]]:
    if wanted is None:
        return mat, [str(n) for n in names]
    labels = [str(w) for w in wanted]
    pos = match_symbols(labels, names)
    if (pos < 0).any():
        msg = f"{int((pos < 0).sum())} labels are no {what}, e.g. '{labels[int(np.flatnonzero(pos < 0)[0])]}'."
        raise InputError(msg)
    return sparse.csr_matrix(mat[:, pos]), labels


def tensor(
    mdata: MuData,
    cells: str | Sequence[str],
    *,
    tfs: Sequence[str] | None = None,
    windows: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    max_gb: float = 1.0,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> Tensor:
    """Build a dense slice of the TF x window x TG scores of one cell, or of the mean of several.

    The same as ``grn.tl.potentials(mdata, cells).tensor(...)``.

    Parameters
    ----------
    mdata
        Multiome data after ``bin_peaks``, ``tss_distance`` and ``add_binding``.
    cells
        One barcode, or several whose counts are averaged.
    tfs, windows, genes, max_gb
        As in :meth:`Potentials.tensor`.
    layer, rna, atac
        As in :func:`tilegrn.tl.potentials`.

    Returns
    -------
    :class:`Tensor`: TFs x windows x genes, float64, with its labels.

    Raises
    ------
    InputError
        If the slice does not fit ``max_gb``, or a label is unknown.
    MissingStepError
        If a step was not run; the message names it.

    Examples
    --------
    >>> cells = mdata["rna"].obs_names[:10].tolist()
    >>> grn.get.tensor(mdata, cells, genes=["Gene12", "Gene30"]).shape  # TFs, windows, genes
    (8, 150, 2)
    """
    pooled = cast("Potentials", potentials(mdata, cells, layer=layer, rna=rna, atac=atac))
    return pooled.tensor(tfs=tfs, windows=windows, genes=genes, max_gb=max_gb)


def potentials(
    mdata: MuData,
    cells: str | Sequence[str] | NDArray[np.bool_] | None = None,
    *,
    groupby: str | None = None,
    layer: str | None = None,
    atac_layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> Potentials | dict[str, Potentials]:
    """Combine binding, expression, accessibility and distance into regulatory potentials.

    TF-peak binding potential = binding score x TF expression; peak-TG regulatory potential = accessibility x distance
    score; TF-peak-TG score = their product over the shared peak, which :meth:`Potentials.scores` lists by peak or
    window and :meth:`Potentials.tensor` gives as a dense slice. Counts are averaged over cells and else taken as they
    are (the original notebook's definitions). The TF x window x TG tensor is never built whole.

    Parameters
    ----------
    mdata
        Multiome data after ``bin_peaks``, ``tss_distance`` and ``add_binding`` or ``homer_binding``.
    cells
        A barcode, several, or a mask: pooled into one. All cells when None.
    groupby
        Column of ``obs``; gives one result for each of its groups (of ``cells``).
    layer, atac_layer
        Layers of the RNA and ATAC counts; None is X.
    rna, atac
        Names of the modalities.

    Returns
    -------
    :class:`Potentials`, or with ``groupby`` a dictionary of them. Nothing is written.

    Raises
    ------
    MissingStepError, StaleError
        If a step was not run, or must be run again; the message names it.
    InputError
        On unknown cells or columns.

    Examples
    --------
    >>> by_type = grn.tl.potentials(mdata, groupby="cell_type")
    >>> table = by_type["type1"].scores(genes=["Gene12"])
    >>> table.columns.tolist()
    ['source_id', 'window_id', 'target_id', 'tf_window_tg_score']
    """
    radata, aadata = check.paired(mdata, rna, atac)
    binding, tfs = store.peak_binding(mdata, atac, score=True)
    row = radata.var_names.get_indexer(pd.Index(tfs))  # exactly: what was stored was spelt as the genes were
    if (row < 0).any():  # genes were removed since: their TFs have no expression any more
        kept = np.flatnonzero(row >= 0)
        binding, tfs, row = binding[:, kept], [tfs[i] for i in kept], row[kept]
    peak, gene, _, score = peak_gene_pairs(mdata, rna=rna, atac=atac)
    membership = store.peak_windows(mdata, atac)
    window = np.full(aadata.n_vars, -1, dtype=np.int64)
    window[np.flatnonzero(np.diff(membership.indptr))] = membership.indices
    expression = check.counts(radata, rna, layer, warn_empty=False)
    accessibility = check.counts(aadata, atac, atac_layer, integer=False, warn_empty=False)
    binding = binding.astype(np.float64)
    distance = sparse.csr_matrix((score, (peak, gene)), shape=(aadata.n_vars, radata.n_vars))
    rows = check.rows_of(mdata, cells, radata.obs_names)
    grid = store.get_grid(mdata)

    def one(mine: NDArray[np.int64]) -> Potentials:
        x, a = (
            np.asarray(counts[mine].sum(axis=0), dtype=np.float64).ravel() * (1.0 / len(mine))
            for counts in (expression, accessibility)
        )
        tf_peak = sparse.csr_matrix(binding @ sparse.diags(x[row]))
        peak_tg = sparse.csr_matrix(sparse.diags(a) @ distance)
        tf_peak.eliminate_zeros()
        peak_tg.eliminate_zeros()
        return Potentials(tf_peak, peak_tg, len(mine), window, tfs, aadata.var_names, radata.var_names, grid)

    if groupby is None:
        return one(rows)
    labels = check.cell_labels(mdata, groupby, rna, atac)[rows]
    return {str(group): one(rows[labels == group]) for group in np.unique(labels)}
