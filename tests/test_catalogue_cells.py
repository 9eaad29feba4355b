"""Bad and odd cells and matrices, one row each: what must come of it, and that an error leaves nothing written.

An error names value and mend, a warning counts, and where the input is handled the result is checked.
"""

import mudata as md
import numpy as np
import pytest
from scipy import sparse

import tilegrn as grn
from tests._build import BINDING, CELLS, SIZES, TSS, binned, build, fingerprint, refused
from tilegrn._core import check
from tilegrn._core.mudata import no_pull
from tilegrn._core.scaling import fit_minmax
from tilegrn.errors import InputError


def ready():
    mdata = binned()
    grn.pp.mark_tfs(mdata, ["Sox2"])
    return mdata


# Cells


def test_disjoint_cells_show_both():
    mdata = build(atac_cells=[f"TTTG{i:04d}-1" for i in range(12)])
    refused(mdata, grn.pp.intersect_cells, r"No barcode is in both.*AAAC0000-1.*TTTG0000-1")


@pytest.mark.parametrize(
    "change", [lambda c: c.replace("-1", "-2"), lambda c: c.replace("-1", ""), lambda c: f"s1#{c}"]
)
def test_barcodes_that_differ_in_their_ends_get_a_suggestion(change):
    mdata = build(atac_cells=[change(c) for c in CELLS])
    refused(mdata, grn.pp.intersect_cells, r"12 of them match\. Cut these off")


def test_another_order_of_cells_is_matched_by_name():
    plain = build()
    mdata = build(atac_cells=CELLS[::-1])
    with no_pull():
        mdata = md.MuData({"rna": mdata["rna"], "atac": plain["atac"][CELLS[::-1]].copy()})
    assert list(mdata["atac"].obs_names) != list(mdata["rna"].obs_names)
    grn.pp.intersect_cells(mdata)
    assert list(mdata["atac"].obs_names) == list(mdata["rna"].obs_names) == CELLS
    assert (mdata["atac"].X != plain["atac"].X).nnz == 0


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning", "ignore:.*[Dd]uplicated:UserWarning")
@pytest.mark.parametrize("side", ["rna", "atac"])
def test_duplicate_barcodes_are_refused(side):
    mdata = build()
    mdata[side].obs_names = [CELLS[0], CELLS[0], *CELLS[2:]]
    refused(mdata, grn.pp.intersect_cells, rf"1 {side.upper()} barcodes occur more than once, e\.g\. \['AAAC0000-1'\]")


def test_unpaired_cells_name_the_call():
    mdata = ready()
    with no_pull():
        mdata.mod["atac"] = mdata["atac"][::-1].copy()
    refused(mdata, grn.pp.scale, r"Run grn\.pp\.intersect_cells\(mdata\) first")


def test_too_few_cells_to_split():
    mdata = build(cells=CELLS[:1])
    refused(mdata, grn.pp.split_cells, r"1 cells cannot be split")
    one_group = build()
    one_group.obs["library"] = "a"
    refused(one_group, lambda m: grn.pp.split_cells(m, "library"), r"All 12 cells are in one group \('a'\)")


# Matrices


def changed(modality, change):
    mdata = ready() if modality == "rna" else build()
    x = mdata[modality].X.toarray()
    change(x)
    mdata[modality].X = sparse.csr_matrix(x)
    return mdata


def put(value):
    def change(x):
        x[3, 1] = value

    return change


BAD_VALUES = {
    "normalised": (lambda x: np.log1p(x, out=x), r"not whole numbers.*looks normalised.*layer="),
    "one fraction deep down": (put(1.5), r"1 values that are not whole numbers, e\.g\. 1\.5 at cell 'AAAC0003-1'"),
    "negative": (put(-1), r"1 negative values, e\.g\. -1.* at cell 'AAAC0003-1', feature '"),
    "NaN": (put(np.nan), r"1 NaN or infinite values, e\.g\. cell 'AAAC0003-1', feature '"),
    "infinite": (put(np.inf), r"1 NaN or infinite values"),
}


