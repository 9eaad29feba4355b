"""Multiome data of any kind that a test of bad inputs needs, and a check that an error wrote nothing."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import tilegrn as grn
from tilegrn._core.mudata import no_pull, quiet_update
from tilegrn.errors import TileGRNError

CELLS = [f"AAAC{i:04d}-1" for i in range(12)]


def build(*, peaks=None, genes=None, cells=CELLS, atac_cells=None, names=("rna", "atac"), seed=0):
    """Counts for the given names; every cell has some."""
    rng = np.random.default_rng(seed)
    peaks = ["chr1:100-600", "chr1:1200-1800", "chr2:2000-2600", "chr2:3100-3300"] if peaks is None else peaks
    genes = ["Sox2", "Pou5f1", "G1", "G2"] if genes is None else genes
    parts = {}
    for name, rows, columns in (
        (names[0], cells, genes),
        (names[1], cells if atac_cells is None else atac_cells, peaks),
    ):
        x = rng.poisson(2.0, (len(rows), len(columns))).astype(np.float32)
        x[:, :1] += 1
        obs, var = pd.DataFrame(index=pd.Index(rows, dtype=str)), pd.DataFrame(index=pd.Index(columns, dtype=str))
        parts[name] = ad.AnnData(sparse.csr_matrix(x), obs=obs, var=var)
    with no_pull():
        return md.MuData(parts)


def with_names(mdata, modality, axis, names):
    """Rename cells or features, whatever mudata thinks of the new names."""
    setattr(mdata[modality], axis, pd.Index(names))
    quiet_update(mdata)
    return mdata


def fingerprint(mdata):
    """Every name and number that a function could have changed."""
    out = [("uns", repr(dict(mdata.uns))), ("obs", mdata.obs.to_json(orient="split")), ("names", list(mdata.obs_names))]
    for name, adata in mdata.mod.items():
        out += [
            (
                name,
                list(adata.obs_names),
                list(adata.var_names),
                adata.obs.to_json(orient="split"),
                adata.var.to_json(orient="split"),
            )
        ]
        out += [(name, "X", str(adata.X.dtype), _numbers(adata.X)), (name, "uns", repr(dict(adata.uns)))]
        for slot in ("layers", "obsm", "varm", "obsp", "varp"):
            held = getattr(adata, slot)
            out += [(name, slot, key, _numbers(held[key])) for key in held if key is not None]
    return out


def _numbers(x):
    if sparse.issparse(x):
        return [x.shape, x.data.tobytes(), *(getattr(x, a).tobytes() for a in ("indices", "indptr"))]
    return np.asarray(x).tobytes()


SIZES = {"chr1": 10_500, "chr2": 5_000}
TSS = pd.DataFrame(
    {"gene": ["Sox2", "Pou5f1", "G1", "G2"], "chrom": ["chr1", "chr1", "chr1", "chr2"], "pos": [50, 900, 3000, 2300]}
)
BINDING = pd.DataFrame({"source_id": ["Sox2"], "peak_id": ["chr1:100-600"], "tf_motifs_in_peak": [1]})


def binned(mdata=None, sizes=SIZES):
    mdata = build() if mdata is None else mdata
    grn.pp.bin_peaks(mdata, sizes)
    return mdata


def refused(mdata, call, message, error=TileGRNError):
    """The call raises such an error and leaves everything as it was."""
    before = fingerprint(mdata)
    with pytest.raises(error, match=message):
        call(mdata)
    assert fingerprint(mdata) == before
