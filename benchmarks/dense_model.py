"""The model at the width and density of a 10x experiment, beside a ridge regression on ATAC components.

    python benchmarks/dense_model.py [--sizes 1500x60000x8000 2000x120000x20000] [--seeds 0 1 2]

Cells x peaks x genes are simulated with true rates (dense_multiome.py of the real data's folder); a quarter of the
cells is held out. Mean r per gene that is no TF (and that 5 held-out cells express) for the model with all defaults,
and for the best of ridge regressions on 12, 20, 30 or 50 components with four penalties each, chosen on the held-out
cells themselves; the difference with its 95 % interval over genes; seconds and peak memory. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time
import warnings

import numpy as np
from _cortex import DATA
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.utils.extmath import randomized_svd

import tilegrn as grn
from tilegrn._stats.metrics import pearson


def simulated(size: tuple[int, int, int], seed: int = 0):
    """Return a prepared sample, and the TFs of the simulator."""
    spec = importlib.util.spec_from_file_location("dense_multiome", DATA / "dense_multiome.py")
    simulator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulator)
    mdata = simulator.simulate(*size, seed)
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    grn.pp.mark_tfs(mdata, [t for t in simulator.TFS if t in mdata["rna"].var_names])
    grn.pp.split_cells(mdata, test=0.25, val=0.05, seed=0)
    return mdata


def rows_of(mdata, part: str) -> np.ndarray:
    """Rows of the RNA in a part of the split."""
    return np.flatnonzero((mdata.obs["split"].reindex(mdata["rna"].obs_names) == part).to_numpy())


def best_ridge(mdata, score) -> tuple[np.ndarray, str, float]:
    """Per-gene r of the best ridge on LSI components, its name, and the seconds of one fit."""
    start = time.monotonic()
    train, test = rows_of(mdata, "train"), rows_of(mdata, "test")
    opened = sparse.csr_matrix(mdata["atac"].X, dtype=np.float32, copy=True)
    opened.data[:] = 1.0
    idf = np.log1p(len(train) / np.maximum(np.asarray(opened[train].sum(axis=0)).ravel(), 1.0))
    x = sparse.csr_matrix(opened @ sparse.diags(idf))
    x = sparse.diags(1.0 / np.maximum(np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel()), 1e-9)) @ x
    _, _, axes = randomized_svd(x[train], n_components=50, n_iter=4, random_state=0)
    scores = x @ axes.T
    counts = mdata["rna"].X
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    size = depth / np.median(depth[train])
    target = np.log1p(counts[train].toarray() / size[train, None]).astype(np.float32)
    best = (np.zeros(0), "", 0.0)
    for k in (12, 20, 30, 50):
        z = np.c_[scores[:, :k], np.log(size), np.log(np.asarray(opened.sum(axis=1)).ravel())]
        z = (z - z[train].mean(axis=0)) / z[train].std(axis=0)
        for penalty in (10, 100, 300, 1000):
            began = time.monotonic()
            r = score(Ridge(alpha=penalty).fit(z[train], target).predict(z[test]))
            if not best[1] or r.mean() > best[0].mean():
                best = (r, f"{k} components, penalty {penalty}", time.monotonic() - began)
    print(f"ridges: {time.monotonic() - start:.0f} s", flush=True)
    return best


def main() -> None:
    """Fit, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1500x60000x8000", "2000x120000x20000"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    lines = [
        "| cells x peaks x genes | seed | model | best ridge | difference (95 %) | true rates | fit | predict | peak |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for text in args.sizes:
        mdata = simulated(tuple(int(n) for n in text.split("x")))
        rna, train, test = mdata["rna"], rows_of(mdata, "train"), rows_of(mdata, "test")
        depth = np.maximum(np.asarray(rna.X.sum(axis=1)).ravel(), 1.0)
        size = (depth / np.median(depth[train]))[test, None]
        counts = rna.X[test].toarray()
        genes = np.flatnonzero(((counts > 0).sum(axis=0) >= 5) & ~rna.var["is_tf"].to_numpy())
        observed = np.log1p(counts[:, genes] / size)

        def score(predicted, observed=observed, genes=genes):
            return pearson(observed, np.asarray(predicted, dtype=np.float64)[:, genes])

        ridge, name, _ = best_ridge(mdata, score)
        ceiling = score(np.log1p(rna.layers["rate"][test] * np.median(depth[train])))
        for seed in args.seeds:
            start = time.monotonic()
            model = grn.tl.train(mdata, seed=seed, progress=False, accelerator="cpu")
            fit = time.monotonic() - start
            start = time.monotonic()
            grn.tl.predict(mdata, model)
            each = 1000 * (time.monotonic() - start) / mdata.n_obs
            r = score(rna.layers["predicted"][test])
            gap, half = r - ridge, 1.96 * (r - ridge).std() / np.sqrt(len(r))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            cells = [
                text.replace("x", " x "),
                f"{seed}",
                f"{r.mean():.4f}",
                f"{ridge.mean():.4f} ({name})",
                f"{gap.mean():+.4f} ({gap.mean() - half:+.4f} to {gap.mean() + half:+.4f})",
                f"{ceiling.mean():.4f}",
                f"{fit:.0f} s",
                f"{each:.0f} ms a cell",
                f"{peak:.1f} GB",
            ]
            line = f"| {' | '.join(cells)} |"
            print(line, flush=True)
            lines.append(line)
    print("\n".join(lines))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
