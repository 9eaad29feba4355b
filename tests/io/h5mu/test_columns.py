"""Columns as they are written: the same values in a form that anndata knows, or an error that names them."""

import numpy as np
import pandas as pd
import pytest
from tests.io.h5mu._files import build

from tilegrn.errors import InputError
from tilegrn.io.h5mu._columns import check_key, storable, storable_frame
from tilegrn.io.h5mu._writable import check_writable


def objects(*values):
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def arrow(values, kind):
    pa = pytest.importorskip("pyarrow")
    return pd.array(values, dtype=pd.ArrowDtype(getattr(pa, kind)()))


def dictionary(ordered):
    pa = pytest.importorskip("pyarrow")
    codes = pa.array([1, 0, None, 1])
    return pd.arrays.ArrowExtensionArray(pa.DictionaryArray.from_arrays(codes, ["lo", "hi"], ordered=ordered))


STORED = {
    "text": (lambda: objects("b", "a"), "object", ["b", "a"]),
    "text with gaps": (lambda: objects("b", None, "a", np.nan), "category", ["b", None, "a", None]),
    "only gaps": (lambda: objects(None, np.nan), "category", [None, None]),
    "booleans": (lambda: objects(True, False), "bool", [True, False]),
    "booleans with gaps": (lambda: objects(True, None), "boolean", [True, None]),
    "bytes": (lambda: objects(b"b", "é".encode()), "object", ["b", "é"]),
    "bytes with gaps": (lambda: objects(b"b", None), "category", ["b", None]),
    "integers": (lambda: objects(-(2**63), 2**63 - 1), "int64", [-(2**63), 2**63 - 1]),
    "integers with gaps": (lambda: objects(2**63 - 1, None), "Int64", [2**63 - 1, None]),
    "integers of numpy": (lambda: objects(np.int8(3), np.uint16(4)), "int64", [3, 4]),
    "floats": (lambda: objects(1.5, 2.5), "float64", [1.5, 2.5]),
    "floats with gaps": (lambda: objects(1.5, None), "float64", [1.5, None]),
    "floats and exact integers": (lambda: objects(0.5, 2**53, -(2**53)), "float64", [0.5, 2**53, -(2**53)]),
    "nullable floats": (lambda: pd.array([1.5, None], dtype="Float32"), "float32", [1.5, None]),
    "sparse": (lambda: pd.arrays.SparseArray([0, 2]), "int64", [0, 2]),
    "categories of nullable floats": (
        lambda: pd.Categorical(pd.array([1.5, None], dtype="Float64")),
        "category",
        [1.5, None],
    ),
    "Arrow nothing": (lambda: arrow([None, None], "null"), "category", [None, None]),
    "Arrow text": (lambda: arrow(["b", "a"], "string"), "object", ["b", "a"]),
    "Arrow text with gaps": (lambda: arrow(["b", None], "large_string"), "category", ["b", None]),
    "Arrow uint8": (lambda: arrow([1, None], "uint8"), "UInt8", [1, None]),
    "Arrow int16": (lambda: arrow([1, -2], "int16"), "Int16", [1, -2]),
    "Arrow booleans": (lambda: arrow([True, None], "bool_"), "boolean", [True, None]),
    "Arrow float32": (lambda: arrow([1.5, None], "float32"), "float32", [1.5, None]),
    "Arrow float64": (lambda: arrow([0.1, None], "float64"), "float64", [0.1, None]),
    "Arrow dictionary": (lambda: dictionary(False), "category", ["hi", "lo", None, "hi"]),
}


@pytest.mark.parametrize("case", STORED)
def test_values_stay_the_same(case):
    make, dtype, values = STORED[case]
    for given in (make(), pd.Series(make(), index=[f"c{i}" for i in range(len(values))])):
        out = storable(given, "x")
        assert str(out.dtype) == dtype
        assert [None if pd.isna(v) else v for v in out] == values


@pytest.mark.parametrize("ordered", [True, False])
def test_the_order_of_an_arrow_dictionary_is_its_own(ordered):
    """Not that of the alphabet."""
    out = storable(dictionary(ordered), "x")
    assert list(out.categories) == ["lo", "hi"]
    assert out.ordered == ordered


def test_what_anndata_writes_comes_as_it_is():
    for given in (
        np.array([1, 2]),
        np.array([[1, 2]]),
        pd.array([1, None], dtype="Int64"),
        pd.array([True, None], dtype="boolean"),
        pd.Categorical([1.5, 2.5]),
        pd.Categorical([3, None]),
        pd.Categorical([True, False]),
        objects("a", "b"),
        np.empty((2, 2), dtype=object),
        objects(),
    ):
        assert storable(given, "x") is given


