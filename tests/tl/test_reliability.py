"""Reliability of the spread, on predictions whose error is known."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pytest
from scipy import sparse, stats

import tilegrn as grn
from tilegrn import _keys as K
from tilegrn import _metrics, _store
from tilegrn._mudata import no_pull
from tilegrn.errors import InputError, MissingStepError, StaleError
from tilegrn.tl._reliability import Reliability

N_CELLS, N_GENES, N_TFS = 700, 50, 8


def spreading(*, understates: float = 1.0, level: float = 1.0, informative: bool = True, seed: int = 0) -> md.MuData:
    """True rates vary around the predicted ones, by ``understates`` times what the spread says."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(level, 0.7, N_GENES) + rng.normal(0, 0.3, (N_CELLS, N_GENES))
    sd = rng.choice([0.05, 0.15, 0.3], size=centre.shape)
    error = understates * sd
    truth = np.exp(centre + error * rng.normal(size=sd.shape) - error**2 / 2)
    size = np.exp(rng.normal(0, 0.3, N_CELLS))
    rna = ad.AnnData(sparse.csr_matrix(rng.poisson(truth * size[:, None]).astype(np.float32)))
    rna.obs_names = [f"c{i}" for i in range(N_CELLS)]
    rna.var_names = [f"G{i}" for i in range(N_GENES)]
    rna.var[K.IS_TF] = np.arange(N_GENES) < N_TFS
    up, p, down = (_metrics.expected_log1p(np.exp(centre + d), size) for d in (0.05, 0.0, -0.05))
    rna.layers[K.PREDICTED] = p
    told = sd if informative else rng.permuted(sd, axis=None)
    rna.layers[f"{K.PREDICTED}_sd"] = ((up - down) / 0.1 * told).astype(np.float32)
    atac = ad.AnnData(sparse.csr_matrix(np.ones((N_CELLS, 3), dtype=np.float32)))
    atac.obs_names = rna.obs_names
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    labels = np.array([K.TRAIN, K.TEST, K.TEST, K.TEST, K.TEST], dtype=object)[np.arange(N_CELLS) % 5]
    _store.put_split(mdata, rna.obs_names, labels, K.SPLIT, {"by": "", "seed": seed})
    record = {"size_factor": size, "cells": rna.obs_names.to_numpy(dtype=object), "calibrated": True, "n_networks": 5}
    _store.put_record(mdata, K.REC_PREDICT, record)
    return mdata


@pytest.fixture(scope="module")
def result():
    return grn.tl.reliability(spreading())


def test_table_has_bins_of_equal_size_in_order(result):
    table = result.table
    assert len(table) == 10
    assert table["n_pairs"].sum() == 560 * (N_GENES - N_TFS)
    assert table["n_pairs"].max() - table["n_pairs"].min() <= 2
    assert table["spread_variance"].is_monotonic_increasing
    assert (table["squared_error_low"] < table["squared_error"]).all()
    assert (table["squared_error"] < table["squared_error_high"]).all()
    np.testing.assert_allclose(table["excess"], table["squared_error"] - table["poisson_variance"], atol=1e-12)
    np.testing.assert_allclose(table["predicted_rms"] ** 2, table["poisson_variance"] + table["expected_excess"])


def test_means_equal_a_direct_computation(result):
    mdata = spreading()
    rna = mdata["rna"]
    rows = np.flatnonzero(mdata.obs[K.SPLIT] == K.TEST)
    size = mdata.uns["tilegrn"]["predict"]["size_factor"][rows]
    y = np.log1p(rna.X.toarray()[rows][:, N_TFS:] / size[:, None])
    square = (y - rna.layers["predicted"][rows][:, N_TFS:]) ** 2
    sd = rna.layers["predicted_sd"][rows][:, N_TFS:]
    total = result.table["n_pairs"]
    assert (result.table["squared_error"] * total).sum() == pytest.approx(square.sum(), rel=1e-5)
    assert (result.table["spread_variance"] * total).sum() == pytest.approx((sd**2).sum(), rel=1e-5)
    last = sd >= np.quantile(sd, 0.9)
    assert result.table["squared_error"].iloc[-1] == pytest.approx(square[last].mean(), rel=0.01)


@pytest.mark.parametrize("level", [1.0, -1.5])
def test_a_right_spread_lies_on_the_diagonal(level):
    result = grn.tl.reliability(spreading(level=level))
    table = result.table
    inside = table["predicted_rms"].between(table["observed_rms_low"], table["observed_rms_high"])
    assert inside.sum() >= 8
    assert result.parameters["rms_ratio"] == pytest.approx(1.0, abs=0.02)
    assert "the calibrated spread predict" in result.sentence
    assert "\n" not in result.sentence


def test_a_spread_that_understates_is_found_out():
    values = grn.tl.reliability(spreading(understates=3.0)).parameters
    assert values["accounted"] == pytest.approx(1 / 9, rel=0.2)
    assert values["rms_ratio"] < 0.95


def test_information_of_the_spread_is_told_from_that_of_the_mean():
    told = grn.tl.reliability(spreading(understates=2.0))
    assert told.parameters["excess_gap_low"] > 0
    assert "larger spread goes with larger error" in told.sentence
    none = grn.tl.reliability(spreading(understates=2.0, informative=False))
    assert none.parameters["excess_gap_low"] < 0 < none.parameters["excess_gap_high"]
    assert "cannot be shown" in none.sentence


