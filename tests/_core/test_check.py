"""Counts are read and cells are found in one way, wherever they lie; what cannot be is named."""

from __future__ import annotations

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests._small import small

from tilegrn._core import check
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError

COUNTS = np.array([[0, 3, 1], [0, 0, 0], [2, 0, 5], [1, 1, 1]])


def adata(x=COUNTS, dtype=np.float32):
    n, width = np.shape(x)
    names = {"obs": pd.DataFrame(index=[f"c{i}" for i in range(n)]), "var": pd.DataFrame(index=list("abc")[:width])}
    return ad.AnnData(np.asarray(x).astype(dtype) if dtype else x, **names)


def four():
    with no_pull():
        peaks = ad.AnnData(COUNTS.astype(np.float32), obs=adata().obs, var=pd.DataFrame(index=list("pqr")))
        return md.MuData({"rna": adata(), "atac": peaks})


def test_modalities_are_named():
    mdata = small()
    assert check.modality(mdata, "rna") is mdata["rna"]
    with pytest.raises(InputError, match=r"^Expected a MuData with an RNA and an ATAC modality, got AnnData\.$"):
        check.modality(mdata["rna"], "rna")
    with pytest.raises(InputError, match=r"no modality 'gex'; it has \['rna', 'atac'\]\. Name yours"):
        check.start(mdata, "rna", "gex", copy=False)
    mdata.mod["rna"] = mdata["rna"][:0].copy()
    with pytest.raises(InputError, match=r"'rna' has shape \(0, 5\): nothing to work on"):
        check.start(mdata, "atac", "rna", copy=True)


def test_a_copy_is_made_where_it_was_asked_for():
    mdata = small()
    assert check.start(mdata, "rna", copy=False) is mdata
    copy = check.start(mdata, "rna", copy=True)
    copy["rna"].X[0, 0] = 99
    assert mdata["rna"].X[0, 0] != 99


def test_names_that_repeat():
    check.unique_names(pd.Index(list("abc")), "genes", "")
    said = r"^4 genes occur more than once, e\.g\. \['a', 'b', 'c'\]\. Mend\.$"
    with pytest.raises(InputError, match=said):
        check.unique_names(pd.Index(list("abcdeabcdaa")), "genes", "Mend.")


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning", "ignore:.*[Dd]uplicated:UserWarning")
def test_cells_are_paired_or_refused():
    mdata = small(12)
    assert check.paired(mdata, "rna", "atac") == (mdata["rna"], mdata["atac"])
    mdata.mod["atac"] = mdata["atac"][::-1].copy()
    said = r"'rna' \(12 cells\) and 'atac' \(12 cells\) do not hold .* Run grn\.pp\.intersect_cells\(mdata\) first\.$"
    with pytest.raises(InputError, match=said):
        check.paired(mdata, "rna", "atac")
    for one in mdata.mod.values():
        one.obs_names = ["x", *(f"x{i}" for i in range(10)), "x"]
    with pytest.raises(InputError, match=r"^1 barcodes occur more than once, e\.g\. \['x'\].*obs_names_make_unique"):
        check.paired(mdata, "rna", "atac")


# Matrices


def stored(kind, folder):
    a = adata()
    a.layers["sparse"] = sparse.coo_matrix(a.X).tocsc()
    if kind == "dask":
        import dask.array as da

        a.layers["sparse"] = da.from_array(a.X, chunks=(2, 3))
    elif kind == "file":
        a.X = sparse.csr_matrix(a.X)
        a.write_h5ad(folder / "x.h5ad")
        with h5py.File(folder / "x.h5ad", "r+") as file:  # a stored zero in the row of c1
            for name, values in (("data", np.insert(a.X.data, 2, 0)), ("indices", np.insert(a.X.indices, 2, 1))):
                del file[f"X/{name}"]
                file[f"X/{name}"] = values
            file["X/indptr"][2:] += 1
        return ad.read_h5ad(folder / "x.h5ad", backed="r")
    elif kind == "integers":
        a.layers["sparse"] = sparse.csr_matrix(COUNTS)
    elif kind == "zeros are stored":
        a.layers["sparse"] = sparse.csr_matrix(
            (np.array([0, 3, 1, 2, 5, 1, 1, 1], np.float32), [0, 1, 2, 0, 2, 0, 1, 2], [0, 3, 3, 5, 8]), shape=(4, 3)
        )
    elif kind == "twice one place":
        a.layers["sparse"] = sparse.csr_matrix(
            (np.array([1, 2, 1, 2, 5, 1, 1, 1], np.float32), [1, 1, 2, 0, 2, 0, 1, 2], [0, 3, 3, 5, 8]), shape=(4, 3)
        )
    elif kind == "booleans":
        a.layers["sparse"] = sparse.csr_matrix(COUNTS > 0)
    return a


