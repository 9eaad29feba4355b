# %% [markdown]
# # Quickstart
#
# From raw counts to predictions in cells that the model has not seen, on simulated cells whose gene-regulatory network is known.
# Everything is made here; nothing is downloaded. `tilegrn demo` does the same on the command line.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import tilegrn as grn

# %% [markdown]
# ## Data
#
# `simulate` returns a MuData of raw counts, and writes the genome, its motifs and the TSSs that the walk needs. The network
# that made the cells is kept beside the data, to be looked at in the end only.

# %%
folder = Path(tempfile.mkdtemp())
mdata = grn.datasets.simulate(folder=folder, seed=0)
print(mdata)
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Windows, distances, binding
#
# Peaks go to the 1 kb window that they overlap most; each window gets its distance to each gene within 1 Mb; the motifs are
# scanned over the peaks by HOMER's rule.

# %%
grn.pp.intersect_cells(mdata)
grn.pp.bin_peaks(mdata, folder / "genome.chrom.sizes")
grn.pp.tss_distance(mdata, folder / "tss.bed")
grn.pp.homer_binding(mdata, folder / "genome.fa", folder / "motifs.motif")
grn.get.windows(mdata).head()

# %%
grn.get.peak_tg(mdata).head()

# %%
grn.get.binding(mdata).sort_values("homer_binding_score", ascending=False).head()

# %% [markdown]
# ## Potentials of a cell
#
# These need no fit: binding score × TF expression, accessibility × distance score, and their product.

# %%
cell = mdata["rna"].obs_names[0]
tensor = grn.tl.potentials(mdata, cell).tensor()
print(f"{tensor.shape} (TFs, windows, TGs), {(tensor.values > 0).mean():.3%} above zero")

# %% [markdown]
# ## Hold out a sample, scale, train
#
# Samples are held out whole. Scaling is fitted on the training cells.

# %%
grn.pp.split_cells(mdata, "sample", seed=0)
grn.pp.scale(mdata)
pd.crosstab(mdata["rna"].obs["sample"], mdata.obs["split"].loc[mdata["rna"].obs_names].to_numpy())

# %%
# %%time
model = grn.tl.train(mdata, seed=0, progress=False)

# %%
grn.pl.training(model)
plt.show()

# %% [markdown]
# ## Predict, and judge
#
# `rna.layers["predicted"]` holds the expected log1p(counts / size factor). The scorecard compares it, in held-out cells, with
# simple baselines that were fitted to the same training cells.

# %%
grn.tl.predict(mdata, model)
scores = grn.tl.scorecard(mdata)
scores

# %%
grn.pl.scorecard(mdata)
plt.show()

# %%
grn.pl.predicted_vs_observed(mdata)
plt.show()

# %% [markdown]
# ## The network
#
# `edges` reads TF -> TG edges off the model, with the window that carries most of each. Here the truth is known, so the ranking can be
# judged against it, beside simple networks on the same candidates.

# %%
# %%time
grn.tl.edges(mdata, model)
grn.get.edges(mdata).head()

# %%
truth = pd.read_csv(folder / "truth_edges.tsv", sep="\t")
grn.tl.evaluate_network(mdata, truth, baselines=("correlation", "motif", "distance", "potential"))

# %%
best = grn.get.edges(mdata).iloc[0]
grn.pl.network(mdata, best["source"])
plt.show()

# %%
grn.pl.locus(mdata, best["target"], tf=best["source"])
plt.show()

# %% [markdown]
# ## Knock a TF out
#
# The change of every gene when the TF is not expressed, as log2 fold change over all cells.

# %%
knocked = grn.tl.knockout(mdata, model, best["source"])
knocked.head()

# %%
grn.pl.knockout(knocked)
plt.show()

# %% [markdown]
# ## Keep it
#
# The MuData keeps all matrices, the folder the weights (safetensors) and the names of genes, TFs and windows (JSON).

# %%
grn.io.write_h5mu(folder / "annotated.h5mu", mdata)
model.save(folder / "model")
again = grn.io.load_model(folder / "model")
sorted(path.name for path in (folder / "model").iterdir())
