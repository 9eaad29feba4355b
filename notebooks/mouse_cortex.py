# %% [markdown]
# # Mouse cortex
#
# The walk on real cells: adult mouse cortex by SNARE-seq (Chen, Lake and Zhang, *Nature Biotechnology* 2019; GEO accession
# GSE126074), eight libraries, on mm10, and a table of TF motif hits in its promoter peaks.
#
# The data are not part of tilegrn. `TILEGRN_REAL_DATA` names a folder that holds `multiome/mouse_cortex_mm10.h5mu`
# (modalities `rna` and `atac`, raw counts, the library in `obs["sample"]`) and `multiome/mouse_cortex_mm10_promoter_binding.parquet`
# (columns `source_id, peak_id, tf_motifs_in_peak, homer_binding_score`). Your own h5mu works the same way.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tilegrn as grn

data = Path(os.environ["TILEGRN_REAL_DATA"]) / "multiome"

# %%
mdata = grn.io.read_h5mu(data / "mouse_cortex_mm10.h5mu")
mdata

# %% [markdown]
# ## Windows, distances, binding

# %%
# %%time
grn.pp.intersect_cells(mdata)
grn.pp.bin_peaks(mdata, "mm10")
grn.pp.tss_distance(mdata, "mm10")
grn.pp.add_binding(mdata, data / "mouse_cortex_mm10_promoter_binding.parquet")

# %%
windows = grn.get.windows(mdata)
pairs = grn.get.peak_tg(mdata)
print(f"{len(windows):,} windows hold {mdata['atac'].n_vars:,} peaks")
print(f"{len(pairs):,} peak-TG pairs within 1 Mb")
print(f"{int(mdata['rna'].var['is_tf'].sum())} of {mdata['rna'].n_vars:,} genes are TFs with a motif")
per_cell = np.diff(mdata["atac"].obsm["windows"].indptr)
print(f"a cell has {np.median(per_cell):.0f} open windows (median)")

# %% [markdown]
# ## Hold out libraries, scale, train
#
# Two libraries are held out whole, so that the score says what a new library would get. The machine was shared: of the times read those of the processor (CPU).

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
# ## Predict and judge

# %%
# %%time
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
# TF -> TG edges read off the model, per cell type. The binding table covers promoters only, so only edges through promoter windows have
# support here. These are ranked hypotheses, not proven links.

# %%
# %%time
grn.tl.edges(mdata, model, groupby="cell_type")
edges = grn.get.edges(mdata)
edges.head(10)

# %% [markdown]
# The scores of the predictions look low because the data are sparse: a cell shows about 96 genes. Counting noise alone bounds what any predictor
# can reach; see [how predictions are judged](../docs/judging.md).
