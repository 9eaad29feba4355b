"""Columns as anndata can write them: converted where no value is lost, named in an error where one would be.

anndata writes numbers, booleans, text without gaps and categories. What pandas holds besides (nullable text and floats,
Arrow and sparse columns, Python objects) is brought to these; missing stays missing. Only copies are changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_key", "storable", "storable_frame"]

_EXACT = 2**53
"""Whole numbers up to this one are exact in float64."""


def check_key(key: object, where: str) -> None:
    """Raise if a key cannot name a slot or column of a file."""
    if not isinstance(key, str):
        msg = f"{where} has the key {key!r} ({type(key).__name__}); keys must be strings to be written. Rename it."
        raise InputError(msg)
    if "/" in key or "\0" in key or key in {"", ".", ".."}:
        msg = f"{where} has the key '{key}': '/', an empty name, '.' and '..' make the file unreadable. Rename it."
        raise InputError(msg)


def storable(values: Any, where: str) -> Any:
    """Return a column, or a one-dimensional array, in a form that anndata writes; itself if it is in one.

    Parameters
    ----------
    values
        Series, Index, extension array or numpy array.
    where
        Its name for messages.

    Raises
    ------
    InputError
        If no such form holds the same values: dates, intervals, values of several types, other Python objects.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(values, where)
    if isinstance(dtype, pd.SparseDtype):
        dense = values.to_numpy() if isinstance(values, (pd.Series, pd.Index)) else values.to_dense()
        return storable(np.asarray(dense), where)
    if isinstance(dtype, pd.ArrowDtype):
        return _from_arrow(values, dtype, where)
    if isinstance(dtype, pd.StringDtype):
        return _text(np.asarray(values, dtype=object))
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O":
            return _objects(values, where)
        if dtype.kind in "mM":
            raise _unwritable(values, where, str(dtype))
        return values
    if isinstance(dtype, (pd.Float32Dtype, pd.Float64Dtype)):
        return values.to_numpy(dtype=dtype.type, na_value=np.nan)
    if isinstance(dtype, pd.BooleanDtype) or pd.api.types.is_integer_dtype(dtype):
        return values
    raise _unwritable(values, where, str(dtype))


def _unwritable(values: Any, where: str, held: str) -> InputError:
    kind = "" if isinstance(values, (pd.Series, pd.Index)) else f"a {type(values).__name__} of "
    return InputError(
        f"{where} holds {kind}{held} values, which cannot be written and read back as they are. Turn it into numbers "
        f"or text, e.g. mdata.{where} = mdata.{where}.astype(str), or delete it."
    )


def _text(objects: NDArray[np.object_]) -> Any:
    """Text without gaps as strings; with gaps as categories, whose missing values every version writes and reads."""
    missing = np.asarray(pd.isna(objects), dtype=bool)
    if not missing.any():
        return objects
    held = sorted(set(objects[~missing]))
    return pd.Categorical(objects, categories=pd.Index(held, dtype=object))


def _categorical(values: Any, where: str) -> Any:
    array = values.array if isinstance(values, (pd.Series, pd.Index)) else values
    names = array.categories
    plain = storable(names, where)
    if plain is names:
        return values
    categories = pd.Index(plain, dtype=plain.dtype)  # not what pandas makes of text
    return pd.Categorical.from_codes(array.codes, dtype=pd.CategoricalDtype(categories, ordered=bool(array.ordered)))


def _from_arrow(values: Any, dtype: Any, where: str) -> Any:
    import pyarrow as pa

    kind = dtype.pyarrow_dtype
    series = pd.Series(values).reset_index(drop=True)
    held = series.array.__arrow_array__()
    if pa.types.is_null(kind) or re.fullmatch(r"(large_)?string(_view)?", str(kind)):
        return _objects(np.array(held.to_pylist(), dtype=object), where)
    if pa.types.is_boolean(kind):
        return storable(series.astype("boolean").array, where)
    if pa.types.is_integer(kind):
        name = str(kind)  # int64, uint8
        return storable(series.astype(name.replace("uint", "UInt").replace("int", "Int", 1)).array, where)
    if pa.types.is_floating(kind):
        return series.to_numpy(dtype=np.float64 if str(kind) == "double" else np.float32, na_value=np.nan)
    if pa.types.is_dictionary(kind):
        return storable(held.to_pandas().array, where)
    raise _unwritable(values, where, str(dtype))