def test_categories_of_text_are_plain():
    given = pd.Categorical(["b", None, "a"], categories=pd.Index(["b", "a"], dtype="string"), ordered=True)
    out = storable(given, "x")
    assert out.categories.dtype == object
    assert (list(out.categories), out.codes.tolist(), out.ordered) == (["b", "a"], [0, -1, 1], True)


UNWRITABLE = {
    "categories of dates": (lambda: pd.Categorical(np.array(["2020-01-01"], "M8[ns]")), r"datetime64\[ns\]"),
    "integers too large": (lambda: objects(1, 2**63), "int"),
    "integers too small": (lambda: objects(1, -(2**63) - 1), "int"),
    "inexact in floats": (lambda: objects(0.5, 2**53 + 1), "float and int"),
    "inexact below in floats": (lambda: objects(0.5, -(2**53) - 1), "float and int"),
    "several types": (lambda: objects("a", 1, None), "int and str"),
    "dates": (lambda: np.array(["2020-01-01"], dtype="M8[ns]"), r"a ndarray of datetime64\[ns\]"),
    "times in a column": (lambda: pd.Series(pd.to_timedelta([1], unit="s")), r"timedelta64\[\w+\]"),
    "periods": (lambda: pd.period_range("2020-01", periods=2, freq="M").array, r"a PeriodArray of period\[M\]"),
    "Arrow dates": (lambda: arrow([None], "date32"), r"a ArrowExtensionArray of date32\[day\]\[pyarrow\]"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_would_not_be_the_same_is_named(case):
    make, held = UNWRITABLE[case]
    said = (
        rf"^uns\['x'\] holds (a ndarray of )?{held} values, which cannot be written and read back as they are\. Turn it"
    )
    with pytest.raises(InputError, match=said) as caught:
        storable(make(), "uns['x']")
    assert "e.g. mdata.uns['x'] = mdata.uns['x'].astype(str), or delete it." in str(caught.value)


def test_bytes_that_are_no_text():
    with pytest.raises(
        InputError, match=r"^x holds bytes that are no text \(b'\\xff', row 2\)\. Decode it, or delete it\.$"
    ):
        storable(objects(b"a", None, b"\xff"), "x")


@pytest.mark.parametrize("key", ["a/b", "a\0b", "", ".", ".."])
def test_keys_that_no_file_takes(key):
    with pytest.raises(
        InputError, match=r"^obs has the key '.*': '/', an empty name, '\.' and '\.\.' make the file unread"
    ):
        check_key(key, "obs")
    check_key(f"x.{key.replace('/', '').strip(chr(0)).replace(chr(0), '')}", "obs")


def test_keys_that_are_no_text():
    with pytest.raises(
        InputError, match=r"^uns has the key 3 \(int\); keys must be strings to be written\. Rename it\.$"
    ):
        check_key(3, "uns")


def test_columns_that_no_file_takes():
    with pytest.raises(InputError, match=r"^obs\.columns has the key 'a/b'"):
        storable_frame(pd.DataFrame({"x": [1], "a/b": [2]}), "obs")


def test_columns_that_occur_twice():
    frame = pd.DataFrame(np.zeros((1, 9)), columns=list("dabcabcda"))
    with pytest.raises(InputError, match=r"^obs has columns that occur twice \(a, b, c\)\. Rename or drop them\.$"):
        storable_frame(frame, "obs")


def test_cells_without_a_name():
    mdata = build(n=4)
    mdata["rna"].obs.index = pd.Index(["a", None, "b", "c"], dtype=object)
    said = r"^mod\['rna'\]\.obs\.index has no name in row 1 \(1 such rows\)\. Name them, or drop them\.$"
    with pytest.raises(InputError, match=said):
        check_writable(mdata)


def test_tables_that_can_be_written_come_as_they_are():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], dtype=object))
    assert storable_frame(frame, "obs") is frame
    given = pd.DataFrame({"a": [1, 2], "b": objects("p", None)}, index=[1, 2])
    out = storable_frame(given, "obs")
    assert list(out.index) == ["1", "2"]
    assert out["b"].dtype == "category"
    assert given["b"].dtype != "category"
    assert given.index.tolist() == [1, 2]
    assert list(out) == ["a", "b"]

    class Own(pd.DataFrame):
        """As other packages make of tables."""

    assert type(storable_frame(Own(frame), "obs")) is pd.DataFrame


@pytest.mark.parametrize(
    ("name", "kept"),
    [("cell", True), ("same", True), *((odd, False) for odd in ("other", "", ".", "..", "a/b", "a\0", 3, None))],
)
def test_the_name_of_an_index_stays_where_a_file_can_hold_it(name, kept):
    frame = pd.DataFrame({"same": ["x", "y"], "other": ["y", "x"]}, index=pd.Index(["x", "y"], name=name))
    assert storable_frame(frame, "obs").index.name == (name if kept else None)
    assert frame.index.name == name
