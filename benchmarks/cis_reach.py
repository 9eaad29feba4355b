"""The law of distance that the cis term finds, where the true one is known.

    python benchmarks/cis_reach.py [--decays 10000 25000 50000 100000] [--seeds 3 4 5]

Simulated cells (600 cells, 200 genes, 1,000 peaks, 20 TFs) whose windows act on genes as exp(-d / decay): the decay
length read off correlations before training, the distance at which the trained model's weights have fallen to 1 / e,
and how well these weights rank the true window-gene pairs among all within 1 Mb. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.metrics import roc_auc_score

import tilegrn as grn


def measured(decay: float, seed: int) -> tuple[float | None, float, float]:
    """Return the length found before training, the reach of the model, and the AUROC of true pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = grn.datasets.simulate(n_cells=600, n_genes=200, n_peaks=1000, n_tfs=20, decay=decay, seed=seed)
        known = mdata.uns["simulation"]
        grn.pp.bin_peaks(mdata, known["chrom_sizes"])
        grn.pp.tss_distance(mdata, known["tss"])
        grn.pp.add_binding(mdata, known["binding"])
        grn.pp.split_cells(mdata)
        model = grn.tl.train(mdata, max_epochs=20, progress=False, accelerator="cpu")
    window, gene, weight, _ = model.cis_weights()
    of_peak = mdata["atac"].varm["windows"].tocsr().indices
    peak = {p: model.vocabulary.positions(of_peak[[i]])[0] for i, p in enumerate(mdata["atac"].var_names)}
    place = {g: i for i, g in enumerate(model.vocabulary.genes)}
    true = {(int(peak[c]), place[t]) for c, t in zip(known["truth"]["cre"], known["truth"]["target"], strict=True)}
    label = [(int(w), int(g)) in true for w, g in zip(window, gene, strict=True)]
    return model.config.cis_length, model.cis_reach(), float(roc_auc_score(label, weight))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decays", type=float, nargs="+", default=[10_000, 25_000, 50_000, 100_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    args = parser.parse_args()
    print("| true decay | found before training, over seeds | reach of the model | AUROC of true pairs |")
    print("|---|---|---|---|")
    for decay in args.decays:
        found, reach, auroc = zip(*(measured(decay, seed) for seed in args.seeds), strict=True)
        each = ", ".join("none" if f is None else f"{f / 1000:.0f} kb" for f in found)
        print(
            f"| {decay / 1000:.0f} kb | {each} | {', '.join(f'{r / 1000:.0f} kb' for r in reach)} "
            f"| {np.mean(auroc):.3f} ({min(auroc):.3f} to {max(auroc):.3f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
