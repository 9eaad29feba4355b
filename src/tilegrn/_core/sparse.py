"""The one form in which sparse matrices are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["canonical_csr"]


def canonical_csr(x: Any) -> sparse.csr_matrix:
    """CSR with sorted and unique indices; values of one place are added up, the caller's arrays are left alone."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    if sparse.issparse(x) and x.dtype.kind in "biu" and not (x.format in {"csr", "csc"} and x.has_canonical_format):
        # scipy adds up in the matrix's own type, where 200 + 100 is 44 (uint8) and True + True is True
        x = x.astype(np.int64)
    mat = sparse.csr_matrix(x)
    if mat.indptr.dtype != mat.indices.dtype and mat.nnz <= np.iinfo(np.int32).max:
        # Of mixed kinds, as files hold them, scipy widens a copy of all columns each time rows are taken.
        narrow = (mat.indices.astype(np.int32, copy=False), mat.indptr.astype(np.int32, copy=False))
        mat = sparse.csr_matrix((mat.data, *narrow), shape=mat.shape)
    if not mat.has_canonical_format:
        mat = mat.copy()  # the arrays may be the caller's
        mat.sum_duplicates()
    return mat
