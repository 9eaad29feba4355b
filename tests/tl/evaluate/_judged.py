"""Cells of a known state, with predictions of a chosen quality: small enough to judge in a moment."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.mudata import no_pull
from tilegrn._stats import metrics

N_TRAIN, N_VAL, N_TEST = 300, 60, 240
N_GENES, N_TFS, N_PEAKS = 60, 12, 250


def judged(seed: int = 0, *, quality: float = 1.0, depth_only: bool = False) -> md.MuData:
    """Two programs drive RNA and ATAC; ``quality`` is the share of them that the predicted layer knows."""
    rng = np.random.default_rng(seed)
    n = N_TRAIN + N_VAL + N_TEST
    state = rng.normal(size=(n, 2))
    depth = np.exp(rng.normal(0, 0.4, n))
    mean = np.log(rng.gamma(2.0, 0.5, N_GENES))
    load = rng.normal(0, 0.0 if depth_only else 0.6, size=(2, N_GENES))
    counts = rng.poisson(np.exp(mean + state @ load) * depth[:, None]).astype(np.float32)
    opened = rng.poisson(np.exp(-3 + state @ rng.normal(0, 0.5, size=(2, N_PEAKS))) * depth[:, None]).astype(np.float32)
    sf = metrics.size_factors(counts.sum(1), counts[:N_TRAIN].sum(1))
    rna = ad.AnnData(sparse.csr_matrix(counts))
    rna.obs_names = [f"c{i:03d}" for i in range(n)]
    rna.var_names = [f"G{i:02d}" for i in range(N_GENES)]
    rna.var[K.IS_TF] = np.arange(N_GENES) < N_TFS
    noisy = mean + quality * (state @ load)
    rna.layers[K.PREDICTED] = metrics.expected_log1p(np.exp(noisy), sf)
    atac = ad.AnnData(sparse.csr_matrix(opened))
    atac.obs_names = rna.obs_names
    atac.var_names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(N_PEAKS)]
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs["kind"] = pd.Categorical(np.where(state[:, 0] > 0, "high", "low"))
    order = rng.permutation(n)
    labels = np.full(n, K.TRAIN, dtype=object)
    labels[order[:N_VAL]] = K.VAL
    labels[order[N_VAL : N_VAL + N_TEST]] = K.TEST
    store.put_split(mdata, rna.obs_names, labels, K.SPLIT, {"by": "", "seed": seed})
    return mdata


def rows(mdata: md.MuData, part: str) -> np.ndarray:
    return np.flatnonzero(mdata.obs[K.SPLIT].to_numpy() == part)
