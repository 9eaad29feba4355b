"""Genes learned per second at equal accuracy: all genes at once, beside Cell2Net, which trains one model per gene.

    python benchmarks/one_model_per_gene.py [--genes 6] [--most-peaks 16] [--tfs all] [--keep FILE] [--write]

On the mouse cortex with two libraries held out whole. Cell2Net (the package of that name, 0.13) has to be importable,
and geosketch with fbpca; it pins versions that tilegrn does not, so install them without dependencies beside these.

It is fed as its PBMC tutorial feeds it: 1,000 metacells by its own ``get_metacells`` (geosketch; each the sum of the 15
neighbours of a cell by PCA of the RNA), of all cells that are not held out; peaks within 500 kb of a TSS; the log10 of
RNA and ATAC depth as covariates; a fifth of the metacells for validation; 40 epochs of batches of 32, the best by
validation, at the default rate (the 1e-4 of the tutorial did worse by validation). There is no mm10 sequence here. So
each peak has one random sequence of 256 bp, which costs the same (a peak has one sequence in all cells, random or not,
so that it can but tell peaks apart), and there is no encoder trained on sequences before. Motif hits are known of
promoters only: by ``--tfs motif`` TFs are chosen by them, as its ``tf_to_gene`` does, by default it reads all TFs that
tilegrn reads.

Genes are drawn before anything is fitted, among those that no TF is and a tenth of the held-out cells express, of few
peaks as its time grows with them. Seconds are those of the processor. Both are judged on the same held-out cells, and
on metacells of them, by the correlation of log counts by depth. Metacells are not charged to Cell2Net, and it is timed
up to its best epoch; tilegrn is charged with its preparation and all epochs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from _cortex import DATA, between_markers, cortex, held_out_pearson
from scipy import sparse

import tilegrn as grn
from tilegrn._stats.metrics import pearson
from tilegrn.model.config import ModelConfig

REACH, LETTERS = 500_000, 256
COVARIATES = ["total_counts_rna_log", "total_counts_atac_log"]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


@dataclass
class Row:
    """What Cell2Net did with a gene: processor seconds, best epoch, r over held-out cells and metacells."""

    gene: str
    fed: str
    peaks: int
    tfs: int
    seconds: float
    to_best: float
    best: int
    validation: float
    cells: float
    neighbours: float
    metacells: float


def peaks_near(mdata, genes):
    """Return a row per pair of a gene and a peak up to 500 kb from one of its TSSs, as Cell2Net keeps them."""
    import pandas as pd

    tss, var = mdata.uns["tilegrn"]["tss"], mdata["atac"].var
    chrom, middle = var["chrom"].to_numpy(str), (var["start"].to_numpy() + var["end"].to_numpy()) // 2
    names, of = mdata["atac"].var_names.to_numpy(), np.asarray(tss["gene"], dtype=str)
    rows = []
    for gene in genes:
        places = np.flatnonzero(of == gene)
        bp = np.full(len(names), 10**9)
        for at in places:
            bp = np.minimum(bp, np.where(chrom == str(tss["chrom"][at]), np.abs(middle - int(tss["pos"][at])), 10**9))
        near = np.flatnonzero(bp <= REACH)
        near = near[np.argsort(bp[near], kind="stable")]
        rows.append(pd.DataFrame({"gene": gene, "peak": names[near], "distance": bp[near]}))
    return pd.concat(rows, ignore_index=True)


def cells_for(mdata, rows: np.ndarray):
    """Return the cells as Cell2Net reads them, with the PCA of log-normalised RNA that it finds neighbours by."""
    import anndata as ad
    import mudata as md
    import scanpy as sc

    parts = {}
    for name in ("rna", "atac"):
        one = mdata[name]
        counts = sparse.csr_matrix(one.X[rows], dtype=np.float32)
        parts[name] = ad.AnnData(counts, obs=one.obs.iloc[rows][[]], var=one.var[[]], layers={"counts": counts.copy()})
    sc.pp.normalize_total(parts["rna"])
    sc.pp.log1p(parts["rna"])
    sc.tl.pca(parts["rna"], n_comps=30)
    return md.MuData(parts)


def annotated(cells, mdata, links, fed: str):
    """Add what Cell2Net looks up: depths, sequences, pairs of peak and gene, TFs (by motif in these peaks, or all)."""
    import cell2net as cn
    import pandas as pd

    for name in ("rna", "atac"):
        total = np.asarray(cells[name].layers["counts"].sum(1)).ravel()
        cells.obs[f"total_counts_{name}_log"] = np.log10(np.maximum(total, 1)).astype(np.float32)
    drawn = np.random.default_rng(0).integers(4, size=(cells["atac"].n_vars, LETTERS))
    letters = [row.tobytes().decode() for row in np.frombuffer(b"ACGT", np.uint8)[drawn]]
    cells["atac"].uns["peaks"] = pd.DataFrame({"sequence": letters}, cells["atac"].var_names)
    cells.uns["peak_to_gene"] = links
    if fed == "motif":
        tfs = np.asarray(mdata.uns["tilegrn"]["binding"]["tfs"], dtype=str)
        known = np.isin(tfs, cells["rna"].var_names)
        cells["atac"].varm["motif_match"] = sparse.csr_matrix(mdata["atac"].varm["homer_binding"])[:, known]
        cells.uns["motifs"] = pd.DataFrame({"gene_name": tfs[known]})
        cn.pp.tf_to_gene(cells)
    else:
        rna = mdata["rna"]
        cells["rna"].uns["gene_tf"] = pd.DataFrame(
            1, index=links["gene"].unique(), columns=rna.var_names[rna.var["is_tf"].to_numpy()]
        )
    return cells


def around_each(cells):
    """Return the metacell around every cell, and which cells it sums (metacells x cells, 0/1)."""
    import cell2net as cn

    made = cn.tl.get_metacells(cells, n_metacells=cells.n_obs, sampling="random")
    made = made[cells.obs_names].copy()
    return made, sparse.csr_matrix(cells["rna"].obsp["connectivities"] != 0, dtype=np.float64)


def train_cell2net(data, gene: str, *, epochs: int, rate: float):
    """Train on metacells as its tutorial does; the model at its best epoch, and processor seconds."""
    import cell2net as cn

    cn.utils.set_random_seed(42)
    start = time.process_time()
    model = cn.pd.model.Cell2Net(data, gene, covariates=COVARIATES)
    model.train(device_name="cpu", max_epochs=epochs, batch_size=32, lr=rate, num_workers=0, verbose=False)
    seconds = time.process_time() - start
    model.module.load_state_dict(model.check_point)
    return model, seconds


def told(model, data, gene: str) -> np.ndarray:
    """Counts of the gene that a model expects in other cells or metacells."""
    import cell2net as cn

    other = cn.pd.model.Cell2Net(data, gene, covariates=COVARIATES)
    return model.predict(other.mdata, num_workers=1).astype(np.float64)


def r(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two vectors."""
    return float(pearson(a.reshape(-1, 1), b.reshape(-1, 1))[0])


