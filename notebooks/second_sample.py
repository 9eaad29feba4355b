# %% [markdown]
# # A second sample
#
# A model is trained once and then used on other samples, whose peaks were called anew. This works because tilegrn looks at 1 kb windows of the genome,
# not at peaks. Here six libraries of the mouse cortex train, and the two others play the new sample: they come as a file, with peaks of their own.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd

import tilegrn as grn

mudata.set_options(pull_on_update=False)  # the coming default of mudata
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Train and save

# %%
everything = grn.datasets.mouse_cortex()
is_new = everything["rna"].obs["sample"].isin(["09G", "09H"]).to_numpy()

first = everything[~is_new].copy()
grn.pp.bin_peaks(first, "mm10")
grn.pp.tss_distance(first, "mm10")
grn.pp.split_cells(first, "sample", seed=0)
grn.pp.scale(first)
pd.crosstab(first.obs["sample"], first.obs["split"])

# %%
model = grn.tl.train(first, seed=0, progress=False)
model.save(folder / "model")

# %% [markdown]
# ## The new file
#
# To stand for peaks that were called on the new sample alone, each peak is moved by up to 150 bp. Nearly all are then peaks that the model has not seen.

# %%
rng = np.random.default_rng(0)
second = everything[is_new].copy()
atac = second["atac"].copy()
where = atac.var_names.str.extract(r"(.+):(\d+)-(\d+)").astype({1: int, 2: int})
by = rng.integers(-150, 151, len(where))
atac.var_names = where[0] + ":" + (where[1] + by).astype(str) + "-" + (where[2] + by).astype(str)
rna = second["rna"].copy()
del rna.var["is_tf"]  # a new file knows nothing of TFs
print(f"{atac.var_names.isin(everything['atac'].var_names).sum()} of {atac.n_vars} peaks are named as in training")

grn.io.write_h5mu(folder / "new.h5mu", mudata.MuData({"rna": rna, "atac": atac}))

# %% [markdown]
# ## Does the model fit it?
#
# The new sample goes through the steps that need no training: windows, distances. `compatibility` then says in plain words what it has in
# common with the training data.

# %%
new = grn.io.read_h5mu(folder / "new.h5mu")
model = grn.io.load_model(folder / "model")
grn.pp.intersect_cells(new)
grn.pp.bin_peaks(new, "mm10")
grn.pp.tss_distance(new, "mm10")
print(grn.tl.compatibility(model, new))

# %% [markdown]
# A sample of other cells is told. Here: the glia alone, which a model of all cortex has seen, but not as the whole of a sample.

# %%
glia = new[new["rna"].obs["cell_type"].isin(["Astro", "Oligo", "OPC", "MGC"]).to_numpy()].copy()
print(grn.tl.compatibility(model, glia))

# %% [markdown]
# What does not fit at all is refused. Windows of another size mean other things:

# %%
other = new.copy()
grn.pp.bin_peaks(other, "mm10", window_size=500)
grn.pp.tss_distance(other, "mm10")
try:
    grn.tl.predict(other, model)
except grn.errors.InputError as error:
    print(error)

# %% [markdown]
# ## Predict and judge
#
# The model has never seen these cells. The baselines of the scorecard have: they are fitted to half of the new sample's own cells. A model
# from elsewhere that holds its own beside them is worth having, all the more where a sample is small.

# %%
grn.tl.predict(new, model)
new["rna"].var["predicted_from"].value_counts()

# %%
grn.pp.mark_tfs(new, model.vocabulary.tfs)
grn.pp.split_cells(new, test=0.45, val=0.05, seed=0)
scores = grn.tl.scorecard(new)
scores

# %%
grn.pl.scorecard(new)
plt.show()

# %%
grn.pl.predicted_vs_observed(new)
plt.show()
