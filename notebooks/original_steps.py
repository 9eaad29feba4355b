# %% [markdown]
# # The original steps
#
# tilegrn grew out of an exploratory notebook on mouse embryonic stem cells: windows of chromosome 1, distances of peaks to genes, motif hits of HOMER,
# and products of these with the counts of one cell. This page takes its steps one by one. Each is written out in plain pandas and numpy, from its formula, and
# beside it stands the call of tilegrn; the last line of each step says how far the numbers are apart.
#
# The cells are those of the quickstart, the whole genome where the original has chromosome 1. Formulas and choices: [the method](../docs/method.md).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tilegrn as grn

mdata = grn.datasets.mouse_cortex()
rna, atac = mdata["rna"], mdata["atac"]
tss = grn.io.read_tss("mm10")
tss = tss[tss["gene"].isin(rna.var_names)]
print(f"{atac.n_vars:,} peaks, {rna.n_vars:,} genes with {len(tss):,} TSSs, {mdata.n_obs:,} cells")

# %% [markdown]
# ## Windows of 1 kb
#
# Window *k* of a chromosome holds the bases from 1000 *k* to 1000 (*k* + 1), the last one ends with the chromosome. A peak belongs to the window that it overlaps most.
# An even split is drawn at random, so those few peaks are left out of the comparison.

# %%
peaks = pd.DataFrame({"peak_id": atac.var_names})
peaks[["chrom", "start", "end"]] = peaks["peak_id"].str.extract(r"([^:]+):(\d+)-(\d+)")
peaks = peaks.astype({"start": int, "end": int})
length = grn.io.read_chrom_sizes("mm10")
print(f"chr1 has {-(-length['chr1'] // 1000):,} windows")


