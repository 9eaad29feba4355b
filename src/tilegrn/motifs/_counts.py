"""Hit counts per interval and motif name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["MotifCounts"]


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
    """

    counts: sparse.csr_matrix
    intervals: pd.Index
    motifs: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Intervals and motif names."""
        return (self.counts.shape[0], self.counts.shape[1])

    def __repr__(self) -> str:
        return f"MotifCounts: {self.shape[0]:,} intervals x {self.shape[1]:,} motifs, {int(self.counts.sum()):,} hits"

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
