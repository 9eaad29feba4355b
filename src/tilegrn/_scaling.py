"""log1p and min-max scaling of sparse counts, fitted on some cells and applied to any.

Pure arrays. Values below the fitted minimum become 0 and values above the fitted maximum 1, so that a sparse matrix
stays sparse and new cells stay in the range that a model has seen. A constant feature scales to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MinMax", "fit_minmax"]


@dataclass(frozen=True, eq=False)
class MinMax:
    """Smallest and largest log1p value of each feature over the cells it was fitted on (float64)."""

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]

    def transform(self, counts: sparse.spmatrix | sparse.sparray) -> sparse.csr_matrix:
        """Scale cells x features counts to [0, 1], CSR float32.

        A count of 0 scales to 0 also where the fitted minimum is above 0, because it lies below that minimum.
        """
        x = sparse.csr_matrix(counts.astype(np.float64, copy=True))  # wide first: small integers overflow when added up
        x.sum_duplicates()
        span = self.maximum - self.minimum
        column = x.indices
        width = span[column]
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = (np.log1p(x.data) - self.minimum[column]) / width
        x.data = np.where(width > 0, np.clip(scaled, 0.0, 1.0), 0.0)
        x = x.astype(np.float32)
        x.eliminate_zeros()
        return x


def fit_minmax(counts: sparse.spmatrix | sparse.sparray, cells: ArrayLike | None = None) -> MinMax:
    """Fit :class:`MinMax` on cells x features counts.

    Parameters
    ----------
    counts
        Non-negative counts, sparse.
    cells
        Boolean mask or positions of the cells to fit on; all when None.
    """
    x = sparse.csr_matrix(counts.astype(np.float64))
    x.sum_duplicates()
    if cells is not None:
        x = x[np.asarray(cells)]
    if x.shape[0] == 0:
        empty = np.zeros(x.shape[1])
        return MinMax(empty, empty.copy())
    x = x.astype(np.float64)
    x.data = np.log1p(x.data)
    x = x.tocsc()
    return MinMax(
        minimum=np.asarray(x.min(axis=0).todense(), dtype=np.float64).ravel(),
        maximum=np.asarray(x.max(axis=0).todense(), dtype=np.float64).ravel(),
    )
