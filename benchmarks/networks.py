"""Networks held against known ones: simulated data and mouse cortex.

python benchmarks/networks.py sim --seed 4 --models 2 [--peaks 25000]
python benchmarks/networks.py cortex --models 5
python benchmarks/networks.py direct --seeds 4 7 11 [--peaks 25000]

``direct`` needs no model: direct effects, and a ridge regression on all TFs without binding, against knock-outs of
some TFs that were simulated again. Each prints JSON lines or a table; docs/benchmarks/networks.md keeps what was
measured.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHOWN = ["auroc_pooled", "auprc_pooled", "auprc_ratio_pooled", "early_precision_pooled"]
MACRO = ["auroc_macro", "auroc_low", "auroc_high", "auprc_ratio_macro", "auprc_ratio_low", "auprc_ratio_high"]


def say(**facts) -> None:
    print(json.dumps(facts, default=float), flush=True)


def report(name: str, score) -> None:
    say(
        truth=name,
        true=score.n_true,
        candidates=score.n_candidates,
        tfs=score.n_sources,
        tfs_with_figures=int(score.per_tf["source"].nunique()),
        signs_right=score.signs[0],
        signs_of=score.signs[1],
    )
    print(score.table[SHOWN + MACRO + ["early_precision_macro"]].round(3).to_string(), flush=True)
    print(score.differences.round(3).to_string(), flush=True)


def fitted(mdata, models: int, folder: str | None, max_epochs: int | None = None):
    import tilegrn as grn

    if folder and Path(folder).exists():
        return grn.io.load_model(folder)
    start = time.time()
    model = grn.tl.train(mdata, n_models=models, max_epochs=max_epochs, seed=0, progress=False)
    say(step="train", models=models, seconds=time.time() - start)
    if folder:
        model.save(folder)
    return model


def explained(mdata, model, **choices) -> None:
    from tilegrn.tl.network._edges import edges

    start = time.time()
    edges(mdata, model, **choices)
    record = mdata.uns["tilegrn"]["edges"]
    say(
        step="edges",
        seconds=time.time() - start,
        completeness=record["completeness"],
        jaccard=[round(float(j), 3) for j in record["jaccard_top"]],
        rows=len(record["network"]),
        steps=record["steps"],
    )


def sim(seed: int, models: int, n_knockouts: int, n_peaks: int, folder: str | None, *, small: bool) -> None:
    from scipy.stats import spearmanr

    import tilegrn as grn
    from tilegrn.tl.evaluate._network_score import evaluate_network
    from tilegrn.tl.network._knockout import knockout

    size = {"n_cells": 1000, "n_genes": 300, "n_peaks": 1500, "n_tfs": 40} if small else {"n_peaks": n_peaks}
    mdata = grn.datasets.simulate(seed=seed, **size)
    truth = mdata.uns["simulation"]
    grn.pp.bin_peaks(mdata, truth["chrom_sizes"])
    grn.pp.tss_distance(mdata, truth["tss"])
    grn.pp.add_binding(mdata, truth["binding"])
    grn.pp.split_cells(mdata, seed=0)
    model = fitted(mdata, models, folder, max_epochs=6 if small else None)
    explained(mdata, model, max_cells=128)
    report(f"simulated, seed {seed}", evaluate_network(mdata, truth["edges"], max_cells=1000))
    counts = truth["edges"]["source"].value_counts()
    chosen = list(counts.index[:: max(1, len(counts) // n_knockouts)])[:n_knockouts]
    names = np.array(mdata["rna"].var_names)
    before = mdata["rna"].layers["true_rate"].mean(0)
    rows = []
    for tf in chosen:
        after = grn.datasets.simulate(seed=seed, knockout={tf: 0.0}, **size)["rna"].layers["true_rate"].mean(0)
        real = np.log2(after / before)
        table = knockout(mdata, model, tf).set_index("target").loc[names]
        hit = (np.abs(real) > 1e-6) & (names != tf)
        for kind, column in (("model + direct", "log2_fold_change"), ("model", "model_log2_fold_change")):
            got = table[column].to_numpy()[hit]
            rows += [(tf, kind, int(hit.sum()), got[i], r) for i, r in enumerate(real[hit])]
    frame = pd.DataFrame(rows, columns=["tf", "kind", "n", "predicted", "real"])
    for kind, part in frame.groupby("kind"):
        per = [spearmanr(p["predicted"], p["real"])[0] for _, p in part.groupby("tf") if len(p) > 4]
        say(
            step="knockout",
            kind=kind,
            tfs=len(chosen),
            genes=len(part),
            spearman_pooled=spearmanr(part["predicted"], part["real"])[0],
            spearman_median_tf=float(np.median(per)),
            sign_right=float((np.sign(part["predicted"]) == np.sign(part["real"])).mean()),
            size_ratio=float(part["predicted"].abs().mean() / part["real"].abs().mean()),
            slope=float(part["predicted"] @ part["real"] / (part["real"] @ part["real"])),
            squared_error=float(((part["predicted"] - part["real"]) ** 2).sum() / (part["real"] @ part["real"])),
        )


def direct(seed: int, n_peaks: int, n_knockouts: int) -> list[dict]:
    """Judge direct effects, and the linear baseline, by the network and by knock-outs that are simulated again."""
    from scipy import sparse
    from scipy.stats import spearmanr

    import tilegrn as grn
    from tilegrn._core.scaling import fit_minmax
    from tilegrn._stats.ranking import METRICS, rank_metrics
    from tilegrn.tl.network._direct_effects import fit_direct_effects
    from tilegrn.tl.network._support import Support
    from tilegrn.tl.pairs._window_links import window_links
    from tilegrn.tl.training._source import read_source

    mdata = grn.datasets.simulate(seed=seed, n_peaks=n_peaks)
    truth = mdata.uns["simulation"]
    grn.pp.bin_peaks(mdata, truth["chrom_sizes"])
    grn.pp.tss_distance(mdata, truth["tss"])
    grn.pp.add_binding(mdata, truth["binding"])
    names, tfs = mdata["rna"].var_names, np.flatnonzero(mdata["rna"].var["is_tf"].to_numpy())
    counts = mdata["rna"].X.tocsr()
    depth = np.asarray(counts.sum(axis=1)).ravel()
    size = np.maximum(depth / np.median(depth), 1e-3)
    binding = mdata["rna"].varm["homer_binding"][tfs].astype(float)
    rms = np.sqrt(np.asarray(binding.multiply(binding).sum(axis=1)).ravel() / np.maximum(np.diff(binding.indptr), 1))
    # What edges take, without a model: support_of on the windows of the data.
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=True)
    windows = source.open[np.arange(mdata.n_obs)]
    opened = np.asarray(fit_minmax(windows).transform(windows).mean(axis=0)).ravel()
    bound = sparse.csr_matrix(sparse.diags(1 / np.maximum(rms, 1e-12)) @ binding[:, source.windows])
    found = Support(bound, source.distance, source.rule.decay)
    links = window_links(
        mdata, source.windows, list(names), source.distance, groups={}, layer=None, rna="rna", atac="atac"
    ).of(None)
    support = found.tf_gene(found.open_links(links, opened), opened)
    genes = np.arange(len(names))
    effects = {
        "direct effects": fit_direct_effects(counts, size, tfs, genes, support),
        "linear, without binding": _plain_ridge(counts, size, tfs),
    }
    true = np.zeros((len(tfs), len(genes)), dtype=bool)
    place = {g: i for i, g in enumerate(names)}
    for source, target in zip(truth["edges"]["source"], truth["edges"]["target"], strict=True):
        true[np.searchsorted(tfs, place[source]), place[target]] = True
    other = tfs[:, None] != genes[None, :]
    sources = truth["edges"]["source"].value_counts()
    chosen = list(sources.index[:: max(1, len(sources) // n_knockouts)])[:n_knockouts]
    before = mdata["rna"].layers["true_rate"].mean(0)
    real = {
        t: np.log2(
            grn.datasets.simulate(seed=seed, n_peaks=n_peaks, knockout={t: 0.0})["rna"].layers["true_rate"].mean(0)
            / before
        )
        for t in chosen
    }
    rows = []
    for name, found in effects.items():
        predicted, wanted = [], []
        for tf, change in real.items():
            at = int(np.searchsorted(tfs, place[tf]))
            count = counts[:, tfs[at]].toarray().astype(float)
            fold = np.log2(found.change(np.array([at]), count, np.zeros(1), size).mean(axis=0))
            hit = (np.abs(change) > 1e-6) & (names != tf)
            predicted.append(fold[hit])
            wanted.append(change[hit])
        p, r = np.concatenate(predicted), np.concatenate(wanted)
        ranked = rank_metrics(np.abs(found.effect)[other].astype(float), true[other])
        rows.append(
            {
                "open peaks a cell": round(float(np.diff(mdata["atac"].X.indptr).mean())),
                "seed": seed,
                "effects": name,
                "AUPRC / chance": ranked[METRICS.index("auprc")] / true[other].mean(),
                "genes": len(r),
                "slope": float(p @ r / (r @ r)),
                "size": float(np.abs(p).mean() / np.abs(r).mean()),
                "Spearman": float(spearmanr(p, r)[0]),
                "signs right": float((np.sign(p) == np.sign(r)).mean()),
                "squared error / no change": float(((p - r) ** 2).sum() / (r @ r)),
            }
        )
    return rows


class PlainRidge:
    """Relative change of every gene per standard deviation of each TF's log count, by one ridge on all TFs."""

    def __init__(self, effect, sd) -> None:
        self.effect, self.sd = effect, sd

    def change(self, tfs, counts, new, size):
        step = np.log1p(new[None, :] / size[:, None]) - np.log1p(counts / size[:, None])
        return np.clip(1.0 + (step / self.sd[tfs]) @ self.effect[tfs], 0.05, 20.0)