@pytest.mark.parametrize(
    ("case", "modality"),  # accessibility may be fractions
    [(c, m) for c in BAD_VALUES for m in ("rna", "atac") if m == "rna" or "whole" not in BAD_VALUES[c][1]],
)
def test_values_that_are_no_counts(case, modality):
    change, message = BAD_VALUES[case]
    call = grn.pp.scale if modality == "rna" else lambda m: grn.pp.bin_peaks(m, SIZES)
    refused(changed(modality, change), call, f"'{modality}'.*{message}", InputError)


def empty_cell(x):
    x[3] = 0


def test_empty_cells_are_counted():
    with pytest.warns(UserWarning, match=r"1 of 12 cells have no counts in 'atac'"):
        binned(changed("atac", empty_cell))
    with pytest.warns(UserWarning, match=r"1 of 12 cells have no counts in 'rna'"):
        grn.pp.scale(changed("rna", empty_cell))


@pytest.mark.parametrize("value", [0, 3])
def test_constant_genes_scale_to_zero(value):
    def change(x):
        x[:, 0] = value

    mdata = changed("rna", change)
    grn.pp.scale(mdata)
    scaled = mdata["rna"].layers["scaled"]
    assert np.isfinite(scaled.data).all()
    assert not scaled[:, [0]].toarray().any()


def unsorted(x):
    x = x.copy()
    for i in range(x.shape[0]):
        part = slice(x.indptr[i], x.indptr[i + 1])
        x.indices[part], x.data[part] = x.indices[part][::-1].copy(), x.data[part][::-1].copy()
    return sparse.csr_matrix((x.data, x.indices, x.indptr), shape=x.shape)


def doubled(x):
    """Every entry given as two that add up: x - 1 and 1."""
    x = x.tocoo()
    data = np.concatenate([x.data - 1, np.ones_like(x.data)])
    order = np.argsort(np.concatenate([x.row, x.row]), kind="stable")
    indptr = np.concatenate([[0], np.cumsum(2 * np.bincount(x.row, minlength=x.shape[0]))])
    return sparse.csr_matrix((data[order], np.concatenate([x.col, x.col])[order], indptr), shape=x.shape)


def dask_array(x):
    return pytest.importorskip("dask.array").from_array(x.toarray(), chunks=(5, 2))


KINDS = {
    "csc": lambda x: x.tocsc(),
    "csr_array": sparse.csr_array,
    "dense": lambda x: x.toarray(),
    "int64": lambda x: x.astype(np.int64),
    "float16": lambda x: x.toarray().astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "uint8": lambda x: x.toarray().astype(np.uint8),
    "unsorted": unsorted,
    "duplicate entries": doubled,
    "dask": dask_array,
}


def walked(mdata, layer=None):
    with no_pull():
        grn.pp.bin_peaks(mdata, SIZES, layer=layer)
        grn.pp.mark_tfs(mdata, ["Sox2"])
        grn.pp.scale(mdata, layer=layer)
    return mdata["atac"].obsm["windows"].toarray(), mdata["rna"].layers["scaled"].toarray()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_matrix_gives_the_same(kind):
    windows, scaled = walked(build())
    mdata = build()
    for adata in mdata.mod.values():
        adata.X = KINDS[kind](adata.X)
    got = walked(mdata)
    np.testing.assert_array_equal(got[0], windows)
    np.testing.assert_array_equal(got[1], scaled)


SUMMED = {
    "bool": (np.bool_, 1, 1),
    "int8": (np.int8, 100, 27),
    "uint8": (np.uint8, 200, 100),
    "int16": (np.int16, 30_000, 2_768),
    "uint16": (np.uint16, 60_000, 6_000),
    "float32": (np.float32, 200, 100),
}


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize(("dtype", "one", "other"), SUMMED.values(), ids=SUMMED)
def test_entries_of_one_place_are_added_up_in_full(dtype, one, other, form):
    data = np.array([one, other, 1], dtype=dtype)
    parts = {
        "csr": lambda: sparse.csr_matrix((data, [1, 1, 0], [0, 2, 3]), shape=(2, 3)),
        "csc": lambda: sparse.csc_matrix((data, [0, 0, 1], [0, 0, 2, 3]), shape=(2, 3)),
        "coo": lambda: sparse.coo_matrix((data, ([0, 0, 1], [1, 1, 0])), shape=(2, 3)),
    }
    x = parts[form]()
    before = x.data.copy()
    got = check.as_csr(x, "'rna'.X")
    assert got.max() == int(one) + int(other)
    assert got.has_canonical_format
    assert x.nnz == 3
    np.testing.assert_array_equal(x.data, before)
    scaled = fit_minmax(x)
    np.testing.assert_allclose(scaled.maximum.max(), np.log1p(int(one) + int(other)))
    np.testing.assert_allclose(scaled.transform(x).max(), 1)


