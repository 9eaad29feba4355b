"""Write a simulated multiome of any size to an h5mu file, a block of cells at a time.

    python benchmarks/atlas.py OUT.h5mu --cells 100000 --peaks 120000 --genes 20000 [--open 10000] [--seed 0]

Built for cost, not for truth (for that there is dense_multiome.py of the real data's folder): cells of ten types with
programmes of their own, peaks of 500 bp around the real hg38 TSSs and at random distances from them, every gene driven
by what is open near it in its programme. Memory is that of a block; the file is an ordinary h5mu with CSR counts
(float32 values, int32 columns), ``obs["cell_type"]`` and 40 TFs named in ``uns["tfs"]``.
"""

from __future__ import annotations

import argparse
import time

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn.io.annotation._tss import read_tss

N_TYPES = 10
N_TFS = 40
BLOCK = 50


class CsrWriter:
    """Appends blocks of CSR rows to the group of a matrix in an open file."""

    def __init__(self, group: h5py.Group, width: int) -> None:
        self.group, self.width = group, width
        self.start = [np.zeros(1, dtype=np.int64)]
        kinds = {"data": np.float32, "indices": np.int32}
        for name, kind in kinds.items():
            if name in group:
                del group[name]
            group.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(1 << 18,))

    def add(self, part: sparse.csr_matrix) -> None:
        """Append rows."""
        for name, values in (("data", part.data), ("indices", part.indices)):
            stored = self.group[name]
            n = stored.shape[0]
            stored.resize((n + len(values),))
            stored[n:] = values
        self.start.append(np.diff(part.indptr).astype(np.int64))

    def close(self) -> None:
        """Write where rows begin."""
        start = np.cumsum(np.concatenate(self.start))
        del self.group["indptr"]
        self.group["indptr"] = start
        self.group.attrs["shape"] = np.array([len(start) - 1, self.width], dtype=np.int64)