def most_overlapped(start, end, size=1000):
    """Numbers of the windows with the largest overlap: one, or two if they share it."""
    overlap = {k: min(end, (k + 1) * size) - max(start, k * size) for k in range(start // size, (end - 1) // size + 1)}
    return [k for k, bases in overlap.items() if bases == max(overlap.values())]


best = [most_overlapped(start, end) for start, end in zip(peaks["start"], peaks["end"], strict=True)]
clear = np.array([len(k) == 1 for k in best])
peaks["window_id"] = [
    f"{chrom}:{k * 1000}-{min((k + 1) * 1000, length[chrom])}"
    for chrom, (k, *_) in zip(peaks["chrom"], best, strict=True)
]

grn.pp.bin_peaks(mdata, "mm10")
table = grn.get.windows(mdata).reset_index(names="window_id").set_index("window")["window_id"]
ours = table.loc[atac.varm["windows"].indices].to_numpy()
print(
    f"{(ours[clear] == peaks['window_id'][clear]).sum()} of {clear.sum()} peaks are in the same window; {(~clear).sum()} split evenly"
)

# %% [markdown]
# ## Distance of peaks to genes
#
# The original measures |end of the peak - TSS|, takes pairs up to 1 Mb, keeps a row for each TSS, and scores exp(-distance / 250,000). Its text, and LINGER, say 25,000;
# that is the default of tilegrn, with the nearest TSS of a gene and the distance to the nearest edge of the peak. `anchor`, `multiple` and `decay` give the original's.

# %%
near = peaks.merge(tss[["chrom", "pos", "gene"]], on="chrom")
near["TSS_dist"] = (near["end"] - near["pos"]).abs()
near = near[near["TSS_dist"] <= 1_000_000].rename(columns={"gene": "target_id"})
near["TSS_dist_score"] = np.exp(-near["TSS_dist"] / 250_000)

grn.pp.tss_distance(mdata, tss, anchor="end", multiple="all", decay=250_000)
ours = grn.get.peak_tg(mdata).astype({"peak_id": str, "target_id": str})
key = ["peak_id", "target_id", "TSS_dist"]
both = near.sort_values(key).reset_index(drop=True), ours.sort_values(key).reset_index(drop=True)
print("the same rows:", both[0][key].equals(both[1][key]), f"({len(near):,})")
print(f"largest difference of a score: {(both[0]['TSS_dist_score'] - both[1]['TSS_dist_score']).abs().max():.1e}")
both[1].sort_values("TSS_dist").head()

# %% [markdown]
# The two decays, and where the pairs lie. At 250 kb, a pair at 1 Mb keeps 2 % of the score of one at the TSS, at 25 kb nothing: a gene then hears its neighbourhood.

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
x = np.linspace(0, 1e6, 500)
ax.hist(near["TSS_dist"] / 1e3, bins=50, density=True, color="#dfe3e8")
ax.set_ylabel("share of pairs (grey)")
ax.set_yticks([])
score = ax.twinx()
score.plot(x / 1e3, np.exp(-x / 25_000), color="#1b5e83", label="25 kb, the default")
score.plot(x / 1e3, np.exp(-x / 250_000), color="#c8553d", label="250 kb, the original's code")
score.set_ylabel("distance score")
score.legend(frameon=False)
ax.set_xlabel("distance (kb)")
plt.show()

# %% [markdown]
# ## TF binding
#
# The original runs HOMER. Sequence and motifs of the mouse are not part of tilegrn, so the hits here are drawn at random: they serve to compare numbers and mean nothing. What HOMER's
# hits are, and that tilegrn counts the same, shows the notebook on HOMER.
#
# The binding score is hits in the peak / hits of the TF over all peaks.

# %%
rng = np.random.default_rng(0)
tfs = sorted(rna.var_names[rna.var["is_tf"]])
drawn = rng.poisson(0.15, (len(tfs), len(peaks)))
t, p = np.nonzero(drawn)
homer = pd.DataFrame(
    {"source_id": np.array(tfs)[t], "peak_id": peaks["peak_id"].to_numpy()[p], "tf_motifs_in_peak": drawn[t, p]}
)
homer["homer_binding_score"] = homer["tf_motifs_in_peak"] / homer.groupby("source_id")["tf_motifs_in_peak"].transform(
    "sum"
)

grn.pp.add_binding(mdata, homer.drop(columns="homer_binding_score"))
ours = grn.get.binding(mdata).astype({"peak_id": str, "source_id": str})
both = homer.merge(ours, on=["source_id", "peak_id"], suffixes=("", "_ours"))
print(
    f"{len(both)} of {len(homer)} rows; largest difference: {(both['homer_binding_score'] - both['homer_binding_score_ours']).abs().max():.1e}"
)

# %% [markdown]
# ## Potentials of one cell
#
# For the cell with most counts:
#
# - TF-peak binding potential = binding score × TF expression,
# - peak-TG regulatory potential = accessibility × distance score,
# - TF-peak-TG score = their product over the shared peak, summed over the peaks of a window.

# %%
depth = np.asarray(atac.X.sum(axis=1)).ravel() * np.asarray(rna[:, tfs].X.sum(axis=1)).ravel()
cell = rna.obs_names[depth.argmax()]
expression = rna[cell].to_df().iloc[0].rename("expression")
accessibility = atac[cell].to_df().iloc[0].rename("accessibility")

tf_peak = homer.merge(expression, left_on="source_id", right_index=True)
tf_peak["tf_peak_binding_potential"] = tf_peak["homer_binding_score"] * tf_peak["expression"]
peak_tg = near.merge(accessibility, left_on="peak_id", right_index=True)
peak_tg["peak_tg_regulatory_potential"] = peak_tg["TSS_dist_score"] * peak_tg["accessibility"]
triplets = tf_peak.merge(peak_tg, on="peak_id")
triplets["score"] = triplets["tf_peak_binding_potential"] * triplets["peak_tg_regulatory_potential"]
binned = triplets.groupby(["source_id", "window_id", "target_id"])["score"].sum()
binned = binned[binned > 0]
print(f"{cell}: {len(triplets):,} TF-peak-TG rows, {len(binned):,} TF-window-TG scores above zero")

# %% [markdown]
# The same in one call. It multiplies sparse matrices and forms no row that is zero.

# %%
potentials = grn.tl.potentials(mdata, cell)
ours = potentials.scores(level="window")
ours = ours.astype({"source_id": str, "window_id": str, "target_id": str})
ours = ours.set_index(["source_id", "window_id", "target_id"])["tf_window_tg_score"]
tied = set(table.loc[atac.varm["windows"].indices[~clear]]) | set(peaks["window_id"][~clear])
of_tied = [series.index.get_level_values("window_id").isin(tied) for series in (binned, ours)]
a, b = binned[~of_tied[0]].sort_index(), ours[~of_tied[1]].sort_index()
print(
    "the same TFs, windows and genes:",
    a.index.equals(b.index),
    f"({len(a):,}; {of_tied[0].sum()} in windows of split peaks left out)",
)
print(f"largest relative difference: {(a / b - 1).abs().max():.1e}")

# %% [markdown]
# And the three-dimensional array of the original, TF × window × TG, for some of each. The whole one is never needed: it factorises.

# %%
some_tfs, some_genes = list(a.index.unique("source_id")[:8]), list(a.index.unique("target_id")[:12])
cube = potentials.tensor(tfs=some_tfs, genes=some_genes)
by_hand = np.zeros(cube.values.shape)
for (tf, window, gene), value in binned.items():
    if tf in some_tfs and gene in some_genes and window not in tied:
        by_hand[some_tfs.index(tf), list(cube.windows).index(window), some_genes.index(gene)] = value
untied = ~np.isin(cube.windows, list(tied))
print(
    cube.values.shape,
    "TFs, windows, TGs; the same:",
    np.allclose(cube.values[:, untied], by_hand[:, untied], rtol=1e-6),
)

# %% [markdown]
# ## Input of the transformer
#
# The closing sections of the original want accessibility and TF expression log1p and min-max scaled. tilegrn fits the ranges on training cells only. A range begins at 0 counts and
# ends at the 95 % quantile of the positive training counts: the largest count grows with the number of cells, and the same cell would then look different in a larger data set.

# %%
grn.pp.split_cells(mdata, "sample", seed=0)
grn.pp.scale(mdata)
train = (mdata.obs["split"] == "train").to_numpy()
counts = np.log1p(rna[:, tfs].X.toarray().astype(float))
top = np.array([np.quantile(column[column > 0], 0.95) if (column > 0).any() else np.inf for column in counts[train].T])
scaled = np.minimum(counts / top, 1)
ours = rna[:, tfs].layers["scaled"].toarray()
print(f"largest difference of scaled TF expression: {np.abs(scaled - ours).max():.1e}")

# %% [markdown]
# Whole windows: the sum of the counts of their peaks, scaled in the same way.

# %%
membership = pd.get_dummies(pd.Series(table.loc[atac.varm["windows"].indices].to_numpy())).astype(float)
counts = np.log1p(atac.X.toarray() @ membership.to_numpy())
top = np.array([np.quantile(column[column > 0], 0.95) if (column > 0).any() else np.inf for column in counts[train].T])
number = grn.get.windows(mdata).loc[membership.columns, "window"].to_numpy()
ours = atac.obsm["windows_scaled"].tocsc()[:, number].toarray()
print(f"largest difference of scaled accessibility: {np.abs(np.minimum(counts / top, 1) - ours).max():.1e}")

# %% [markdown]
# What the original left open, the transformer itself and how its predictions are judged, is shown in the quickstart.
