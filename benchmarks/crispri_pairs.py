"""CRISPRi pairs of K562 (odd chromosomes): AUPRC of pair scores, cross-validated by chromosome, beside simple ones.

Usage: python benchmarks/crispri_pairs.py [--weights PATH]

Prints markdown tables: the scores with 95 % bootstrap intervals over pairs and their gain over distance; and what each
feature brings (AUPRC without it). ``--weights`` writes the fitted weights, as shipped in ``src/tilegrn/data``.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import tilegrn as grn
from tilegrn._stats.ranking import METRICS, rank_metrics
from tilegrn.tl.pairs._features import ACTIVITY, BASE, BREADTH, ELSEWHERE
from tilegrn.tl.pairs._fit_pairs import auprc_table, out_of_fold
from tilegrn.tl.pairs._weights import EVIDENCE

DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PAIRS = "networks/crispri_K562_hg38_odd_chromosomes.tsv.gz"
CELLS = "multiome/cell_lines_hg38.h5mu"
ORIGIN = {
    "what": "tilegrn's weights of element-gene pairs (grn.tl.score_pairs); the pairs themselves are not shipped",
    "tested pairs": "K562 CRISPRi, hg38, odd chromosomes only: the data sets Gasperini2019, Nasser2021 and "
    "Schraivogel2020 as ENCODE compiled them (Gschwind et al. 2023); activity and breadth: that table's bulk DNase "
    "reads per million and ubiquitous expression",
    "cells measured": "SNARE-seq mixture of H1, BJ, K562 and GM12878 (scPECA package, MIT licence), 1,047 cells",
    "method": "logistic regression, L2 penalty C = 0.1, features standardised; benchmarks/crispri_pairs.py repeats it",
}
ARGUMENTS = {"groupby": "cell_type", "group": "K562", "activity": "bulk_dhs_rpm", "breadth": "ubiquitous"}


def main(weights_to: str | None) -> None:
    mdata = grn.io.read_h5mu(DATA / CELLS)
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    pairs = pd.read_csv(DATA / PAIRS, sep="\t")
    scored = grn.tl.score_pairs(mdata, pairs, return_features=True, **ARGUMENTS)
    cells = grn.tl.score_pairs(mdata, pairs, return_features=True, groupby="cell_type", group="K562")
    both = scored.combine_first(cells)  # with activity, the cells' own accessibility is in one of them only
    distance = np.exp(both["distance"].to_numpy()) - 5000.0
    kept = both["expression"].notna().to_numpy() & (distance < 5e8)  # genes of the data with a TSS on the chromosome
    both, pairs, distance = both[kept], pairs[kept], distance[kept]
    truth, chrom = pairs["regulated"].to_numpy() == 1, pairs["chrom"].to_numpy(dtype=object)
    own = np.exp(both["accessibility"].to_numpy())
    power = -np.log(distance + 5000.0)
    added = EVIDENCE * scored.attrs["effective_axes"] * both["correlation"].to_numpy()

    def held_out(columns: tuple[str, ...]) -> np.ndarray:
        return out_of_fold(both[list(columns)].to_numpy(), truth, chrom)

    single = (*BASE, *ELSEWHERE)
    bulk = (*(f for f in single if f != "accessibility"), *ACTIVITY)
    scores = {
        "distance": -distance,
        "activity x power law": np.log(own) + power,
        "bulk activity x power law": np.log(pairs["bulk_dhs_rpm"].to_numpy() + 0.1) + power,
        "correlation": both["correlation"].to_numpy(),
        "8 features, K562 cells alone": held_out(BASE),
        "11 features, single cells": held_out(single),
        "11 features + correlation (score_pairs)": held_out(single) + added,
        "with bulk activity": held_out(bulk) + added,
        "with bulk activity and breadth": held_out((*bulk, *BREADTH)) + added,
    }
    table = auprc_table(scores, truth, against="distance", n_boot=1000, seed=0)
    print(f"{len(truth):,} pairs, {int(truth.sum())} regulated, {len(set(chrom))} chromosomes\n")
    print("| score | AUPRC (95 %) | gain over distance (95 %) |\n|---|---|---|")
    for _, r in table.iterrows():
        gain = "-" if r["score"] == "distance" else f"{r['gain']:.2f} [{r['gain_low']:.2f}, {r['gain_high']:.2f}]"
        print(f"| {r['score']} | {r['auprc']:.3f} [{r['auprc_low']:.2f}, {r['auprc_high']:.2f}] | {gain} |")
    print("\n| without | single cells | with bulk activity and breadth |\n|---|---|---|")
    at = METRICS.index("auprc")
    for feature in ("nothing", *single, *ACTIVITY, *BREADTH):
        cell = []
        for columns in (single, (*bulk, *BREADTH)):
            left = tuple(c for c in columns if c != feature)
            unused = feature != "nothing" and left == columns
            cell.append("" if unused else f"{rank_metrics(held_out(left), truth)[at]:.3f}")
        print(f"| {feature.replace('_', ' ')} | {cell[0]} | {cell[1]} |")
    if weights_to:
        every = pd.read_csv(DATA / PAIRS, sep="\t")
        fit = grn.tl.fit_pairs(mdata, every, origin=ORIGIN, **ARGUMENTS)
        fit.save(weights_to)
        print(f"\n{fit}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[2] if len(sys.argv) > 2 and sys.argv[1] == "--weights" else None)