def _plain_ridge(counts, size, tfs):
    from sklearn.linear_model import RidgeCV

    rate = counts.toarray() / size[:, None]
    level = np.log1p(rate[:, tfs])
    sd = level.std(axis=0)
    z = (level - level.mean(axis=0)) / sd
    fit = RidgeCV(alphas=np.geomspace(1, 1e5, 11)).fit(z, rate / np.maximum(rate.mean(axis=0), 1e-9))
    return PlainRidge(fit.coef_.T.astype(np.float32), sd)


def cortex(models: int, folder: str | None) -> None:
    import tilegrn as grn
    from tilegrn.io._networks import read_network
    from tilegrn.tl.evaluate._network_score import evaluate_network

    mdata = grn.io.read_h5mu(DATA / "multiome" / "mouse_cortex_mm10.h5mu")
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, "mm10")
    grn.pp.tss_distance(mdata, "mm10")
    grn.pp.add_binding(mdata, pd.read_parquet(DATA / "multiome" / "mouse_cortex_mm10_promoter_binding.parquet"))
    grn.pp.split_cells(mdata, by="sample", seed=0)
    model = fitted(mdata, models, folder)
    explained(mdata, model, indirect=True)
    for name, file in (
        ("TRRUST mouse", "trrust_mouse.tsv.gz"),
        ("non-specific ChIP-seq", "mouse_nonspecific_chip.csv.gz"),
    ):
        truth = read_network(DATA / "networks" / file)
        report(name, evaluate_network(mdata, truth, max_cells=1000, targets="truth"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["sim", "cortex", "direct"])
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 7, 11], help="of direct")
    parser.add_argument("--peaks", type=int, default=3000, help="of simulations: more make denser cells")
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--knockouts", type=int, default=8)
    parser.add_argument("--small", action="store_true", help="a simulation and a training of some seconds")
    parser.add_argument("--folder", help="keep the model here, and take it from here if it is there")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.what == "sim":
        sim(args.seed, args.models, args.knockouts, args.peaks, args.folder, small=args.small)
    elif args.what == "cortex":
        cortex(args.models, args.folder)
    else:
        rows = [row for seed in args.seeds for row in direct(seed, args.peaks, args.knockouts)]
        print(pd.DataFrame(rows).round(3).to_markdown(index=False))


if __name__ == "__main__":
    main()
