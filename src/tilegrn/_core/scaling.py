"""log1p and min-max scaling of sparse counts, fitted on some cells and applied to any.

Pure arrays. The range of a feature begins at a count of 0, so that a sparse matrix stays sparse and what is expressed
or open stays so, and ends at a quantile of its positive counts. The largest count of all would be an extreme value: it
grows with the number of cells, so that the same cell would be scaled otherwise by a larger data set. Values above the
range become 1. A feature that is the same in all cells scales to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core.rows import blocks
from tilegrn._core.sparse import canonical_csr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tilegrn._core.rows import Rows

__all__ = ["MinMax", "fit_minmax"]


TOP = 0.95
"""Quantile of the positive training counts of a feature that scales to 1."""
_FEW = 16
"""Whole counts up to this are tallied; greater ones, and fractions, are kept one by one."""


@dataclass(frozen=True, eq=False)
class MinMax:
    """Upper end of the range of each feature in log1p counts (float64); 0 for one that does not vary."""

    maximum: NDArray[np.float64]

    def transform(self, counts: sparse.spmatrix | sparse.sparray) -> sparse.csr_matrix:
        """Scale cells x features counts to [0, 1], CSR float32; a feature that did not vary in fitting scales to 0."""
        x = sparse.csr_matrix(counts.astype(np.float64, copy=True))  # wide first: small integers overflow when added up
        x.sum_duplicates()
        top = self.maximum[x.indices]
        x.data = np.where(top > 0, np.minimum(np.log1p(x.data) / np.where(top > 0, top, 1.0), 1.0), 0.0)
        x = x.astype(np.float32)
        x.eliminate_zeros()
        return x


def fit_minmax(counts: Any, cells: ArrayLike | None = None, *, top: float = TOP) -> MinMax:
    """Fit :class:`MinMax` on cells x features counts, a block of cells at a time.

    Parameters
    ----------
    counts
        Non-negative counts, sparse or :class:`tilegrn._core.rows.Rows`.
    cells
        Boolean mask or positions of the cells to fit on; all when None.
    top
        Quantile of the positive counts, interpolated; 1 for the largest.
    """
    x: Rows = canonical_csr(counts) if sparse.issparse(counts) else counts
    rows = np.arange(x.shape[0]) if cells is None else np.asarray(cells)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    occupied = np.arange(x.shape[1])
    if sparse.issparse(counts):
        occupied = np.flatnonzero(np.bincount(canonical_csr(counts).indices, minlength=x.shape[1]))
    place = np.full(x.shape[1], -1, dtype=np.int64)
    place[occupied] = np.arange(len(occupied))
    out = np.zeros(x.shape[1])
    out[occupied] = _tops(x, rows, place, len(occupied), top)
    return MinMax(out)


def _tops(x: Rows, rows: NDArray[np.int64], place: NDArray[np.int64], width: int, top: float) -> NDArray[np.float64]:
    """Quantiles of the positive values of columns, from how often each column has each value."""
    few = np.zeros(width * _FEW, dtype=np.int64)
    column, value = [], []
    for _, part in blocks(x, rows):
        at, count = place[part.indices], part.data.astype(np.float64)
        usual = (count >= 1) & (count <= _FEW) & (count == np.floor(count))
        few += np.bincount(at[usual] * _FEW + count[usual].astype(np.int64) - 1, minlength=len(few))
        odd = ~usual & (count > 0)
        column.append(at[odd])
        value.append(count[odd])
    held = np.flatnonzero(few)
    columns = np.concatenate([held // _FEW, *column])
    values = np.concatenate([held % _FEW + 1.0, *value])
    times = np.concatenate([few[held], np.ones(len(columns) - len(held), dtype=np.int64)])
    order = np.lexsort((values, columns))
    columns, values, times = columns[order], np.log1p(values[order]), times[order]
    n = np.bincount(columns, weights=times, minlength=width).astype(np.int64)
    seen = np.flatnonzero(n)
    until = np.cumsum(times)
    first = (np.cumsum(n) - n)[seen]

    def ordered(k: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the k-th smallest value of each column seen."""
        found: NDArray[np.float64] = values[np.searchsorted(until, first + k, side="right")]
        return found

    at = top * (n[seen] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, n[seen] - 1)
    out = np.zeros(width)
    out[seen] = ordered(low) + (at - low) * (ordered(high) - ordered(low))
    varies = (n[seen] < len(rows)) | (ordered(np.zeros_like(low)) < ordered(n[seen] - 1))
    out[seen[~varies]] = 0.0
    return out
