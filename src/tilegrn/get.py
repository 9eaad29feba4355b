"""Labelled tables of what the slots hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn import _store
from tilegrn._edges_table import edges
from tilegrn._potential import pooled_potentials
from tilegrn._symbols import labelled, match_symbols
from tilegrn._triplets import triplet_sums
from tilegrn._tss_pairs import peak_gene_pairs, window_scores
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["Tensor", "binding", "edges", "peak_tg", "tensor", "window_tg", "windows"]


def windows(mdata: MuData, *, atac: str = "atac") -> pd.DataFrame:
    """List the windows that hold peaks.

    Parameters
    ----------
    mdata
        Multiome data.
    atac
        Name of the modality.

    Returns
    -------
    DataFrame indexed by window name (``chr1:3000-4000``) with ``window`` (number, the column in the window matrices),
    ``chrom``, ``start``, ``end`` (bp, half-open) and ``n_peaks``.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.pp.bin_peaks`.
    """
    grid = _store.get_grid(mdata)
    number, n_peaks = np.unique(_store.peak_windows(mdata, atac).indices, return_counts=True)
    number = number.astype(np.int64)
    return pd.DataFrame(
        {
            "window": number,
            "chrom": np.asarray(grid.chroms, dtype=object)[grid.chrom_of(number)],
            "start": grid.starts(number),
            "end": grid.ends(number),
            "n_peaks": n_peaks,
        },
        index=pd.Index(grid.names(number), name="name"),
    )


def peak_tg(mdata: MuData, *, rna: str = "rna", atac: str = "atac") -> pd.DataFrame:
    """List peak-TG pairs within reach, with distance and score (the notebook's table).

    Parameters
    ----------
    mdata
        Multiome data.
    rna, atac
        Names of the modalities.

    Returns
    -------
    DataFrame with ``peak_id``, ``target_id`` (categorical), ``TSS_dist`` (bp, int64) and ``TSS_dist_score`` (float64),
    nearest first. With ``multiple="all"`` a gene has a row for each of its TSSs.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.pp.tss_distance`.
    """
    peak, gene, dist, score = peak_gene_pairs(mdata, rna=rna, atac=atac, every_tss=True)
    order = np.lexsort((gene, peak, dist))
    return pd.DataFrame(
        {
            "peak_id": labelled(peak[order], mdata.mod[atac].var_names),
            "target_id": labelled(gene[order], mdata.mod[rna].var_names),
            "TSS_dist": dist[order],
            "TSS_dist_score": score[order],
        }
    )


def window_tg(mdata: MuData, *, rna: str = "rna") -> pd.DataFrame:
    """List window-TG pairs within reach with their distance and its score.

    Parameters
    ----------
    mdata
        Multiome data.
    rna
        Name of the modality.

    Returns
    -------
    DataFrame with ``window_id``, ``target_id`` (categorical), ``distance`` (bp to the nearest TSS, int64) and
    ``distance_score`` (float64).

    Raises
    ------
    MissingStepError, StaleError
        Before :func:`tilegrn.pp.tss_distance`, or after other windows were made.
    """
    grid = _store.get_grid(mdata)
    mat = _store.tss_distance(mdata, rna).tocoo()
    score = window_scores(mdata, rna)
    used, code = np.unique(mat.col, return_inverse=True)
    return pd.DataFrame(
        {
            "window_id": labelled(code, grid.names(used)),
            "target_id": labelled(mat.row, mdata.mod[rna].var_names),
            "distance": mat.data.astype(np.int64) - 1,
            "distance_score": score.data,
        }
    )


def binding(mdata: MuData, *, atac: str = "atac") -> pd.DataFrame:
    """List TF-peak pairs with motif hits (the notebook's table, with TF symbols as sources).

    Parameters
    ----------
    mdata
        Multiome data.
    atac
        Name of the modality.

    Returns
    -------
    DataFrame with ``source_id``, ``peak_id`` (categorical), ``tf_motifs_in_peak`` and ``homer_binding_score``.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.pp.add_binding` or :func:`tilegrn.pp.homer_binding`.
    """
    hits, tfs = _store.peak_binding(mdata, atac, score=False)
    score, _ = _store.peak_binding(mdata, atac, score=True)
    at = hits.tocoo()
    return pd.DataFrame(
        {
            "source_id": labelled(at.col, tfs),
            "peak_id": labelled(at.row, mdata.mod[atac].var_names),
            "tf_motifs_in_peak": at.data,
            "homer_binding_score": np.asarray(score[at.row, at.col]).ravel() if at.nnz else at.data,
        }
    )


@dataclass(frozen=True, eq=False)
class Tensor:
    """A dense slice of TF x window x TG scores.

    Attributes
    ----------
    values
        TFs x windows x genes, float64.
    tfs, windows, genes
        Labels of the axes.
    """

    values: NDArray[np.float64]
    tfs: list[str]
    windows: list[str]
    genes: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of TFs, windows and genes."""
        return self.values.shape


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

    Entry (t, w, g) is the sum over the peaks p of window w of binding score(t, p) x expression(t) x accessibility(p) x
    distance score(p, g), as :func:`tilegrn.tl.potentials` gives it in sparse form.

    Parameters
    ----------
    mdata
        Multiome data after ``bin_peaks``, ``tss_distance`` and ``add_binding``.
    cells
        One barcode, or several whose counts are averaged.
    tfs, windows, genes
        Labels to keep, in this order; all when None (windows: all that hold peaks).
    max_gb
        Refuse to build more than this many gigabytes.
    layer
        Layer of the RNA counts; None is X.
    rna, atac
        Names of the modalities.

    Returns
    -------
    :class:`Tensor`: TFs x windows x genes, float64, with its labels.

    Raises
    ------
    InputError
        If the slice does not fit ``max_gb``, or a label is unknown.
    MissingStepError
        If a step was not run; the message names it.
    """
    pooled = pooled_potentials(mdata, cells, layer=layer, rna=rna, atac=atac)
    grid = _store.get_grid(mdata)
    tf_labels = list(pooled.tfs) if tfs is None else [str(t) for t in tfs]
    gene_labels = list(pooled.genes) if genes is None else [str(g) for g in genes]
    occupied = np.unique(pooled.peak_window[pooled.peak_window >= 0])
    number = occupied if windows is None else grid.numbers(windows)
    if (number < 0).any():
        bad = np.asarray(windows, dtype=object)[number < 0]
        msg = (
            f"{len(bad)} windows are none of this assembly, e.g. '{bad[0]}'; grn.get.windows(mdata) lists those with "
            f"peaks."
        )
        raise InputError(msg)
    size = len(tf_labels) * len(number) * len(gene_labels) * 8 / 1e9
    if size > max_gb:
        msg = (
            f"{len(tf_labels)} TFs x {len(number)} windows x {len(gene_labels)} genes would take {size:.1f} GB, more "
            f"than "
            f"max_gb={max_gb}. Name fewer tfs, windows or genes, or use the sparse grn.tl.potentials(mdata)."
        )
        raise InputError(msg)
    tf_pos, gene_pos = match_symbols(tf_labels, pooled.tfs), match_symbols(gene_labels, pooled.genes)
    for labels, pos, what in ((tf_labels, tf_pos, "TFs with binding"), (gene_labels, gene_pos, f"genes of '{rna}'")):
        if (pos < 0).any():
            msg = f"{int((pos < 0).sum())} labels are no {what}, e.g. '{labels[int(np.flatnonzero(pos < 0)[0])]}'."
            raise InputError(msg)
    position = pd.Index(number)
    region = position.get_indexer(pd.Index(pooled.peak_window))
    values = np.zeros((len(tf_labels), len(number), len(gene_labels)))
    for part in triplet_sums(pooled.tf_peak[:, tf_pos], pooled.peak_tg[:, gene_pos], region.astype(np.int64)):
        values[part.tf, part.region, part.gene] = part.score
    return Tensor(values, tf_labels, [str(n) for n in grid.names(number)], gene_labels)
