"""Which cells are judged, and what was predicted of them, in a layer or in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.some_cells import MOST_VALUES
from tilegrn.errors import InputError, MissingStepError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["PredictedValues", "drawn_cells", "predicted_values"]

_TRAINING_PER_JUDGED = 4
_LEAST = 500
"""Cells of a part that are kept however many peaks they have."""


@dataclass(frozen=True, eq=False)
class PredictedValues:
    """Predictions of the cells and genes of a modality.

    Attributes
    ----------
    name
        Where they are, for messages and the record.
    median_depth
        RNA depth at size factor 1, where a file of predictions tells it.
    """

    name: str
    median_depth: float | None
    _values: Any
    _row: NDArray[np.int64]
    _column: NDArray[np.int64]

    def of(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return predictions of some cells, all genes, float32; NaN for a gene that is not predicted.

        Raises
        ------
        InputError
            If a cell was not predicted, or a gene only in some of them.
        """
        rows = self._row[cells]
        if (rows < 0).any():
            msg = f"{self.name} lacks {int((rows < 0).sum())} of the {len(rows)} cells to be judged. Predict them, too."
            raise InputError(msg)
        wanted, back = np.unique(rows, return_inverse=True)  # files want rows in order
        part = self._values[wanted]
        part = part.compute() if hasattr(part, "dask") else part
        part = np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float32)[back]
        out = np.full((len(rows), len(self._column)), np.nan, dtype=np.float32)
        there = self._column >= 0
        out[:, there] = part[:, self._column[there]]
        nan = np.isnan(out)
        some = nan.any(axis=0) & ~nan.all(axis=0)
        if some.any():
            msg = (
                f"{self.name} is NaN in some of the judged cells but not in all, for {int(some.sum())} genes. "
                f"Run {store.CALLS[K.REC_PREDICT]} again for all cells."
            )
            raise InputError(msg)
        return out


def predicted_values(adata: AnnData, rna: str, predicted: str | AnnData) -> PredictedValues:
    """Find the predictions of a modality: one of its layers, or ``X`` of an AnnData with its cells and genes by name.

    Raises
    ------
    MissingStepError
        If there is no such layer.
    """
    if not isinstance(predicted, str):
        row = predicted.obs_names.get_indexer(adata.obs_names)
        column = predicted.var_names.get_indexer(adata.var_names)
        name = f"the AnnData of predictions ({predicted.n_obs} cells, {predicted.n_vars} genes)"
        record = predicted.uns.get(K.UNS, {}).get(K.REC_PREDICT, {})
        depth = float(record["median_depth"]) if "median_depth" in record else None
        return PredictedValues(name, depth, predicted.X, row, column)
    if predicted not in adata.layers:
        msg = f"{rna}.layers['{predicted}'] is missing. Run {store.CALLS[K.REC_PREDICT]} first."
        raise MissingStepError(msg)
    where = f"{rna}.layers['{predicted}']"
    return PredictedValues(where, None, adata.layers[predicted], np.arange(adata.n_obs), np.arange(adata.n_vars))


def drawn_cells(labels: NDArray[Any], judged: str, each: float, max_cells: int, seed: int) -> NDArray[np.int64]:
    """Choose the cells that a scorecard reads, in their order: of each part of the split all, or as many as it needs.

    Parameters
    ----------
    labels
        Part of each cell.
    judged
        The part that is judged.
    each
        About how many open peaks a cell has.
    max_cells
        Most judged cells.

    Raises
    ------
    InputError
        If ``max_cells`` is too few to judge by.
    """
    if max_cells < 3:
        msg = f"max_cells is {max_cells}; at least 3 cells are needed to correlate over."
        raise InputError(msg)
    most = {K.TRAIN: _TRAINING_PER_JUDGED * max_cells, K.VAL: max_cells, K.TEST: max_cells}
    most[judged] = max_cells
    parts = {part: np.flatnonzero(labels == part) for part in most}
    if judged != K.TEST:
        parts[K.TEST] = parts[K.TEST][:0]
    total = sum(min(len(rows), most[part]) for part, rows in parts.items()) * each
    shrink = min(1.0, MOST_VALUES / max(total, 1.0))
    rng = np.random.default_rng([seed, 11])
    chosen = []
    for part, rows in parts.items():
        n = min(most[part], max(round(min(len(rows), most[part]) * shrink), _LEAST))
        chosen.append(rows if len(rows) <= n else rng.choice(rows, n, replace=False))
    return np.sort(np.concatenate(chosen))
