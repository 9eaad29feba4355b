"""What is written of columns that anndata cannot hold as they are: the same values, or an error before the work."""

import datetime as dt
import decimal

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.io.h5mu._files import build, names_in, same

from tilegrn._core import check
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr
from tilegrn.io.h5mu._writable import check_writable

N = 30


def with_gap(first, second, gap=None):
    return [first, second, gap] * 10


def arrow(values, kind):
    pa = pytest.importorskip("pyarrow")
    return pd.array(values, dtype=pd.ArrowDtype(getattr(pa, kind)()))


COLUMNS = {
    "nullable text": lambda: pd.array(with_gap("a", "b"), dtype="string"),
    "nullable text, python": lambda: pd.array(with_gap("a", "b", pd.NA), dtype="string[python]"),
    "nullable text, whole": lambda: pd.array(with_gap("a", "b", "c"), dtype="string"),
    "nullable text, each another": lambda: pd.array([f"t{i}" for i in range(N - 1)] + [None], dtype="string"),
    "nullable text, all missing": lambda: pd.array([None] * N, dtype="string"),
    "text and None, each another": lambda: np.array([f"t{i}" for i in range(N - 1)] + [None], dtype=object),
    "text and NaN": lambda: np.array(with_gap("a", "", np.nan), dtype=object),
    "objects, all missing": lambda: np.array([None] * N, dtype=object),
    "nullable integers": lambda: pd.array(with_gap(1, 2**60 + 1), dtype="Int64"),
    "nullable bytes": lambda: pd.array(with_gap(1, 255), dtype="UInt8"),
    "nullable booleans": lambda: pd.array(with_gap(True, False), dtype="boolean"),
    "nullable floats": lambda: pd.array(with_gap(1.5, 2.0), dtype="Float64"),
    "nullable float32": lambda: pd.array(with_gap(1.5, 2.0), dtype="Float32"),
    "objects: booleans and None": lambda: np.array(with_gap(True, False), dtype=object),
    "objects: booleans": lambda: np.array(with_gap(True, False, True), dtype=object),
    "objects: integers and None": lambda: np.array(with_gap(1, 2**60 + 1), dtype=object),
    "objects: integers": lambda: np.array(with_gap(1, 2, 3), dtype=object),
    "objects: floats and None": lambda: np.array(with_gap(1.5, 2), dtype=object),
    "categories of nullable text": lambda: pd.Categorical(pd.array(with_gap("a", "b"), dtype="string")),
    "categories of nullable integers": lambda: pd.Categorical(pd.array(with_gap(1, 2), dtype="Int64")),
    "categories with order": lambda: pd.Categorical(with_gap("lo", "hi"), categories=["lo", "hi"], ordered=True),
    "sparse integers": lambda: pd.arrays.SparseArray(with_gap(0, 0, 3)),
    "Arrow text": lambda: arrow(with_gap("a", "b"), "string"),
    "Arrow integers": lambda: arrow(with_gap(1, 2), "int32"),
    "Arrow booleans": lambda: arrow(with_gap(True, False), "bool_"),
    "Arrow floats": lambda: arrow(with_gap(1.5, 2.5), "float64"),
}


def values_of(column):
    """Plain Python values; None where missing."""
    return [None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v for v in column]