class Judge:
    """Held-out cells, alone and as metacells, and the scores of both methods on them."""

    def __init__(self, mdata, links, fed: str) -> None:
        self.rows = np.flatnonzero((mdata.obs["split"] == "test").to_numpy())
        self.rna = mdata["rna"]
        self.counts = sparse.csc_matrix(self.rna.X[self.rows], dtype=np.float64)
        total = np.asarray(self.counts.sum(1)).ravel()
        train = np.asarray(self.rna.X.sum(1)).ravel()[(mdata.obs["split"] == "train").to_numpy()]
        self.size = np.maximum(total, 1) / np.median(train)
        self.alone = cells_for(mdata, self.rows)
        self.summed, self.groups = around_each(self.alone)
        self.alone, self.summed = (annotated(one, mdata, links, fed) for one in (self.alone, self.summed))

    def observed(self, gene: str) -> tuple[np.ndarray, np.ndarray]:
        """Log counts by depth, of cells and of metacells."""
        count = self.counts[:, self.rna.var_names.get_loc(gene)].toarray().ravel()
        return np.log1p(count / self.size), np.log1p(self.groups @ count / (self.groups @ self.size))

    def of_cell2net(self, model, gene: str) -> tuple[float, float, float]:
        """Return r over cells fed alone, over cells fed as the metacell around them, and over metacells."""
        cells, summed = self.observed(gene)
        alone = np.log1p(told(model, self.alone, gene) / self.size)
        together = np.log1p(told(model, self.summed, gene) / (self.groups @ self.size))
        return r(cells, alone), r(cells, together), r(summed, together)

    def of_tilegrn(self, genes: list[str]) -> dict[str, tuple[float, float]]:
        """Return r over cells and over metacells, predictions averaged over the cells of each."""
        out = {}
        for gene in genes:
            cells, summed = self.observed(gene)
            ours = self.rna.layers["predicted"][self.rows, self.rna.var_names.get_loc(gene)].astype(np.float64)
            out[gene] = r(cells, ours), r(summed, self.groups @ ours / np.asarray(self.groups.sum(1)).ravel())
        return out


