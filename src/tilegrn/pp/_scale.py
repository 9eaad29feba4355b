"""log1p and scaling to [0, 1] of window accessibility and TF expression, fitted on training cells only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core import check, splits, store
from tilegrn._core import keys as K
from tilegrn._core.rows import Picked, in_memory
from tilegrn._core.scaling import MinMax, fit_minmax
from tilegrn.errors import InputError, MissingStepError

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["scale"]

logger = logging.getLogger(__name__)


def scale(
    mdata: MuData,
    *,
    split: str = K.SPLIT,
    like: MuData | None = None,
    layer: str | None = None,
    seed: int = 0,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    """Scale window accessibility and TF expression to [0, 1]: log1p, then min-max over the training cells.

    A range begins at a count of 0 and ends at the 95 % quantile of the feature's positive training counts, not at the
    largest: that grows with the number of cells, so that a model of a larger data set would see the same cell
    otherwise. Ranges are kept, so that other cells scale the same way; values above are set to 1. A feature that is the
    same in all training cells scales to 0.
    :func:`tilegrn.tl.train` reads them.

    Parameters
    ----------
    mdata
        Multiome data after :func:`bin_peaks` and :func:`add_binding` (or :func:`mark_tfs`).
    split
        Column of ``mdata.obs`` that says which cells train. If it is absent, the default random split is drawn and
        written, as :func:`split_cells` would.
    like
        A MuData that was scaled before: take its ranges instead of fitting (new cells of the same assembly).
    layer
        Layer of the RNA counts; None is X.
    seed
        Seed of the split, if one must be drawn.
    rna, atac, copy
        As in :func:`bin_peaks`.

    Returns
    -------
    ``None``, or the changed copy. Writes ``rna.var["scale_max"]`` (end of a TF's range in log1p counts, float64) and
    the ends of the windows' ranges in ``uns``, which is what :func:`tilegrn.tl.train` reads. Where the cells' sums over
    windows are kept (see :func:`bin_peaks`), also ``atac.obsm["windows_scaled"]`` (cells x windows, CSR float32) and
    ``rna.layers["scaled"]`` (cells x genes, TF columns filled, CSR float32).

    Raises
    ------
    MissingStepError
        Before :func:`bin_peaks`, or while no gene is marked as a TF.
    InputError
        If the cells are not paired, RNA values are not counts, or ``like`` has other windows.

    Examples
    --------
    >>> grn.pp.scale(mdata)
    >>> float(mdata["atac"].obsm["windows_scaled"].max())
    1.0
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    radata, aadata = check.paired(mdata, rna, atac)
    if K.IS_TF not in radata.var or not radata.var[K.IS_TF].any():
        msg = (
            f"No gene is marked as a TF in {rna}.var['{K.IS_TF}']. Run {store.CALLS[K.REC_BINDING]}, or "
            "grn.pp.mark_tfs(mdata, tfs) first."
        )
        raise MissingStepError(msg)
    grid = store.get_grid(mdata)
    occupied = np.unique(store.peak_windows(mdata, atac).indices).astype(np.int64)
    windows = store.window_rows(mdata, atac, occupied)
    counts = check.count_rows(radata, rna, layer, warn_empty=True)
    is_tf = radata.var[K.IS_TF].to_numpy(bool)
    tfs = Picked(counts, place=np.where(is_tf, np.arange(radata.n_vars), -1))

    if like is None:
        labels = store.split_labels(mdata, radata.obs_names, split)
        if labels is None:
            labels = splits.draw_split(radata.obs_names, seed=seed)
            store.put_split(mdata, radata.obs_names, labels, split, splits.drawn_record(labels, seed))
            logger.info("Drew the default random split of cells into mdata.obs['%s'].", split)
        train = labels == K.TRAIN
        tf_range, window_range = fit_minmax(tfs, train), fit_minmax(windows, train)
        cells = store.names_fingerprint(radata.obs_names[train])
    else:
        tf_range, window_range, cells = _ranges_of(like, radata.var_names, occupied, grid.fingerprint, rna)
    if K.CELL_WINDOWS in aadata.obsm:
        whole = np.zeros(grid.n_windows)
        whole[occupied] = window_range.maximum
        scaled = MinMax(whole).transform(store.cell_windows(mdata, atac))
        store.set_elem(aadata, "obsm", K.CELL_WINDOWS_SCALED, scaled)
        store.set_elem(radata, "layers", K.SCALED, tf_range.transform(in_memory(tfs)))
    store.set_elem(radata, "var", K.SCALE_MAX, np.where(is_tf, tf_range.maximum, np.nan))
    store.put_scale(
        mdata,
        occupied,
        window_range.maximum,
        {
            "peaks": store.names_fingerprint(aadata.var_names),
            "cells": cells,
            "layer": layer or "",
            "own": like is None,
        },
    )
    return mdata if copy else None


def _ranges_of(
    like: MuData, genes: pd.Index, windows: NDArray[np.int64], fingerprint: str, rna: str
) -> tuple[MinMax, MinMax, str]:
    """Ranges of another MuData for some windows, and the fingerprint of the cells that they were fitted on."""
    record = store.get_record(like, K.REC_SCALE)
    if record["grid"] != fingerprint:
        msg = (
            "like= was binned into other windows. Run grn.pp.bin_peaks on both with the same chrom_sizes, window_size "
            "and seed."
        )
        raise InputError(msg)
    tf_max, window_max = store.scale_ranges(like, rna)
    return (
        MinMax(tf_max.reindex(genes).fillna(0.0).to_numpy(np.float64)),
        MinMax(window_max[windows]),
        str(record["cells"]),
    )
