# %% [markdown]
# # Networks, links and knock-outs
#
# Edges from TFs to genes, links from peaks to genes, and knock-outs, on simulated cells whose gene-regulatory network is known, so that each answer can be held against the
# truth. Everything is made here; `tilegrn demo` does much of the same on the command line.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

import tilegrn as grn

# %% [markdown]
# ## Cells of a known network
#
# `simulate` returns raw counts, and writes the genome, its motifs and the TSSs that the walk needs. The network that made the cells is beside them,
# to be looked at in the end only.

# %%
folder = Path(tempfile.mkdtemp())
mdata = grn.datasets.simulate(folder=folder, seed=0)
mdata

# %% [markdown]
# ## The walk
#
# As in the quickstart, with binding: here the sequence is at hand, and the motifs are scanned over the peaks by HOMER's rule.

# %%
grn.pp.intersect_cells(mdata)
grn.pp.bin_peaks(mdata, folder / "genome.chrom.sizes")
grn.pp.tss_distance(mdata, folder / "tss.bed")
grn.pp.homer_binding(mdata, folder / "genome.fa", folder / "motifs.motif")
grn.pp.split_cells(mdata, "sample", seed=0)
grn.pp.scale(mdata)
model = grn.tl.train(mdata, seed=0, progress=False)
grn.tl.predict(mdata, model)

# %%
print(grn.tl.scorecard(mdata, baselines=["mean", "lsi", "ridge"]).sentence)

# %% [markdown]
# ## Edges
#
# `edges` reads TF → TG edges off the model, with the window that carries most of each, and its sign.

# %%
grn.tl.edges(mdata, model)
edges = grn.get.edges(mdata)
edges.head()

# %% [markdown]
# Held against the truth, per TF and pooled, beside simple networks on the same candidates. Chance depends on how many true targets a TF has, so the figures to read are those
# that stand beside each other.

# %%
truth = pd.read_csv(folder / "truth_edges.tsv", sep="\t")
grn.tl.evaluate_network(mdata, truth, baselines=("correlation", "motif", "distance", "potential"))

# %%
best = edges.iloc[0]
grn.pl.network(mdata, best["source"])
plt.show()

# %%
grn.pl.locus(mdata, best["target"], tf=best["source"])
plt.show()

# %% [markdown]
# ## Links of peaks to genes
#
# `links` scores each peak within reach of a gene, without a model. Its weights were fitted on CRISPRi experiments; here the truth is the simulation's own. Average precision over all
# pairs, beside what nearness alone gives:

# %%
links = grn.tl.links(mdata, top=None)
regulates = pd.read_csv(folder / "truth.tsv", sep="\t")[["cre", "target"]].drop_duplicates()
pairs = set(zip(regulates["cre"], regulates["target"], strict=True))
true = np.array([pair in pairs for pair in zip(links["peak"].astype(str), links["target"].astype(str), strict=True)])
print(f"{true.sum()} true of {len(links):,} pairs")
print(f"average precision: links {average_precision_score(true, links['score']):.3f}, "
      f"nearness {average_precision_score(true, -links['distance']):.3f}, chance {true.mean():.3f}")  # fmt: skip
links.head()

# %% [markdown]
# ## Knock a TF out
#
# The change of every gene when the TF is not expressed, as log2 fold change over all cells.

# %%
tf = best["source"]
knocked = grn.tl.knockout(mdata, model, tf, groupby="cell_type")
knocked.head()

# %%
grn.pl.knockout(knocked[knocked["group"] == "all"])
plt.show()

# %% [markdown]
# The simulation can do the experiment: the same cells, the same draws, without the TF. What the knock-out ranks first should change most there.

# %%
without = grn.datasets.simulate(seed=0, knockout={tf: 0.0})
before, after = (m["rna"].layers["true_rate"].mean(axis=0) for m in (mdata, without))
rates = pd.DataFrame({"before": before, "after": after}, index=mdata["rna"].var_names).drop(index=tf)
happened = np.log2(rates["after"] / rates["before"])
table = knocked[knocked["group"] == "all"].set_index("target")
table.index = table.index.astype(str)
both = pd.DataFrame({"predicted": table["log2_fold_change"], "happened": happened}).dropna()
affected = both["happened"].abs() > 1e-3
print(f"{affected.sum()} genes change; Spearman r over them {both[affected].corr('spearman').iloc[0, 1]:.2f}")
fig, ax = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
ax.axhline(0, color="#b9bec6", linewidth=0.8)
ax.axvline(0, color="#b9bec6", linewidth=0.8)
ax.scatter(both["happened"][~affected], both["predicted"][~affected], s=6, color="#b9bec6", label="not its targets")
ax.scatter(both["happened"][affected], both["predicted"][affected], s=12, color="#1b5e83", label="genes that change")
ax.set_xlabel("log2 fold change, simulated")
ax.set_ylabel("log2 fold change, predicted")
ax.set_title(f"without {tf}")
ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, 0.9))
plt.show()

# %% [markdown]
# Order and sign are to be read, not the size: changes are mostly underestimated, and some genes move that are no targets.
#
# ## Keep it
#
# The MuData keeps all matrices, the folder the weights (safetensors) and the names of genes, TFs and windows (JSON).

# %%
grn.io.write_h5mu(folder / "annotated.h5mu", mdata)
model.save(folder / "model")
grn.io.write_network(folder / "edges.csv", edges)
again = grn.io.load_model(folder / "model")
sorted(path.name for path in (folder / "model").iterdir())