def test_small_integers_in_one_window_do_not_overflow():
    wide, small = build(), build()
    for adata in wide.mod.values():
        adata.X = np.full(adata.shape, 200, dtype=np.float32)
    for adata in small.mod.values():
        adata.X = np.full(adata.shape, 200, dtype=np.uint8)
    for a, b in zip(walked(small), walked(wide), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bool_counts():
    mdata = build()
    for adata in mdata.mod.values():
        adata.X = adata.X > 0
    ones = build()
    for adata in ones.mod.values():
        adata.X = (adata.X > 0).astype(np.float32)
    for a, b in zip(walked(mdata), walked(ones), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", ["counts", "raw"])
def test_counts_in_a_layer_or_raw(place):
    windows, scaled = walked(build())
    mdata = build()
    for adata in mdata.mod.values():
        if place == "raw":
            adata.raw = adata.copy()
        else:
            adata.layers[place] = adata.X.copy()
        adata.X = adata.X.multiply(0.5).tocsr()
    got = walked(mdata, place)
    np.testing.assert_array_equal(got[0], windows)
    np.testing.assert_array_equal(got[1], scaled)
    refused(mdata, lambda m: grn.pp.bin_peaks(m, SIZES, layer="cuonts"), r"no layer 'cuonts'; it has")


def test_backed_data_are_read_and_their_file_is_left_alone(tmp_path):
    windows, scaled = walked(build())
    path = tmp_path / "x.h5mu"
    grn.io.write_h5mu(path, build())
    before = path.read_bytes()
    with no_pull():
        mdata = md.read_h5mu(path, backed="r")
    got = walked(mdata)
    np.testing.assert_array_equal(got[0], windows)
    np.testing.assert_array_equal(got[1], scaled)
    mdata.file.close()
    assert path.read_bytes() == before


def test_views_never_change_their_parent():
    parent = build()
    before = fingerprint(parent)
    with no_pull():
        view = parent[:8]
        walked(view)
    assert fingerprint(parent) == before


def test_other_names_of_modalities():
    mdata = build(names=("GEX", "peaks"))
    refused(
        mdata, lambda m: grn.pp.bin_peaks(m, SIZES), r"no modality 'atac'; it has \['GEX', 'peaks'\]. Name yours with"
    )
    grn.pp.intersect_cells(mdata, rna="GEX", atac="peaks")
    grn.pp.bin_peaks(mdata, SIZES, atac="peaks")
    grn.pp.tss_distance(mdata, TSS, rna="GEX", atac="peaks")
    grn.pp.add_binding(mdata, BINDING, rna="GEX", atac="peaks")
    grn.pp.scale(mdata, rna="GEX", atac="peaks")
    assert "windows_scaled" in mdata["peaks"].obsm


@pytest.mark.parametrize("part", ["cells", "peaks", "genes"])
def test_nothing_at_all_is_refused(part):
    mdata = build(**({"cells": []} if part == "cells" else {part: []}))
    call = (lambda m: grn.pp.mark_tfs(m, ["Sox2"])) if part == "genes" else (lambda m: grn.pp.bin_peaks(m, SIZES))
    refused(mdata, call, r"has shape \(.*0.*\): nothing to work on", InputError)


@pytest.mark.parametrize("change", [lambda c: c.replace("-1", "-2"), lambda c: f"s1#{c}"])
def test_the_suggestion_about_barcodes_works(change):
    mdata = build(atac_cells=[change(c) for c in CELLS])
    with pytest.raises(InputError) as refusal:
        grn.pp.intersect_cells(mdata)
    loop, rebuild = str(refusal.value).split("anew: ")[1].split("; ")
    names = {"mdata": mdata, "mudata": md}
    with no_pull():
        exec(loop, names)
        exec(rebuild, names)
    grn.pp.intersect_cells(names["mdata"])
    assert names["mdata"].n_obs == 12
