"""TF-peak, peak-TG and TF-peak-TG potentials: the notebook's scores, for any cell or pool of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn import _check, _store
from tilegrn._potential import Pooled, gather
from tilegrn._symbols import labelled, match_symbols
from tilegrn._triplets import count_products, triplet_sums
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._grid import Grid

__all__ = ["Potentials", "potentials"]

Level = Literal["peak", "window"]


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
    tfs, peaks, genes
        Labels of the axes.
    """

    tf_peak: sparse.csr_matrix
    peak_tg: sparse.csr_matrix
    n_cells: int
    tfs: list[str]
    peaks: pd.Index
    genes: pd.Index
    _pooled: Pooled
    _grid: Grid
    _level: Level

    @property
    def tf_tg(self) -> sparse.csr_matrix:
        """TFs x genes: TF-peak-TG scores summed over all peaks, CSR float64."""
        return sparse.csr_matrix(self.tf_peak.T @ self.peak_tg)

    def scores(
        self,
        *,
        level: Level | None = None,
        tfs: Sequence[str] | None = None,
        genes: Sequence[str] | None = None,
        max_rows: int = 50_000_000,
    ) -> pd.DataFrame:
        """List TF-peak-TG scores, or their sums over the peaks of each window.

        Parameters
        ----------
        level
            ``"peak"`` or ``"window"``; what :func:`potentials` was asked for when None.
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
            If there are more than ``max_rows`` products, or a label is unknown.
        """
        level = _level(level or self._level)
        tf_peak, tf_names = _restrict(self.tf_peak, self.tfs, tfs, "TFs with binding")
        peak_tg, gene_names = _restrict(self.peak_tg, list(self.genes), genes, "genes")
        n = count_products(tf_peak, peak_tg)
        if n > max_rows:
            msg = (
                f"{n} TF-peak-TG products are not zero, more than max_rows={max_rows}. Name fewer tfs or genes, or use "
                "tf_tg, which sums over the peaks."
            )
            raise InputError(msg)
        region = self._pooled.peak_window if level == "window" else np.arange(len(self.peaks), dtype=np.int64)
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


def _level(level: str) -> Level:
    if level == "peak":
        return "peak"
    if level == "window":
        return "window"
    msg = f"level='{level}' must be 'peak' or 'window'."
    raise InputError(msg)


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


def potentials(
    mdata: MuData,
    cells: str | Sequence[str] | NDArray[np.bool_] | None = None,
    *,
    groupby: str | None = None,
    level: Level = "window",
    pool: Literal["mean", "sum"] = "mean",
    layer: str | None = None,
    atac_layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> Potentials | dict[str, Potentials]:
    """Combine binding, expression, accessibility and distance into regulatory potentials.

    TF-peak binding potential = binding score x TF expression; peak-TG regulatory potential = accessibility x distance
    score; TF-peak-TG score = their product over the shared peak, summed over the peaks of a window at
    ``level="window"``. Counts are taken as they are (the original notebook's definitions). The TF x window x TG tensor
    is never dense.

    Parameters
    ----------
    mdata
        Multiome data after ``bin_peaks``, ``tss_distance`` and ``add_binding`` or ``homer_binding``.
    cells
        A barcode, several, or a mask: pooled into one. All cells when None.
    groupby
        Column of ``obs``; gives one result for each of its groups (of ``cells``).
    level
        What :meth:`Potentials.scores` lists by default.
    pool
        Pool counts by ``"mean"`` or ``"sum"``.
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
        On unknown cells, columns or levels.
    """
    level = _level(level)
    if pool not in ("mean", "sum"):
        msg = f"pool='{pool}' must be 'mean' or 'sum'."
        raise InputError(msg)
    got = gather(mdata, layer=layer, atac_layer=atac_layer, rna=rna, atac=atac)
    rows = _check.rows_of(mdata, cells, got.cells)
    grid = _store.get_grid(mdata)

    def one(mine: NDArray[np.int64]) -> Potentials:
        p = got.pool(mine, mean=pool == "mean")
        return Potentials(p.tf_peak, p.peak_tg, len(mine), p.tfs, p.peaks, p.genes, p, grid, level)

    if groupby is None:
        return one(rows)
    labels = _check.cell_labels(mdata, groupby, rna, atac)[rows]
    return {str(group): one(rows[labels == group]) for group in np.unique(labels)}
