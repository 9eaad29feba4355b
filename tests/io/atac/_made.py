"""Small exports of other tools."""

from __future__ import annotations

import gzip

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.io import mmwrite

PEAKS = [("chr1", 100, 600), ("chr1", 3000, 3501), ("chr2", 7, 90), ("chrX", 12, 800)]
CELLS = ["AAAC-1", "AAAG-1", "AAAT-1"]


def counts(n_cells=3, n_features=4):
    return np.arange(n_cells * n_features).reshape(n_cells, n_features) % 3


def write(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def folder(path, *, peaks=None, name="peaks.bed", cells=CELLS, across=True, matrix=None):
    """Write matrix.mtx, barcodes.tsv and a list of features."""
    path.mkdir(exist_ok=True)
    x = counts() if matrix is None else matrix
    mmwrite(path / "matrix.mtx", sparse.coo_matrix(x.T if across else x), field="integer", symmetry="general")
    write(path / "barcodes.tsv", "".join(f"{c}\n" for c in cells))
    bed = "".join(f"{c}\t{a}\t{b}\n" for c, a, b in PEAKS)
    write(path / name, bed if peaks is None else peaks)
    return path


def named(names, n_cells=3, **columns):
    """An AnnData with such features."""
    var = pd.DataFrame(columns, index=list(names))
    obs = pd.DataFrame(index=CELLS[:n_cells])
    return ad.AnnData(sparse.csr_matrix(counts(n_cells, len(var)), dtype=np.float32), obs=obs, var=var)
