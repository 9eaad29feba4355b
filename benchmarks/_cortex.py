"""The cortex data, ready for the model, and the score that the model's benchmarks report."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np

import tilegrn as grn
from tilegrn.model.grn_model import GRNModel

DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOLDS = [("09G", "09H"), ("09A", "09B"), ("09C", "09D"), ("09E", "09F")]
"""Libraries held out in each fold."""


def cortex(fold: int | None = 0):
    """Return the prepared cortex MuData, libraries of a fold held out for the test.

    With None as README's run has it: TFs with a motif only, libraries drawn with seed 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = grn.io.read_h5mu(DATA / "multiome" / "mouse_cortex_mm10.h5mu")
        grn.pp.intersect_cells(mdata)
        grn.pp.bin_peaks(mdata, "mm10")
        grn.pp.tss_distance(mdata, "mm10")
        grn.pp.add_binding(mdata, DATA / "multiome" / "mouse_cortex_mm10_promoter_binding.parquet")
        if fold is None:
            grn.pp.split_cells(mdata, "sample", seed=0)
            return mdata
        grn.pp.mark_tfs(mdata, DATA / "reference" / "allTFs_mm.txt")
        grn.pp.split_cells(mdata, "sample", test_groups=FOLDS[fold])
    return mdata


def held_out_pearson(mdata, *, genes=None, least: int = 5) -> float:
    """Mean over non-TF genes with at least 5 positive test cells of r between prediction and log1p(counts / sf)."""
    test = (mdata.obs["split"] == "test").to_numpy()
    rna = mdata["rna"]
    counts = rna.X[test].toarray()
    size = mdata.uns["tilegrn"]["predict"]["size_factor"][test]
    observed = np.log1p(counts / size[:, None])
    predicted = rna.layers["predicted"][test].astype(np.float64)
    o, p = observed - observed.mean(0), predicted - predicted.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num((o * p).sum(0) / np.sqrt((o**2).sum(0) * (p**2).sum(0)))
    use = ((counts > 0).sum(0) >= least) & ~rna.var["is_tf"].to_numpy()
    if genes is not None:
        use &= rna.var_names.isin(genes)
    return float(r[use].mean())


def genes_on(mdata, chroms) -> list[str]:
    """Genes of chromosomes, by the TSS table."""
    tss = mdata.uns["tilegrn"]["tss"]
    return [str(g) for g, c in zip(tss["gene"], tss["chrom"], strict=True) if str(c) in set(chroms)]


def shuffle_windows(mdata, seed: int = 0) -> None:
    """Give each cell the open windows of another cell of the same part of the split."""
    rng = np.random.default_rng(seed)
    order = np.arange(mdata.n_obs)
    split = mdata.obs["split"].to_numpy()
    for part in np.unique(split):
        rows = np.flatnonzero(split == part)
        order[rows] = rng.permutation(rows)
    atac = mdata["atac"]
    atac.obsm["windows"] = atac.obsm["windows"].tocsr()[order]


def fit_and_judge(mdata, models: int, baselines: tuple[str, ...], columns: list[str], *, seed: int = 0) -> list[dict]:
    """Return a row for the mean of single networks, then one for each row of the scorecard of their average."""
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = grn.tl.train(mdata, n_models=models, seed=seed, progress=False, accelerator="cpu")
        seconds = time.monotonic() - start
        singles = []
        for net in model.networks:
            one = GRNModel(model.vocabulary, model.config, model.preparation, [net], model.record)
            grn.tl.predict(mdata, one)
            singles.append(held_out_pearson(mdata))
        grn.tl.predict(mdata, model)
        card = grn.tl.scorecard(mdata, baselines=baselines, n_models=models)
    rows = [{"method": "one seed", "pearson": round(float(np.mean(singles)), 4), "seconds": round(seconds / models)}]
    for _, line in card.table.iterrows():
        rows.append({"method": line["method"]} | {c: round(float(line[c]), 4) for c in columns})
    rows[1]["seconds"] = round(seconds)
    return [{"models": models, "genes": card.parameters["n_genes"]} | row for row in rows]


def between_markers(page: Path, tables: dict[str, list[str]]) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` in a page of the documentation."""
    text = page.read_text()
    for name, lines in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start not in text or end not in text:
            msg = f"{page} has no place for the table '{name}': {start} ... {end}."
            raise ValueError(msg)
        head, rest = text.split(start)
        text = head + start + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1]
    page.write_text(text)
