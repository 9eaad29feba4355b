"""Labelled tables of what the slots hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import store
from tilegrn._core.symbols import labelled
from tilegrn._core.tss_pairs import peak_gene_pairs, window_scores

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["binding", "peak_tg", "window_tg", "windows"]


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

    Examples
    --------
    >>> grn.get.windows(mdata).columns.tolist()
    ['window', 'chrom', 'start', 'end', 'n_peaks']
    """
    grid = store.get_grid(mdata)
    number, n_peaks = np.unique(store.peak_windows(mdata, atac).indices, return_counts=True)
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

    Examples
    --------
    >>> grn.get.peak_tg(mdata).columns.tolist()
    ['peak_id', 'target_id', 'TSS_dist', 'TSS_dist_score']
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
    DataFrame with ``window_id``, ``target_id`` (categorical), ``TSS_dist`` (bp to the nearest TSS, int64) and
    ``TSS_dist_score`` (float64).

    Raises
    ------
    MissingStepError, StaleError
        Before :func:`tilegrn.pp.tss_distance`, or after other windows were made.

    Examples
    --------
    >>> near = grn.get.window_tg(mdata).query("TSS_dist < 5000")
    >>> near.columns.tolist()
    ['window_id', 'target_id', 'TSS_dist', 'TSS_dist_score']
    """
    grid = store.get_grid(mdata)
    mat = store.tss_distance(mdata, rna).tocoo()
    score = window_scores(mdata, rna)
    used, code = np.unique(mat.col, return_inverse=True)
    return pd.DataFrame(
        {
            "window_id": labelled(code, grid.names(used)),
            "target_id": labelled(mat.row, mdata.mod[rna].var_names),
            "TSS_dist": mat.data.astype(np.int64) - 1,
            "TSS_dist_score": score.data,
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

    Examples
    --------
    >>> grn.get.binding(mdata).columns.tolist()
    ['source_id', 'peak_id', 'tf_motifs_in_peak', 'homer_binding_score']
    """
    hits, tfs = store.peak_binding(mdata, atac, score=False)
    score, _ = store.peak_binding(mdata, atac, score=True)
    at = hits.tocoo()
    return pd.DataFrame(
        {
            "source_id": labelled(at.col, tfs),
            "peak_id": labelled(at.row, mdata.mod[atac].var_names),
            "tf_motifs_in_peak": at.data,
            "homer_binding_score": np.asarray(score[at.row, at.col]).ravel() if at.nnz else at.data,
        }
    )