def places(n_peaks: int, n_genes: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Genes with a TSS, and peaks around TSSs: chrom, middle; in the order of the genome."""
    tss = read_tss("hg38")[["chrom", "pos", "gene"]].drop_duplicates("gene")
    tss = tss[tss["chrom"].astype(str).str.fullmatch(r"chr(\d+|X)")].astype({"chrom": str, "gene": str})
    genes = tss.sample(min(n_genes, len(tss)), random_state=0).sort_values(["chrom", "pos"], ignore_index=True)
    host = tss.iloc[rng.integers(len(tss), size=int(1.7 * n_peaks))]
    offset = rng.choice([-1, 1], len(host)) * 10 ** rng.uniform(2, 6, len(host))
    peaks = pd.DataFrame({"chrom": host["chrom"].to_numpy(), "mid": host["pos"].to_numpy() + offset.astype(np.int64)})
    longest = tss.groupby("chrom")["pos"].max()
    peaks = peaks[(peaks["mid"] > 1000) & (peaks["mid"] < peaks["chrom"].map(longest))]
    peaks = peaks.sort_values(["chrom", "mid"])
    peaks = peaks[peaks.groupby("chrom")["mid"].diff().fillna(1e6) > 600]
    if len(peaks) < n_peaks:
        raise SystemExit(f"only {len(peaks)} peaks found a place")
    peaks = peaks.sample(n_peaks, random_state=1).sort_values(["chrom", "mid"], ignore_index=True)
    return genes, peaks


def nearest_peak(genes: pd.DataFrame, peaks: pd.DataFrame) -> np.ndarray:
    """Number of the peak nearest to each gene's TSS."""
    out = np.zeros(len(genes), dtype=np.int64)
    for chrom, some in genes.groupby("chrom"):
        on = np.flatnonzero((peaks["chrom"] == chrom).to_numpy())
        middle, pos = peaks["mid"].to_numpy()[on], some["pos"].to_numpy()
        right = np.clip(np.searchsorted(middle, pos), 1, len(on) - 1)
        left = right - 1
        out[some.index] = on[np.where(pos - middle[left] < middle[right] - pos, left, right)]
    return out


def write(path: str, *, cells: int, peaks: int, genes: int, opened: int, umis: int = 4500, seed: int = 0) -> None:
    """Simulate and write."""
    rng = np.random.default_rng(seed)
    gene_at, peak_at = places(peaks, genes, rng)
    n_genes = len(gene_at)
    level = rng.gamma(0.7, 1.0, peaks)
    fold = np.exp(0.9 * rng.standard_normal((N_TYPES, peaks)))
    rate = level * fold
    for _ in range(7):  # so many peaks open on average, although a peak opens but once
        rate *= opened / -np.expm1(-rate).sum(1).mean()
    near = nearest_peak(gene_at, peak_at)
    base = rng.lognormal(-1.0, 1.6, n_genes)
    expressed = base * fold[:, near] * np.exp(0.3 * rng.standard_normal((N_TYPES, n_genes)))
    expressed *= umis / expressed.sum(1, keepdims=True)
    names = [f"c{i:07d}" for i in range(cells)]
    kind = rng.integers(N_TYPES, size=cells)
    obs = pd.DataFrame({"cell_type": pd.Categorical([f"type{k}" for k in kind])}, index=names)
    start = peak_at["mid"] - 250
    var_names = peak_at["chrom"] + ":" + start.astype(str) + "-" + (start + 500).astype(str)
    empty = [sparse.csr_matrix((cells, n), dtype=np.float32) for n in (n_genes, peaks)]
    rna = ad.AnnData(empty[0], obs=obs, var=pd.DataFrame(index=gene_at["gene"].to_numpy()))
    atac = ad.AnnData(empty[1], obs=obs[[]], var=pd.DataFrame(index=var_names.to_numpy()))
    with md.set_options(pull_on_update=False):
        mdata = md.MuData({"rna": rna, "atac": atac})
        mdata.uns["tfs"] = gene_at["gene"].to_numpy()[rng.choice(n_genes, N_TFS, replace=False)].astype(object)
        mdata.write_h5mu(path)
    rate, expressed = rate.astype(np.float32), expressed.astype(np.float32)
    with h5py.File(path, "r+") as file:
        writers = [
            CsrWriter(file["mod/rna/X"], n_genes),
            CsrWriter(file["mod/atac/X"], peaks),
        ]
        for first in range(0, cells, BLOCK):
            some = kind[first : first + BLOCK]
            other = rng.integers(N_TYPES, size=len(some))
            mix = rng.beta(0.3, 1.0, len(some)).astype(np.float32)[:, None] * 0.5
            deep = rng.lognormal(0, 0.3, (2, len(some), 1)).astype(np.float32)
            for writer, of, depth in ((writers[0], expressed, deep[0]), (writers[1], rate, deep[1])):
                mean = ((1 - mix) * of[some] + mix * of[other]) * depth
                # Poisson counts by inversion, one uniform number each.
                u = rng.random(mean.shape, dtype=np.float32)
                np.negative(mean, out=mean)
                none = np.exp(mean)
                at = np.nonzero(u > none)
                m, p, left = -mean[at], none[at], u[at]
                count, total, term = np.zeros(len(m), np.float32), p.copy(), p
                for k in range(1, 200):
                    count += left > total
                    term = term * m / k
                    total += term
                    if k > 3 and not (left > total).any():
                        break
                indptr = np.concatenate([[0], np.cumsum(np.bincount(at[0], minlength=len(some)))])
                keep = sparse.csr_matrix((np.maximum(count, 1), at[1], indptr), shape=mean.shape)
                writer.add(keep.astype(np.float32))
        for writer in writers:
            writer.close()


def main() -> None:
    """Read the arguments, write, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--peaks", type=int, default=120_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    write(args.out, cells=args.cells, peaks=args.peaks, genes=args.genes, opened=args.open, seed=args.seed)
    with h5py.File(args.out) as file:
        n = {name: file[f"mod/{name}/X/data"].shape[0] / args.cells for name in ("rna", "atac")}
    print(
        f"{args.out}: {n['atac']:.0f} open peaks, {n['rna']:.0f} expressed genes a cell, "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
