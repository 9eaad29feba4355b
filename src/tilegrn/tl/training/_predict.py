"""Predict the expression of genes in the cells of a MuData."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._stats.metrics import expected_log1p
from tilegrn.tl.training._inputs import cell_data, unseen_distance
from tilegrn.tl.training._source import read_source, require_alike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.training._source import Source

__all__ = ["Predictions", "predict"]


class Predictions:
    """What a model says of the cells of a sample, made a block of cells at a time.

    Attributes
    ----------
    data
        The cells on the model's axes.
    origin
        ``"trained"``, ``"windows"`` or ``"none"`` per gene of the sample: where its predictions come from.
    """

    def __init__(self, model: GRNModel, source: Source, rows: NDArray[np.int64] | None = None) -> None:
        require_alike(source, model.vocabulary)
        self._model, self._genes = model, source.genes
        self.data = cell_data(source, model.vocabulary, model.preparation, model.config, rows=rows)
        names = model.vocabulary.genes
        place = {g: i for i, g in enumerate(source.genes)}
        self._known = np.array([i for i, g in enumerate(names) if g in place], dtype=np.int64)
        self._columns = np.array([place[names[i]] for i in self._known], dtype=np.int64)
        self._new_columns, self._distance = unseen_distance(source, model.vocabulary)
        self.origin = np.full(len(source.genes), "none", dtype=object)
        self.origin[self._new_columns] = "windows"
        self.origin[self._columns] = "trained"

    def blocks(
        self, *, batch_size: int, device: str | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
        """Yield rows of ``data``, their predictions and the calibrated spread over networks, cells x genes."""
        factor = np.float32(self._model.spread_factor or 1.0)
        unseen = self._distance if len(self._new_columns) else None
        rates = self._model.iter_rates(self.data, unseen=unseen, batch_size=batch_size, device=device)
        for rows, trained, new in rates:
            size = self.data.size_factor[rows]
            values = np.full((len(rows), len(self._genes)), np.nan, dtype=np.float32)
            spread = values.copy()
            parts = [(self._columns, trained[:, :, self._known])]
            parts += [] if new is None else [(self._new_columns, new)]
            for columns, rate in parts:
                each = np.stack([expected_log1p(r, size) for r in rate])
                values[:, columns] = each.mean(0)
                if len(each) > 1:
                    spread[:, columns] = each.std(0) * factor
            yield rows, values, spread

    def warn_lost(self, *, stacklevel: int) -> None:
        """Say how many genes cannot be predicted."""
        lost = int((self.origin == "none").sum())
        if lost:
            names = [str(g) for g in self._genes[self.origin == "none"][:3]]
            why = "not trained on, no known window in reach"
            msg = f"{lost} of {len(self.origin)} genes cannot be predicted ({why}), e.g. {names}."
            warnings.warn(msg, UserWarning, stacklevel=stacklevel)


def predict(
    mdata: MuData,
    model: GRNModel,
    *,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    key_added: str = K.PREDICTED,
    batch_size: int = 128,
    device: str | None = None,
    copy: bool = False,
) -> MuData | None:
    """Predict every gene in every cell from TF expression and open windows.

    The unit is the expected ``log1p(count / size factor)`` under Poisson noise; the size factor is the RNA depth of the
    cell over the median RNA depth of the training cells. A gene's own counts do not enter its prediction, the size
    factor aside: a TF is predicted with its own expression hidden.

    Parameters
    ----------
    mdata
        Prepared by ``bin_peaks`` and ``tss_distance`` with the model's assembly and window size. Other cells, peaks and
        genes than in training are allowed.
    model
        From :func:`train` or ``grn.io.load_model``.
    rna, atac
        Names of the modalities.
    layer
        Layer of the RNA with the counts; ``X`` by default.
    key_added
        Layer to write.
    batch_size
        Cells at a time.
    device
        Where to compute, as torch names it (``"cuda"``, ``"cpu"``); the CPU by default.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes ``rna.layers[key_added]`` (cells x genes, float32; NaN for a gene that the
    model cannot predict: one it was not trained on, without any window of the model within reach),
    ``rna.var["predictable"]`` (bool) and ``rna.var["predicted_from"]`` (``"trained"``, ``"windows"`` or ``"none"``).
    The record ``mdata.uns["tilegrn"]["predict"]`` holds the size factors with the names of their ``cells``,
    ``calibrated`` (bool: whether the spread was multiplied) and ``spread_factor`` (1 where it was not).

    With a model of several networks also ``rna.layers["<key_added>_sd"]``: their standard deviation, in log1p units,
    times the factor that :func:`train` fitted on validation cells. So calibrated, it estimates the standard error of
    the prediction itself; the counting noise of an observation comes on top. One factor serves all genes and cells. On
    samples not trained on it is too small (held-out libraries of the mouse cortex: a quarter of the squared error
    beyond counting noise), see :func:`tilegrn.pl.reliability`. Without the factor (trained without validation cells, or
    by an older tilegrn) it is the bare spread, which understates the error because networks err together; the record's
    ``calibrated`` tells which.

    Raises
    ------
    InputError
        If the windows, or how distances to TSSs were measured, are not those of the model.

    Examples
    --------
    >>> grn.tl.predict(mdata, model)
    >>> mdata["rna"].layers["predicted"].shape == mdata["rna"].shape
    True
    """
    out = check.start(mdata, rna, atac, copy=copy)
    source = read_source(out, rna=rna, atac=atac, layer=layer, for_training=False)
    made = Predictions(model, source)
    factor = model.spread_factor
    shape = (len(source.cells), len(source.genes))
    layer_out = np.full(shape, np.nan, dtype=np.float32)
    sd = np.full(shape, np.nan, dtype=np.float32) if len(model.networks) > 1 else None
    for rows, values, spread in made.blocks(batch_size=batch_size, device=device):
        layer_out[rows] = values
        if sd is not None:
            sd[rows] = spread
    origin = made.origin
    made.warn_lost(stacklevel=3)
    adata = out.mod[rna]
    store.set_elem(adata, "layers", key_added, layer_out)
    if sd is not None:
        store.set_elem(adata, "layers", f"{key_added}_sd", sd)
    elif f"{key_added}_sd" in adata.layers:
        del adata.layers[f"{key_added}_sd"]  # the spread of other predictions
    adata.var[K.PREDICTABLE] = origin != "none"
    adata.var["predicted_from"] = origin
    store.put_record(
        out,
        K.REC_PREDICT,
        {
            "key": key_added,
            "n_networks": len(model.networks),
            "seed": int(model.record.get("seed", 0)),
            "model_input_sha256": str(model.record.get("input_sha256", "")),
            "same_cells": bool(model.record.get("input_sha256") == source.hash),
            "calibrated": sd is not None and factor is not None,
            "spread_factor": float(factor or 1.0) if sd is not None else 1.0,
            "cells": source.cells,
            "median_depth": float(model.preparation.median_depth),
            "size_factor": made.data.size_factor.astype(np.float32),
        },
    )
    return out if copy else None
