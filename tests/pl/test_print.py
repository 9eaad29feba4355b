"""Figures for print: every plot takes Axes and gives them back, fits a page, and can be read there."""

from __future__ import annotations

import itertools

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from tests._small import SIZES, TSS, small
from tests.tl.evaluate._judged import judged

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.motifs._motif import Motif
from tilegrn.pl import _style

LONG = "ENSMUSG00000064842-AC124606.1"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def edges_table(names=("G1", "G2", LONG)):
    rng = np.random.default_rng(0)
    pairs = list(itertools.product(["Ta", "Tb", "Zfp-long-name-1"], names))
    return pd.DataFrame(
        {
            "group": "all",
            "source": [p[0] for p in pairs],
            "target": [p[1] for p in pairs],
            "cre": ["chr1:0-1000", "chr1:1000-2000", "chr1:3000-4000"] * (len(pairs) // 3),
            "score": rng.gamma(1.0, size=len(pairs)),
            "sign": rng.choice([-1, 1], len(pairs)),
            "stability": rng.choice([0.5, 1.0], len(pairs)),
        }
    )


@pytest.fixture(scope="module")
def cells():
    """Judged cells with all that plots of predictions read."""
    mdata = judged()
    rna = mdata["rna"]
    rna.layers["predicted_sd"] = np.full(rna.shape, 0.1, dtype=np.float32)
    rna.layers["ko"] = np.random.default_rng(0).normal(size=rna.shape).astype(np.float32)
    rna.obsm["X_umap"] = np.random.default_rng(1).normal(size=(rna.n_obs, 2))
    store.put_record(mdata, K.REC_TRAIN, {"train_loss_0": np.array([3.0, 2.0]), "val_loss_0": np.array([3.5, 2.5])})
    grn.tl.scorecard(mdata, baselines=("mean", "ridge"), n_bootstrap=50, groupby="kind", min_group_cells=20)
    return mdata


@pytest.fixture(scope="module")
def locus():
    mdata = small()
    grn.pp.bin_peaks(mdata, SIZES)
    with pytest.warns(UserWarning, match="G3"):
        grn.pp.tss_distance(mdata, TSS)
    store.put_record(mdata, K.REC_EDGES, {"network": edges_table(), "triplets": edges_table()})
    return mdata


HITS = pd.DataFrame({"chrom": "chr1", "position": [200, 950], "strand": ["+", "-"], "motif": ["A/x", f"{LONG}/y"]})


def changes(n):
    change = np.concatenate([np.full(n, -2.0), np.linspace(0, 0.1, 60)])
    names = [f"{LONG}{i}" for i in range(len(change))]
    return pd.DataFrame({"group": "all", "target": names, "log2_fold_change": change, "share": 1.0, "mean_rate": 1.0})


def plots(cells, locus):
    motif = Motif("Sox2(HMG)/x/Homer", np.tile([[0.7, 0.1, 0.1, 0.1]], (10, 1)), 1.0)
    return {
        "scorecard": lambda ax: grn.pl.scorecard(cells, kind="means", ax=ax),
        "scorecard genes": lambda ax: grn.pl.scorecard(cells, kind="genes", ax=ax),
        "scorecard groups": lambda ax: grn.pl.scorecard(cells, kind="groups", ax=ax),
        "training": lambda ax: grn.pl.training(cells, ax=ax),
        "predicted_vs_observed": lambda ax: grn.pl.predicted_vs_observed(cells, "G30", ax=ax),
        "predicted_vs_observed groups": lambda ax: grn.pl.predicted_vs_observed(cells, "G30", groupby="kind", ax=ax),
        "reliability": lambda ax: grn.pl.reliability(cells, ax=ax),
        "network": lambda ax: grn.pl.network(edges_table(), LONG, ax=ax),
        "edge_heatmap": lambda ax: grn.pl.edge_heatmap(edges_table(), ax=ax),
        "stability": lambda ax: grn.pl.stability(edges_table(), ax=ax),
        "locus": lambda ax: grn.pl.locus(locus, "G1", ax=ax),
        "knockout": lambda ax: grn.pl.knockout(changes(12), ax=ax),
        "knockout_embedding": lambda ax: grn.pl.knockout_embedding(cells, "ko", "G30", ax=ax),
        "motif_logo": lambda ax: grn.pl.motif_logo(motif, ax),
        "motif_hits": lambda ax: grn.pl.motif_hits(locus, "chr1:0-4000", hits=HITS, ax=ax),
    }


NAMES = list(plots(None, None))


def test_all_plots_are_looked_at():
    assert {n.partition(" ")[0] for n in NAMES} == set(grn.pl.__all__) - {"report"}


@pytest.mark.filterwarnings("ignore:.*:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_axes_go_in_and_come_back(name, cells, locus):
    figure, ax = plt.subplots()
    before = plt.get_fignums()
    assert plots(cells, locus)[name](ax) is ax
    assert ax.figure is figure
    assert plt.get_fignums() == before


@pytest.mark.filterwarnings("ignore:.*:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_it_fits_a_page_and_can_be_read(name, cells, locus):
    figure = plots(cells, locus)[name](None).figure
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= _style.DOUBLE
    box = figure.get_tightbbox()
    assert box.x0 > -0.03
    assert box.y0 > -0.03
    assert box.x1 < figure.get_figwidth() + 0.03
    assert box.y1 < figure.get_figheight() + 0.03
    texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 6


def test_several_panels_are_two_columns_wide(cells):
    panels = grn.pl.predicted_vs_observed(cells, n_genes=4, groupby="kind")
    assert panels[0].figure.get_figwidth() == pytest.approx(_style.DOUBLE)
    assert [t.get_text() for t in panels[0].figure.legends[0].get_texts()] == ["high", "low"]


def dots(ax):
    return [to_hex(line.get_color()) for line in ax.lines if line.get_marker() == "o"]


def test_groups_have_the_colours_of_uns(cells):
    mdata = judged()
    mdata.uns["tilegrn"] = cells.uns["tilegrn"]
    order = [t.get_text().split()[0] for t in grn.pl.scorecard(mdata, kind="groups").get_yticklabels()]
    ours = dict(zip(["high", "low"], _style.OKABE_ITO, strict=False))
    assert sorted(dots(grn.pl.scorecard(mdata, kind="groups"))) == sorted(ours.values())

    mdata["rna"].obs["kind"] = mdata.obs["kind"].loc[mdata["rna"].obs_names].to_numpy()
    mdata["rna"].obs["kind"] = mdata["rna"].obs["kind"].astype("category")
    mdata["rna"].uns["kind_colors"] = np.array(["#aa0000", "#00aa00"])
    rna = {"high": "#aa0000", "low": "#00aa00"}
    assert dots(grn.pl.scorecard(mdata, kind="groups")) == [rna[g] for g in order]

    mdata.obs["kind"] = mdata.obs["kind"].cat.set_categories(["low", "high"])
    mdata.uns["kind_colors"] = ["#0000aa", "no colour"]  # what is in the MuData comes first; categories give the order
    ax = grn.pl.predicted_vs_observed(mdata, "G30", groupby="kind")
    handles, names = ax.get_legend_handles_labels()
    assert {n: to_hex(h[0].get_color()) for h, n in zip(handles, names, strict=True)} == {
        "low": "#0000aa",
        "high": _style.OKABE_ITO[0],
    }


def test_means_of_groups_are_those_of_their_cells(cells):
    ax = grn.pl.predicted_vs_observed(cells, "G30", groupby="kind")
    rna = cells["rna"]
    test = (cells.obs["split"] == "test").to_numpy() & (cells.obs["kind"] == "low").to_numpy()
    (low,) = [c for c in ax.containers if c.get_label() == "low"]
    assert low[0].get_xdata()[0] == pytest.approx(rna.layers["predicted"][test, 30].mean(), rel=1e-5)


def test_a_scorecard_without_groups_says_how_to_get_them():
    mdata = judged()
    card = grn.tl.scorecard(mdata, baselines=("mean",), n_bootstrap=0)
    with pytest.raises(grn.errors.InputError, match="groupby='cell_type'"):
        grn.pl.scorecard(card, kind="groups")


def test_many_groups_are_told_apart_by_shape():
    shapes = {(c, m) for m in _style.MARKERS for c in _style.OKABE_ITO}
    assert len(shapes) >= 50


def test_signed_maps_have_a_neutral_middle_at_zero(cells):
    for artist in (
        grn.pl.edge_heatmap(edges_table()).images[0],
        grn.pl.knockout_embedding(cells, "ko", "G30").collections[0],
    ):
        low, high = artist.get_clim()
        assert low == -high
        assert np.ptp(artist.get_cmap()(0.5)[:3]) < 0.02


@pytest.mark.parametrize("ax", [True, False])
def test_names_of_a_knockout_do_not_touch(ax):
    drawn = grn.pl.knockout(changes(12), ax=plt.subplots(figsize=(3.5, 3))[1] if ax else None)
    drawn.figure.draw_without_rendering()
    boxes = sorted(Text.get_window_extent(t).x0 for t in drawn.texts if t.get_rotation())
    assert len(boxes) == 12
    height = next(t.get_fontsize() for t in drawn.texts) * drawn.figure.dpi / 72
    assert min(np.diff(boxes)) > 0.9 * height


def test_names_of_tsss_do_not_touch():
    tss = pd.DataFrame({"gene": [f"{LONG}{i}" for i in range(30)], "pos": np.arange(30) * 30, "strand": "+"})
    _, axes = plt.subplots(figsize=(_style.DOUBLE, 2))
    axes.set_xlim(0, 1000)
    from tilegrn.pl._tss import draw_tss

    draw_tss(axes, tss, f"{LONG}9", (0, 1000), foot=0, head=0.5, text=0.8)
    axes.figure.draw_without_rendering()
    boxes = sorted((b.x0, b.x1) for b in (t.get_window_extent() for t in axes.texts if t.get_text()))
    assert len(boxes) >= 2
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(boxes))
    assert f"{LONG}9" in [t.get_text() for t in axes.texts]


def test_colour_bars_name_more_than_one_number():
    _, ax = plt.subplots()
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    artist = _style.density(ax, x, x + rng.normal(0, 0.3, 500))
    _style.colour_bar(ax, artist, "genes")
    ticks = ax.figure.axes[1].get_yticks()
    assert len(ticks) >= 3
    assert ticks[0] == 1
    assert ticks[-1] <= artist.get_array().max()
