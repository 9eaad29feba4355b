"""Hit counts per interval and motif name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CountRows", "MotifCounts"]


@dataclass(frozen=True, eq=False)
class MotifCounts:
    """How often each motif hits each interval.

    Parameters
    ----------
    counts
        Intervals x motif names, CSR int32: hits on both strands, motifs of one name summed.
    intervals
        Names of the rows, in the order of the table handed in.
    motifs
        Names of the columns, in the order of the motifs handed in.

    Examples
    --------
    >>> motifs = grn.io.read_motifs("motifs.motif")
    >>> counts = grn.motifs.count_sequences(["ACGT" * 20, "TTTT" * 20], motifs)
    >>> counts.shape  # sequences, motifs
    (2, 8)
    """

    counts: sparse.csr_matrix
    intervals: pd.Index
    motifs: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Intervals and motif names."""
        return (self.counts.shape[0], self.counts.shape[1])

    def __repr__(self) -> str:
        return (
            f"MotifCounts: {self.shape[0]:,} intervals x {self.shape[1]:,} motifs, {int(self.counts.data.sum()):,} hits"
        )

    def to_frame(self) -> pd.DataFrame:
        """Intervals x motif names as a DataFrame with sparse columns."""
        columns = pd.Index(self.motifs, name="motif")
        accessor: Any = pd.DataFrame.sparse  # the stubs know it on instances only
        frame: pd.DataFrame = accessor.from_spmatrix(self.counts, index=self.intervals, columns=columns)
        return frame

    def to_long(self) -> pd.DataFrame:
        """One row per interval and motif with hits: ``interval``, ``motif`` (categorical), ``count`` (int32)."""
        row = np.repeat(np.arange(self.shape[0]), np.diff(self.counts.indptr))
        return pd.DataFrame(
            {
                "interval": self.intervals.to_numpy()[row],
                "motif": pd.Categorical.from_codes(self.counts.indices, categories=pd.Index(self.motifs)),
                "count": self.counts.data,
            }
        )


class CountRows:
    """A CSR matrix that grows by blocks of rows.

    Stacking finished blocks would hold everything twice. Here the arrays are sized from the rows seen so far and
    enlarged in place, so that little more memory is taken than the matrix needs.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._ends = np.zeros(shape[0] + 1, dtype=np.int64)
        self._indices = np.empty(0, dtype=np.int32)
        self._values = np.empty(0, dtype=np.int32)
        self._rows = 0

    def add(self, ends: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[np.int32]) -> None:
        """Append rows, given as the three arrays of a CSR matrix."""
        begin = int(self._ends[self._rows])
        end = begin + len(indices)
        rows = self._rows + len(ends) - 1
        if end > len(self._indices):
            self._resize(max(end, int(1.05 * end * self._shape[0] / rows)))
        self._indices[begin:end] = indices
        self._values[begin:end] = values
        self._ends[self._rows + 1 : rows + 1] = begin + ends[1:]
        self._rows = rows

    def finish(self) -> sparse.csr_matrix:
        """Return the matrix."""
        self._resize(int(self._ends[-1]))
        return sparse.csr_matrix((self._values, self._indices, self._ends), shape=self._shape)

    def _resize(self, size: int) -> None:
        # No other array looks at these, so that numpy may move or cut them.
        self._indices.resize(size, refcheck=False)
        self._values.resize(size, refcheck=False)
