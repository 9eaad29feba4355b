# %% [markdown]
# # Quickstart
#
# From raw counts to predictions in cells that the model has not seen, inside a scanpy analysis. The cells are real and part of
# the package: 2,400 cells of adult mouse cortex by SNARE-seq (Chen, Lake and Zhang, *Nature Biotechnology* 2019; GSE126074).
# Nothing is downloaded, and all of it takes two to three minutes of one core.

# %%
import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc

import tilegrn as grn

# %% [markdown]
# ## Cells
#
# A MuData with raw counts of genes in `rna` and of peaks in `atac`, for the same cells. Your own comes from `grn.io.read_h5mu` or, from
# Cell Ranger ARC, `grn.io.read_10x`.

# %%
mdata = grn.datasets.mouse_cortex()
mdata

# %%
pd.crosstab(mdata.obs["cell_type"], mdata.obs["sample"])

# %% [markdown]
# scanpy draws the map of cells. It works on a copy, because tilegrn reads raw counts.

# %%
cells = mdata["rna"].copy()
sc.pp.normalize_total(cells)
sc.pp.log1p(cells)
sc.pp.pca(cells, n_comps=30)
sc.pp.neighbors(cells)
sc.tl.umap(cells)
sc.pl.embedding(cells, "umap", color="cell_type", frameon=False, title="14 cell types")

# %% [markdown]
# ## Windows and distances
#
# Peaks go to the 1 kb window that they overlap most, so that samples with other peaks speak of the same places. Each window gets its
# distance to each gene within 1 Mb.

# %%
grn.pp.intersect_cells(mdata)
grn.pp.bin_peaks(mdata, "mm10")
grn.pp.tss_distance(mdata, "mm10")
grn.get.peak_tg(mdata).sort_values("TSS_dist").head()

# %% [markdown]
# ## TFs, here without binding
#
# Which TF binds where is found by scanning motifs over the genome (`grn.pp.homer_binding`, see the notebook on HOMER) or read from HOMER's
# output. That needs the sequence of the genome, which is not part of the package, so this walk goes without. Training then knows which genes are TFs,
# and learns what their expression says about the cell, but not which TF acts through which window: predictions lose little, while TF → TG edges would
# rest on co-expression alone. Known networks shows edges where binding is known.
#
# The sample marks its TFs. In your own data: `grn.pp.mark_tfs(mdata, ["Sox10", "Rorb", ...])` or the path of a list.

# %%
is_tf = mdata["rna"].var["is_tf"]
print(f"{is_tf.sum()} TFs among {len(is_tf):,} genes:", ", ".join(is_tf.index[is_tf][:12]), "...")

# %% [markdown]
# ## Hold out libraries, scale, train
#
# Libraries are held out whole: the score says what a new one would get. Ranges are fitted on the training cells.

# %%
grn.pp.split_cells(mdata, "sample", seed=0)
grn.pp.scale(mdata)
pd.crosstab(mdata.obs["sample"], mdata.obs["split"])

# %%
model = grn.tl.train(mdata, seed=0, progress=False)

# %%
grn.pl.training(model)
plt.show()

# %% [markdown]
# ## Predict, and judge
#
# `rna.layers["predicted"]` holds the expected log1p(counts / size factor) of every cell and gene. The scorecard compares it, in held-out cells, with baselines
# fitted to the same training cells. Its sentence is the result to quote.

# %%
grn.tl.predict(mdata, model)
scores = grn.tl.scorecard(mdata)
print(scores.sentence)
scores.table.set_index("method")[
    ["pearson", "pearson_above_0.1", "deviance_explained", "difference", "difference_low", "difference_high"]
].round(3)

# %%
grn.pl.scorecard(mdata)
plt.show()

# %% [markdown]
# A mean r of 0.2 looks small. It is so because a cell shows a median of 127 of these genes: counting noise alone bounds what any predictor can reach;
# see [how predictions are judged](../docs/judging.md).

# %%
grn.pl.predicted_vs_observed(mdata)
plt.show()

# %% [markdown]
# ## Observed and predicted on the map
#
# Cells of held-out libraries only, which the model has not seen. What was counted is left, what the model expects right: it fills in where
# zeros are only zeros of counting.

# %%
unseen = (mdata.obs["split"] == "test").to_numpy()
shown = cells[unseen].copy()
shown.layers["predicted"] = mdata["rna"].layers["predicted"][unseen]
genes = ["Slc1a2", "Plp1", "Rorb", "Erbb4"]
fig, axes = plt.subplots(len(genes), 2, figsize=(7, 2.6 * len(genes)), layout="constrained")
for row, gene in zip(axes, genes, strict=True):
    for ax, layer, what in zip(row, (None, "predicted"), ("observed", "predicted"), strict=True):
        sc.pl.embedding(
            shown, "umap", color=gene, layer=layer, ax=ax, show=False, frameon=False, size=18, title=f"{gene}, {what}"
        )
plt.show()

# %% [markdown]
# ## Which peaks go with a gene
#
# `links` scores every peak within reach of every gene, for one cell type, by accessibility, distance and covariation. It needs no model.

# %%
links = grn.tl.links(mdata, groupby="cell_type", group="Oligo")
of_gene = links[links["target"] == "Mbp"]
of_gene.head()

# %%
grn.pl.locus(mdata, "Mbp", links=of_gene, group="Oligo")
plt.show()

# %% [markdown]
# ## Without a TF
#
# What the model expects of every gene if no cell expressed a TF. Without binding these are associations, so read them as questions: genes that go with
# Rorb in neurons of layer 4 and 5 are found, whether it regulates them or not. Changes are small, because a TF is seen in some of the cells only.

# %%
knocked = grn.tl.knockout(mdata, model, "Rorb", groupby="cell_type")
knocked[knocked["group"] == "L4/5"].head()

# %%
grn.pl.knockout(knocked, group="L4/5", n_labels=4)
plt.show()

# %% [markdown]
# ## Keep it
#
# One file with counts, windows, predictions and the record of each step, and a folder with the model. `grn.io.read_h5mu` and `grn.io.load_model` read them.
#
# ```python
# grn.io.write_h5mu("annotated.h5mu", mdata)
# model.save("model")
# ```
#
# Next, the other pages: another sample, a known network, HOMER,
# the original notebook's steps.
