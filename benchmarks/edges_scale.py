"""Edges at the size of a genome: 20,000 genes x 400 TFs x about 100,000 windows with peaks, time and memory.

    python benchmarks/edges_scale.py [--cells 500]

The counts are random, as only sizes matter here: 2,000 genes and 5,000 peaks per cell, 20 TFs bound to each peak, a
model trained for one epoch. The edges are made in a process of their own, so that its peak memory is theirs.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

import tilegrn as grn
from tilegrn.model.config import default_config

GENES, TFS, PEAKS, BOUND = 20_000, 400, 100_000, 20
CHROMS = {f"chr{i + 1}": 150_000_000 for i in range(20)}


def counts(rng: np.random.Generator, n: int, m: int, density: float, most: int) -> sparse.csr_matrix:
    """Draw sparse counts from 1 to ``most``."""
    x = sparse.random(n, m, density=density, format="csr", random_state=rng, dtype=np.float32)
    x.data = rng.integers(1, most + 1, size=x.nnz).astype(np.float32)
    return x


def make(folder: Path, cells: int) -> None:
    """Write data and model."""
    rng = np.random.default_rng(0)
    names = np.array(list(CHROMS))
    starts = np.unique(rng.integers(len(names) * 149_999, size=PEAKS)) * 1000  # one window each
    chrom, start = np.divmod(starts, 149_999_000)
    peaks = [f"{names[c]}:{s}-{s + 500}" for c, s in zip(chrom, start, strict=True)]
    genes = [f"Tf{i}" for i in range(TFS)] + [f"Gene{i}" for i in range(GENES - TFS)]
    rna = ad.AnnData(counts(rng, cells, GENES, 0.1, 5), var=pd.DataFrame(index=genes))
    atac = ad.AnnData(counts(rng, cells, len(peaks), 0.05, 2), var=pd.DataFrame(index=peaks))
    rna.obs_names = atac.obs_names = [f"cell{i}" for i in range(cells)]
    mdata = md.MuData({"rna": rna, "atac": atac})
    pos = rng.integers(149_000_000, size=GENES)
    where = rng.choice(names, size=GENES)
    tss = pd.DataFrame({"gene": genes, "chrom": where, "start": pos, "end": pos + 1, "strand": "+"})
    binding = pd.DataFrame(
        {
            "source_id": np.array(genes)[rng.integers(TFS, size=BOUND * len(peaks))],
            "peak_id": np.repeat(peaks, BOUND),
            "tf_motifs_in_peak": rng.integers(1, 4, size=BOUND * len(peaks)),
        }
    ).drop_duplicates(["source_id", "peak_id"])
    grn.pp.bin_peaks(mdata, CHROMS)
    grn.pp.tss_distance(mdata, tss)
    grn.pp.add_binding(mdata, binding)
    grn.pp.split_cells(mdata)
    config = dataclasses.replace(default_config(n_cells=cells), teacher=None, max_epochs=1)
    model = grn.tl.train(mdata, config=config, progress=False, accelerator="cpu")
    model.save(folder / "model")
    grn.io.write_h5mu(folder / "data.h5mu", mdata)


def explain(folder: Path) -> None:
    """Read data and model, make the edges, and tell time and memory."""
    mdata, model = grn.io.read_h5mu(folder / "data.h5mu"), grn.io.load_model(folder / "model")
    start = time.monotonic()
    grn.tl.edges(mdata, model)
    seconds = time.monotonic() - start
    record = mdata.uns["tilegrn"]["edges"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9)
    pairs = mdata["rna"].varm["tss_distance"].nnz
    print(f"{model.vocabulary.windows.size:,} windows, {pairs:,} window-gene pairs within 1 Mb")
    print(f"edges: {seconds:.0f} s, peak {peak:.2f} GB, {len(record['network']):,} edges, "
          f"attributions miss {record['completeness']:.2%} with {record['steps']} points")  # fmt: skip


def main() -> None:
    """Make the data, then the edges in a process of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--explain", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.explain:
        explain(args.explain)
        return
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        make(Path(folder), args.cells)
        print(f"data and model: {time.monotonic() - start:.0f} s", flush=True)
        subprocess.run([sys.executable, __file__, "--explain", folder], check=True)


if __name__ == "__main__":
    main()
