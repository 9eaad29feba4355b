"""Matrices read a few rows at a time, wherever they lie: in memory, in an open file, behind dask, or put aside on disk.

Everything here, and a CSR matrix too, has a ``shape`` and gives ``x[rows]`` as canonical CSR in memory; so the code
that goes through cells in blocks does not know where they come from, and memory follows the block, not the cells.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from tilegrn._core.dask_rows import DaskRows, cluster_threads
from tilegrn._core.sparse import canonical_csr
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Checked",
    "Picked",
    "Rows",
    "StoredRows",
    "as_rows",
    "blocks",
    "column_sums",
    "grouped_sums",
    "held",
    "in_memory",
    "put_aside",
    "rows_in_block",
    "settled",
    "stacked",
    "values_stored",
]

_BLOCK = 1 << 22
"""Values in a block."""
_LEAST, _MOST = 64, 1 << 16
"""Rows in a block."""
_AT_ONCE = 32
"""Groups whose sums are made in one pass: a dense row of columns each."""
SMALL = 50_000_000
"""Most values of a matrix that is brought to memory without a thought."""


class Rows(Protocol):
    """What gives rows of a cells x features matrix."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and features."""

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return some rows, in the order asked for."""


def blocks(
    x: Rows, rows: NDArray[np.int64] | None = None, *, size: int | None = None
) -> Iterator[tuple[NDArray[np.int64], sparse.csr_matrix]]:
    """Yield positions in ``rows`` (all by default) and those rows, a block at a time, in order.

    Where a dask cluster computes, each of its threads is at one of the next blocks meanwhile.
    """
    n = x.shape[0] if rows is None else len(rows)
    size = _rows_in_block(x) if size is None else size
    parts = range(0, n, size)
    ahead, begun = cluster_threads(), 0
    for k, first in enumerate(parts):
        while ahead and begun < min(k + ahead, len(parts)):
            later = np.arange(parts[begun], min(parts[begun] + size, n))
            _begin(x, later if rows is None else rows[later])
            begun += 1
        at = np.arange(first, min(first + size, n))
        yield at, x[at if rows is None else rows[at]]


def _begin(x: Any, rows: NDArray[np.int64]) -> None:
    """Begin to compute what lies behind dask; all else is read when it is asked for."""
    begin = getattr(x, "begin", None)
    if begin is not None:
        begin(rows)


def in_memory(x: Rows, rows: NDArray[np.int64] | None = None) -> sparse.csr_matrix:
    """Return some rows, all by default, as one CSR matrix."""
    if rows is None and isinstance(x, sparse.csr_matrix):
        return x
    if rows is not None and not held(x) and (np.diff(rows) < 0).any():
        order = np.argsort(rows, kind="stable")  # a file, and more so dask, is read once from its beginning to its end
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return in_memory(x, rows[order])[back]
    parts = [part for _, part in blocks(x, rows)]
    if not parts:
        return sparse.csr_matrix((0, x.shape[1]), dtype=np.float32)
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def column_sums(x: Rows, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Sum columns over some rows, all by default."""
    total = np.zeros(x.shape[1])
    for _, part in blocks(x, rows):
        total += np.bincount(part.indices, weights=part.data, minlength=x.shape[1])
    return total


def grouped_sums(x: Rows, groups: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float64]]:
    """Sum columns over each of some groups of rows, in one pass through all of them for every few groups."""
    for first in range(0, len(groups), _AT_ONCE):
        some = groups[first : first + _AT_ONCE]
        rows, place = np.unique(np.concatenate(some), return_inverse=True)
        number = np.repeat(np.arange(len(some)), [len(g) for g in some])
        member = sparse.csr_matrix((np.ones(len(place)), (number, place)), shape=(len(some), len(rows)))
        total = np.zeros((len(some), x.shape[1]))
        for at, part in blocks(x, rows):
            total += (member[:, at] @ part).toarray()
        yield from total


def settled(x: Rows) -> Rows:
    """Bring to memory what has at most :data:`SMALL` values; leave what has more, or does not tell, where it lies."""
    n = values_stored(x)
    return in_memory(x) if n is not None and n <= SMALL else x


def held(x: Rows) -> bool:
    """Tell whether rows come from memory."""
    return sparse.issparse(x) or bool(getattr(x, "held", False))


def stacked(parts: list[Rows]) -> Rows:
    """Put matrices of the same columns below one another."""
    if len(parts) == 1:
        return parts[0]
    whole: Rows = _Stacked(parts)
    if all(sparse.issparse(part) for part in parts):
        whole = sparse.vstack(parts, format="csr")
    return whole


