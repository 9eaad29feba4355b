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
    max_epochs=2,
    teacher=TeacherConfig(rank=4, hidden=16, max_epochs=2),
)


def simulated(seed: int = 1, n_cells: int = 120):
    return grn.datasets.simulate(n_cells=n_cells, n_genes=40, n_peaks=150, n_tfs=8, n_chroms=2, seed=seed)


def sizes_of(mdata):
    sizes = mdata.uns["simulation"]["chrom_sizes"]
    pairs = zip(sizes["chrom"], sizes["length"], strict=True) if hasattr(sizes, "columns") else sizes.items()
    return {str(k): int(v) for k, v in pairs}


def ready(seed: int = 1, n_cells: int = 120):
    mdata = simulated(seed, n_cells)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    grn.pp.split_cells(mdata, seed=0)
    return mdata
