"""log1p and min-max scaling of sparse counts, fitted on some cells and applied to any.

Pure arrays. The range of a feature begins at a count of 0, so that a sparse matrix stays sparse and what is expressed
or open stays so, and ends at a quantile of its positive counts. The largest count of all would be an extreme value: it
grows with the number of cells, so that the same cell would be scaled otherwise by a larger data set. Values above the
range become 1. A feature that is the same in all cells scales to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MinMax", "fit_minmax"]


TOP = 0.95
"""Quantile of the positive training counts of a feature that scales to 1."""


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


def fit_minmax(counts: sparse.spmatrix | sparse.sparray, cells: ArrayLike | None = None, *, top: float = TOP) -> MinMax:
    """Fit :class:`MinMax` on cells x features counts.

    Parameters
    ----------
    counts
        Non-negative counts, sparse.
    cells
        Boolean mask or positions of the cells to fit on; all when None.
    top
        Quantile of the positive counts, interpolated; 1 for the largest.
    """
    x = sparse.csr_matrix(counts.astype(np.float64))
    x.sum_duplicates()
    if cells is not None:
        x = x[np.asarray(cells)]
    column, value = x.indices[x.data > 0], x.data[x.data > 0].astype(np.float64)
    order = np.lexsort((value, column))
    value = np.log1p(value[order])
    n = np.bincount(column, minlength=x.shape[1])
    seen = np.flatnonzero(n)
    first = (np.cumsum(n) - n)[seen]
    at = top * (n[seen] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, n[seen] - 1)
    out = np.zeros(x.shape[1])
    out[seen] = value[first + low] + (at - low) * (value[first + high] - value[first + low])
    varies = (n[seen] < x.shape[0]) | (value[first] < value[first + n[seen] - 1])
    out[seen[~varies]] = 0.0
    return MinMax(out)
