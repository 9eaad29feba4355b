"""The folder and the names that the code of the documentation finds: one small simulated data set, walked through.

``files`` writes what a user has; ``walked`` runs preprocessing on it (no torch); ``finished`` adds a model and all that
is made with one. A page or example that needs another file gets it in ``files``, another name in ``names``.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest import mock

import anndata as ad
import h5py
import matplotlib as mpl
import mudata as md
import numpy as np
import pandas as pd

import tilegrn as grn
from tests._small import copied
from tilegrn._core.mudata import no_pull

mpl.use("Agg")

WARNS = (
    "Depth alone explains",  # two hundred cells
    ".*TFs have fewer than",
    ".*have no motif in the binding given",
    r"From 0.4 .update\(\) will not pull",  # mudata 0.3, to whoever makes a MuData
)
"""What tilegrn rightly says of data as small as these, and what others say."""


@contextmanager
def quiet():
    with warnings.catch_warnings():
        for message in WARNS:
            warnings.filterwarnings("ignore", message=message)
        yield


def files(folder: Path) -> None:
    """Write the files that pages and examples name."""
    with redirect_stdout(io.StringIO()):
        mdata = grn.datasets.simulate(
            n_cells=200, n_genes=40, n_peaks=150, n_tfs=8, n_chroms=2, chrom_length=3_000_000, seed=1, folder=folder
        )
    made = mdata.uns["simulation"]
    (folder / "multiome.h5mu").unlink()
    del mdata.uns["simulation"]
    del mdata["rna"].layers["true_rate"]
    labels = mdata["rna"].obs["sample"].to_numpy().astype(str)
    grn.io.write_h5mu(folder / "sample.h5mu", part(mdata, labels != "S4", slice(None)))
    grn.io.write_h5mu(folder / "second.h5mu", part(mdata, labels == "S4", slice(5, None)))
    mdata["rna"].copy().write_h5ad(folder / "rna.h5ad")
    mdata["atac"].copy().write_h5ad(folder / "atac.h5ad")
    ten_x(folder / "filtered_feature_bc_matrix.h5", mdata)
    peaks = mdata["atac"].var_names.astype(str)
    places = pd.DataFrame(
        [(name.split(":")[0], *map(int, name.split(":")[1].split("-"))) for name in peaks],
        columns=["chrom", "start", "end"],
        index=peaks,
    )
    places.to_csv(folder / "peaks.bed", sep="\t", header=False, index=False)
    places.assign(signal=range(1, len(places) + 1)).to_csv(folder / "bulk.bed", sep="\t", header=False, index=False)
    homer_output(folder, places)
    made["binding"].to_csv(folder / "binding.csv", index=False)
    script = folder / "homer" / "bin" / "annotatePeaks.pl"
    script.parent.mkdir(parents=True)
    shutil.copy2(Path(__file__).parents[1] / "io" / "homer" / "stub_homer.pl", script)
    script.chmod(0o755)
    (folder / "tfs.txt").write_text("\n".join(f"Tf{i}" for i in range(1, 9)) + "\n")
    (folder / "genes.txt").write_text("Gene12\nGene30\n")
    tested = places.iloc[::3].reset_index(drop=True)
    tested["gene"] = [f"Gene{9 + i % 30}" for i in range(len(tested))]
    tested["regulated"] = [int(i % 3 == 0) for i in range(len(tested))]
    tss = made["tss"].drop_duplicates("gene").set_index("gene")["chrom"].astype(str)
    tested = tested[tested["chrom"].to_numpy() == tss.reindex(tested["gene"]).to_numpy()]
    tested.to_csv(folder / "elements.csv", index=False)
    made["edges"][["source", "target", "sign"]].to_csv(folder / "known.csv", index=False)
    (folder / "motifs.jaspar").write_text(
        ">MA0001.1 Tf1\n" + "\n".join(f"{base} [ {row} ]" for base, row in zip("ACGT", JASPAR, strict=True)) + "\n"
    )


JASPAR = ("90 5 0 1 2 90 3 1", "3 90 5 2 90 2 1 3", "3 2 90 95 3 5 90 2", "4 3 5 2 5 3 6 94")


def part(mdata: md.MuData, cells: np.ndarray, peaks: slice) -> md.MuData:
    with no_pull():
        return md.MuData({"rna": mdata["rna"][cells].copy(), "atac": mdata["atac"][cells, peaks].copy()})


def ten_x(path: Path, mdata: md.MuData) -> None:
    """Write counts as Cell Ranger ARC does."""
    from scipy import sparse

    counts = sparse.hstack([mdata["rna"].X, mdata["atac"].X]).tocsr().astype(np.int32)  # features x cells, CSC
    names = [*mdata["rna"].var_names.astype(str), *mdata["atac"].var_names.astype(str)]
    kinds = ["Gene Expression"] * mdata["rna"].n_vars + ["Peaks"] * mdata["atac"].n_vars
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = counts.data, counts.indices, counts.indptr
        group["shape"] = np.array(counts.shape[::-1])
        group["barcodes"] = np.array(list(mdata.obs_names), dtype="S")
        features = group.create_group("features")
        intervals = ["chr1:0-1"] * mdata["rna"].n_vars + list(mdata["atac"].var_names.astype(str))
        columns = {"id": names, "name": names, "feature_type": kinds, "genome": ["x"] * len(names)}
        for key, values in (columns | {"interval": intervals}).items():
            features[key] = np.array(values, dtype="S")


def homer_output(folder: Path, places: pd.DataFrame) -> None:
    """Write what ``annotatePeaks.pl peaks.bed genome.fa -m motifs.motif -nmotifs`` prints."""
    hits = grn.motifs.count_hits(folder / "genome.fa", places, folder / "motifs.motif", n_jobs=1)
    fixed = "Chr\tStart\tEnd\tStrand\tPeak Score\tFocus Ratio/Region Size\tCpG%\tGC%"
    after = " Distance From Peak(sequence,strand,conservation)"
    command = "annotatePeaks.pl peaks.bed genome.fa -m motifs.motif -nmotifs"
    lines = ["\t".join([f"PeakID (cmd={command})", fixed, *(m + after for m in hits.motifs)])]
    for name, place, row in zip(places.index, places.itertuples(index=False), hits.counts.toarray(), strict=True):
        chrom, start, end = place
        lines.append("\t".join(map(str, [name, chrom, start + 1, end, "+", 0, "NA", 0, 0, *row])))
    (folder / "annotated.txt").write_text("\n".join(lines) + "\n")


def walked(folder: Path) -> md.MuData:
    """Run all of preprocessing."""
    mdata = grn.io.read_h5mu(folder / "sample.h5mu")
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, folder / "genome.chrom.sizes")
    grn.pp.tss_distance(mdata, folder / "tss.bed")
    grn.pp.homer_binding(mdata, folder / "genome.fa", folder / "motifs.motif", n_jobs=1)
    grn.pp.split_cells(mdata, "sample", test_groups=["S3"], seed=0)
    grn.pp.scale(mdata)
    return mdata


def finished(folder: Path, mdata: md.MuData):
    """Train, and make all that a model makes. Returns the model."""
    with tiny():
        model = grn.tl.train(mdata, seed=0, n_models=2, progress=False)
        model.save(folder / "model")
        grn.tl.predict(mdata, model)
        grn.tl.scorecard(mdata, baselines=["mean", "ridge"], n_bootstrap=20)
        grn.tl.edges(mdata, model, groupby="cell_type", max_cells=20)
        grn.tl.edges(mdata, model, max_cells=20)
    mdata["rna"].obsm["X_umap"] = np.asarray(mdata["rna"].X[:, :2].todense())
    return model


@contextmanager
def tiny():
    """Let the defaults of training and baselines be those of a network that is done in a second."""
    from tests.tl._ready import TINY
    from tilegrn.model import config

    teacher = dataclasses.replace(TINY.teacher, max_epochs=1)
    small = dataclasses.replace(TINY, teacher=teacher, max_epochs=1)
    with mock.patch.object(config, "default_config", return_value=small):
        yield


def names(mdata: md.MuData, model=None) -> dict[str, object]:
    """What code may use without saying where it comes from. The MuData is the code's own."""
    return {"grn": grn, "ad": ad, "md": md, "np": np, "pd": pd, "mdata": copied(mdata), "model": model}


def close_figures() -> None:
    import matplotlib.pyplot as plt

    plt.close("all")
