"""A small data set for pair scores, and each feature counted anew by loops over cells, peaks and genes."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn import pp
from tilegrn._core.mudata import no_pull

SIZES = {"chr1": 2_000_000, "chr2": 1_500_000, "chr3": 900_000}
GROUPS = ("a", "b", "c")
N_GENES = 40


def tss_table(seed=0):
    """TSSs of the data's genes, the first five with two, and of ten genes that are not in the data."""
    rng = np.random.default_rng(seed)
    genes = [f"G{i}" for i in range(N_GENES)] + [f"G{i}" for i in range(5)] + [f"X{i}" for i in range(10)]
    chroms = [list(SIZES)[i % 3] for i in range(N_GENES)]
    chroms += chroms[:5] + [list(SIZES)[i % 3] for i in range(10)]
    pos = [int(rng.integers(1000, SIZES[c] - 1000)) for c in chroms]
    return pd.DataFrame({"gene": genes, "chrom": chroms, "pos": pos, "strand": "+"})


def paired(n_cells=90, n_peaks=150, seed=0, *, factor=1, repeat=1):
    """Cells of three groups with peaks and genes that follow three programmes."""
    rng = np.random.default_rng(seed)
    chrom = rng.choice(list(SIZES), n_peaks)
    start = np.array([rng.integers(0, SIZES[c] - 1000) for c in chrom])
    names = [f"{c}:{s}-{s + w}" for c, s, w in zip(chrom, start, rng.integers(200, 900, n_peaks), strict=True)]
    label = np.arange(n_cells) % 3
    state = rng.dirichlet(np.full(5, 0.3), n_cells)
    peaks = rng.poisson(state @ rng.gamma(0.5, 1.0, (5, n_peaks)) * (1 + label[:, None])) * factor
    genes = rng.poisson(state @ rng.gamma(0.5, 8.0, (5, N_GENES))) * factor
    peaks[:, 0] += factor
    genes[:, 0] += factor
    cells = [f"c{i}" for i in range(n_cells)]
    parts = {}
    for name, x, var in (("rna", genes, [f"G{i}" for i in range(N_GENES)]), ("atac", peaks, names)):
        x = np.tile(x, (repeat, 1)).astype(np.float32)
        adata = ad.AnnData(sparse.csr_matrix(x))
        adata.obs_names = [f"{c}-{k}" for k in range(repeat) for c in cells]
        adata.var_names = var
        adata.obs["type"] = pd.Categorical(np.tile(np.array(GROUPS)[label], repeat))
        parts[name] = adata
    return built(parts["rna"], parts["atac"])


def built(rna, atac, *, order=("rna", "atac")):
    for adata in (rna, atac):
        adata.varm.clear()
        adata.obsm.clear()
    with no_pull():
        mdata = md.MuData({k: {"rna": rna, "atac": atac}[k] for k in order})
    pp.bin_peaks(mdata, SIZES)
    pp.tss_distance(mdata, tss_table())
    return mdata


def asked(n=60, seed=1):
    rng = np.random.default_rng(seed)
    tss = tss_table()
    gene = rng.choice([f"G{i}" for i in range(N_GENES)] + ["X0", "X1"], n)
    chrom = [str(tss.loc[tss["gene"] == g, "chrom"].iloc[0]) for g in gene]
    start = np.array([rng.integers(0, SIZES[c] - 3000) for c in chrom])
    table = pd.DataFrame({"chrom": chrom, "start": start, "end": start + rng.integers(100, 2000, n), "gene": gene})
    table.index = rng.permutation(n) + 100
    return table


def slow_features(mdata, pairs, group):
    """Each feature by the definition in words, one pair at a time."""
    tss = tss_table()
    place = {}
    for gene, rows in tss.groupby("gene"):
        pos = sorted(rows["pos"])
        place[gene] = (rows["chrom"].iloc[0], pos, pos[len(pos) // 2])
    names = list(mdata["atac"].var_names)
    spans = [(n.split(":")[0], *map(int, n.split(":")[1].split("-"))) for n in names]
    label = mdata["rna"].obs["type"].astype(str).to_numpy()
    million = {}
    for g in GROUPS:
        peaks = mdata["atac"].X.toarray()[label == g].sum(0)
        genes = mdata["rna"].X.toarray()[label == g].sum(0)
        million[g] = (
            peaks / peaks.sum() * 1e6,
            dict(zip(mdata["rna"].var_names, genes / genes.sum() * 1e6, strict=True)),
        )
    others = [g for g in GROUPS if g != group]
    rows = []
    for _, p in pairs.iterrows():
        chrom, sites, own = place[p["gene"]]
        middle = (p["start"] + p["end"]) // 2
        near = min(sites, key=lambda s: (abs(s - middle), s))
        distance, low, high = abs(near - middle), min(near, middle), max(near, middle)
        rest = [q for g, (c, _, q) in place.items() if c == chrom and g != p["gene"]]

        def touching(a, b, g, chrom=chrom):
            return sum(v for (c, s, e), v in zip(spans, million[g][0], strict=True) if c == chrom and s < b and e > a)

        def here(g, p=p):
            return np.log(touching(p["start"] - 250, p["end"] + 250, g) + 3)

        def around(g, middle=middle):
            return np.log(touching(middle - 50_000, middle + 50_000, g) + 30)

        between = sum(
            v for (c, s, e), v in zip(spans, million[group][0], strict=True) if c == chrom and low < (s + e) // 2 < high
        )
        here_gene = million[group][1].get(p["gene"], np.nan)
        rows.append(
            {
                "distance": np.log(distance + 5000),
                "accessibility": here(group),
                "neighbourhood": around(group),
                "genes_between": np.log1p(sum(low < q < high for q in rest)),
                "nearer_genes": np.log1p(sum(abs(q - middle) < distance for q in rest)),
                "accessibility_between": np.log(between + 30),
                "expression": np.log(here_gene + 3),
                "gene_density": np.log1p(sum(abs(q - own) <= 100_000 for q in rest)),
                "accessibility_elsewhere": np.mean([here(g) for g in others]),
                "neighbourhood_elsewhere": np.mean([around(g) for g in others]),
                "expression_elsewhere": np.mean([np.log(million[g][1].get(p["gene"], np.nan) + 3) for g in others]),
            }
        )
    return pd.DataFrame(rows, index=pairs.index)