@pytest.mark.parametrize("kind", ["csc", "dask", "file", "integers", "zeros are stored", "twice one place", "booleans"])
def test_counts_of_every_storage(kind, tmp_path):
    a = stored(kind, tmp_path)
    layer = None if kind == "file" else "sparse"
    want = COUNTS > 0 if kind == "booleans" else COUNTS
    given = None if layer is None or kind == "dask" else a.layers[layer].copy()
    whole = check.counts(a, "rna", layer, warn_empty=False)
    for look in (True, False):
        rows = check.count_rows(a, "rna", layer, look=look)
        part = rows[np.array([2, 1, 0])]
        np.testing.assert_array_equal(part.toarray(), want[[2, 1, 0]])
        assert part.dtype == np.float32
        assert part.nnz == np.count_nonzero(want[[2, 1, 0]])
        assert isinstance(rows, sparse.csr_matrix) == (kind not in {"dask", "file"})
        if kind == "dask":  # how many values a dask array holds is known when they were looked at
            assert rows.values == (7 if look else None)
    np.testing.assert_array_equal(whole.toarray(), want)
    assert (whole.dtype, whole.nnz, whole.has_canonical_format) == (np.float32, 7, True)
    if given is not None:
        assert (a.layers[layer].nnz, a.layers[layer].dtype) == (given.nnz, given.dtype)


def test_what_is_in_memory_and_plain_is_not_copied():
    a = adata(sparse.csr_matrix(COUNTS.astype(np.float32)), dtype=None)
    for look in (True, False):
        assert np.shares_memory(check.count_rows(a, "rna", look=look).data, a.X.data)
    np.testing.assert_array_equal(check.counts(a, "rna", "X", warn_empty=False).toarray(), COUNTS)


def test_where_counts_may_lie():
    a = adata()
    a.layers["counts"] = a.X * 2
    np.testing.assert_array_equal(check.counts(a, "rna", "counts", warn_empty=False).toarray(), COUNTS * 2)
    with pytest.raises(InputError, match=r"^'rna' has no layer 'no'; it has \['counts'\]\. Counts may also be in X"):
        check.counts(a, "rna", "no")
    with pytest.raises(InputError, match=r"^layer='raw' was asked for, but 'rna' has no \.raw\.$"):
        check.counts(a, "rna", "raw")
    a.X = None
    with pytest.raises(InputError, match=r"^'rna'\.X is empty \(None\); name the layer"):
        check.counts(a, "rna")
    with pytest.raises(InputError, match=r"^'rna'\.X is empty"):
        check.count_rows(a, "rna")


def test_raw_is_read_by_the_names_of_the_features():
    """.raw keeps the order and the features of the day it was made."""
    a = adata()
    a.raw = a.copy()
    for order in ("abc", "cab", "b", "ca"):
        part = a[:, list(order)].copy()
        assert part.raw.shape[1] == 3
        np.testing.assert_array_equal(check.counts(part, "rna", "raw", warn_empty=False).toarray(), part.X)
        np.testing.assert_array_equal(check.count_rows(part, "rna", "raw")[np.arange(4)].toarray(), part.X)
    other = a[:, ["a", "b", "c"]].copy()
    other.var_names = ["a", "y", "z"]
    with pytest.raises(InputError, match=r"^'rna'\.raw lacks 2 of the features, e\.g\. \['y', 'z'\]\.$"):
        check.counts(other, "rna", "raw")


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning")
def test_raw_whose_names_repeat():
    a = adata()
    b = a.copy()
    b.var_names = ["a", "b", "a"]
    b.raw = b.copy()
    np.testing.assert_array_equal(check.counts(b, "rna", "raw", warn_empty=False).toarray(), COUNTS)
    part = b[:, [0, 1]].copy()
    with pytest.raises(InputError, match=r"^1 features of 'rna'\.raw occur more than once, e\.g\. \['a'\]"):
        check.counts(part, "rna", "raw")


