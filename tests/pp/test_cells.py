"""Pairing and splitting of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._small import small
from tilegrn._mudata import quiet_update
from tilegrn._splits import draw_split, split_from_groups


def shuffled(drop_rna=(), drop_atac=()):
    mdata = small()
    rna, atac = mdata["rna"], mdata["atac"]
    mdata.mod["rna"] = rna[[c for c in rna.obs_names if c not in drop_rna]].copy()
    mdata.mod["atac"] = atac[[c for c in reversed(atac.obs_names) if c not in drop_atac]].copy()
    mdata["atac"].obsm["X_lsi"] = np.arange(mdata["atac"].n_obs, dtype=float)[:, None]
    mdata["atac"].obs["depth"] = np.asarray(mdata["atac"].X.sum(axis=1)).ravel()
    quiet_update(mdata)
    return mdata


def test_shared_cells_in_the_rnas_order_with_their_annotation():
    mdata = shuffled(drop_rna=["c3"], drop_atac=["c0", "c5"])
    depth = mdata["atac"].obs["depth"].copy()
    batch = mdata.obs["batch"].copy()
    grn.pp.intersect_cells(mdata)
    want = [f"c{i}" for i in range(12) if i not in (0, 3, 5)]
    assert list(mdata.obs_names) == list(mdata["rna"].obs_names) == list(mdata["atac"].obs_names) == want
    pd.testing.assert_series_equal(mdata["atac"].obs["depth"], depth[want])
    np.testing.assert_array_equal(np.asarray(mdata["atac"].X.sum(axis=1)).ravel(), depth[want])
    assert list(mdata.obs["batch"]) == list(batch[want])


def test_paired_data_stay_as_they_are():
    mdata = small()
    rna = mdata["rna"]
    grn.pp.intersect_cells(mdata)
    assert mdata["rna"] is rna


def test_disjoint_barcodes_show_both_and_suggest():
    mdata = small()
    mdata["atac"].obs_names = [f"{c}-1" for c in mdata["atac"].obs_names]
    quiet_update(mdata)
    with pytest.raises(grn.errors.InputError, match=r"RNA has e\.g\. \['c0'.*'c0-1'.*12 of them match"):
        grn.pp.intersect_cells(mdata)


def test_missing_modality_lists_what_is_there():
    with pytest.raises(grn.errors.InputError, match=r"no modality 'gex'; it has \['rna', 'atac'\].*rna= and atac="):
        grn.pp.intersect_cells(small(), rna="gex")


def test_unpaired_data_name_the_call():
    mdata = shuffled()
    with pytest.raises(grn.errors.InputError, match=r"Run grn\.pp\.intersect_cells"):
        grn.pp.split_cells(mdata)


def test_split_by_cells_is_seeded_and_sized():
    a, b, c = small(60), small(60), small(60)
    for mdata, seed in ((a, 0), (b, 0), (c, 1)):
        grn.pp.split_cells(mdata, test=0.25, val=0.15, seed=seed)
    assert a.obs["split"].value_counts().to_dict() == {"train": 36, "test": 15, "val": 9}
    assert list(a.obs["split"]) == list(b.obs["split"]) != list(c.obs["split"])


@pytest.mark.parametrize(("n_cells", "test", "val"), [(100, 20, 5), (6968, 1000, 348), (100_000, 5000, 2500)])
def test_default_split_gives_away_no_more_cells_than_judging_needs(n_cells, test, val):
    labels = draw_split([f"c{i}" for i in range(n_cells)])
    assert ((labels == "test").sum(), (labels == "val").sum()) == (test, val)


def test_split_by_groups_holds_them_out_whole():
    mdata = small(60)
    grn.pp.split_cells(mdata, "batch", test_groups=["b"], val=0.1)
    crossed = pd.crosstab(mdata.obs["batch"], mdata.obs["split"])
    assert crossed.loc["b", "test"] == 20
    assert crossed.loc[["a", "c"], "test"].sum() == 0
    assert crossed["val"].sum() == 4
    grn.pp.split_cells(mdata, "batch", test=0.2)
    assert (pd.crosstab(mdata.obs["batch"], mdata.obs["split"])["test"] > 0).sum() == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"by": "donor"}, r"No obs column 'donor'. There are: \['batch'\]"),
        ({"by": "batch", "test_groups": ["z"]}, r"names \['z'\].*\['a', 'b', 'c'\]|Groups here"),
        ({"test_groups": ["a"]}, "need by="),
        ({"test": 0.9, "val": 0.2}, "sum is below 1"),
        ({"by": "batch", "test_groups": ["a", "b", "c"]}, "No cell is left to train on"),
    ],
)
def test_bad_splits(arguments, match):
    mdata = small()
    with pytest.raises(grn.errors.InputError, match=match):
        grn.pp.split_cells(mdata, **arguments)
    assert "split" not in mdata.obs


def test_the_draw_follows_names_not_rows():
    names = np.array([f"c{i}" for i in range(50)])
    order = np.random.default_rng(0).permutation(50)
    by_row = draw_split(names, seed=3)
    np.testing.assert_array_equal(draw_split(names[order], seed=3), by_row[order])
    groups = np.array(list("abcde") * 10)
    by_row = split_from_groups(groups, names, val=0.2, seed=3)
    np.testing.assert_array_equal(split_from_groups(groups[order], names[order], val=0.2, seed=3), by_row[order])
