"""Small simulated data, ready for the model."""

from __future__ import annotations

import tilegrn as grn
from tilegrn.model.config import ModelConfig, TeacherConfig

TINY = ModelConfig(
    width=16,
    n_latents=2,
    n_heads=4,
    n_blocks=1,
    hidden=16,
    rank=6,
    n_components=8,
    n_loadings=8,
    cis_width=4,
    max_epochs=2,
    teacher=TeacherConfig(rank=4, hidden=16, max_epochs=2),
)


def ready(seed: int = 1, n_cells: int = 120):
    mdata = grn.datasets.simulate(n_cells=n_cells, n_genes=40, n_peaks=150, n_tfs=8, n_chroms=2, seed=seed)
    sim = mdata.uns["simulation"]
    sizes = sim["chrom_sizes"]
    sizes = dict(zip(sizes["chrom"], sizes["length"], strict=True)) if hasattr(sizes, "columns") else dict(sizes)
    grn.pp.bin_peaks(mdata, {str(k): int(v) for k, v in sizes.items()})
    grn.pp.tss_distance(mdata, sim["tss"])
    grn.pp.add_binding(mdata, sim["binding"])
    grn.pp.split_cells(mdata, seed=0)
    return mdata
