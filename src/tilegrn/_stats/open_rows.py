"""Products of the tf-idf of open windows with vectors, from the places of the open windows alone.

tf-idf is three factors: 1 over the length of each row, what is open, and the idf of each column. ARPACK asks for about
a thousand products; each reads 4 bytes for an open window here, where a matrix has 8 and has to be made first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from scipy.sparse.linalg import LinearOperator

from tilegrn._core.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse

    Floats = NDArray[np.float32]

__all__ = ["TfIdf"]

_PARTS = 8
"""Parts of the rows, each with sums of its own: as many on any machine, so that rounding does not depend on threads."""
_PART = 1 << 21
"""Open windows from which on a part is worth a thread."""


class TfIdf:
    """tf-idf of open windows, rows of length 1, as something that multiplies; float32.

    Parameters
    ----------
    opened
        Cells x windows; every value that is stored is an open window.
    idf
        Per window.
    """

    def __init__(self, opened: sparse.csr_matrix, idf: NDArray[np.float32]) -> None:
        self.shape: tuple[int, int] = opened.shape
        self.start, self.window, self.idf = opened.indptr, opened.indices, np.asarray(idf, dtype=np.float32)
        n = int(min(max(opened.nnz // _PART, 1), _PARTS))
        edges = np.searchsorted(self.start, np.linspace(0, opened.nnz, n + 1)[1:-1])
        ends = [0, *(int(e) for e in edges), opened.shape[0]]
        self.parts = list(pairwise(ends))
        self.pool = ThreadPoolExecutor(min(n, numba.get_num_threads()), thread_name_prefix="tilegrn-lsi")
        norm = np.sqrt(self._over_rows(np.square(self.idf)))
        self.length: Floats = np.divide(1, np.maximum(norm, 1e-8), dtype=np.float32)

    def operator(self) -> LinearOperator:
        """Return what scipy's solvers take."""
        return LinearOperator(self.shape, matvec=self.by_column, rmatvec=self.by_row, dtype=np.float32)

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown()

    def by_column(self, x: NDArray[Any]) -> Floats:
        """Multiply with a number per window."""
        return self._over_rows(np.asarray(x, dtype=np.float32).ravel() * self.idf) * self.length

    def by_row(self, x: NDArray[Any]) -> Floats:
        """Multiply the transpose with a number per cell."""
        given = np.asarray(x, dtype=np.float32).ravel() * self.length
        out = np.zeros((len(self.parts), self.shape[1]), dtype=np.float32)
        self._each(lambda i, first, last: _to_columns(self.start, self.window, given, out[i], first, last))
        return np.asarray(out.sum(0) * self.idf, dtype=np.float32)

    def _over_rows(self, column: Floats) -> Floats:
        out = np.empty(self.shape[0], dtype=np.float32)
        self._each(lambda _, first, last: _of_rows(self.start, self.window, column, out, first, last))
        return out

    def _each(self, work: Callable[[int, int, int], None]) -> None:
        if len(self.parts) == 1:
            work(0, *self.parts[0])
            return
        for done in [self.pool.submit(work, i, *ends) for i, ends in enumerate(self.parts)]:
            done.result()


@compiled
def _of_rows(
    start: NDArray[np.int64], window: NDArray[np.int64], column: Floats, out: Floats, first: int, last: int
) -> None:
    for r in range(first, last):
        row = window[start[r] : start[r + 1]]
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        whole = len(row) // 4 * 4
        for k in range(0, whole, 4):  # four sums do not wait for each other
            a += column[row[k]]
            b += column[row[k + 1]]
            c += column[row[k + 2]]
            d += column[row[k + 3]]
        for k in range(whole, len(row)):
            a += column[row[k]]
        out[r] = (a + b) + (c + d)


@compiled
def _to_columns(
    start: NDArray[np.int64], window: NDArray[np.int64], given: Floats, out: Floats, first: int, last: int
) -> None:
    for r in range(first, last):
        for w in window[start[r] : start[r + 1]]:
            out[w] += given[r]
