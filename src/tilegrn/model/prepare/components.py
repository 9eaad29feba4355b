"""What turns open windows into the components of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._stats.lsi import tf_idf
from tilegrn.model.prepare.guided import guided_scores, part_of_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

__all__ = ["Components"]


@dataclass(frozen=True, eq=False)
class Components:
    """What turns open windows into the components of a cell.

    Attributes
    ----------
    idf
        Float32 per window: log(1 + cells / open cells).
    loadings
        Windows x components, float32: right singular vectors.
    guided
        Parts x windows x guided components, float32, see :mod:`tilegrn.model.prepare.guided`; the last axis may be
        empty.
    known
        Hashes of the training cells, sorted.
    scale, center
        Float32 per component, guided ones last: standard deviation and mean over the training cells.
    """

    idf: NDArray[np.float32]
    loadings: NDArray[np.float32]
    guided: NDArray[np.float32]
    known: NDArray[np.uint64]
    scale: NDArray[np.float32]
    center: NDArray[np.float32]

    @property
    def n(self) -> int:
        """Number of components, guided ones included."""
        return int(self.loadings.shape[1]) + int(self.guided.shape[2])

    def transform(self, windows: sparse.csr_matrix, part: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Scores of cells (cells x components), standardised by the training cells.

        Parameters
        ----------
        windows
            Cells x windows, counts; only open or closed is used.
        part
            Part of each cell, by default told from its open windows. Give it for cells whose windows were closed.
        """
        return np.asarray((self.raw(windows, part) - self.center) / self.scale, dtype=np.float32)

    def raw(self, windows: sparse.csr_matrix, part: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Scores before standardising."""
        x = tf_idf(windows, self.idf)
        if not self.guided.shape[2]:
            return np.asarray(x @ self.loadings)
        part = part_of_cells(windows, self.known) if part is None else part
        return np.concatenate([x @ self.loadings, guided_scores(x, self.guided, part)], axis=1)