PLACES = {
    "mod['rna'].obs": lambda m: m["rna"].obs,
    "mod['atac'].obs": lambda m: m["atac"].obs,
    "obs": lambda m: m.obs,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All columns at all places: as given, and read back from h5mu, from zarr, and from the h5mu of what was read."""
    folder = tmp_path_factory.mktemp("columns")
    mdata = build(n=N)
    for name, make in COLUMNS.items():
        for place in PLACES.values():
            place(mdata)[name] = make()
    dtypes = {where: place(mdata).dtypes.copy() for where, place in PLACES.items()}
    write_h5mu(folder / "x.h5mu", mdata)
    back = read_h5mu(folder / "x.h5mu")
    write_h5mu(folder / "again.h5mu", back)
    write_zarr(folder / "x.zarr", mdata)
    with no_pull():
        from_zarr = mudata.read_zarr(str(folder / "x.zarr"))
    for where, place in PLACES.items():
        assert (place(mdata).dtypes == dtypes[where]).all(), where  # the caller's own stay
    return {"given": mdata, "h5mu": back, "zarr": from_zarr, "again": read_h5mu(folder / "again.h5mu")}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_read_back_with_the_same_values(written, name, where):
    expected = values_of(pd.Series(COLUMNS[name]()))
    for how, mdata in written.items():
        assert values_of(PLACES[where](mdata)[name]) == expected, how


def test_order_of_categories_is_kept(tmp_path):
    mdata = build(n=N)
    mdata["rna"].obs["x"] = pd.Categorical(with_gap("lo", "hi"), categories=["lo", "hi", "none"], ordered=True)
    mdata["rna"].obs["y"] = pd.Categorical(
        with_gap("lo", "hi"), categories=pd.Index(["lo", "hi"], dtype="string"), ordered=True
    )
    write_h5mu(tmp_path / "x.h5mu", mdata)
    back = read_h5mu(tmp_path / "x.h5mu")["rna"].obs
    assert list(back["x"].cat.categories) == ["lo", "hi", "none"]
    assert list(back["y"].cat.categories) == ["lo", "hi"]
    assert back["x"].cat.ordered
    assert back["y"].cat.ordered


def test_the_callers_data_stay_as_they_are(tmp_path):
    mdata = build(n=N)
    mdata["rna"].obs["note"] = np.array(with_gap("a", "b"), dtype=object)
    mdata.uns["list"] = np.array(["a", None], dtype=object)
    before = {name: adata.obs.copy() for name, adata in mdata.mod.items()}
    write_h5mu(tmp_path / "x.h5mu", mdata)
    for name, obs in before.items():
        pd.testing.assert_frame_equal(mdata[name].obs, obs)
    assert list(mdata.uns["list"]) == ["a", None]
    assert values_of(read_h5mu(tmp_path / "x.h5mu").uns["list"]) == ["a", None]


def set_raw(mdata):
    rna = mdata["rna"]
    raw = rna.copy()
    raw.var["note"] = pd.array(["a", "b", None, "d", "e"], dtype="string")
    rna.raw = raw


def test_tables_elsewhere(tmp_path):
    mdata = build(n=N)
    names = mdata["rna"].obs_names
    mdata["rna"].var["note"] = pd.array(["a", "b", None, "d", "e"], dtype="string")
    mdata["rna"].obsm["table"] = pd.DataFrame({"x": pd.array(with_gap("a", "b"), dtype="string")}, index=names)
    mdata.uns["deep"] = {"table": pd.DataFrame({"x": pd.array(["a", None], dtype="string")}, index=["p", "q"])}
    set_raw(mdata)
    write_h5mu(tmp_path / "x.h5mu", mdata)
    back = read_h5mu(tmp_path / "x.h5mu")
    assert values_of(back["rna"].var["note"]) == ["a", "b", None, "d", "e"]
    assert values_of(back["rna"].raw.var["note"]) == ["a", "b", None, "d", "e"]
    assert values_of(back["rna"].obsm["table"]["x"]) == with_gap("a", "b")
    assert values_of(back.uns["deep"]["table"]["x"]) == ["a", None]
    assert (back["rna"].raw.X != mdata["rna"].raw.X).nnz == 0


UNWRITABLE = {
    "dates": lambda: pd.to_datetime(["2020-01-01"] * N),
    "dates with zone": lambda: pd.to_datetime(["2020-01-01"] * N, utc=True),
    "times": lambda: pd.to_timedelta([1] * N, unit="s"),
    "periods": lambda: pd.period_range("2020-01", periods=N, freq="M"),
    "date objects": lambda: np.array([dt.date(2020, 1, 1)] * N, dtype=object),
    "decimals": lambda: np.array([decimal.Decimal("1.1")] * N, dtype=object),
    "text and numbers": lambda: np.array(with_gap("a", 1), dtype=object),
    "booleans and numbers": lambda: np.array(with_gap(True, 2), dtype=object),
    "integers too large": lambda: np.array(with_gap(2**70, 1), dtype=object),
    "lists": lambda: pd.Series([[1, 2]] * N, dtype=object).to_numpy(),
    "intervals": lambda: pd.cut(np.arange(N), 3),
    "categories of dates": lambda: pd.Categorical(pd.to_datetime(["2020-01-01"] * N)),
    "categories of text and numbers": lambda: pd.Categorical(with_gap("a", 1)),
    "a zero byte": lambda: np.array(["a"] * (N - 1) + ["b\0c"], dtype=object),
    "a zero byte in nullable text": lambda: pd.array(["a"] * (N - 1) + ["b\0c"], dtype="string"),
}


@pytest.mark.filterwarnings("ignore:Converting to PeriodArray")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_would_lose_its_value_is_named_before_anything_is_written(tmp_path, make, place):
    mdata = build(n=N)
    PLACES[place](mdata)["odd one"] = make()
    text = rf"^{place}['odd one'] holds".replace("[", r"\[").replace("]", r"\]").replace(".", r"\.")
    with pytest.raises(InputError, match=text):
        check_writable(mdata)
    write, name = (write_h5mu, "x.h5mu") if place == "obs" else (write_zarr, "x.zarr")
    with pytest.raises(InputError, match=text):
        write(tmp_path / name, mdata)
    assert names_in(tmp_path) == []


# Names of indices


def named(rna, atac, everything, *, axis="obs"):
    mdata = build(n=N)
    mdata.obs["library"] = list("xy") * (N // 2)
    mdata.var["kind"] = "k"
    for table, name in ((mdata["rna"], rna), (mdata["atac"], atac), (mdata, everything)):
        getattr(table, axis).index.name = name
    return mdata


NAMES = [
    (None, "barcode", "barcode"),
    (None, None, "barcode"),
    ("barcode", "barcode", None),
    ("barcode", "cell", "barcode"),
    ("barcode", "barcode", "barcode"),
    ("barcode", None, None),
]


@pytest.mark.parametrize("axis", ["obs", "var"])
@pytest.mark.parametrize("names", NAMES)
def test_named_indices_of_a_users_file(tmp_path, names, axis):
    mdata = named(*names, axis=axis)
    users = tmp_path / "users.h5mu"
    with no_pull():
        mdata.write(users)
    before = users.read_bytes()
    back = read_h5mu(users)
    assert users.read_bytes() == before
    same(mdata, back)
    assert list(back.obs_names) == list(mdata.obs_names)
    assert list(back.obs["library"].astype(str)) == list("xy") * (N // 2)
    assert list(back.var["kind"].astype(str)) == ["k"] * mdata.n_vars
    assert {k: list(v) for k, v in back.obsmap.items()} == {k: list(v) for k, v in mdata.obsmap.items()}
    copy = check.start(back, "rna", "atac", copy=True)
    assert list(copy.obs["library"].astype(str)) == list("xy") * (N // 2)
    write_h5mu(tmp_path / "ours.h5mu", back)
    with no_pull():
        same(mudata.read_h5mu(tmp_path / "ours.h5mu"), back)


@pytest.mark.parametrize("names", NAMES)
def test_named_indices_in_memory_are_copied_and_written_for_any_reader(tmp_path, names):
    mdata = named(*names)
    copy = check.start(mdata, "rna", "atac", copy=True)
    same(mdata, copy)
    copy["rna"].X[0, 0] = 99
    assert mdata["rna"].X[0, 0] != 99
    write_h5mu(tmp_path / "x.h5mu", mdata)
    assert (mdata["rna"].obs.index.name, mdata["atac"].obs.index.name, mdata.obs.index.name) == names
    with no_pull():
        back = mudata.read_h5mu(tmp_path / "x.h5mu")
    assert list(back.obs["library"].astype(str)) == list("xy") * (N // 2)
    assert back["atac"].obs.index.name == names[1]


@pytest.mark.parametrize("name", ["type", 3, "a/b"])
def test_index_names_that_no_file_can_hold_are_left_out(tmp_path, name):
    mdata = build(n=N)
    mdata["rna"].obs.index.name = name  # 'type' is a column of other values
    write_h5mu(tmp_path / "x.h5mu", mdata)
    back = read_h5mu(tmp_path / "x.h5mu")
    assert list(back["rna"].obs_names) == list(mdata["rna"].obs_names)
    assert list(back["rna"].obs["type"].astype(str)) == list("ab") * (N // 2)
    assert mdata["rna"].obs.index.name == name


def test_nullable_names_of_cells(tmp_path):
    mdata = build(n=N)
    names = [f"c{i}" for i in range(N)]
    with no_pull():
        for adata in mdata.mod.values():
            adata.obs.index = pd.Index(names, dtype="string")
    write_h5mu(tmp_path / "x.h5mu", mdata)
    assert list(read_h5mu(tmp_path / "x.h5mu")["rna"].obs_names) == names


def test_a_modality_without_matrix(tmp_path):
    mdata = build(n=N)
    with no_pull():
        bare = anndata.AnnData(obs=mdata["rna"].obs.copy(), var=pd.DataFrame(index=["b1", "b2"]))
        whole = mudata.MuData({"rna": mdata["rna"], "bare": bare})
    write_h5mu(tmp_path / "x.h5mu", whole)
    back = read_h5mu(tmp_path / "x.h5mu")
    assert back["bare"].X is None
    assert sparse.issparse(back["rna"].X)
