"""Knock-outs against predictions of data changed by hand, and direct effects against a known network."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests._small import copied  # noqa: E402
from tests.tl.network._networked import trained  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn.errors import InputError  # noqa: E402
from tilegrn.tl.network._direct_effects import fit_direct_effects  # noqa: E402
from tilegrn.tl.network._knockout import knockout  # noqa: E402
from tilegrn.tl.training._inputs import cell_data  # noqa: E402
from tilegrn.tl.training._source import read_source  # noqa: E402


def _rates(mdata, model, like=None):
    """Rates of all cells; depths (and regressions of the guided components) of ``like``, as a knock-out leaves them."""
    import dataclasses

    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)
    data = cell_data(source, model.vocabulary, model.preparation, model.config)
    if like is not None:
        old = read_source(like, rna="rna", atac="atac", layer=None, for_training=False)
        was = cell_data(old, model.vocabulary, model.preparation, model.config)
        components = model.preparation.components.transform(data.windows, was.part)
        data = dataclasses.replace(
            data, components=components, depth=was.depth, size_factor=was.size_factor, opened=was.opened
        )
    return np.concatenate([r for _, r, _ in model.iter_rates(data)], axis=1)


def test_a_knockout_is_the_prediction_without_the_tf():
    mdata, model = trained()
    out = knockout(mdata, model, "Tf2", direct=False).set_index("target")
    without = copied(mdata)
    x = without["rna"].X.tolil()
    x[:, list(without["rna"].var_names).index("Tf2")] = 0
    without["rna"].X = x.tocsr()
    before, after = _rates(mdata, model), _rates(without, model, like=mdata)
    fold = np.log2(after.sum((0, 1)) / before.sum((0, 1)))
    got = out.loc[list(model.vocabulary.genes), "log2_fold_change"].to_numpy()
    np.testing.assert_allclose(got, fold, atol=1e-5)
    assert np.abs(fold).max() > 1e-4
    assert out.loc["Tf2", "log2_fold_change"] == pytest.approx(0, abs=1e-6)


def test_closing_a_window_is_the_prediction_without_its_peaks():
    mdata, model = trained()
    peaks = np.flatnonzero(np.asarray(mdata["atac"].X.sum(0)).ravel() > 10)
    window = mdata["atac"].varm["windows"][peaks[0]].indices[0]
    name = grn.get.windows(mdata).query("window == @window").index[0]
    out = knockout(mdata, model, close=[name]).set_index("target")
    closed = copied(mdata)
    x = closed["atac"].obsm["windows"].tolil()
    x[:, window] = 0
    closed["atac"].obsm["windows"] = x.tocsr()
    before, after = _rates(mdata, model), _rates(closed, model, like=mdata)
    fold = np.log2(after.sum((0, 1)) / before.sum((0, 1)))
    np.testing.assert_allclose(out.loc[list(model.vocabulary.genes), "log2_fold_change"], fold, atol=1e-5)
    assert np.abs(fold).max() > 1e-5


def test_layer_groups_levels_and_gradients_left_as_they_were():
    mdata, model = trained()
    mdata = copied(mdata)
    out = knockout(mdata, model, {"Tf1": 0, "Tf3": 5}, groupby="cell_type", key_added="changed")
    assert set(out["group"]) == {"all", *mdata.obs["cell_type"].astype(str)}
    assert torch.is_grad_enabled()
    layer = mdata["rna"].layers["changed"]
    assert layer.shape == mdata["rna"].shape
    assert np.isfinite(layer).all()
    more = knockout(mdata, model, "Tf3", to=5).set_index("target")["log2_fold_change"]
    less = knockout(mdata, model, "Tf3", to=0).set_index("target")["log2_fold_change"]
    assert np.corrcoef(more, less.loc[more.index])[0, 1] < -0.5


def test_what_cannot_be_knocked_out_is_said():
    mdata, model = trained()
    with pytest.raises(InputError, match="Gene1"):
        knockout(mdata, model, "Gene1")
    with pytest.raises(InputError, match="Nothing"):
        knockout(mdata, model)
    with pytest.raises(InputError, match="chr9"):
        knockout(mdata, model, close=["chr9:0-1000"])
    with pytest.raises(InputError, match="0 or more"):
        knockout(mdata, model, "Tf1", to=-1.0)


def test_direct_effects_find_size_and_sign_where_binding_allows():

    rng = np.random.default_rng(0)
    n, k, m = 3000, 6, 40
    level = rng.gamma(2.0, 1.5, (n, k))
    support = (rng.random((k, m)) < 0.25).astype(np.float32)
    mode = np.array([1, 1, 1, -1, 1, -1])
    true = support * mode[:, None] * 0.25
    rate = np.exp((np.log1p(level) - np.log1p(level).mean(0)) @ true)
    counts = sparse.csr_matrix(rng.poisson(np.column_stack([level, rate])).astype(np.float32))
    found = fit_direct_effects(counts, np.ones(n), np.arange(k), np.arange(k, k + m), support)
    assert np.corrcoef(found.effect.ravel(), true.ravel())[0, 1] > 0.9
    assert (np.sign(found.effect[support > 0]) == np.sign(true[support > 0])).all()
    change = [found.change(np.array([0]), np.array([[5.0]]), np.array([to]), np.ones(1))[0] for to in (0.0, 40.0)]
    lost, raised = (c[support[0] > 0] for c in change)
    assert (lost < 1).all()
    assert (raised > 1).all()


def test_noise_of_counting_hides_neither_an_effect_nor_what_a_knockout_takes_away():
    """A TF of one count a cell on average, which doubles its targets over its range: its loss is seen in full."""
    rng = np.random.default_rng(1)
    n, m = 20_000, 20
    level = rng.gamma(4.0, 0.25, n)
    rate = np.column_stack([level, *([1 + level] * m)])
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
    support = np.ones((1, m), dtype=np.float32)
    found = fit_direct_effects(counts, np.ones(n), np.array([0]), np.arange(1, m + 1), support)
    factor = found.change(np.array([0]), counts[:, [0]].toarray(), np.zeros(1), np.ones(n)).mean()
    true = 1.0 / (1.0 + level.mean())
    assert found.reliability[0] < 0.35
    assert abs(np.log2(factor / true)) < 0.3


def test_each_cell_has_the_change_of_its_own():
    """Cells are predicted in the order of their open windows; a change belongs to the cell all the same."""
    mdata, model = trained()
    mdata = copied(mdata)
    name = grn.get.windows(mdata).nlargest(1, "n_peaks").index[0]
    for asked in ({"tf": "Tf2"}, {"close": [name]}):
        table = knockout(mdata, model, direct=False, groupby="cell_type", key_added="change", **asked)
        source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)
        before = cell_data(source, model.vocabulary, model.preparation, model.config)
        whole = mdata["rna"].layers["change"].copy()
        for i in (0, 17, 60):  # alone, there is no order
            alone = copied(mdata[[i]])
            knockout(alone, model, direct=False, key_added="change", **asked)
            np.testing.assert_allclose(alone["rna"].layers["change"][0], whole[i], atol=2e-6)
        for kind, part in table.groupby("group", observed=True):
            rows = np.flatnonzero((mdata.obs["cell_type"] == kind).to_numpy() | (kind == "all"))
            rates = np.concatenate([r for _, r, _ in model.iter_rates(before.take(rows))], axis=1)
            got = part.set_index("target").loc[list(model.vocabulary.genes), "mean_rate"]
            np.testing.assert_allclose(got, rates.mean((0, 1)), rtol=1e-5)


def test_tfs_that_rise_together_below_their_counting_noise_have_finite_effects():
    """Freed of noise their covariance need not be one: eight faint TFs of one programme, and few cells."""
    rng = np.random.default_rng(2)
    n, k, m = 120, 8, 300
    programme = rng.gamma(1.0, 1.0, n)
    level = 0.05 * np.outer(programme, np.ones(k))
    rate = np.outer(1 + programme, np.ones(m))
    support = np.full((k, m), 1e-6, dtype=np.float32)
    support[:, 0] = 1.0  # a gene that all of them can reach: hardly shrunk
    for seed in range(20):
        counts = np.random.default_rng(seed).poisson(np.column_stack([level, rate])).astype(np.float32)
        found = fit_direct_effects(sparse.csr_matrix(counts), np.ones(n), np.arange(k), np.arange(k, k + m), support)
        assert np.isfinite(found.effect).all()
