"""Genes learned per second: all genes at once, beside Cell2Net, which trains one model per gene.

    python benchmarks/one_model_per_gene.py [--genes 4] [--most-peaks 4] [--fold 0] [--write]

On the mouse cortex with two libraries held out whole. Cell2Net (the package of that name, 0.13) has to be importable;
it pins versions that tilegrn does not, so install it without its dependencies beside them. Its defaults throughout:
peaks within 250 kb of a TSS (sequences of 256 bp), all TFs, the log of the RNA depth as covariate, 20 epochs, the best
by validation cells. There is no mm10 sequence here: sequences are drawn at random, one a peak, which costs the same; in
every cell a peak has the same sequence, so that it can only tell peaks apart, as random ones do. Genes are drawn among
those that no TF is, at least a tenth of the held-out cells express and few peaks are near to: its time grows with the
peaks of a gene, so what is said of all genes, the mean of those tried times their number, is less than it would be.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from _cortex import between_markers, cortex, held_out_pearson
from scipy import sparse

import tilegrn as grn
from tilegrn._stats.metrics import pearson

REACH = 250_000
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def prepared(mdata, gene: str, seed: int):
    """Return what Cell2Net reads for a gene, or None where it has no peak in reach."""
    import anndata as ad
    import mudata as md
    import pandas as pd

    tss = mdata.uns["tilegrn"]["tss"]
    at = [(str(c), int(p)) for g, c, p in zip(tss["gene"], tss["chrom"], tss["pos"], strict=True) if str(g) == gene]
    place = mdata["atac"].var_names.str.extract(r"^(.*)[:_-](\d+)[-_](\d+)$")
    chrom, middle = place[0].to_numpy(str), (place[1].astype(int) + place[2].astype(int)).to_numpy() // 2
    if not at:
        return None
    bp = np.min([np.where(chrom == c, np.abs(middle - p), 10**9) for c, p in at], axis=0)
    near = np.flatnonzero(bp <= REACH)
    if not len(near):
        return None
    peaks = mdata["atac"].var_names[near]
    letters = np.random.default_rng(seed).choice(list("ACGT"), (len(near), 256))
    tfs = mdata["rna"].var_names[mdata["rna"].var["is_tf"].to_numpy()]
    columns = [gene, *[t for t in tfs if t != gene]]
    rna = ad.AnnData(sparse.csr_matrix(mdata["rna"][:, columns].X, dtype=np.float32))
    atac = ad.AnnData(sparse.csr_matrix(mdata["atac"][:, peaks].X, dtype=np.float32))
    rna.obs_names = atac.obs_names = mdata["rna"].obs_names
    rna.var_names, atac.var_names = columns, peaks
    for one in (rna, atac):
        one.layers["counts"] = one.X.copy()
    atac.uns["peaks"] = pd.DataFrame({"sequence": ["".join(row) for row in letters]}, index=peaks)
    rna.uns["gene_tf"] = pd.DataFrame(1, index=[gene], columns=columns[1:])
    out = md.MuData({"rna": rna, "atac": atac})
    out.obs["log_depth"] = np.log1p(np.asarray(mdata["rna"].X.sum(1)).ravel()).astype(np.float32)
    out.uns["peak_to_gene"] = pd.DataFrame({"gene": gene, "peak": peaks, "distance": bp[near]})
    return out


def cell2net_of(data, gene: str, split) -> tuple[np.ndarray, float, int]:
    """Train on a gene; counts it predicts in the held-out cells, seconds, and its number of peaks."""
    from cell2net.prediction.model import Cell2Net

    names = data.obs_names.to_numpy()
    torch.manual_seed(0)
    start = time.monotonic()
    model = Cell2Net(data, gene, covariates=["log_depth"])
    model.train(
        device_name="cpu",
        train_idx=names[split == "train"].tolist(),
        valid_idx=names[split == "val"].tolist(),
        num_workers=0,
        verbose=False,
    )
    seconds = time.monotonic() - start
    model.module.load_state_dict(model.check_point)
    rest = model.mdata[names[split == "test"]].copy()
    return model.predict(rest, num_workers=1), seconds, model.n_peaks


def main() -> None:
    """Fit both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=4)
    parser.add_argument("--most-peaks", type=int, default=4)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    if importlib.util.find_spec("cell2net") is None:
        print(f"skipped: cell2net is not installed for {sys.executable}")
        return
    mdata = cortex(args.fold)
    split = mdata.obs["split"].to_numpy()
    start = time.monotonic()
    model = grn.tl.train(mdata, seed=0, progress=False, accelerator="cpu")
    ours = time.monotonic() - start
    grn.tl.predict(mdata, model)
    print(f"tilegrn: {ours:.0f} s, r {held_out_pearson(mdata):.4f} over all genes that no TF is", flush=True)
    rna, test = mdata["rna"], np.flatnonzero(split == "test")
    counts = rna.X[test].toarray()
    size = mdata.uns["tilegrn"]["predict"]["size_factor"][test]
    free = ~rna.var["is_tf"].to_numpy() & ((counts > 0).mean(0) > 0.1)
    rows, near, many = [], [], np.random.default_rng(1).permutation(np.flatnonzero(free))
    for at in many:
        gene = str(rna.var_names[at])
        data = prepared(mdata, gene, int(at))
        if data is None:
            continue
        near.append(data["atac"].n_vars)
        if near[-1] > args.most_peaks:
            continue
        told, seconds, n_peaks = cell2net_of(data, gene, split)
        observed = np.log1p(counts[:, [at]] / size[:, None])
        scores = [
            float(pearson(observed, np.asarray(x, dtype=np.float64).reshape(-1, 1))[0])
            for x in (np.log1p(told / size), rna.layers["predicted"][test, at])
        ]
        rows.append((gene, n_peaks, seconds, *scores))
        print(rows[-1], flush=True)
        if len(rows) == args.genes:
            break
    n, (each, theirs, mine) = len(model.vocabulary.genes), np.mean([row[2:] for row in rows], axis=0)
    number = version("cell2net")
    lines = [
        f"{(split == 'train').sum():,} training cells, {torch.get_num_threads()} thread(s). {len(rows)} genes: "
        + ", ".join(f"{g} ({p} peaks, r {a:.3f} by Cell2Net, {b:.3f} by tilegrn)" for g, p, _, a, b in rows)
        + f". Median peaks of a gene: {np.median(near):.0f}.",
        "",
        "| method | s a gene | genes a second | all genes, s | mean r of the genes tried |",
        "|---|---|---|---|---|",
        f"| Cell2Net {number} | {each:.0f} | {1 / each:.4f} | {each * n:,.0f} (from these) | {theirs:.3f} |",
        f"| tilegrn | {ours / n:.3f} | {n / ours:.1f} | {ours:.0f} | {mine:.3f} |",
        "",
        f"{each * n / ours:,.0f} times as many genes a second.",
    ]
    print("\n".join(lines))
    if args.write:
        between_markers(PAGE, {"cell2net": lines})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
