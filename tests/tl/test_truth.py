"""The model against a network that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

pytest.importorskip("torch")

import tilegrn as grn
from tests.tl._ready import sizes_of
from tilegrn._core import store


def auroc(score, label):
    rank = rankdata(score)
    n = int(label.sum())
    return (rank[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n))


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "least"), [(10_000, 0.9), (25_000, 0.9), (100_000, 0.85)])
def test_cis_weights_rank_true_pairs_and_find_their_reach(decay, least):
    """With a decay of 100 kb true pairs lie up to 250 kb apart, among many others."""
    mdata = grn.datasets.simulate(n_cells=600, n_genes=200, n_peaks=1000, n_tfs=20, decay=decay, seed=3)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    grn.pp.split_cells(mdata)
    model = grn.tl.train(mdata, max_epochs=20, progress=False, accelerator="cpu")
    window, gene, weight, _ = model.cis_weights()
    membership = store.peak_windows(mdata)
    at = model.vocabulary.positions(membership.indices.astype(np.int64))
    peak = {p: i for i, p in enumerate(mdata["atac"].var_names)}
    genes = {g: i for i, g in enumerate(model.vocabulary.genes)}
    truth = mdata.uns["simulation"]["truth"]
    true = {(int(at[peak[c]]), genes[t]) for c, t in zip(truth["cre"], truth["target"], strict=True)}
    label = np.array([(int(w), int(g)) in true for w, g in zip(window, gene, strict=True)])
    assert auroc(weight, label) > least
    assert 0.5 < model.cis_reach() / decay < 2
