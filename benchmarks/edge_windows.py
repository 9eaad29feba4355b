"""By what an edge is shared among its windows: CRISPRi pairs of K562, scored by the windows that their elements touch.

Usage: python benchmarks/edge_windows.py

Each tested pair has the best score of the windows that its element touches; the weights of the pair score are fitted on
the other chromosomes. Prints markdown tables with 95 % bootstrap intervals over pairs, and of the paired gain over what
edges were shared by before the pair score.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import tilegrn as grn
from tilegrn._core import store
from tilegrn._core.scaling import fit_minmax
from tilegrn.tl.pairs._features import BASE, ELSEWHERE
from tilegrn.tl.pairs._fit_pairs import PENALTY, auprc_table

DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
DECAY = 25_000.0
BEFORE = "accessibility x exp(-d / 25 kb), as before"


def main() -> None:
    from sklearn.linear_model import LogisticRegression

    mdata = grn.io.read_h5mu(DATA / "multiome" / "cell_lines_hg38.h5mu")
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    pairs = pd.read_csv(DATA / "networks" / "crispri_K562_hg38_odd_chromosomes.tsv.gz", sep="\t")
    choice = {"groupby": "cell_type", "group": "K562", "return_features": True}
    elements = grn.tl.score_pairs(mdata, pairs, **choice)
    distance = np.exp(elements["distance"].to_numpy()) - 5000.0
    kept = elements["expression"].notna().to_numpy() & (distance < 5e8)
    elements, pairs, distance = elements[kept], pairs[kept].reset_index(drop=True), distance[kept]
    grid = store.get_grid(mdata)
    size = grid.window_size
    first, last = pairs["start"].to_numpy() // size, (pairs["end"].to_numpy() - 1) // size
    row = np.repeat(np.arange(len(pairs)), last - first + 1)
    k = np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])
    code = grid.chrom_codes(pairs["chrom"])[row]
    number = grid.offsets[code] + k
    windows = pd.DataFrame(
        {"chrom": pairs["chrom"].to_numpy()[row], "start": k * size, "end": grid.ends(number)}
    ).assign(gene=pairs["gene"].to_numpy()[row])
    seen = grn.tl.score_pairs(mdata, windows, **choice)
    # What edges took before: mean scaled accessibility in the group x exp(-d / decay), d from the window's edge.
    opened = mdata["atac"].obsm["windows"]
    mine = np.flatnonzero((mdata["rna"].obs["cell_type"] == "K562").to_numpy())
    openness = np.zeros(grid.n_windows)
    openness[: opened.shape[1]] = np.asarray(fit_minmax(opened).transform(opened)[mine].mean(axis=0)).ravel()
    bp = np.maximum(np.exp(seen["distance"].to_numpy()) - 5000.0 - size / 2, 0.0)
    factor = np.exp(-bp / DECAY)
    truth, chrom = pairs["regulated"].to_numpy() == 1, pairs["chrom"].to_numpy(dtype=object)
    columns = [*BASE, *ELSEWHERE]
    x, z = elements[columns].to_numpy(), seen[columns].to_numpy()
    link, whole = np.zeros(len(windows)), np.zeros(len(pairs))
    for c in np.unique(chrom):
        held, there = chrom == c, chrom[row] == c
        mean, sd = x[~held].mean(axis=0), x[~held].std(axis=0)
        fit = LogisticRegression(C=PENALTY, max_iter=1000).fit((x[~held] - mean) / sd, truth[~held])
        link[there] = fit.decision_function((z[there] - mean) / sd)
        whole[held] = fit.decision_function((x[held] - mean) / sd)
    link += seen["evidence"].to_numpy()
    whole += elements["evidence"].to_numpy()
    p = 1 / (1 + np.exp(-link))
    a = openness[number]

    def best(values: np.ndarray) -> np.ndarray:
        out = np.full(len(pairs), -np.inf)
        np.maximum.at(out, row, values)
        return out

    scores = {
        BEFORE: best(a * factor),
        "distance of the nearest window": best(-bp),
        "exp(-d / 25 kb) where open": best(np.where(a > 0, factor, 0)),
        "link": best(p),
        "link where open": best(np.where(a > 0, p, 0)),
        "link x accessibility": best(p * a),
        "link ** 2 x accessibility": best(p**2 * a),
        "link x exp(-d / 25 kb)": best(np.where(a > 0, p, 0) * factor),
        "link x accessibility x exp(-d / 25 kb)": best(p * a * factor),
        "score_pairs of the element": whole,
        "distance of the element": -distance,
    }
    print(f"{len(truth):,} pairs, {int(truth.sum())} regulated; {len(windows):,} windows, {(a > 0).mean():.2f} open\n")
    show(scores, truth)
    touched = best(a) > 0
    print(f"\nElements that touch an open window: {int(touched.sum()):,}, {int(truth[touched].sum())} regulated\n")
    show({name: v[touched] for name, v in scores.items()}, truth[touched])


def show(scores: dict[str, np.ndarray], truth: np.ndarray) -> None:
    table = auprc_table(scores, truth, against=BEFORE, n_boot=500, seed=0)
    print("| score of a window | AUPRC (95 %) | gain (95 %) |\n|---|---|---|")
    for _, r in table.iterrows():
        gain = f"{r['gain']:.3f} [{r['gain_low']:.2f}, {r['gain_high']:.2f}]"
        print(f"| {r['score']} | {r['auprc']:.3f} [{r['auprc_low']:.2f}, {r['auprc_high']:.2f}] | {gain} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