def values_stored(x: Any) -> float | None:
    """Values stored, as far as it is known without reading; at least those that reading gives."""
    found = x.nnz if hasattr(x, "nnz") else getattr(x, "values", None)
    return None if found is None else float(found)


def _rows_in_block(x: Any) -> int:
    own = getattr(x, "block_rows", None)
    if own is not None:
        return int(own)
    return rows_in_block(x.shape[0], x.nnz if hasattr(x, "nnz") else float(x.shape[0]) * x.shape[1])


def rows_in_block(n_rows: int, n_values: float) -> int:
    """Rows of a matrix of so many values that go into one block."""
    return int(np.clip(_BLOCK / max(n_values / max(n_rows, 1), 1.0), _LEAST, _MOST))


def as_rows(x: Any) -> Rows:
    """Give the rows of any matrix that AnnData holds; only a column-wise one is brought to memory."""
    group = getattr(x, "group", None)
    out: Rows
    if group is not None and getattr(x, "format", None) == "csr":
        out = StoredRows(group["data"], group["indices"], np.asarray(group["indptr"][:], dtype=np.int64), x.shape)
    elif hasattr(x, "dask"):
        out = DaskRows(x)
    elif not hasattr(x, "to_memory") and hasattr(x, "chunks"):  # a dense matrix in HDF5 or zarr
        out = _DenseRows(x)
    else:
        x = x.to_memory() if hasattr(x, "to_memory") else x
        out = canonical_csr(x if sparse.issparse(x) else np.asarray(x))
    return out


class StoredRows:
    """CSR whose values and columns lie in a file: HDF5, zarr, or :class:`_Flat`.

    Attributes
    ----------
    shape, nnz
        Cells and features; stored values.
    indptr
        Where each row begins, int64, in memory.
    """

    def __init__(self, data: Any, indices: Any, indptr: NDArray[np.int64], shape: tuple[int, int]) -> None:
        self._data, self._indices = data, indices
        if len(indptr) != shape[0] + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
            msg = "The rows of a stored matrix do not follow each other: the file is damaged."
            raise InputError(msg)
        self.indptr = indptr
        self.shape = (int(shape[0]), int(shape[1]))
        self.nnz = int(indptr[-1])

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        wanted, back = np.unique(np.asarray(rows), return_inverse=True)
        n = self.indptr[wanted + 1] - self.indptr[wanted]
        start = np.concatenate([[0], np.cumsum(n)])
        data = np.empty(start[-1], dtype=self._data.dtype)
        indices = np.empty(start[-1], dtype=np.int32)
        # Neighbouring rows lie side by side, so that a run of them is one read.
        first = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
        for a, b in zip(first, np.append(first[1:], len(wanted)), strict=True):
            low, high = self.indptr[wanted[a]], self.indptr[wanted[b - 1] + 1]
            data[start[a] : start[b]] = self._data[low:high]
            columns = self._indices[low:high]
            if len(columns) and (columns.min() < 0 or columns.max() >= self.shape[1]):
                msg = f"A stored matrix names columns outside its {self.shape[1]}: the file is damaged."
                raise InputError(msg)
            indices[start[a] : start[b]] = columns
        part = canonical_csr(sparse.csr_matrix((data, indices, start), shape=(len(wanted), self.shape[1])))
        return part if np.array_equal(back, np.arange(len(wanted))) else part[back]


class _DenseRows:
    """A dense matrix in a file."""

    def __init__(self, x: Any) -> None:
        self._x = x
        self.shape = (int(x.shape[0]), int(x.shape[1]))

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        wanted, back = np.unique(np.asarray(rows), return_inverse=True)
        if not len(wanted):
            return sparse.csr_matrix((0, self.shape[1]), dtype=self._x.dtype)
        low, high = int(wanted[0]), int(wanted[-1]) + 1
        # h5py takes one row after the other by a list; a range is one read
        block = self._x[low:high][wanted - low] if high - low <= 2 * len(wanted) else self._x[wanted]
        return canonical_csr(np.asarray(block))[back]


class Checked:
    """Rows that are looked at as they are read: float32, no stored zeros."""

    def __init__(self, base: Rows, check: Callable[[sparse.csr_matrix, NDArray[np.int64]], sparse.csr_matrix]) -> None:
        self._base, self._check = base, check
        self.shape = base.shape
        self.block_rows = _rows_in_block(base)
        self.values = values_stored(base)

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        return self._check(self._base[rows], rows)

    def begin(self, rows: NDArray[np.int64]) -> None:
        """Begin to compute rows, see :func:`blocks`."""
        _begin(self._base, rows)


