"""Distances from windows and peaks to transcription start sites, and the score that decays with them."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.intervals import Anchor, Multiple, distance_pairs, sum_or_nearest
from tilegrn._core.peaks import match_chroms
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import check_assembly
from tilegrn.io.annotation._tss import read_tss, without_y_copies
from tilegrn.pp._assembly import own_rows, refuse_other_assembly, warn_far_from_peaks, warn_letter_case

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid

__all__ = ["tss_distance"]

logger = logging.getLogger(__name__)

_MOST_BP = 2**31 - 1
"""Distances plus one are kept as int32."""


def _own_tss(table: pd.DataFrame, genes: pd.Index, grid: Grid) -> pd.DataFrame:
    """Keep the TSSs of the genes at hand, with the assembly's chromosome names, and say what is missing."""
    own, found = own_rows(table, genes)
    sizes = dict(zip(grid.chroms, map(int, grid.lengths), strict=True))
    mapping = match_chroms(own["chrom"], sizes, what="TSS", max_absent=None, assembly=grid.assembly)
    own = own.assign(chrom=[mapping.get(c, c) for c in own["chrom"]])
    own = without_y_copies(own.loc[own["chrom"].isin(sizes)])
    if own.empty:
        msg = (
            f"No TSS of these genes lies on a chromosome of {grid.assembly or 'the assembly'} ({list(sizes)[:3]} ...)."
        )
        raise InputError(msg)
    check_assembly(own["chrom"], own["pos"], own["pos"] + 1, sizes, grid.assembly, what="TSS")
    refuse_other_assembly(str(table.attrs.get("origin", "")), grid)
    warn_letter_case(found, stacklevel=3)
    missing = genes[~np.isin(np.arange(len(genes)), own["row"])]
    if len(missing):
        warnings.warn(
            f"{len(missing)} of {len(genes)} genes have no TSS in the table, e.g. {list(map(str, missing[:5]))}: "
            "they get no distances and cannot be predicted from windows.",
            UserWarning,
            stacklevel=3,
        )
    return own.sort_values(["row", "chrom", "pos"], kind="stable").reset_index(drop=True)


def distance_matrix(
    grid: Grid,
    windows: NDArray[np.int64],
    tss: pd.DataFrame,
    n_genes: int,
    *,
    max_distance: int,
    anchor: Anchor,
) -> sparse.csr_matrix:
    """Genes x windows, bp to the nearest TSS plus one for the given windows, CSR int32.

    Parameters
    ----------
    grid
        The window vocabulary.
    windows
        Sorted numbers of the windows to measure (those that hold peaks).
    tss
        Columns ``row`` (gene position), ``chrom``, ``pos``, ``strand``.
    n_genes
        Number of rows of the result.
    max_distance, anchor
        As in :func:`tss_distance`.
    """
    interval, site, distance = distance_pairs(
        grid.chrom_of(windows),
        grid.starts(windows),
        grid.ends(windows),
        grid.chrom_codes(tss["chrom"]),
        tss["pos"].to_numpy(np.int64),
        max_distance=max_distance,
        anchor=anchor,
    )
    gene = tss["row"].to_numpy(np.int64)[site]
    gene, interval, nearest, _ = sum_or_nearest(gene, interval, distance, decay=None, multiple="nearest")
    stored = (nearest + 1).astype(np.int32)
    mat = sparse.csr_matrix((stored, (gene, windows[interval])), shape=(n_genes, grid.n_windows))
    mat.sort_indices()
    return mat