def _objects(values: Any, where: str) -> Any:
    """Python objects of one type, perhaps with gaps, as the array of that type."""
    objects = np.asarray(values, dtype=object)
    if objects.ndim != 1 or not len(objects):
        return values
    kind = pd.api.types.infer_dtype(objects, skipna=True)
    if kind == "string":
        plain = _text(objects)
        return values if plain is objects else plain
    missing = np.asarray(pd.isna(objects), dtype=bool)
    if kind == "empty":
        return pd.Categorical(np.full(len(objects), None, dtype=object), categories=pd.Index([], dtype=object))
    if kind == "boolean":
        return objects.astype(bool) if not missing.any() else pd.array(objects, dtype="boolean")
    if kind == "bytes":
        return _text(_decoded(objects, missing, where))
    whole = [int(v) for v in objects[~missing] if isinstance(v, (int, np.integer))]
    if kind == "integer" and all(-(2**63) <= v < 2**63 for v in whole):
        return objects.astype(np.int64) if not missing.any() else pd.array(objects, dtype="Int64")
    if kind in {"floating", "mixed-integer-float"} and all(abs(v) <= _EXACT for v in whole):
        return np.array([np.nan if m else v for v, m in zip(objects, missing, strict=True)], dtype=np.float64)
    held = " and ".join(sorted({type(v).__name__ for v in objects[~missing]}))
    raise _unwritable(values, where, held)


def _decoded(objects: NDArray[np.object_], missing: NDArray[np.bool_], where: str) -> NDArray[np.object_]:
    out = objects.copy()
    for i in np.flatnonzero(~missing):
        try:
            out[i] = bytes(objects[i]).decode("utf-8")
        except UnicodeDecodeError as err:
            msg = f"{where} holds bytes that are no text ({objects[i]!r}, row {i}). Decode it, or delete it."
            raise InputError(msg) from err
    return out


def storable_frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a table whose columns and index anndata can write; the table itself if it can be.

    Raises
    ------
    InputError
        Naming the column: see :func:`storable`; also names that are no strings, hold ``/``, or occur twice.
    """
    for column in frame.columns:
        check_key(column, f"{where}.columns")
    if not frame.columns.is_unique:
        twice = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]})
        msg = f"{where} has columns that occur twice ({', '.join(twice[:3])}). Rename or drop them."
        raise InputError(msg)
    changed: dict[str, Any] = {}
    for name in frame.columns:
        values = frame[name]
        plain = storable(values, f"{where}['{name}']")
        if plain is not values:
            changed[name] = plain
    index = _storable_index(frame, where)
    if not changed and index is frame.index and type(frame) is pd.DataFrame:
        return frame
    out = pd.DataFrame(frame).copy(deep=False)
    for name, plain in changed.items():
        out[name] = plain
    out.index = index
    return out


def _storable_index(frame: pd.DataFrame, where: str) -> pd.Index:
    """Names as plain text. Their own name goes where it is none, or means another thing than a column so called."""
    index = frame.index
    if index.hasnans:
        row = int(np.flatnonzero(index.isna())[0])
        msg = f"{where}.index has no name in row {row} ({int(index.isna().sum())} such rows). Name them, or drop them."
        raise InputError(msg)
    plain = index
    if index.dtype != object:
        plain = pd.Index(np.asarray(index.astype(str), dtype=object), dtype=object, name=index.name)
    name = index.name
    if name is None:
        return plain
    clashes = name in frame.columns and not np.array_equal(
        np.asarray(frame[name].astype(str), dtype=object), np.asarray(plain.astype(str), dtype=object)
    )
    if not isinstance(name, str) or name in {"", ".", ".."} or "/" in name or "\0" in name or clashes:
        return plain.rename(None)
    return plain