def drawn(mdata, n: int, most: int, seed: int):
    """Draw genes and their peaks: no TF, in a tenth of held-out cells, 2 (as Cell2Net asks) to ``most`` peaks."""
    rna, test = mdata["rna"], (mdata.obs["split"] == "test").to_numpy()
    seen = np.asarray((rna.X[test] > 0).mean(0)).ravel() > 0.1
    free = rna.var_names[~rna.var["is_tf"].to_numpy() & seen].to_numpy(str)
    links = peaks_near(mdata, free)
    near = links.groupby("gene").size()
    some = [g for g in free if 2 <= near.get(g, 0) <= most]
    genes = [str(g) for g in np.random.default_rng(seed).permutation(some)[:n]]
    genes.sort(key=near.get)  # the quickest first
    print(f"{len(free)} genes, median peaks {near.median():.0f}, {len(some)} of them to draw from: {genes}", flush=True)
    return genes, links[links["gene"].isin(genes)].reset_index(drop=True), float(near.median())


def trainings() -> dict[str, dict]:
    """Trainings of tilegrn from the cheapest to the default: one epoch without a teacher, three with one, all."""
    return {
        "tilegrn, one epoch, no teacher": {"config": ModelConfig(max_epochs=1, batch_size=128, teacher=None)},
        "tilegrn, three epochs": {"max_epochs": 3},
        "tilegrn": {},
    }


