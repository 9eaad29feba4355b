"""The spread of a trained model: where its factor comes from, where it goes, and what tells that there is none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse, stats

torch = pytest.importorskip("torch")

from tests.tl._ready import TINY, ready  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn.model.grn_model import GRNModel  # noqa: E402
from tilegrn.tl.training._calibrate import calibrate  # noqa: E402
from tilegrn.tl.training._inputs import cell_data  # noqa: E402
from tilegrn.tl.training._source import read_source  # noqa: E402

QUICK = {"config": TINY, "progress": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def trained():
    mdata = ready()
    return mdata, grn.tl.train(mdata, n_models=2, **QUICK)


def cells(mdata, model, part):
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=True)
    rows = np.flatnonzero(mdata.obs["split"] == part)
    return cell_data(source, model.vocabulary, model.preparation, model.config, rows=rows, with_counts=True)


def with_factor(model, factor):
    return GRNModel(
        model.vocabulary,
        model.config,
        model.preparation,
        model.networks,
        {k: v for k, v in model.record.items() if not k.startswith("spread_")}
        | ({} if factor is None else {"spread_factor": factor}),
    )


def made(understates, *, seed=0, n_cells=500, n_genes=60, level=1.0):
    """Six networks around a mean, and counts of rates that differ from it by ``understates`` times their spread.

    The first gene is a TF, whose counts say something else.
    """
    rng = np.random.default_rng(seed)
    centre = rng.normal(level, 1.0, n_genes) + rng.normal(0, 0.4, (n_cells, n_genes))
    size = np.exp(rng.normal(0, 0.4, n_cells))
    spread = rng.uniform(0.02, 0.12, (n_cells, n_genes))  # of each pair, so that there is something to know
    own = rng.normal(size=(6, n_cells, n_genes))
    own = (own - own.mean(0)) / own.std(0)
    sd = understates * spread
    rate = np.exp(centre + sd * rng.normal(size=sd.shape) - sd**2 / 2)  # predictions are right on average
    rate[:, 0] *= 50
    counts = sparse.csr_matrix(rng.poisson(rate * size[:, None]))
    rates = np.exp(centre + spread * own)
    model = SimpleNamespace(
        vocabulary=SimpleNamespace(genes=np.arange(n_genes)),
        preparation=SimpleNamespace(tf_target=np.array([0, -1])),
        networks=[None] * 6,
        iter_rates=lambda _: ((part, rates[:, part], None) for part in np.array_split(np.arange(n_cells), 3)),
    )
    return model, SimpleNamespace(counts=counts, size_factor=size), rates


@pytest.mark.parametrize(("understates", "level"), [(1.0, 1.0), (3.0, 1.0), (3.0, -1.0)])
def test_the_factor_is_what_the_spread_understates_by(understates, level):
    """On the log scale rare counts show less of the error; without its share the last would come out near half."""
    model, val, _ = made(understates, level=level, n_cells=2000)
    assert calibrate(model, val)["spread_factor"] == pytest.approx(understates, rel=0.2)


def test_the_factor_equals_a_loop_with_scipy():
    model, val, rates = made(2.0, n_cells=9, n_genes=4)
    k = np.arange(2000)
    above = below = 0.0
    for c in range(9):
        value = np.log1p(k / val.size_factor[c])
        for g in range(1, 4):
            each = [stats.poisson.pmf(k, r * val.size_factor[c]) @ value for r in rates[:, c, g]]
            mean = rates[:, c, g].mean() * val.size_factor[c]
            p = [stats.poisson.pmf(k - shift, mean) for shift in (0, 1, 2)]
            square = (value - p[0] @ value) ** 2
            variance = p[0] @ square
            bend = p[2] @ square - 2 * p[1] @ square + p[0] @ square
            shown = np.var(each) * 0.5 * bend / (p[1] @ value - p[0] @ value) ** 2
            weight = shown / (variance**2 * (2 + 1 / mean))
            above += weight * ((np.log1p(val.counts[c, g] / val.size_factor[c]) - np.mean(each)) ** 2 - variance)
            below += weight * shown
    assert calibrate(model, val)["spread_factor"] == pytest.approx(np.sqrt(max(above / below, 0.0)), rel=1e-3)


def test_the_factor_is_fitted_on_validation_cells(trained):
    mdata, model = trained
    factor = calibrate(model, cells(mdata, model, "val"))["spread_factor"]
    assert model.record["spread_factor"] == mdata.uns["tilegrn"]["train"]["spread_factor"]
    # the cells stand in another order here: the last digits of the network differ
    assert model.record["spread_factor"] == pytest.approx(factor, rel=1e-6)


def test_predict_multiplies_the_spread_and_says_so(trained):
    mdata, model = trained
    out, spreads = {}, {}
    for factor in (None, 1.0, 2.5):
        grn.tl.predict(mdata, with_factor(model, factor))
        record = mdata.uns["tilegrn"]["predict"]
        out[factor], spreads[factor] = (mdata["rna"].layers[k].copy() for k in ("predicted", "predicted_sd"))
        assert record["calibrated"] == (factor is not None)
        assert record["spread_factor"] == (factor or 1.0)
        assert list(record["cells"]) == list(mdata["rna"].obs_names)
    assert (spreads[None] > 0).any()
    np.testing.assert_array_equal(spreads[1.0], spreads[None])
    np.testing.assert_allclose(spreads[2.5], 2.5 * spreads[None], rtol=1e-6)
    np.testing.assert_array_equal(out[2.5], out[None])


def test_a_factor_of_zero_is_no_calibration(trained):
    assert with_factor(trained[1], 0.0).spread_factor is None


def test_the_factor_is_saved_and_an_older_model_has_none(trained, tmp_path):
    model = with_factor(trained[1], 1.75)
    model.save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "model.json").read_text())["record"]["spread_factor"] == 1.75
    assert grn.io.load_model(tmp_path / "m").spread_factor == 1.75
    with_factor(model, None).save(tmp_path / "m")
    assert grn.io.load_model(tmp_path / "m").spread_factor is None


def test_without_validation_cells_or_other_networks_nothing_is_calibrated(trained):
    mdata = ready()
    mdata.obs.loc[mdata.obs["split"] == "val", "split"] = "train"
    model = grn.tl.train(mdata, n_models=2, **QUICK)
    assert "spread_factor" not in model.record
    assert model.spread_factor is None
    grn.tl.predict(mdata, model)
    assert not mdata.uns["tilegrn"]["predict"]["calibrated"]
    _, several = trained
    one = GRNModel(several.vocabulary, several.config, several.preparation, several.networks[:1], {})
    assert calibrate(one, cells(mdata, several, "test")) == {}
    grn.tl.predict(mdata, one)
    assert "predicted_sd" not in mdata["rna"].layers, "that of the model before would pass for this one's"
