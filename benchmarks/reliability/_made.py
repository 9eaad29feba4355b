"""What the scripts share: a MuData of any size, the archived model, and a table for the documentation."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import no_pull

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "archive" / "0.1.0"


def small(n_cells: int = 30, n_genes: int = 40, n_peaks: int = 100, seed: int = 0) -> md.MuData:
    """Return counts of genes and peaks, with a layer, a window matrix and a record."""
    rng = np.random.default_rng(seed)
    cells = [f"c{i}" for i in range(n_cells)]
    parts = {}
    for name, prefix, n in (("rna", "g", n_genes), ("atac", "p", n_peaks)):
        x = sparse.csr_matrix(rng.poisson(0.5, (n_cells, n)).astype(np.float32))
        var = pd.DataFrame(index=pd.Index([f"{prefix}{i}" for i in range(n)]))
        parts[name] = ad.AnnData(x, obs=pd.DataFrame({"type": ["a"] * n_cells}, index=pd.Index(cells)), var=var)
    parts["rna"].layers["counts"] = parts["rna"].X.copy()
    windows = sparse.random(n_peaks, 1000, 0.01, format="csr", dtype=np.float32, random_state=0)
    parts["atac"].varm["windows"] = windows
    with no_pull():
        mdata = md.MuData(parts)
    mdata.uns["tilegrn"] = {"schema": 2, "grid": {"window_size": 1000}}
    return mdata


def archived_cells(folder: Path) -> Path:
    """Unpack the archived h5mu."""
    path = folder / "cells.h5mu"
    path.write_bytes(gzip.decompress((ARCHIVE / "cells.h5mu.gz").read_bytes()))
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
