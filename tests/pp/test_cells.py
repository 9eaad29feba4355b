"""Pairing and splitting of cells."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._small import small
from tilegrn._core.mudata import no_pull, quiet_update
from tilegrn._core.splits import draw_split, split_from_groups


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


@pytest.mark.parametrize(("n_cells", "test", "val"), [(100, 20, 5), (6968, 1000, 120), (100_000, 5000, 1000)])
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


def named(rna, atac, **others):
    """Cells of these names; the MuData's own columns and obsm repeat them."""
    parts = {"rna": rna, "atac": atac, **others}
    adatas = {
        name: ad.AnnData(
            np.ones((len(cells), 2), dtype=np.float32),
            obs=pd.DataFrame({"me": cells}, index=cells),
            var=pd.DataFrame(index=[f"{name}{i}" for i in range(2)]),
        )
        for name, cells in parts.items()
    }
    with no_pull():
        mdata = md.MuData(adatas)
    mdata.obs["name"] = mdata.obs_names.to_numpy(dtype=object)
    mdata.obs["kind"] = pd.Categorical(mdata.obs_names)
    mdata.obsm["emb"] = (
        mdata.obs_names.str.extract(r"c(\d+)", expand=False).astype(int).to_numpy()[:, None].astype(float)
    )
    return mdata


def cells(first, last, suffix="-1"):
    return [f"c{i}{suffix}" for i in range(first, last)]


LOST = {
    "most of both": (
        cells(0, 400),
        cells(370, 770),
        r"Only 30 cells are kept.*'rna' has 400, 'atac' has 400 \(370 of 400",
    ),
    "half of the RNA, ATAC raw": (cells(0, 100), cells(50, 5000), r"Only 50 cells.*'rna' has 100, 'atac' has 4950"),
    "half of the ATAC, RNA raw": (cells(0, 5000), cells(4950, 5050), r"Only 50 cells.*smallest are lost, 50%"),
    "one of ten samples in another spelling": (
        cells(0, 400),
        [*cells(0, 360), *cells(360, 400, "-2")],
        r"Only 360 cells.*'rna' alone has e\.g\. \['c360-1', .*'atac' alone has e\.g\. \['c360-2', .* 400 of them",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_a_loss_of_cells_is_said(case):
    rna, atac, message = LOST[case]
    mdata = named(rna, atac)
    with pytest.warns(UserWarning, match=message) as seen:
        grn.pp.intersect_cells(mdata)
    assert seen[0].filename == __file__
    assert list(mdata.obs_names) == [c for c in rna if c in set(atac)]


def test_a_third_modality_that_takes_cells_is_named():
    mdata = named(cells(0, 90), cells(0, 90), prot=cells(60, 150))
    with pytest.warns(UserWarning, match=r"Only 30 cells.*'prot' has 90.*'prot' alone has e\.g\. \['c90-1'"):
        grn.pp.intersect_cells(mdata)


@pytest.mark.parametrize(
    ("rna", "atac"),
    [
        (cells(0, 100), cells(0, 7000)),  # raw barcodes beside filtered cells
        (cells(0, 7000), cells(0, 100)),
        (cells(0, 100), cells(15, 115)),  # what quality control of each takes
        (cells(0, 100), cells(0, 100)),
    ],
)
def test_cells_that_filters_take_are_no_alarm(rna, atac):
    mdata = named(rna, atac)
    grn.pp.intersect_cells(mdata)
    assert mdata.n_obs == len(set(rna) & set(atac))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stale", [(), ("atac",), ("rna", "atac")])
def test_annotation_follows_the_cells_by_name(stale, seed, tmp_path):
    rng = np.random.default_rng(seed)
    mdata = named(list(rng.permutation(cells(0, 40))), list(rng.permutation(cells(2, 41))))
    for name in stale:  # sorted another way since the MuData was made
        mdata.mod[name] = mdata[name][rng.permutation(mdata[name].n_obs)].copy()
    want = [c for c in mdata["rna"].obs_names if c in set(mdata["atac"].obs_names)]
    grn.pp.intersect_cells(mdata)
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    for m in (mdata, grn.io.read_h5mu(tmp_path / "x.h5mu")):
        assert list(m.obs_names) == list(m["rna"].obs_names) == list(m["atac"].obs_names) == want
        assert list(m.obs["name"]) == list(m.obs["kind"].astype(str)) == list(m["rna"].obs["me"]) == want
        assert [f"c{int(v)}-1" for v in m.obsm["emb"][:, 0]] == want
        assert (np.asarray(m.obsmap["rna"]).ravel() == np.arange(1, len(want) + 1)).all()
    quiet_update(mdata)
    assert list(mdata.obs["name"]) == want