ODD = {
    "nan": (np.nan, True, r"^'rna'\.X holds 1 NaN or infinite values, e\.g\. cell 'c3', feature 'c'\. Replace them"),
    "infinite": (np.inf, False, "1 NaN or infinite values, .*cell 'c3', feature 'c'"),
    "negative": (-2, False, r"^'rna'\.X holds 1 negative values, e\.g\. -2.* at cell 'c3', feature 'c'\. Counts"),
    "fraction": (
        0.123456,
        True,
        r"holds 1 values that are not whole numbers, e\.g\. 0\.1235 at cell 'c3', feature 'c'",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_values_that_are_no_counts_are_named_with_cell_and_feature(case):
    value, integer, message = ODD[case]
    x = COUNTS.astype(np.float64)
    x[3, 2] = value
    a = adata(x, dtype=np.float64)
    with pytest.raises(InputError, match=message):
        check.counts(a, "rna", integer=integer, warn_empty=False)
    with pytest.raises(InputError, match=message):
        check.count_rows(a, "rna", integer=integer, look=False)
    a.layers["x"] = x
    with pytest.raises(InputError, match=r"^'rna' layer 'x' holds 1 "):
        check.counts(a, "rna", "x")


def test_values_in_a_file_are_looked_at_as_they_are_read(tmp_path):
    x = COUNTS.astype(np.float32)
    x[2, 0] = 0.5
    a = adata(sparse.csr_matrix(x), dtype=None)
    a.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    rows = check.count_rows(backed, "rna", look=False)
    np.testing.assert_array_equal(rows[np.array([3, 0])].toarray(), COUNTS[[3, 0]])
    with pytest.raises(InputError, match=r"0\.5 at cell 'c2', feature 'a'"):
        rows[np.array([3, 2])]
    with pytest.raises(InputError, match=r"0\.5 at cell 'c2', feature 'a'"):
        check.count_rows(backed, "rna")
    fractions = check.count_rows(backed, "rna", integer=False)
    assert fractions[np.array([2])].toarray().tolist() == [[0.5, 0, 5]]
    backed.file.close()


def test_integers_may_be_negative_only_if_signed():
    with pytest.raises(InputError, match=r"1 negative values, e\.g\. -1 at"):
        check.counts(adata(-(COUNTS == 3).astype(int), dtype=np.int8), "rna")
    assert check.counts(adata(COUNTS, dtype=np.uint8), "rna", warn_empty=False).sum() == COUNTS.sum()


def test_objects_are_no_numbers():
    with pytest.raises(InputError, match=r"^here holds Python objects, not numbers\.$"):
        check.as_csr(np.array([[None, 1]], dtype=object), "here")


def test_a_backed_matrix_comes_to_memory(tmp_path):
    adata(sparse.csr_matrix(COUNTS.astype(np.float32)), dtype=None).write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_array_equal(check.as_csr(backed.X, "x").toarray(), COUNTS)
    backed.file.close()


def shell(call):
    return call()


def test_warnings_name_the_place_that_called_the_step():
    a = adata()
    mdata = four()
    mdata["rna"].obs["kind"], mdata["atac"].obs["kind"] = list("pqpq"), list("ppqq")
    for call in (
        lambda: check.counts(a, "rna"),
        lambda: check.count_rows(a, "rna", warn_empty=True),
        lambda: check.cell_labels(mdata, "kind", "rna", "atac"),
    ):
        with pytest.warns(UserWarning, match=r"have no counts|differs between") as seen:
            shell(call)
        assert (seen[0].filename, seen[0].lineno) == (__file__, shell.__code__.co_firstlineno + 1)


def test_cells_without_counts_are_said():
    a = adata()
    said = r"^1 of 4 cells have no counts in 'rna'\.X; consider sc\.pp\.filter_cells\.$"
    with pytest.warns(UserWarning, match=said):
        check.counts(a, "rna")
    with pytest.warns(UserWarning, match=said):
        check.count_rows(a, "rna", warn_empty=True)
    check.count_rows(a, "rna")  # a warning would be an error
    check.counts(a[[0, 2]].copy(), "rna")


# Cells


def test_the_order_of_names_is_that_of_text():
    assert check.by_name(["b", "10", "9", "a"]).tolist() == [1, 2, 3, 0]
    assert check.by_name(pd.Index(["a", "b", "a"])).tolist() == [0, 2, 1]


def labels(mdata, column="kind", **given):
    return check.cell_labels(mdata, column, "rna", "atac", **given)


def test_annotation_is_found_by_name_wherever_it_is():
    mdata = small(6)
    want = ["p", "q", "p", "q", "p", "q"]
    column = pd.Series(want, index=mdata["rna"].obs_names)
    for place in (mdata["atac"], mdata["rna"], mdata):
        place.obs["kind"] = column[place.obs_names].to_numpy()
        assert labels(mdata).tolist() == want
    mdata.mod["rna"] = mdata["rna"][::-1].copy()
    assert labels(mdata).tolist() == want[::-1]
    assert labels(mdata, cells=pd.Index(["c3", "c0"])).tolist() == ["q", "p"]
    with pytest.raises(InputError, match=r"^No obs column 'no'\. There are: \['batch', 'kind'\]\.$"):
        labels(mdata, "no")


def test_annotation_that_differs_is_said_and_the_first_place_counts():
    mdata = four()
    mdata["rna"].obs["kind"] = list("pqpq")
    mdata["atac"].obs["kind"] = list("ppqq")
    with pytest.warns(
        UserWarning, match=r"^'kind' differs between mdata\['rna'\]\.obs and mdata\['atac'\]\.obs for 2 of 4 "
    ):
        assert labels(mdata).tolist() == list("pqpq")
    for name in ("rna", "atac"):
        mdata[name].obs["kind"] = [None, "a", "b", "c"]
    assert labels(mdata, missing=True).tolist() == [None, "a", "b", "c"]
    mdata["atac"].obs["kind"] = ["z", "a", "b", "c"]
    with pytest.warns(UserWarning, match="for 1 of 4 cells"):
        labels(mdata, missing=True)


def test_cells_without_a_label():
    mdata = four()
    mdata.obs["kind"] = pd.Categorical([1, None, 2, None])
    assert labels(mdata, missing=True).tolist() == ["1", None, "2", None]
    said = r"^mdata\.obs\['kind'\] has no value for 2 of 4 cells, e\.g\. 'c1'\. Fill them in.*mdata\.update\(\)"
    with pytest.raises(InputError, match=said):
        labels(mdata)
    assert labels(mdata, cells=pd.Index(["c0", "new"]), missing=True).tolist() == ["1", None]


def test_values_are_aligned_as_text():
    obs = pd.DataFrame({"x": [1.5, np.nan, 3]}, index=["a", "b", "c"])
    assert check.aligned(obs, "x", pd.Index(["c", "z", "b", "a"]), "obs").tolist() == ["3.0", None, None, "1.5"]
    assert check.aligned(obs[:0], "x", pd.Index(["c"]), "obs").tolist() == [None]
    twice = pd.DataFrame({"x": [1, 2]}, index=["a", "a"])
    with pytest.raises(InputError, match=r"^1 barcodes of obs occur more than once, e\.g\. \['a'\]\. Make them unique"):
        check.aligned(twice, "x", pd.Index(["a"]), "obs")


def test_rows_of_cells():
    mdata = four()
    names = mdata["rna"].obs_names
    series = pd.Series([False, True, False, True], index=["c3", "c2", "c1", "c0"])
    for cells, want in (
        (None, [0, 1, 2, 3]),
        ("c2", [2]),
        (["c3", "c0"], [3, 0]),
        (pd.Index(["c1"]), [1]),
        ([True, False, False, True], [0, 3]),
        (series, [2, 0]),
        (series.astype("boolean"), [2, 0]),
        (series.astype("boolean").mask(series.index == "c0"), [2]),
    ):
        rows = check.rows_of(mdata, cells, names)
        assert rows.tolist() == want
        assert rows.dtype == np.int64
    for cells, message in (
        (["c0", "x", "y"], r"^2 of the cells asked for are not in the data, e\.g\. 'x' \(have e\.g\. 'c0'\)\.$"),
        ([True, False], r"^cells= is a mask of 2 for 4 cells\.$"),
        ([False] * 4, r"^cells= names no cell\.$"),
        ([], r"^cells= names no cell\.$"),
        (~series.astype(bool) & False, r"^cells= names no cell\.$"),
    ):
        with pytest.raises(InputError, match=message):
            check.rows_of(mdata, cells, names)


def test_a_mask_without_names_needs_one_order():
    mdata = four()
    mdata.mod["rna"], mdata.mod["atac"] = (mdata[m][::-1].copy() for m in ("rna", "atac"))
    names = mdata["rna"].obs_names
    with pytest.raises(InputError, match=r"^cells= is a mask without names, .* Give a Series indexed by barcodes"):
        check.rows_of(mdata, np.array([True, False, False, False]), names)
    mask = pd.Series([True, False, False, False], index=mdata.obs_names)
    assert check.rows_of(mdata, mask, names).tolist() == [3]
    with no_pull():
        again = md.MuData({"rna": mdata["rna"], "atac": mdata["atac"]})
    assert check.rows_of(again, np.array([True, False, False, False]), names).tolist() == [0]
