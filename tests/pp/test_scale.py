"""log1p and min-max: against numpy, fitted on training cells only, kept for new cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import tilegrn as grn
from tests._small import BINDING, SIZES, copied, small
from tilegrn._core.scaling import fit_minmax


@pytest.fixture
def ready():
    mdata = small(30)
    grn.pp.bin_peaks(mdata, SIZES)
    grn.pp.add_binding(mdata, BINDING)
    return mdata


def slow(x, train):
    x = np.log1p(x.astype(float))
    out = np.zeros_like(x)
    for j in range(x.shape[1]):
        positive = x[train, j][x[train, j] > 0]
        if len(positive) and np.ptp(x[train, j]) > 0:
            out[:, j] = np.clip(x[:, j] / np.quantile(positive, 0.95), 0, 1)
    return out


def test_against_numpy_on_training_cells(ready):
    grn.pp.split_cells(ready, seed=1)
    grn.pp.scale(ready)
    train = (ready.obs["split"] == "train").to_numpy()
    assert 0 < train.sum() < 30
    windows = ready["atac"].obsm["windows"].toarray()
    np.testing.assert_allclose(ready["atac"].obsm["windows_scaled"].toarray(), slow(windows, train), atol=1e-6)
    tfs = ready["rna"].X.toarray() * ready["rna"].var["is_tf"].to_numpy()
    np.testing.assert_allclose(ready["rna"].layers["scaled"].toarray(), slow(tfs, train), atol=1e-6)
    assert ready["rna"].var["scale_max"].isna().tolist() == [False, False, True, True, True]


def test_held_out_cells_do_not_enter(ready):
    grn.pp.split_cells(ready, seed=1)
    other = copied(ready)
    held = (ready.obs["split"] != "train").to_numpy()
    x = other["rna"].X.toarray()
    x[held] *= 7
    other["rna"].X = sparse.csr_matrix(x)
    grn.pp.scale(ready)
    grn.pp.scale(other)
    np.testing.assert_array_equal(ready["rna"].var["scale_max"], other["rna"].var["scale_max"])


def test_default_split_is_drawn_and_written(ready):
    assert "split" not in ready.obs
    grn.pp.scale(ready)
    assert ready.obs["split"].value_counts().to_dict() == {"train": 22, "test": 6, "val": 2}


def test_new_cells_scale_the_same_way(ready):
    grn.pp.scale(ready)
    new = small(30, seed=5)
    grn.pp.bin_peaks(new, SIZES)
    grn.pp.add_binding(new, BINDING)
    grn.pp.scale(new, like=ready)
    want = np.clip(np.log1p(new["rna"].X[:, 0].toarray()) / ready["rna"].var["scale_max"].to_numpy()[0], 0, 1)
    np.testing.assert_allclose(new["rna"].layers["scaled"][:, 0].toarray(), want, atol=1e-6)
    assert "split" not in new.obs
    coarse = small(30)
    grn.pp.bin_peaks(coarse, SIZES, window_size=500)
    grn.pp.mark_tfs(coarse, ["Ta"])
    with pytest.raises(grn.errors.InputError, match="other windows"):
        grn.pp.scale(coarse, like=ready)


def test_constant_and_all_zero_features_scale_to_zero_and_open_ones_stay_open():
    x = sparse.csr_matrix(np.array([[3, 0, 1], [3, 0, 2], [3, 0, 1]]))
    out = fit_minmax(x).transform(x).toarray()
    assert np.isfinite(out).all()
    assert not out[:, :2].any()
    assert (out[:, 2] > 0).all()  # open in every cell, to some degree: the range begins at 0


def test_the_range_does_not_grow_with_the_number_of_cells():
    """Of counts of one distribution; the largest count does grow."""
    x = sparse.csr_matrix(np.random.default_rng(0).negative_binomial(1, 0.3, (20_000, 20)))
    few, many = (fit_minmax(x[:n]).maximum.mean() for n in (500, 20_000))
    assert few == pytest.approx(many, rel=0.03)
    few, many = (fit_minmax(x[:n], top=1.0).maximum.mean() for n in (500, 20_000))
    assert many > 1.15 * few


def test_without_tfs_names_the_call():
    mdata = small()
    grn.pp.bin_peaks(mdata, SIZES)
    with pytest.raises(grn.errors.MissingStepError, match=r"add_binding|mark_tfs"):
        grn.pp.scale(mdata)
