"""Cut the sample of grn.datasets.mouse_cortex() out of the whole set; see src/tilegrn/data/ORIGIN.md.

Usage: python tools/make_mouse_cortex.py WHOLE.h5mu [OUT.h5mu]

WHOLE.h5mu holds the 6,968 cells of GSE126074's adult mouse cortex, raw counts, with ``cell_type``, ``cell_type_fine``
and ``sample``. The same file and the same versions of h5py, anndata and mudata give the same bytes.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem

import tilegrn as grn
from tilegrn._core.atomic import new_file, sha256
from tilegrn._core.mudata import no_pull
from tilegrn.motifs._resolve import _key, _tables

OUT = Path(__file__).resolve().parent.parent / "src" / "tilegrn" / "data" / "mouse_cortex.h5mu"
N_CELLS = 2400
PER_TYPE = 200
"""Deepest cells of each type that are taken first, so that rare types are there; the rest are the deepest of all."""
UNASSIGNED = "Mis"
"""The authors' label of cells of no type; they are the shallowest."""
MIN_CELLS = {"rna": 10, "atac": 8}
"""Cells that a gene must be seen in, or a peak open in."""
# Found by a search for 14 colours that differ most (CIE76 of at least 23 between any two, normal vision and Machado's
# full deuteranopia, protanopia and tritanopia); kin types have kin hues where that allows.
COLOURS = {
    "L2/3": "#8fcfdf",
    "L4/5": "#00309f",
    "L6": "#8070df",
    "Clau": "#afafff",
    "Pvalb": "#bf2030",
    "Sst": "#ff8080",
    "CGE": "#ffbf40",
    "Npy": "#af8000",
    "Astro": "#60efbf",
    "OPC": "#dfdf80",
    "Oligo": "#9f70af",
    "MGC": "#af5070",
    "Endo": "#700030",
    "Peri": "#702070",
}

SOURCE = "GSE126074, SNARE-seq of adult mouse cortex (Chen, Lake and Zhang 2019), a cut of 2,400 cells"

logger = logging.getLogger("make_mouse_cortex")


def chosen_cells(rna: AnnData, atac: AnnData) -> np.ndarray:
    """Rows of the cells to keep, in the order of the file: deep in both modalities, every type."""
    depth = sum(pd.Series(np.asarray(a.X.sum(axis=1)).ravel()).rank(pct=True) for a in (rna, atac)).to_numpy()
    types = rna.obs["cell_type"].astype(str).to_numpy()
    order = np.argsort(-depth, kind="stable")
    order = order[types[order] != UNASSIGNED]
    rank = pd.Series(types[order]).groupby(types[order]).cumcount().to_numpy()
    first, rest = order[rank < PER_TYPE], order[rank >= PER_TYPE]
    return np.sort(np.concatenate([first, rest[: N_CELLS - len(first)]]))


def part(adata: AnnData, rows: np.ndarray, obs: pd.DataFrame, min_cells: int, usable: np.ndarray) -> AnnData:
    """Return the rows, and the usable features that enough of them show, with nothing but counts and annotation."""
    counts = adata.X.tocsr()[rows]
    columns = np.flatnonzero((np.asarray((counts > 0).sum(axis=0)).ravel() >= min_cells) & usable)
    counts = counts[:, columns].astype(np.float32)
    counts.sort_indices()
    return AnnData(counts, obs=obs.copy(), var=pd.DataFrame(index=adata.var_names[columns].astype(str)))


def reached(rna: AnnData, atac: AnnData) -> np.ndarray:
    """Tell which genes have a TSS in the shipped table and a peak within reach: every walk would warn of the others."""
    with no_pull(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = mudata.MuData({"rna": rna[atac.obs_names].copy(), "atac": atac.copy()})
        grn.pp.bin_peaks(trial, "mm10")
        grn.pp.tss_distance(trial, "mm10")
    return trial["rna"].varm["tss_distance"].getnnz(axis=1) > 0


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("whole", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=OUT)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    mdata = grn.io.read_h5mu(arguments.whole)
    rna, atac = mdata["rna"], mdata["atac"]
    rows = chosen_cells(rna, atac)
    obs = pd.DataFrame(index=rna.obs_names[rows].astype(str))
    for column, names in (("cell_type", list(COLOURS)), ("cell_type_fine", None), ("sample", None)):
        values = rna.obs[column].astype(str).to_numpy()[rows]
        obs[column] = pd.Categorical(values, categories=names or sorted(set(values)))
    parts = {"atac": part(atac, rows, obs, MIN_CELLS["atac"], np.ones(atac.n_vars, dtype=bool))}
    parts = {"rna": part(rna, rows, obs, MIN_CELLS["rna"], reached(rna, parts["atac"])), **parts}
    known = _tables()[1]
    parts["rna"].var["is_tf"] = [_key(gene) in known for gene in parts["rna"].var_names]
    with no_pull(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = mudata.MuData(parts)
        sample.obs = obs
        for holder in (sample, *parts.values()):
            holder.uns["cell_type_colors"] = np.array(list(COLOURS.values()))
        with new_file(arguments.out) as path:
            mudata.write_h5mu(str(path), sample, compression="gzip", compression_opts=9, shuffle=True)
            with h5py.File(path, "a") as file:  # single strings cannot be compressed
                write_elem(file, "uns/assembly", "mm10")
                write_elem(file, "uns/source", SOURCE)
    again = grn.io.read_h5mu(arguments.out)
    logger.info("%s: %d bytes, SHA-256 %s", arguments.out.name, arguments.out.stat().st_size, sha256(arguments.out))
    logger.info("%s\n%s", again, again["rna"].obs["cell_type"].value_counts().to_dict())


if __name__ == "__main__":
    main()