class Done:
    """What was measured before, in a file of JSON lines: a long run goes on where it was."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.known = {}
        for one in map(json.loads, lines):
            self.known[one["name"] if "name" in one else (one["gene"], one["fed"])] = one

    def add(self, one: dict) -> None:
        """Keep a result, on disk too where there is a file."""
        self.known[one["name"] if "name" in one else (one["gene"], one["fed"])] = one
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(one) + "\n")


def fit_tilegrn(mdata, judge: Judge, genes: list[str], done: Done) -> None:
    """Train each on all genes; processor seconds, number of genes, scores of the genes drawn and of all."""
    for name, arguments in trainings().items():
        if set(genes) <= set(done.known.get(name, {"genes": ()})["genes"]):
            continue
        start = time.process_time()
        model = grn.tl.train(mdata, seed=0, progress=False, accelerator="cpu", **arguments)
        seconds = time.process_time() - start
        grn.tl.predict(mdata, model)
        row = {"name": name, "seconds": seconds, "n": len(model.vocabulary.genes), "all": held_out_pearson(mdata)}
        done.add(row | {"genes": judge.of_tilegrn(genes)})
        print(name, f"{seconds:.0f} s, r {row['all']:.4f} over all genes that no TF is", flush=True)


def measure(args, mdata, kept: np.ndarray, genes: list[str], links, done: Done) -> None:
    """Fit tilegrn, then Cell2Net gene by gene; what is done already is left."""
    import cell2net as cn

    judge = Judge(mdata, links, args.tfs)
    cn.utils.set_random_seed(42)
    data = annotated(cn.tl.get_metacells(cells_for(mdata, kept), n_metacells=args.metacells), mdata, links, args.tfs)
    print(f"Median RNA counts of a metacell: {np.median(np.asarray(data['rna'].X.sum(1))):.0f}", flush=True)
    fit_tilegrn(mdata, judge, genes, done)
    for gene in genes:
        key = (gene, args.tfs)
        if key in done.known:
            continue
        model, seconds = train_cell2net(data, gene, epochs=args.epochs, rate=args.rate)
        known = (*key, model.n_peaks, model.n_tfs, seconds, seconds * (model.best_epoch + 1) / args.epochs)
        valid = float(model.best_valid_corr)
        done.add(asdict(Row(*known, model.best_epoch, valid, *judge.of_cell2net(model, gene))))
        print(done.known[key], flush=True)


def lines_of(rows: list[Row], more: list[Row], ours: list[dict], about: str) -> list[str]:
    """Return the tables: a row per gene (``more``: fed otherwise, not in the means), then a row per method."""
    least, full = ours[0]["genes"], ours[-1]["genes"]
    lines = [
        about,
        "",
        "| gene | peaks | TFs read by Cell2Net | Cell2Net, s | best epoch | r over cells: Cell2Net fed the cell, its "
        "metacell | tilegrn after one epoch, all | r over metacells: Cell2Net | tilegrn after one epoch, all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [*rows, *more]:
        (few, few_summed), (one, summed) = least[row.gene], full[row.gene]
        lines.append(
            f"| {row.gene} | {row.peaks} | {row.tfs} | {row.seconds:.0f} | {row.best + 1} "
            f"| {row.cells:.3f}, {row.neighbours:.3f} | {few:.3f}, {one:.3f} "
            f"| {row.metacells:.3f} | {few_summed:.3f}, {summed:.3f} |"
        )
    alone, together, groups = np.mean([[row.cells, row.neighbours, row.metacells] for row in rows], axis=0)
    s, best = np.mean([row.seconds for row in rows]), np.mean([row.to_best for row in rows])
    theirs, name = max(alone, together), f"Cell2Net {version('cell2net')}"
    lines += [
        "",
        "| method | s a gene | genes a second | mean r, cells | mean r, metacells | times as many genes a second |",
        "|---|---|---|---|---|---|",
        f"| {name}, all epochs | {s:.0f} | {1 / s:.4f} | {theirs:.3f} | {groups:.3f} | |",
        f"| {name}, to its best epoch | {best:.0f} | {1 / best:.4f} | the same | the same | 1 |",
    ]
    reached = ""
    for one in ours:
        cells, summed = np.mean([one["genes"][row.gene] for row in rows], axis=0)
        each = one["seconds"] / one["n"]
        lines.append(
            f"| {one['name']}: {one['seconds']:.0f} s for {one['n']:,} genes (r {one['all']:.3f} over all but TFs) "
            f"| {each:.4f} | {1 / each:.0f} | {cells:.3f} | {summed:.3f} | {best / each:,.0f} |"
        )
        if not reached and cells >= theirs and summed >= groups:
            reached = f"Cell2Net's mean r is reached, on cells and on metacells, by {one['name']}: {best / each:,.0f} "
            reached += "times as many genes a second."
    return [*lines, "", reached or "No training of tilegrn reached Cell2Net's mean r on cells and on metacells."]


def main() -> None:
    """Fit both, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=6)
    parser.add_argument("--most-peaks", type=int, default=16)
    parser.add_argument("--draw", type=int, default=1, help="seed of the draw of genes")
    parser.add_argument("--metacells", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, default=3e-4, help="Cell2Net's learning rate")
    parser.add_argument("--tfs", choices=("all", "motif"), default="all", help="what Cell2Net is fed")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="JSON lines of what is done, which is not done again")
    parser.add_argument("--only-kept", action="store_true", help="table of what that file holds, without more training")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    for name in ("cell2net", "geosketch"):
        if importlib.util.find_spec(name) is None:
            print(f"skipped: {name} is not installed for {sys.executable}")
            return
    if not (DATA / "multiome" / "mouse_cortex_mm10.h5mu").exists():
        print(f"skipped: no mouse_cortex_mm10.h5mu in {DATA / 'multiome'}")
        return
    torch.set_num_threads(1)
    mdata, done = cortex(args.fold), Done(args.keep)
    genes, links, median = drawn(mdata, args.genes, args.most_peaks, args.draw)
    test = (mdata.obs["split"] == "test").to_numpy()
    if not args.only_kept:
        measure(args, mdata, np.flatnonzero(~test), genes, links, done)
    rows = [Row(**done.known[gene, args.tfs]) for gene in genes if (gene, args.tfs) in done.known]
    missing = [
        f"{gene} ({n})" for gene, n in links.groupby("gene").size().items() if gene not in {x.gene for x in rows}
    ]
    ours = [done.known[name] for name in trainings()]
    about = (
        f"{args.metacells:,} metacells of {(~test).sum():,} cells, {args.epochs} epochs at {args.rate:g}, "
        f"{torch.get_num_threads()} thread(s); judged on {test.sum():,} cells of held-out libraries. "
        f"{len(rows)} genes of {len(genes)} drawn of those with 2 to {args.most_peaks} peaks (median of all genes that "
        f"may be drawn: {median:.0f}); one seed. TFs by motif, where shown, are not in the means."
        + (f" Drawn and not done (peaks): {', '.join(missing)}." if missing else "")
    )
    other = {"all": "motif", "motif": "all"}[args.tfs]
    more = [Row(**done.known[gene, other]) for gene in genes if (gene, other) in done.known]
    lines = lines_of(rows, more, ours, about)
    print("\n".join(lines))
    if args.write:
        between_markers(PAGE, {"cell2net": lines})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