def tss_distance(
    mdata: MuData,
    tss: str | Path | pd.DataFrame | Any,
    *,
    max_distance: int = 1_000_000,
    decay: float = 25_000,
    anchor: Anchor = "edge",
    multiple: Multiple = "nearest",
    gene_key: str = "gene_name",
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    r"""Measure how near each window is to each gene's transcription start site, and say how distance is scored.

    Kept are distances in bp of windows within ``max_distance`` (inclusive). Every later step scores them as
    :math:`e^{-d / decay}`, the decay that LINGER uses for cis-regulatory potential (Yuan and Duren, Nat Biotechnol
    2025). Distances have no sign and no strand. Only windows that hold a peak are measured.

    Parameters
    ----------
    mdata
        Multiome data after :func:`bin_peaks`.
    tss
        ``"mm10"`` or ``"hg38"`` (RefSeq), a BED or GTF path, a DataFrame or PyRanges; see :func:`tilegrn.io.read_tss`.
    max_distance
        Largest distance in bp.
    decay
        Decay length in bp.
    anchor
        Where the distance is measured from: ``"edge"`` is 0 if the window holds the TSS, else the bp to its nearest
        base; ``"center"`` is from the middle; ``"end"`` is ``|end - TSS|``, the original notebook's rule (neither edge
        to edge nor from the middle, whatever the strand).
    multiple
        Genes with several TSSs: ``"nearest"`` scores the nearest; ``"all"`` sums the scores of all, as the notebook
        does. The distance is that of the nearest in both.
    gene_key
        Gene attribute of a GTF.
    rna, atac
        Names of the modalities.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes ``rna.varm["tss_distance"]`` (genes x windows, CSR int32: bp to the nearest
    TSS plus one, so that 0 bp is stored and no entry means out of reach) and the TSS table with its hash in ``uns``.
    :func:`tilegrn.get.window_tg` lists distances and scores, :func:`tilegrn.get.peak_tg` those of the peaks themselves.

    Raises
    ------
    MissingStepError
        Before :func:`bin_peaks`.
    InputError
        If gene symbols repeat, none is in the table, or the table is of another species (most symbols differ by letter
        case) or another assembly.

    Examples
    --------
    >>> grn.pp.tss_distance(mdata, "tss.bed")  # or "mm10", "hg38"
    >>> grn.get.window_tg(mdata).columns.tolist()
    ['window_id', 'target_id', 'TSS_dist', 'TSS_dist_score']
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    adata = mdata.mod[rna]
    for name, value in (("max_distance", max_distance), ("decay", decay)):
        if not 0 < value < _MOST_BP:
            msg = f"{name} is {value}; it must be above 0 and below {_MOST_BP} bp."
            raise InputError(msg)
    if anchor not in ("edge", "center", "end") or multiple not in ("nearest", "all"):
        msg = f"anchor='{anchor}' must be 'edge', 'center' or 'end'; multiple='{multiple}' must be 'nearest' or 'all'."
        raise InputError(msg)
    check.unique_names(
        adata.var_names,
        "gene names",
        "Merge them or keep one of each; suffixes such as '-1' would break the link to the TSS.",
    )
    grid = store.get_grid(mdata)
    membership = store.peak_windows(mdata, atac)
    table = read_tss(tss, gene_key=gene_key)
    own = _own_tss(table, adata.var_names, grid)
    windows = np.unique(membership.indices).astype(np.int64)
    warn_far_from_peaks(own, windows, grid, stacklevel=2)
    mat = distance_matrix(
        grid,
        windows,
        own,
        adata.n_vars,
        max_distance=int(max_distance),
        anchor=anchor,
    )
    unreached = np.setdiff1d(own["row"].unique(), np.flatnonzero(np.diff(mat.indptr)))
    if len(unreached):
        warnings.warn(
            f"{len(unreached)} of {adata.n_vars} genes have no window with a peak within {max_distance} bp, e.g. "
            f"{list(map(str, adata.var_names[unreached[:5]]))}.",
            UserWarning,
            stacklevel=2,
        )
    store.set_elem(adata, "varm", K.TSS_DISTANCE, mat)
    store.put_record(
        mdata,
        K.REC_TSS,
        {
            "gene": adata.var_names.to_numpy(object)[own["row"].to_numpy()],
            "chrom": own["chrom"].to_numpy(object),
            "pos": own["pos"].to_numpy(np.int64),
            "strand": own["strand"].to_numpy(object),
            "max_distance": int(max_distance),
            "decay": float(decay),
            "anchor": anchor,
            "multiple": multiple,
            "sha256": str(table.attrs.get("sha256", "")),
            "origin": Path(str(table.attrs.get("origin", ""))).name,  # a name, not a path of this machine
            "grid": grid.fingerprint,
            "windows": windows,
        },
    )
    logger.info("%d gene-window pairs within %d bp of %d TSSs.", mat.nnz, max_distance, len(own))
    return mdata if copy else None
