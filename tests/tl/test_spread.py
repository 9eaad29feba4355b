"""The spread of a trained model: where its factor comes from, where it goes, and what tells that there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tilegrn as grn  # noqa: E402
from tests.tl._ready import TINY, ready  # noqa: E402
from tilegrn._metrics import normalised_log1p  # noqa: E402
from tilegrn.errors import MissingStepError  # noqa: E402
from tilegrn.model.grn_model import GRNModel  # noqa: E402
from tilegrn.tl._calibrate import calibrate, factor_of_sums, spread_sums  # noqa: E402
from tilegrn.tl._inputs import cell_data  # noqa: E402
from tilegrn.tl._source import read_source  # noqa: E402

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


def test_the_factor_is_that_of_validation_cells_and_genes_that_are_no_tfs(trained):
    mdata, model = trained
    data = cells(mdata, model, "val")
    rates = np.empty((2, data.n_cells, 40), dtype=np.float32)
    for rows, part, _ in model.iter_rates(data):
        rates[:, rows] = part
    plain = ~mdata["rna"].var.loc[list(model.vocabulary.genes), "is_tf"].to_numpy()
    logged = normalised_log1p(data.counts, data.size_factor).toarray()
    want = factor_of_sums(*spread_sums(logged[:, plain], rates[:, :, plain], data.size_factor))
    got = [model.record[f"spread_factor{end}"] for end in ("", "_low", "_high")]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert mdata.uns["tilegrn"]["train"]["spread_factor"] == got[0]
    np.testing.assert_allclose(list(calibrate(model, data, batch_size=3).values()), got, rtol=1e-3)


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
    with pytest.warns(UserWarning, match="not calibrated"):
        grn.tl.reliability(mdata, n_bins=3, n_bootstrap=10)
    _, several = trained
    one = GRNModel(several.vocabulary, several.config, several.preparation, several.networks[:1], {})
    assert calibrate(one, cells(mdata, several, "test")) == {}
    grn.tl.predict(mdata, one)
    assert "predicted_sd" not in mdata["rna"].layers, "that of the model before would pass for this one's"
    with pytest.raises(MissingStepError, match=r"n_models=5"):
        grn.tl.reliability(mdata)


def test_from_training_to_the_table(trained, tmp_path):
    mdata, model = trained
    grn.tl.predict(mdata, with_factor(model, 1.5))
    result = grn.tl.reliability(mdata, n_bins=4, n_bootstrap=50)
    n_test = int((mdata.obs["split"] == "test").sum())
    assert result.table["n_pairs"].sum() == n_test * int((~mdata["rna"].var["is_tf"]).sum())
    assert result.parameters["n_networks"] == 2
    assert result.parameters["spread_factor"] == 1.5
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    back = grn.io.read_h5mu(tmp_path / "x.h5mu")
    again = grn.tl.reliability(back, n_bins=4, n_bootstrap=50)
    np.testing.assert_allclose(again.table, result.table, rtol=1e-6)
