"""Time the notebook's walk in pandas against tilegrn: mouse cortex, chr1 and whole genome, all cells pooled.

Usage: python benchmarks/notebook_parity.py [--data DIR] [--runs 5]

Both sides start from the same tables in memory; their equality is tested in tests/tl/test_notebook_parity.py. The step
that the notebook repeats for each cell (potentials to window sums) is timed apart from the distances, which are made
once. Prints a Markdown table of medians and peak memory, then processor seconds a cell on chr1: of the step that the
notebook repeats for each cell, and of what tilegrn prepares for all cells at once (windows, distances, ranges).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import notebook

import tilegrn as grn
from tilegrn._core.mudata import no_pull


def load(data: Path, chrom: str):
    mdata = grn.io.read_h5mu(data / "multiome/mouse_cortex_mm10.h5mu")
    mdata.mod["atac"] = mdata["atac"][:, mdata["atac"].var_names.str.startswith(chrom)].copy()
    with no_pull():
        mdata.update()
    table = pd.read_parquet(data / "multiome/mouse_cortex_mm10_promoter_binding.parquet")
    names = ["chrom", "start", "end", "gene", "score", "strand"]
    tss = pd.read_csv(data / "reference/mm10_refseq_tss.bed.gz", sep="\t", header=None, names=names)
    tss = tss[(tss["chrom"] + ":").str.startswith(chrom) & tss["gene"].isin(mdata["rna"].var_names)]
    return mdata, table, tss


def means(mdata):
    rna, atac = mdata["rna"], mdata["atac"]
    expression = pd.Series(np.asarray(rna.X.astype(float).mean(axis=0)).ravel(), index=rna.var_names)
    return expression, pd.Series(np.asarray(atac.X.astype(float).mean(axis=0)).ravel(), index=atac.var_names)


def pandas_distances(mdata, table, tss):
    return notebook.genes_near_peaks(notebook.peak_table(mdata["atac"].var_names), tss)


def pandas_scores(mdata, table, tss, near):
    expression, accessibility = means(mdata)
    binding = notebook.binding_potential(table[table["peak_id"].isin(mdata["atac"].var_names)], expression)
    scores = notebook.triplet_scores(binding, notebook.regulatory_potential(near, accessibility))
    return len(notebook.windowed(scores.dropna(), notebook.peak_table(mdata["atac"].var_names))[0])


def tilegrn_distances(mdata, table, tss):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.tss_distance(mdata, tss.drop(columns="score"), anchor="end", multiple="all", decay=250_000)


def tilegrn_scores(mdata, table, tss, near):
    return len(grn.tl.potentials(mdata).scores(level="window"))


def prepare(mdata, table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.bin_peaks(mdata, "mm10")
        grn.pp.add_binding(mdata, table)


def measure(walk, arguments, runs):
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        rows = walk(*arguments)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    walk(*arguments)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return statistics.median(seconds), peak, rows


def a_cell(mdata, table, tss, near, runs: int) -> tuple[float, float]:
    """Return processor seconds a cell: of the notebook's step for single cells, of all that tilegrn does for all."""
    rna, atac = mdata["rna"], mdata["atac"]
    peaks, bound = notebook.peak_table(atac.var_names), table[table["peak_id"].isin(atac.var_names)]
    theirs, ours = [], []
    for cell in np.linspace(0, mdata.n_obs - 1, 7).astype(int):
        start = time.process_time()
        expression = pd.Series(rna.X[cell].toarray().ravel().astype(float), index=rna.var_names)
        accessibility = pd.Series(atac.X[cell].toarray().ravel().astype(float), index=atac.var_names)
        binding = notebook.binding_potential(bound, expression)
        scores = notebook.triplet_scores(binding, notebook.regulatory_potential(near, accessibility))
        notebook.windowed(scores.dropna(), peaks)
        theirs.append(time.process_time() - start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.split_cells(mdata)
        for _ in range(runs):
            start = time.process_time()
            grn.pp.bin_peaks(mdata, "mm10")
            tilegrn_distances(mdata, table, tss)
            grn.pp.scale(mdata)
            ours.append((time.process_time() - start) / mdata.n_obs)
    return statistics.median(theirs), statistics.median(ours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print("| step | data | who | median s | peak MB | rows | speed ratio |")
    print("|---|---|---|---|---|---|---|")
    for chrom, label in (("chr1:", "chr1"), ("chr", "whole genome")):
        loaded = load(arguments.data, chrom)
        prepare(*loaded[:2])
        near = pandas_distances(*loaded)
        if label == "chr1":
            cell = a_cell(*loaded, near, arguments.runs)
        steps = {
            "peak-TG distances": ((pandas_distances, tilegrn_distances), loaded),
            "potentials to window sums": ((pandas_scores, tilegrn_scores), (*loaded, near)),
        }
        for step, (sides, given) in steps.items():
            result = [measure(walk, given, arguments.runs) for walk in sides]
            for who, (seconds, peak, rows) in zip(("notebook (pandas)", "tilegrn"), result, strict=True):
                n = rows if isinstance(rows, int) else ""
                print(f"| {step} | {label} | {who} | {seconds:.4f} | {peak:.0f} | {n} | {result[0][0] / seconds:.1f} |")
    theirs, ours = cell
    print(f"\nA cell, chr1: notebook {theirs * 1e3:.1f} ms, tilegrn {ours * 1e3:.4f} ms, {theirs / ours:,.0f} times.")


if __name__ == "__main__":
    main()
