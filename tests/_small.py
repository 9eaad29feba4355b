"""A small multiome data set, every number of which a test can follow by eye."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import no_pull

SIZES = {"chr1": 10_500, "chr2": 5_000}
PEAKS = ["chr1:100-600", "chr1:900-1300", "chr1:1000-1400", "chr1:3500-4500", "chr1:10200-10500", "chr2:2000-2600"]
GENES = ["Ta", "Tb", "G1", "G2", "G3"]
TSS = pd.DataFrame(
    {
        "gene": ["Ta", "Tb", "G1", "G1", "G2"],
        "chrom": ["chr1", "chr2", "chr1", "chr1", "chr2"],
        "pos": [50, 4000, 3000, 9000, 2300],
        "strand": ["+", "-", "+", "+", "-"],
    }
)
BINDING = pd.DataFrame(
    {
        "source_id": ["Ta", "Ta", "Ta", "Tb", "Tb"],
        "peak_id": ["chr1:100-600", "chr1:900-1300", "chr1:1000-1400", "chr1:1000-1400", "chr2:2000-2600"],
        "tf_motifs_in_peak": [1, 2, 1, 3, 1],
    }
)


def small(n_cells: int = 12, seed: int = 0) -> md.MuData:
    rng = np.random.default_rng(seed)
    cells = [f"c{i}" for i in range(n_cells)]
    genes = rng.poisson(2.0, (n_cells, len(GENES))) + np.eye(n_cells, len(GENES))
    peaks = rng.poisson(1.5, (n_cells, len(PEAKS)))
    peaks[:, 0] = 1  # no cell is empty
    rna, atac = (ad.AnnData(sparse.csr_matrix(x.astype(np.float32))) for x in (genes, peaks))
    rna.obs_names = atac.obs_names = cells
    rna.var_names, atac.var_names = GENES, PEAKS
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs["batch"] = ["a", "b", "c"] * (n_cells // 3)
    return mdata


def copied(mdata: md.MuData) -> md.MuData:
    with no_pull():
        return mdata.copy()
