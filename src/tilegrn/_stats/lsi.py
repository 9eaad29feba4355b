"""Latent semantic indexing, the one of the package: tf-idf, then a truncated SVD.

Of muon's pieces none fits: they work on an AnnData in place and cannot be fitted to some cells and read on others. Rows
of tf-idf have length 1, so that depth does not make the first component; how often a window is open within a cell says
nothing then, and the term frequency is open or closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse.linalg import LinearOperator

__all__ = [
    "fit_components",
    "inverse_frequency",
    "inverse_frequency_of",
    "leading_directions",
    "leading_windows",
    "tf_idf",
]

_FEW = 3
_DENSE = 800
"""Rows over components times density up to which products of all pairs of rows cost less than ARPACK's iterations."""
_MOST_ROWS = 3000
_COLUMNS = 8192
"""Columns that are dense at a time."""
_LEAST = 1e-4
"""Smallest eigenvalue over the largest that single precision tells from rounding."""


def tf_idf(windows: sparse.csr_matrix, idf: NDArray[np.float32]) -> sparse.csr_matrix:
    """Return open windows times idf, rows of length 1."""
    x = sparse.csr_matrix(windows, dtype=np.float32, copy=True)
    x.data[:] = (x.data > 0).astype(np.float32)
    x.data *= idf[x.indices]
    norm = np.sqrt(np.asarray(x.multiply(x).sum(1), dtype=np.float32)).ravel()
    x.data /= np.repeat(np.maximum(norm, 1e-8), np.diff(x.indptr))
    return x


def inverse_frequency(windows: sparse.csr_matrix) -> NDArray[np.float32]:
    """Return the idf of each window: log(1 + cells / open cells), 0 where none is open."""
    cells, width = windows.shape
    opened = np.bincount(windows.indices[windows.data > 0], minlength=width)
    return inverse_frequency_of(opened, cells)


def inverse_frequency_of(opened: NDArray[np.int64], cells: int) -> NDArray[np.float32]:
    """Return the idf of windows that are open in so many of the cells."""
    return np.where(opened > 0, np.log1p(cells / np.maximum(opened, 1)), 0.0).astype(np.float32)


def fit_components(windows: sparse.csr_matrix, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit idf and loadings on training cells.

    Parameters
    ----------
    windows
        Training cells x windows, counts; only open or closed is used.
    n
        Number of components; cut at what the data can give.

    Returns
    -------
    idf per window, and windows x components.
    """
    idf = inverse_frequency(windows)
    return idf, leading_windows(windows, idf, n)


def leading_windows(windows: sparse.csr_matrix, idf: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Leading right singular vectors of the tf-idf of open windows, as :func:`leading_directions` of it.

    Where there are too many for the products of pairs of rows, the matrix is not made.
    """
    rows, width = windows.shape
    n = max(1, min(n, rows - 1, width - 1))
    if min(rows, width) <= _FEW * n or _is_few(windows, n) or not windows.nnz:
        return leading_directions(tf_idf(windows, idf), n)
    from tilegrn._stats.open_rows import TfIdf

    if not (windows.data > 0).all():
        windows = windows.copy()
        windows.data = np.maximum(windows.data, 0)
        windows.eliminate_zeros()
    weighed = TfIdf(windows, idf)
    try:
        return _signed(_by_arpack(weighed.operator(), n))
    finally:
        weighed.close()


def leading_directions(x: sparse.csr_matrix, n: int) -> NDArray[np.float32]:
    """Leading right singular vectors, exact, columns x n.

    By the eigenvectors of the products of all pairs of rows where there are few and dense ones, else by ARPACK. No
    seed, and the order of rows and columns does not matter. Signs are such that the largest entry of each is positive.
    """
    rows, width = x.shape
    n = max(1, min(n, rows - 1, width - 1))
    if not x.nnz or min(rows, width) < 2:
        return np.zeros((width, n), dtype=np.float32)
    if min(rows, width) <= _FEW * n:  # ARPACK needs room
        return _signed(np.linalg.svd(x.toarray(), full_matrices=False)[2][:n].T.astype(np.float32))
    products = _of_row_products(x, n) if _is_few(x, n) else None
    return _signed(_by_arpack(x, n) if products is None else products)


def _is_few(x: sparse.csr_matrix, n: int) -> bool:
    rows, width = x.shape
    return bool(rows <= min(width, _MOST_ROWS) and rows * rows * width <= _DENSE * n * x.nnz)


def _signed(found: NDArray[np.float32]) -> NDArray[np.float32]:
    sign = np.sign(found[np.abs(found).argmax(0), np.arange(found.shape[1])])
    return np.asarray(found * np.where(sign == 0, 1, sign).astype(np.float32))


def _by_arpack(x: sparse.csr_matrix | LinearOperator, n: int) -> NDArray[np.float32]:
    begin = np.random.default_rng(0).uniform(-1, 1, min(x.shape)).astype(np.float32)
    with threadpool_limits(1, user_api="blas"):  # its threads would wait, busily, for the next of many small products
        _, value, vector = svds(x, k=n, v0=begin, return_singular_vectors="vh")
    return np.asarray(vector[np.argsort(-value, kind="stable")].T, dtype=np.float32)


def _of_row_products(x: sparse.csr_matrix, n: int) -> NDArray[np.float32] | None:
    """Right singular vectors from the eigenvectors of ``x @ x.T``; None where fewer than ``n`` stand out of rounding.

    Each block of columns is one product of dense matrices, which takes a hundredth of the time of a sparse one.
    """
    rows, width = x.shape
    by_column = sparse.csc_matrix(x)
    products = np.zeros((rows, rows))
    for i in range(0, width, _COLUMNS):
        part = by_column[:, i : i + _COLUMNS].toarray()
        products += part @ part.T
    value, vector = linalg.eigh(products, subset_by_index=(rows - n, rows - 1))
    if value[0] <= _LEAST * value[-1]:
        return None
    weighed = (vector[:, ::-1] / np.sqrt(value[::-1])).astype(np.float32)
    return np.asarray(by_column.T @ weighed, dtype=np.float32)
