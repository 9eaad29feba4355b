"""log1p and min-max scaling of window accessibility and TF expression, fitted on training cells only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from tilegrn import _check, _splits, _store
from tilegrn import _keys as K
from tilegrn._scaling import MinMax, fit_minmax
from tilegrn.errors import InputError, MissingStepError

if TYPE_CHECKING:
    from mudata import MuData

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

    Minimum and maximum are kept, so that other cells scale the same way: values beyond the training range are set to 0
    and 1. A feature that is constant over the training cells scales to 0.

    Parameters
    ----------
    mdata
        Multiome data after :func:`bin_peaks` and :func:`add_binding` (or :func:`mark_tfs`).
    split
        Column of ``mdata.obs`` that says which cells train. If it is absent, the default random split is drawn and
        written, as :func:`split_cells` would.
    like
        A MuData that was scaled before: take its minimum and maximum instead of fitting (new cells of the same
        assembly).
    layer
        Layer of the RNA counts; None is X.
    seed
        Seed of the split, if one must be drawn.
    rna, atac, copy
        As in :func:`bin_peaks`.

    Returns
    -------
    ``None``, or the changed copy. Writes ``atac.obsm["windows_scaled"]`` (cells x windows, CSR float32),
    ``rna.layers["scaled"]`` (cells x genes, TF columns filled, CSR float32), ``rna.var["scale_min"]`` and
    ``rna.var["scale_max"]``, and the windows' minimum and maximum in ``uns``.

    Raises
    ------
    MissingStepError
        Before :func:`bin_peaks`, or while no gene is marked as a TF.
    InputError
        If the cells are not paired, RNA values are not counts, or ``like`` has other windows.
    """
    mdata = _check.start(mdata, rna, atac, copy=copy)
    radata, aadata = _check.paired(mdata, rna, atac)
    if K.IS_TF not in radata.var or not radata.var[K.IS_TF].any():
        msg = (
            f"No gene is marked as a TF in {rna}.var['{K.IS_TF}']. Run {_store.CALLS[K.REC_BINDING]}, or "
            "grn.pp.mark_tfs(mdata, tfs) first."
        )
        raise MissingStepError(msg)
    grid = _store.get_grid(mdata)
    windows = _store.cell_windows(mdata, atac)
    counts = _check.counts(radata, rna, layer)
    is_tf = radata.var[K.IS_TF].to_numpy(bool)
    tfs = sparse.csr_matrix(counts @ sparse.diags(is_tf.astype(np.float32)))
    tfs.eliminate_zeros()

    if like is None:
        labels = _store.split_labels(mdata, radata.obs_names, split)
        drawn = labels is None
        if drawn:
            labels = _splits.draw_split(radata.n_obs, seed=seed)
        train = labels == K.TRAIN
        tf_range, window_range = fit_minmax(tfs, train), fit_minmax(windows, train)
        if drawn:
            _store.put_split(mdata, radata.obs_names, labels, split, {"by": "", "seed": seed, "test": 0.2, "val": 0.1})
            logger.info("Drew the default random split of cells into mdata.obs['%s'].", split)
        n_train = int(train.sum())
    else:
        tf_range, window_range, n_train = _ranges_of(like, radata.var_names, grid.fingerprint, rna)

    scaled_windows = window_range.transform(windows)
    _store.set_elem(aadata, "obsm", K.CELL_WINDOWS_SCALED, scaled_windows)
    _store.set_elem(radata, "layers", K.SCALED, tf_range.transform(tfs))
    _store.set_elem(radata, "var", K.SCALE_MIN, np.where(is_tf, tf_range.minimum, np.nan))
    _store.set_elem(radata, "var", K.SCALE_MAX, np.where(is_tf, tf_range.maximum, np.nan))
    filled = np.flatnonzero(window_range.maximum > 0)
    _store.put_record(
        mdata,
        K.REC_SCALE,
        {
            "grid": grid.fingerprint,
            "peaks": _store.names_fingerprint(aadata.var_names),
            "window": filled.astype(np.int64),
            "window_min": window_range.minimum[filled],
            "window_max": window_range.maximum[filled],
            "cells": n_train,
        },
    )
    return mdata if copy else None


def _ranges_of(like: MuData, genes: object, fingerprint: str, rna: str) -> tuple[MinMax, MinMax, int]:
    record = _store.get_record(like, K.REC_SCALE)
    if record["grid"] != fingerprint:
        msg = (
            "like= was binned into other windows. Run grn.pp.bin_peaks on both with the same chrom_sizes and "
            "window_size."
        )
        raise InputError(msg)
    n_windows = _store.get_grid(like).n_windows
    low, high = np.zeros(n_windows), np.zeros(n_windows)
    low[record["window"]] = record["window_min"]
    high[record["window"]] = record["window_max"]
    var = like.mod[rna].var[[K.SCALE_MIN, K.SCALE_MAX]].reindex(genes).fillna(0.0)
    tf_range = MinMax(var[K.SCALE_MIN].to_numpy(np.float64), var[K.SCALE_MAX].to_numpy(np.float64))
    return tf_range, MinMax(low, high), int(record["cells"])
