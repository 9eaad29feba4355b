"""A MuData with slots of every kind, and whether two are the same."""

import anndata as ad
import mudata
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import no_pull


def build(n=30, n_genes=5, n_peaks=12):
    rng = np.random.default_rng(0)
    cells = pd.DataFrame({"type": list("ab") * (n // 2)}, index=[f"c{i}" for i in range(n)])

    def modality(n_vars, prefix):
        x = sparse.csr_matrix(rng.poisson(0.5, (n, n_vars)).astype(np.float32))
        return ad.AnnData(x, obs=cells.copy(), var=pd.DataFrame(index=[f"{prefix}{i}" for i in range(n_vars)]))

    rna, atac = modality(n_genes, "g"), modality(n_peaks, "p")
    rna.layers["counts"] = rna.X.copy()
    atac.varm["windows"] = sparse.random(n_peaks, 1000, 0.01, format="csr", dtype=np.float32, random_state=0)
    atac.obsm["windows"] = atac.X @ atac.varm["windows"]
    with no_pull():
        mdata = mudata.MuData({"rna": rna, "atac": atac})
    mdata.uns["tilegrn"] = {
        "schema": 1,
        "grid": {"chroms": np.array(["chr1", "chr2"], dtype=object), "window_size": 1000},
    }
    return mdata


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def same(a, b):
    assert list(a.mod) == list(b.mod)
    for name, x in a.mod.items():
        y = b.mod[name]
        assert x.obs_names.equals(y.obs_names)
        assert x.var_names.equals(y.var_names)
        assert list(x.obs) == list(y.obs)
        for slot in ("layers", "obsm", "varm"):
            held = {k for k in getattr(x, slot) if k is not None}
            assert held == {k for k in getattr(y, slot) if k is not None}
            for k in held:
                assert (sparse.csr_matrix(getattr(x, slot)[k]) != sparse.csr_matrix(getattr(y, slot)[k])).nnz == 0
        assert (sparse.csr_matrix(x.X[:]) != sparse.csr_matrix(y.X[:])).nnz == 0
    assert list(a.obs) == list(b.obs)
    assert set(a.uns) == set(b.uns)
