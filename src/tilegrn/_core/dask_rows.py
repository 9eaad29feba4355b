"""Rows of a dask array; on a dask cluster the next blocks are computed by the workers while one is in use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core.sparse import canonical_csr
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DaskRows", "cluster_threads"]


def cluster_threads() -> int:
    """Threads of the workers of the dask cluster that computes at the moment; 0 where none does."""
    if "distributed" not in sys.modules:
        return 0
    import dask.base

    base: Any = dask.base  # without types
    # A client's own function if one is connected and no other scheduler was set since.
    client: Any = getattr(base.get_scheduler(), "__self__", None)
    return sum(client.nthreads().values()) if hasattr(client, "nthreads") else 0


class DaskRows:
    """A dask array of sparse or dense blocks; cheap by its own blocks of rows, dear by single ones.

    Attributes
    ----------
    shape
        Cells and features.
    block_rows
        Rows of its largest block.
    """

    def __init__(self, x: Any) -> None:
        self._x = x
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self.block_rows = max(1, max(x.chunks[0], default=1))
        self._begun: dict[bytes, Any] = {}
        self._starts = np.cumsum([0, *x.chunks[0]])
        self._last: tuple[int, sparse.csr_matrix] | None = None

    def begin(self, rows: NDArray[np.int64]) -> None:
        """Have the workers of a cluster compute rows that will be asked for; only to be called where there is one."""
        self._begun[rows.tobytes()] = self._lazily(rows).persist()

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        rows = np.asarray(rows)
        if rows.tobytes() in self._begun:
            return self._checked(self._begun.pop(rows.tobytes()).compute())
        of = self._part_of(rows)
        if of is None:
            return self._checked(self._lazily(rows).compute())
        first = int(self._starts[of])
        if self._last is None or self._last[0] != of:
            self._last = of, self._checked(self._x[first : int(self._starts[of + 1])].compute())
        return self._last[1][int(rows[0]) - first : int(rows[-1]) + 1 - first]

    def _part_of(self, rows: NDArray[np.int64]) -> int | None:
        """Block of which the rows are a run, less than all: it is kept, for the next run will be asked for."""
        if not _is_run(rows):
            return None
        of = int(np.searchsorted(self._starts, rows[0], side="right")) - 1
        whole = int(self._starts[of + 1] - self._starts[of])
        return of if rows[-1] < self._starts[of + 1] and len(rows) < whole else None

    def _checked(self, part: Any) -> sparse.csr_matrix:
        if sparse.issparse(part) and part.nnz and (part.indices.min() < 0 or part.indices.max() >= self.shape[1]):
            msg = f"A block of a dask array names columns outside its {self.shape[1]}: what it is read from is damaged."
            raise InputError(msg)
        return canonical_csr(part if sparse.issparse(part) else np.asarray(part))

    def _lazily(self, rows: NDArray[np.int64]) -> Any:
        return self._x[int(rows[0]) : int(rows[-1]) + 1] if _is_run(rows) else self._x[rows]


def _is_run(rows: NDArray[np.int64]) -> bool:
    return len(rows) > 0 and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows)))