class Picked:
    """Some rows of another matrix, its columns renamed and scaled as they are read.

    Parameters
    ----------
    base
        What is read.
    rows
        Rows of ``base``, all by default.
    place
        New column of each column of ``base``, -1 for one that goes; columns of the same place are added up.
    width
        Number of new columns.
    then
        What is done to each block at last.
    """

    def __init__(
        self,
        base: Rows,
        rows: NDArray[np.int64] | None = None,
        *,
        place: NDArray[np.integer[Any]] | None = None,
        width: int | None = None,
        then: Callable[[sparse.csr_matrix], sparse.csr_matrix] | None = None,
    ) -> None:
        self._base = base
        self._rows = rows
        self._place = None if place is None else np.asarray(place, dtype=np.int32)
        self._then = then
        self.shape = (base.shape[0] if rows is None else len(rows), base.shape[1] if width is None else int(width))
        self.block_rows = _rows_in_block(base)
        self.held = held(base)
        known = values_stored(base)
        self.values = None if known is None else known * self.shape[0] / max(base.shape[0], 1)

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        part = self._base[self._of_base(rows)]
        if self._place is not None:
            part = relabelled(part, self._place, self.shape[1])
        return part if self._then is None else self._then(part)

    def begin(self, rows: NDArray[np.int64]) -> None:
        """Begin to compute rows, see :func:`blocks`."""
        _begin(self._base, self._of_base(rows))

    def _of_base(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows if self._rows is None else self._rows[rows]


class _Stacked:
    """Matrices below one another."""

    def __init__(self, parts: list[Rows]) -> None:
        self._parts = parts
        self._start = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self._start[-1]), parts[0].shape[1])
        self.block_rows = min(_rows_in_block(part) for part in parts)
        self.held = all(held(part) for part in parts)
        each = [values_stored(part) for part in parts]
        self.values = None if any(n is None for n in each) else sum(n for n in each if n is not None)

    def __getitem__(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        rows = np.asarray(rows)
        which = np.searchsorted(self._start, rows, side="right") - 1
        order = np.argsort(which, kind="stable")
        found = [self._parts[k][rows[which == k] - self._start[k]] for k in np.unique(which)]
        if not found:
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return sparse.vstack(found, format="csr")[back]


def relabelled(x: sparse.csr_matrix, place: NDArray[np.int32], width: int) -> sparse.csr_matrix:
    """Rename columns; -1 drops one, columns of the same name are added up."""
    at = place[x.indices]
    data, start = x.data, x.indptr
    keep = at >= 0
    if not keep.all():
        start = np.concatenate([[0], np.cumsum(keep)])[start]
        at, data = at[keep], data[keep]
    out = sparse.csr_matrix((data, at, start), shape=(x.shape[0], width))
    if not out.has_canonical_format:
        if out.data is x.data:
            out = out.copy()
        out.sum_duplicates()
    return out


class _Flat:
    """Numbers in a plain file, read by position; nothing is kept in memory, and threads may share it."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, at: slice) -> NDArray[Any]:
        size = self.dtype.itemsize
        wanted, offset = (int(at.stop) - int(at.start)) * size, int(at.start) * size
        out = bytearray(wanted)
        view, done = memoryview(out), 0
        while done < wanted:
            n = os.preadv(self._file, [view[done:]], offset + done)
            if not n:
                msg = "A temporary file of tilegrn was cut short while it was in use."
                raise OSError(msg)
            done += n
        return np.frombuffer(out, dtype=self.dtype)


def put_aside(x: Rows, rows: NDArray[np.int64] | None = None, *, folder: str | Path | None = None) -> StoredRows:
    """Copy rows, block by block, to a temporary file from which any row is read quickly; it goes with the result.

    Parameters
    ----------
    folder
        Where the file is made; the system's place for temporary files (``TMPDIR``) by default.
    """
    own = Path(tempfile.mkdtemp(prefix="tilegrn-rows-", dir=folder))
    try:
        n = [np.zeros(1, dtype=np.int64)]
        with (own / "data").open("wb") as data, (own / "indices").open("wb") as indices:
            for _, part in blocks(x, rows):
                part.data.astype(np.float32, copy=False).tofile(data)
                part.indices.astype(np.int32, copy=False).tofile(indices)
                n.append(np.diff(part.indptr).astype(np.int64))
        shape = (x.shape[0] if rows is None else len(rows), x.shape[1])
        start = np.cumsum(np.concatenate(n))
        out = StoredRows(_Flat(own / "data", np.float32), _Flat(own / "indices", np.int32), start, shape)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    weakref.finalize(out, shutil.rmtree, own, ignore_errors=True)
    return out
