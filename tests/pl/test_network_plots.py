"""Plots of networks: what is drawn follows the table."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tests._small import BINDING, SIZES, TSS, small

from tilegrn import pp
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError, MissingStepError
from tilegrn.pl._heatmap import edge_heatmap
from tilegrn.pl._knockout import knockout, knockout_embedding
from tilegrn.pl._locus import locus
from tilegrn.pl._network import network
from tilegrn.pl._stability import stability


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def table(n_tfs=6, n_genes=30, seed=0):
    rng = np.random.default_rng(seed)
    n = n_tfs * n_genes
    out = pd.DataFrame(
        {
            "group": "all",
            "source": np.repeat([f"Tf{i}" for i in range(n_tfs)], n_genes),
            "target": np.tile([f"G{i}" for i in range(n_genes)], n_tfs),
            "score": rng.gamma(0.5, size=n).astype(np.float32),
            "sign": np.where(rng.random(n) < 0.3, -1, 1),
            "stability": rng.integers(0, 6, n) / 5,
            "kind": np.where(rng.random(n) < 0.2, "indirect", "direct"),
        }
    )
    return out.sort_values("score", ascending=False, ignore_index=True)


def test_network_shows_the_strongest_edges_and_their_signs():
    edges = table()
    ax = network(edges, "G3", n=4)
    best = edges[edges["target"] == "G3"].nlargest(4, "score")
    names = [t.get_text() for t in ax.texts]
    assert set(best["source"]) <= set(names)
    assert set(edges["source"]) - set(best["source"]) <= {f"Tf{i}" for i in range(6)} - set(names)
    arrows = [t for t in ax.texts if getattr(t, "arrow_patch", None) is not None]
    assert len(arrows) == 4
    with pytest.raises(InputError, match="Nope"):
        network(edges, "Nope")
    two = pd.concat([edges, edges.assign(group="b")])
    with pytest.raises(InputError, match="group="):
        network(two, "G3")


def test_heatmap_holds_the_signed_scores():
    edges = table()
    ax = edge_heatmap(edges, tfs=["Tf0", "Tf1"], targets=["G1", "G2", "G5"])
    values = ax.images[0].get_array()
    rows = [t.get_text() for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    for i, tf in enumerate(rows):
        for j, gene in enumerate(columns):
            row = edges[(edges["source"] == tf) & (edges["target"] == gene)].iloc[0]
            assert values[i, j] == pytest.approx(row["score"] * row["sign"], rel=1e-6)
    assert edge_heatmap(edges).images[0].get_array().shape == (6, 25)


def test_locus_draws_an_arc_per_window():
    mdata = small()
    pp.bin_peaks(mdata, SIZES)
    with pytest.warns(UserWarning, match="G3"):
        pp.tss_distance(mdata, TSS)
    pp.add_binding(mdata, BINDING)
    with pytest.raises(MissingStepError, match=r"grn\.tl\.edges"):
        locus(mdata, "G1")
    with pytest.raises(InputError, match=r"needs peak \(or cre\), target, score"):
        locus(mdata, "G1", links=pd.DataFrame({"window": ["chr1:0-1000"], "target": "G1", "score": 1.0}))
    triplets = pd.DataFrame(
        {
            "group": "all",
            "source": ["Ta", "Ta", "Tb"],
            "target": "G1",
            "cre": ["chr1:0-1000", "chr1:1000-2000", "chr1:1000-2000"],
            "score": [1.0, 2.0, 0.5],
            "sign": [1, -1, 1],
            "stability": 1.0,
        }
    )
    store.put_record(mdata, K.REC_EDGES, {"network": triplets, "triplets": triplets})
    ax = locus(mdata, "G1")
    arcs = [line for line in ax.lines if len(line.get_xdata()) > 10]
    assert len(arcs) == 2
    ends = sorted(float(max(line.get_xdata(), key=lambda x: abs(x - 3000))) for line in arcs)
    assert ends == pytest.approx([500, 1500], abs=1)
    assert len([x for x in locus(mdata, "G1", tf="Tb").lines if len(x.get_xdata()) > 10]) == 1
    assert locus(mdata, "G1", links=triplets.drop(columns="source"), flank=100).get_xlim()[0] == pytest.approx(400)
    with pytest.raises(InputError, match="no TSS"):
        locus(mdata, "G9")


def test_knockout_names_the_genes_that_change_most():
    rng = np.random.default_rng(0)
    change = rng.normal(0, 0.1, 50)
    change[7] = -3.0
    out = pd.DataFrame(
        {
            "group": "all",
            "target": [f"G{i}" for i in range(50)],
            "log2_fold_change": change,
            "share": 0.9,
            "mean_rate": rng.gamma(1.0, size=50),
        }
    )
    ax = knockout(out, n_labels=3)
    order = np.argsort(-np.abs(change), kind="stable")[:3]
    names = [f"G{i}" for i in sorted(order, key=lambda i: change[i])]
    assert "G7" in names
    assert [t.get_text() for t in ax.texts if t.get_rotation()] == names
    offsets = ax.collections[0].get_offsets()
    np.testing.assert_allclose(np.asarray(offsets)[:, 0], change)
    with pytest.raises(InputError, match=r"grn\.tl\.knockout"):
        knockout(out.drop(columns="share"))


def test_embedding_shows_the_layer():
    mdata = small()
    rna = mdata["rna"]
    with pytest.raises(InputError, match="key_added"):
        knockout_embedding(mdata, "ko")
    rna.layers["ko"] = np.random.default_rng(0).normal(size=rna.shape).astype(np.float32)
    with pytest.raises(InputError, match="basis="):
        knockout_embedding(mdata, "ko", "G1")
    rna.obsm["X_umap"] = np.random.default_rng(1).normal(size=(rna.n_obs, 2))
    points = knockout_embedding(mdata, "ko", "G1").collections[0]
    shown, order = points.get_array(), np.argsort(np.abs(rna.layers["ko"][:, 2]))
    np.testing.assert_allclose(points.get_offsets(), rna.obsm["X_umap"][order])  # the largest on top
    np.testing.assert_allclose(np.sort(shown), np.sort(rna.layers["ko"][:, 2]), rtol=1e-6)
    assert (knockout_embedding(mdata, "ko").collections[0].get_array() >= 0).all()


def test_stability_along_the_ranks():
    edges = table()
    ax = stability(edges, n_bins=1)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(edges["stability"].mean())
    assert ax.lines[1].get_ydata()[0] == pytest.approx((edges["stability"] == 1).mean())
    with pytest.raises(InputError, match="n_models"):
        stability(edges.assign(stability=np.nan))
