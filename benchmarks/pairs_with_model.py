"""Does a trained model know more of element-gene pairs than ``score_pairs``? The weights of its cis head as a feature.

    python benchmarks/pairs_with_model.py [--seeds 0 1 2]

Trains the default model on the four cell lines (genes that 5 % of the cells or a tested pair name), takes for each
tested pair of K562 the largest weight and effect that the cis head gives a window of the element (within 250 bp),
and adds them to the eleven features: AUPRC over folds by chromosome, and the gain with its 95 % interval (bootstrap
over pairs). Prints a markdown table.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from crispri_pairs import CELLS, DATA, PAIRS

import tilegrn as grn
from tilegrn.tl.pairs._features import BASE, ELSEWHERE
from tilegrn.tl.pairs._fit_pairs import auprc_table, out_of_fold


def prepared(pairs: pd.DataFrame):
    """Return the cell lines with the genes to train on."""
    mdata = grn.io.read_h5mu(DATA / CELLS)
    rna = mdata["rna"]
    seen = np.asarray((rna.X > 0).mean(axis=0)).ravel() >= 0.05
    mdata.mod["rna"] = rna[:, seen | rna.var_names.isin(pairs["gene"])].copy()
    mdata.update()
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    grn.pp.mark_tfs(mdata, DATA / "reference" / "allTFs_hg38.txt")
    grn.pp.split_cells(mdata, seed=0)
    return mdata


def of_model(model, pairs: pd.DataFrame) -> np.ndarray:
    """Pairs x 2: ln of the largest weight, and the largest effect, over the windows of the element; 0 without one."""
    v = model.vocabulary
    window, gene, weight, effect = model.cis_weights()
    key = v.windows[window] * len(v.genes) + gene
    order = np.argsort(key)
    key, weight, effect = key[order], weight[order], effect[order]
    place = {g: i for i, g in enumerate(v.genes)}
    offset = dict(zip(v.grid.chroms, v.grid.offsets, strict=False))
    out = np.zeros((len(pairs), 2))
    columns = zip(pairs["chrom"], pairs["start"], pairs["end"], pairs["gene"], strict=True)
    for i, (chrom, start, end, name) in enumerate(columns):
        if name not in place or chrom not in offset:
            continue
        windows = offset[chrom] + np.arange(max(start - 250, 0) // 1000, (end + 249) // 1000 + 1)
        at = np.minimum(np.searchsorted(key, windows * len(v.genes) + place[name]), len(key) - 1)
        at = at[key[at] == windows * len(v.genes) + place[name]]
        if len(at):
            out[i] = weight[at].max(), effect[at].max()
    out[:, 0] = np.log(out[:, 0] + 1e-3)
    return out


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    seeds = parser.parse_args().seeds
    pairs = pd.read_csv(DATA / PAIRS, sep="\t")
    whole = grn.io.read_h5mu(DATA / CELLS)
    grn.pp.bin_peaks(whole, "hg38")
    grn.pp.tss_distance(whole, "hg38")
    known = grn.tl.score_pairs(whole, pairs, return_features=True, groupby="cell_type", group="K562")
    kept = known["expression"].notna().to_numpy() & (np.exp(known["distance"].to_numpy()) < 5e8)
    known, pairs = known[kept], pairs[kept].reset_index(drop=True)
    truth, chrom = pairs["regulated"].to_numpy() == 1, pairs["chrom"].to_numpy(dtype=object)
    plain = known[[*BASE, *ELSEWHERE]].to_numpy()
    scores = {"11 features": out_of_fold(plain, truth, chrom)}
    mdata = prepared(pairs)
    for seed in seeds:
        model = grn.tl.train(mdata, seed=seed, progress=False, accelerator="cpu")
        more = of_model(model, pairs)
        scores[f"cis head alone, seed {seed}"] = more[:, 0]
        scores[f"11 features + cis head, seed {seed}"] = out_of_fold(np.c_[plain, more], truth, chrom)
    table = auprc_table(scores, truth, against="11 features", n_boot=1000, seed=0)
    print("| score | AUPRC (95 %) | gain over the 11 features (95 %) |\n|---|---|---|")
    for _, r in table.iterrows():
        gain = "-" if r["score"] == "11 features" else f"{r['gain']:.3f} [{r['gain_low']:.3f}, {r['gain_high']:.3f}]"
        print(f"| {r['score']} | {r['auprc']:.3f} [{r['auprc_low']:.2f}, {r['auprc_high']:.2f}] | {gain} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