def test_spearman_equals_scipy(result):
    mdata = spreading()
    rna = mdata["rna"]
    rows = np.flatnonzero(mdata.obs[K.SPLIT] == K.TEST)
    size = mdata.uns["tilegrn"]["predict"]["size_factor"][rows]
    p = rna.layers["predicted"][rows][:, N_TFS:]
    square = (np.log1p(rna.X.toarray()[rows][:, N_TFS:] / size[:, None]) - p) ** 2
    variance = _metrics.variance_log1p(_metrics.implied_mean(p, size) / size[:, None], size)
    sd = rna.layers["predicted_sd"][rows][:, N_TFS:]
    want = stats.spearmanr((square / variance).ravel(), sd.ravel()).statistic
    assert result.parameters["spearman_spread"] == pytest.approx(want, abs=1e-3)


def test_result_is_kept_and_survives_h5mu(tmp_path):
    mdata = spreading()
    result = grn.tl.reliability(mdata, n_bins=4, n_bootstrap=20)
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    back = grn.io.read_h5mu(tmp_path / "x.h5mu")
    again = Reliability.from_record(back.uns["tilegrn"]["reliability"])
    assert again.sentence == result.sentence
    assert list(again.table) == list(result.table)
    np.testing.assert_array_equal(again.table, result.table)
    assert again.parameters["n_genes"] == N_GENES - N_TFS
    result.to_csv(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().startswith("n_pairs,")


def test_subset_and_order_of_cells_do_not_matter(result):
    mdata = spreading()
    keep = np.random.default_rng(0).permutation(np.flatnonzero(mdata.obs[K.SPLIT] == K.TEST))
    keep = np.append(keep, np.flatnonzero(mdata.obs[K.SPLIT] == K.TRAIN)[:2])
    with no_pull():
        part = mdata[keep].copy()
    again = grn.tl.reliability(part, n_bootstrap=0).table
    np.testing.assert_allclose(again["squared_error"], result.table["squared_error"], rtol=1e-6)
    assert again["squared_error_low"].isna().all()


def test_networks_that_agree_everywhere_make_one_bin():
    mdata = spreading()
    mdata["rna"].layers["predicted_sd"][:] = 0.0
    result = grn.tl.reliability(mdata)
    assert len(result.table) == 1
    assert result.table["predicted_rms"][0] == result.table["poisson_rms"][0]
    assert np.isnan(result.parameters["excess_gap"])
    assert "nan" not in result.sentence


def without(*, layer=None, record=None, column=None, split=False):
    def spoil(m):
        if layer:
            del m["rna"].layers[layer]
        if record:
            m.uns["tilegrn"] = {k: v for k, v in m.uns["tilegrn"].items() if k != record}
        if column:
            del m["rna"].var[column]
        if split:
            del m.obs["split"]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "options", "error", "words"),
    [
        (without(layer="predicted"), {}, MissingStepError, r"Run grn\.tl\.predict"),
        (without(layer="predicted_sd"), {}, MissingStepError, r"grn\.tl\.train\(mdata, n_models=5\)"),
        (without(record="predict"), {}, MissingStepError, r"Run grn\.tl\.predict"),
        (without(column="is_tf"), {}, MissingStepError, "mark_tfs"),
        (without(split=True), {}, MissingStepError, "split_cells"),
        (None, {"cells": "val"}, InputError, "marks 0 cells with RNA as 'val'"),
        (None, {"n_bins": 0}, InputError, "n_bins=0"),
    ],
)
def test_errors_name_the_call(spoil, options, error, words):
    mdata = spreading()
    if spoil:
        spoil(mdata)
    with pytest.raises(error, match=words):
        grn.tl.reliability(mdata, **options)
    assert "reliability" not in mdata.uns["tilegrn"]


def test_size_factors_of_other_cells_are_refused():
    mdata = spreading()
    record = mdata.uns["tilegrn"]["predict"]
    others = np.array([f"x{i}" for i in range(N_CELLS)], dtype=object)
    _store.put_record(mdata, K.REC_PREDICT, record | {"cells": others})
    with pytest.raises(StaleError, match="predict"):
        grn.tl.reliability(mdata)


def test_no_gene_left_is_said():
    mdata = spreading()
    mdata["rna"].var[K.IS_TF] = True
    with pytest.raises(InputError, match="No gene"):
        grn.tl.reliability(mdata)


def test_an_uncalibrated_spread_warns():
    mdata = spreading()
    _store.put_record(mdata, K.REC_PREDICT, mdata.uns["tilegrn"]["predict"] | {"calibrated": False})
    with pytest.warns(UserWarning, match="not calibrated"):
        assert "UNCALIBRATED" in grn.tl.reliability(mdata).sentence


def test_pairs_that_are_drawn_follow_names(monkeypatch):
    from tilegrn.tl import _reliability

    monkeypatch.setattr(_reliability, "_PAIRS", 500)
    mdata = spreading()
    order = np.random.default_rng(2).permutation(N_GENES)
    with no_pull():
        other = md.MuData({"rna": mdata["rna"][:, order].copy(), "atac": mdata["atac"]})
    other.obs, other.uns = mdata.obs, mdata.uns
    a, b = (grn.tl.reliability(m, n_bootstrap=20).parameters for m in (mdata, other))
    assert a["spearman_spread"] == pytest.approx(b["spearman_spread"], rel=1e-6)
    assert a["excess_gap"] == pytest.approx(b["excess_gap"], rel=1e-4)
