"""What is written survives files and subsetting; what no longer fits is refused by name."""

from __future__ import annotations

import mudata as md
import numpy as np
import pytest
from scipy import sparse

import tilegrn as grn
from tests._small import BINDING, SIZES, TSS, copied, small
from tilegrn._core import store
from tilegrn._core.mudata import no_pull, quiet_update


@pytest.fixture
def done():
    mdata = small(30)
    grn.pp.bin_peaks(mdata, SIZES)
    with pytest.warns(UserWarning, match="no TSS"):
        grn.pp.tss_distance(mdata, TSS)
    grn.pp.add_binding(mdata, BINDING)
    grn.pp.split_cells(mdata)
    grn.pp.scale(mdata)
    return mdata


def same(a, b):
    for mod in ("rna", "atac"):
        for axis in ("obsm", "varm", "layers"):
            left, right = getattr(a[mod], axis), getattr(b[mod], axis)
            assert {k for k in left if k} == {k for k in right if k}
            for key in left:
                if key:
                    assert (sparse.csr_matrix(left[key]) != sparse.csr_matrix(right[key])).nnz == 0
                    assert left[key].dtype == right[key].dtype
        assert list(a[mod].var.columns) == list(b[mod].var.columns)
    assert list(a.obs["split"].astype(str)) == list(b.obs["split"].astype(str))
    for step, record in a.uns["tilegrn"].items():
        if step == "schema":
            assert int(b.uns["tilegrn"]["schema"]) == record
            continue
        for key, value in record.items():
            np.testing.assert_array_equal(
                np.asarray(b.uns["tilegrn"][step][key]), np.asarray(value), err_msg=f"{step}/{key}"
            )


def test_h5mu_twice(done, tmp_path):
    grn.io.write_h5mu(tmp_path / "a.h5mu", done)
    once = grn.io.read_h5mu(tmp_path / "a.h5mu")
    same(done, once)
    grn.io.write_h5mu(tmp_path / "b.h5mu", once)
    twice = grn.io.read_h5mu(tmp_path / "b.h5mu")
    same(done, twice)
    grn.tl.potentials(twice)


def test_zarr(done, tmp_path):
    with no_pull():
        done.write_zarr(str(tmp_path / "a.zarr"))
        back = md.read_zarr(str(tmp_path / "a.zarr"))
    same(done, back)
    grn.tl.potentials(back)


def test_subset_of_cells(done):
    part = copied(done[done.obs_names[5:15]])
    rows = slice(5, 15)
    assert (store.cell_windows(part) != done["atac"].obsm["windows"][rows]).nnz == 0
    got = grn.tl.potentials(part, "c7").tf_tg
    assert abs(got - grn.tl.potentials(done, "c7").tf_tg).max() == 0


def test_subset_of_genes(done):
    part = copied(done)
    part.mod["rna"] = done["rna"][:, ["G1", "Ta", "G2"]].copy()
    quiet_update(part)
    assert (store.tss_distance(part)[0] != done["rna"].varm["tss_distance"][2]).nnz == 0
    got, whole = grn.tl.potentials(part, "c7"), grn.tl.potentials(done, "c7")
    assert got.tfs == ["Ta"]
    assert got.tf_tg.toarray()[0].tolist() == whole.tf_tg.toarray()[0, [2, 0, 3]].tolist()
    assert set(grn.get.peak_tg(part)["target_id"]) == {"G1", "Ta", "G2"}


def test_subset_of_peaks_keeps_rows_and_refuses_sums(done):
    part = copied(done)
    keep = [0, 2, 5]
    part.mod["atac"] = done["atac"][:, keep].copy()
    quiet_update(part)
    assert (store.peak_windows(part) != done["atac"].varm["windows"][keep]).nnz == 0
    got, whole = grn.tl.potentials(part, "c7"), grn.tl.potentials(done, "c7")
    np.testing.assert_array_equal(got.tf_peak.toarray(), whole.tf_peak.toarray()[keep])
    with pytest.raises(
        grn.errors.StaleError, match=r"atac\.obsm\['windows'\].*6 peaks.*Run grn\.pp\.bin_peaks.* again"
    ):
        grn.pp.scale(part)
    with pytest.raises(grn.errors.StaleError, match=r"rna\.varm\['homer_binding'\].*Run grn\.pp\.add_binding.* again"):
        store.window_binding(part)
    grn.pp.bin_peaks(part, SIZES)
    grn.pp.scale(part)


def test_reordered_peaks_are_the_same_peaks(done):
    part = copied(done)
    part.mod["atac"] = done["atac"][:, ::-1].copy()
    quiet_update(part)
    assert (store.cell_windows(part) != done["atac"].obsm["windows"]).nnz == 0


def test_other_windows_make_the_rest_stale(done):
    grn.pp.bin_peaks(done, SIZES, window_size=500)
    with pytest.raises(grn.errors.StaleError, match=r"rna\.varm\['tss_distance'\].*Run grn\.pp\.tss_distance.* again"):
        store.tss_distance(done)
    with pytest.raises(grn.errors.StaleError, match=r"homer_binding.*Run grn\.pp\.add_binding.* again"):
        store.window_binding(done)


def test_views_are_written_without_touching_the_parent():
    mdata = small()
    with no_pull():
        view = mdata[mdata.obs_names[:6]]
    assert view.is_view
    grn.pp.bin_peaks(view, SIZES)
    grn.pp.add_binding(view, BINDING)
    grn.pp.split_cells(view)
    grn.pp.scale(view)
    assert view["atac"].obsm["windows"].shape[0] == 6
    assert "windows" not in mdata["atac"].obsm
    assert "is_tf" not in mdata["rna"].var
    assert "tilegrn" not in mdata.uns
    assert "split" not in mdata.obs


def test_views_share_no_records_with_the_parent(done):
    before = dict(done.uns["tilegrn"]["grid"])
    with no_pull():
        view = done[done.obs_names[:6]]
    grn.pp.bin_peaks(view, SIZES, window_size=500)
    assert done.uns["tilegrn"]["grid"]["window_size"] == before["window_size"] == 1000


def test_newer_schema_asks_for_an_upgrade(done):
    done.uns["tilegrn"] = {**done.uns["tilegrn"], "schema": 99}
    with pytest.raises(grn.errors.InputError, match="upgrade tilegrn"):
        grn.get.windows(done)


def test_a_missing_slot_names_the_call(done):
    del done["atac"].varm["windows"]
    with pytest.raises(grn.errors.MissingStepError, match=r"varm\['windows'\] is missing. Run grn\.pp\.bin_peaks"):
        grn.get.windows(done)
