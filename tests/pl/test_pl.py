"""Figures: what is drawn is what was computed, on given axes or new ones, and nothing is shown or saved."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from scipy import sparse, stats
from tests.tl.evaluate._judged import judged, rows

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._stats.metrics import expected_log1p
from tilegrn.errors import InputError, MissingStepError


@pytest.fixture(autouse=True)
def closed():
    before = plt.get_fignums()
    yield
    assert not before
    plt.close("all")


@pytest.fixture(scope="module")
def mdata():
    return judged()


@pytest.fixture(scope="module")
def card(mdata):
    return grn.tl.scorecard(mdata, baselines=("mean", "ridge"), n_bootstrap=200)


def measured(mdata, gene):
    counts = mdata["rna"].X.toarray()
    sf = counts.sum(1) / np.median(counts.sum(1))
    return np.log1p(counts[:, mdata["rna"].var_names.get_loc(gene)] / sf)


def test_predicted_vs_observed_draws_the_cells(mdata):
    ax = grn.pl.predicted_vs_observed(mdata, "G30")
    (points,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    test = rows(mdata, "test")
    x, y = mdata["rna"].layers["predicted"][test, 30], measured(mdata, "G30")[test]
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([x, y]), rtol=1e-5)
    assert ax.get_title() == f"G30   r = {stats.pearsonr(x, y).statistic:.2f}"
    assert ax.get_xlabel().startswith("predicted log1p(counts / size factor)")
    assert ax.get_ylabel().startswith("observed log1p(counts / size factor)")


def test_many_cells_become_a_density_that_counts_them_all(mdata):
    ax = grn.pl.predicted_vs_observed(mdata, "G30", cells=None)
    (hexagons,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert hexagons.get_array().sum() == mdata.n_obs


def test_several_genes_make_a_panel_each(mdata):
    panels = grn.pl.predicted_vs_observed(mdata, ["G20", "G30", "G31", "G32"])
    assert [p.get_title().split()[0] for p in panels] == ["G20", "G30", "G31", "G32"]
    assert len(panels[0].figure.axes) == 4


def test_best_genes_are_chosen_when_none_is_named(mdata, card):
    panels = grn.pl.predicted_vs_observed(mdata, n_genes=3)
    scores = [float(p.get_title().split("=")[1]) for p in panels]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(card.per_gene["pearson_model"].max(), abs=0.01)
    figure, ax = plt.subplots()
    assert grn.pl.predicted_vs_observed(mdata, ax=ax) is ax
    assert ax.get_title() == panels[0].get_title()
    assert ax.figure is figure


def no_layer(m):
    del m["rna"].layers["predicted"]


def no_split(m):
    del m.obs["split"]


def unpredicted(m):
    m["rna"].layers["predicted"][:, 30] = np.nan


@pytest.mark.parametrize(
    ("spoil", "genes", "options", "error", "words"),
    [
        (no_layer, "G30", {}, MissingStepError, "Run grn.tl.predict"),
        (no_split, "G30", {}, MissingStepError, "cells=None"),
        (None, "Sox2", {}, InputError, r"genes=\['Sox2'\] are not in 'rna'"),
        (None, [], {}, InputError, "are not in 'rna'"),
        (unpredicted, "G30", {}, InputError, "are not predicted"),
        (None, "G30", {"cells": "holdout"}, InputError, "marks no cell as 'holdout'"),
        (None, ["G30", "G31"], {"ax": True}, InputError, "ax= takes one gene"),
    ],
)
def test_predicted_vs_observed_says_what_is_wrong(spoil, genes, options, error, words):
    mdata = judged()
    if spoil:
        spoil(mdata)
    if options.get("ax"):
        options = {"ax": plt.subplots()[1]}
    with pytest.raises(error, match=words):
        grn.pl.predicted_vs_observed(mdata, genes, **options)


def marker_positions(ax):
    return sorted(line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o")


def test_scorecard_draws_each_mean_and_interval(mdata, card):
    figure, ax = plt.subplots()
    assert grn.pl.scorecard(mdata, ax=ax) is ax
    assert ax.figure is figure
    figure.draw_without_rendering()
    np.testing.assert_allclose(marker_positions(ax), sorted(card.table["pearson"]))
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[-1] == "tilegrn"
    assert set(labels) == {"tilegrn", "ridge", "depth only", "gene mean"}
    model = card.table["pearson"][0]
    bars = [tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() > 3]
    want = [(model - r["difference_high"], model - r["difference_low"]) for _, r in card.table[1:].iterrows()]
    np.testing.assert_allclose(sorted(bars), sorted(want))


def test_scorecard_of_genes_sets_model_against_best_baseline(card):
    ax = grn.pl.scorecard(card, kind="genes")
    (points,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    genes = card.per_gene[card.per_gene["scored"] & ~card.per_gene["is_tf"]]
    np.testing.assert_allclose(points.get_offsets(), genes[["pearson_ridge", "pearson_model"]])
    assert ax.get_xlabel() == "r of ridge"


def test_scorecard_draws_both_kinds_by_default(card):
    assert len(grn.pl.scorecard(card)) == 2


def test_scorecard_says_what_is_wrong(card):
    with pytest.raises(MissingStepError, match=r"Run grn\.tl.scorecard"):
        grn.pl.scorecard(judged())
    with pytest.raises(InputError, match="must be 'means', 'genes' or 'groups'"):
        grn.pl.scorecard(card, kind="bars")


def test_training_draws_the_losses_of_each_network():
    mdata = judged()
    record = {
        "train_loss_0": np.array([3.0, 2.0, 1.0]),
        "val_loss_0": np.array([3.5, 2.5, 2.6]),
        "train_loss_1": np.array([3.1, 2.1]),
        "val_loss_1": np.array([], dtype=float),
    }
    store.put_record(mdata, K.REC_TRAIN, record)
    ax = grn.pl.training(mdata)
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn == [[3.0, 2.0, 1.0], [3.5, 2.5, 2.6], [2.5], [3.1, 2.1]]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]
    assert ax.lines[2].get_xdata()[0] == 2, "the lowest validation loss"
    assert ax.get_xlabel() == "epoch"


def test_training_of_a_model_equals_that_of_its_data():
    class Model:
        record = {"history": [{"train_loss": [2.0, 1.0], "val_loss": [2.2, 1.9]}]}  # noqa: RUF012

    _, ax = plt.subplots()
    assert grn.pl.training(Model(), ax=ax) is ax
    assert list(ax.lines[1].get_ydata()) == [2.2, 1.9]


def test_training_says_what_is_wrong():
    with pytest.raises(MissingStepError, match=r"Run grn\.tl.train"):
        grn.pl.training(judged())
    with pytest.raises(InputError, match="Expected a model"):
        grn.pl.training(3)
    mdata = judged()
    store.put_record(mdata, K.REC_TRAIN, {"seed": 1})
    with pytest.raises(InputError, match="no history"):
        grn.pl.training(mdata)


def test_plots_need_no_pyplot_on_given_axes(mdata, card):
    """A program without a display draws on a figure of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for draw in (grn.pl.scorecard, grn.pl.predicted_vs_observed):
        figure = Figure(layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(mdata, ax=figure.subplots())
        canvas.draw()
    assert plt.get_fignums() == []


def uncertain():
    """Predictions whose true rates differ from them by a spread of three sizes."""
    mdata = judged()
    rng = np.random.default_rng(1)
    rna = mdata["rna"]
    sd = rng.choice([0.05, 0.2, 0.4], size=rna.shape)
    size = np.exp(rng.normal(0, 0.3, rna.n_obs))
    centre = rng.normal(1.0, 0.7, rna.n_vars) + rng.normal(0, 0.3, rna.shape)
    rna.X = sparse.csr_matrix(rng.poisson(np.exp(centre + sd * rng.normal(size=sd.shape) - sd**2 / 2) * size[:, None]))
    depth = np.asarray(rna.X.sum(1)).ravel()
    up, p, down = (
        expected_log1p(np.exp(centre + d) * (size / depth * 100)[:, None], depth / 100) for d in (0.05, 0, -0.05)
    )
    rna.layers[K.PREDICTED], rna.layers["predicted_sd"] = p, ((up - down) / 0.1 * sd).astype(np.float32)
    store.put_record(mdata, K.REC_PREDICT, {"median_depth": 100.0, "calibrated": True})
    return mdata


def test_reliability_draws_the_error_of_each_tenth():
    mdata = uncertain()
    _, ax = plt.subplots()
    assert grn.pl.reliability(mdata, ax=ax) is ax
    _, alone, both = ax.lines
    assert both.get_label() == "counting noise and calibrated spread"
    rna, test = mdata["rna"], rows(mdata, "test")
    genes = ~rna.var[K.IS_TF].to_numpy()
    counts = rna.X.toarray()
    square = (np.log1p(counts / counts.sum(1)[:, None] * 100) - rna.layers["predicted"])[test][:, genes] ** 2
    sd = rna.layers["predicted_sd"][test][:, genes]
    assert len(both.get_xdata()) == 10
    assert both.get_ydata()[-1] == pytest.approx(np.sqrt(square[sd >= np.quantile(sd, 0.9)].mean()), rel=0.01)
    assert np.square(both.get_ydata()).mean() == pytest.approx(square.mean(), rel=1e-3)
    np.testing.assert_allclose(both.get_xdata(), both.get_ydata(), rtol=0.15)  # a right spread lies on the diagonal
    assert both.get_xdata().mean() == pytest.approx(both.get_ydata().mean(), rel=0.03)
    assert (alone.get_xdata() < both.get_xdata()).all()


def test_reliability_asks_for_several_networks_and_cells(mdata):
    with pytest.raises(MissingStepError, match=r"n_models=5"):
        grn.pl.reliability(mdata)
    other = uncertain()
    other["rna"].var[K.IS_TF] = True
    with pytest.raises(InputError, match="no gene"):
        grn.pl.reliability(other)
