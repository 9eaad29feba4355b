"""What a MuData is written as: a light copy that mudata can write and read back, tried out before the work.

The copy shares all matrices with the MuData. Only tables and small values are new, where a column had to be converted;
the MuData itself stays as it is (mudata would turn its text columns into categories).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import assembled, no_pull
from tilegrn.errors import InputError
from tilegrn.io.h5mu._columns import check_key, storable, storable_frame
from tilegrn.io.h5mu._h5check import AXIS_SLOTS, matrices, named

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["check_writable", "writable"]


def check_writable(mdata: MuData) -> int:
    """Raise if a MuData cannot be written and read back unchanged; return the bytes it needs.

    For a long run, before its work: what is found here would otherwise be found at its end.

    Raises
    ------
    InputError
        As :func:`writable`.
    """
    return writable(mdata)[1]


def writable(mdata: MuData) -> tuple[MuData, int]:
    """Return a light copy that can be written and read back with the same values, and the bytes it needs.

    Text with gaps becomes categories; nullable and Arrow numbers, sparse columns and Python objects of one type become
    numbers or booleans of the same values. Matrices are shared, not copied.

    Raises
    ------
    InputError
        Naming the slot: keys that are no strings, are empty or hold ``/``; values that HDF5 cannot hold; names of cells
        or features that occur twice (mudata would read them back as other cells).
    """
    _check_names(mdata)
    for where, slot in _slots(mdata):
        _check_keys(slot, where)
    copy = _light_copy(mdata)
    total = 0
    for where, frame in _frames(copy):
        _try_frame(frame, where)
        total += int(frame.memory_usage(deep=False).sum()) + 32 * len(frame)
    for where, value in matrices(copy):
        total += _nbytes(value)
        if isinstance(value, pd.DataFrame):
            _try_frame(value, where)
        elif not _plain(value):
            _try_write(value, where)
    return copy, total


def _check_names(mdata: MuData) -> None:
    for name, adata in mdata.mod.items():
        check_key(name, "the modality name")
        for axis, names in (("obs_names", adata.obs_names), ("var_names", adata.var_names)):
            if not names.is_unique:
                twice = [str(n) for n in names[names.duplicated()].unique()]
                msg = (
                    f"mod['{name}'].{axis} holds {len(twice)} names more than once ({', '.join(twice[:3])}); the file "
                    "would not read back as it is. Make them unique first."
                )
                raise InputError(msg)


def _light_copy(mdata: MuData) -> MuData:
    mods = {name: _modality(adata, f"mod['{name}']") for name, adata in mdata.mod.items()}
    slots = {slot: _values(dict(getattr(mdata, slot)), slot) for slot in (*AXIS_SLOTS, "uns")}
    obs, var = storable_frame(mdata.obs, "obs"), storable_frame(mdata.var, "var")
    maps = {slot: dict(getattr(mdata, slot)) for slot in ("obsmap", "varmap")}
    try:
        copy = assembled(mods, obs=obs, var=var, axis=mdata.axis, **slots, **maps)
    except (ValueError, KeyError, TypeError, IndexError) as err:
        msg = f"The MuData does not fit together, so it could not be read again ({err}). Call mdata.update() first, or "
        msg += "replace what has another length."
        raise InputError(msg) from err
    with no_pull():
        for axis, frame in (("obs", obs), ("var", var)):
            now = getattr(copy, axis)
            # Putting it together, mudata 0.3 makes the columns nullable.
            as_given = now.index.equals(frame.index) and list(now.columns) == list(frame.columns)
            frame = frame.set_axis(now.index, axis=0) if as_given else now
            setattr(copy, axis, storable_frame(frame, axis))
    return copy


def _modality(adata: AnnData, where: str) -> AnnData:
    import anndata

    if adata.is_view:
        adata = adata.copy()
    obs, var = storable_frame(adata.obs, f"{where}.obs"), storable_frame(adata.var, f"{where}.var")
    raw = None
    if adata.raw is not None:
        raw_var = storable_frame(adata.raw.var, f"{where}.raw.var")
        raw = {"X": adata.raw.X, "var": raw_var, "varm": dict(adata.raw.varm)}
    slots = {slot: getattr(adata, slot) for slot in ("layers", *AXIS_SLOTS, "uns")}
    held = {s: _values(named(v), f"{where}.{s}") for s, v in slots.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*", category=anndata.ImplicitModificationWarning)
        return anndata.AnnData(X=adata.X, obs=obs, var=var, raw=raw, **held)


def _values(slot: dict[str, Any], where: str) -> dict[str, Any]:
    return {key: _value(value, f"{where}[{key!r}]") for key, value in slot.items()}


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return _values(dict(value), where)
    if isinstance(value, pd.DataFrame):
        return storable_frame(value, where)
    if isinstance(value, pd.api.extensions.ExtensionArray) or (
        isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == object
    ):
        return storable(value, where)
    return value


def _frames(mdata: MuData) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from (("obs", mdata.obs), ("var", mdata.var))
    for name, adata in mdata.mod.items():
        yield from ((f"mod['{name}'].obs", adata.obs), (f"mod['{name}'].var", adata.var))
        if adata.raw is not None:
            yield f"mod['{name}'].raw.var", adata.raw.var


def _slots(mdata: MuData) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    for slot in (*AXIS_SLOTS, "uns"):
        yield slot, dict(getattr(mdata, slot))
    for name, adata in mdata.mod.items():
        for slot in ("layers", *AXIS_SLOTS, "uns"):
            yield f"mod['{name}'].{slot}", named(getattr(adata, slot))


def _check_keys(slot: Mapping[Any, Any], where: str) -> None:
    for key, value in slot.items():
        check_key(key, where)
        if isinstance(value, Mapping):
            _check_keys(value, f"{where}['{key}']")


def _try_frame(frame: pd.DataFrame, where: str) -> None:
    """Write what of a table may fail: all text and all categories, and the layout with two rows."""
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            _try_write(np.asarray(values.cat.categories), f"{where}['{name}']")
        elif values.dtype == object or isinstance(values.dtype, pd.StringDtype):
            _try_write(np.asarray(values, dtype=object), f"{where}['{name}']")
    _try_write(np.asarray(frame.index, dtype=object), f"{where}.index")
    _try_write(frame.iloc[:2], where)


def _plain(value: Any) -> bool:
    if isinstance(value, (str, bool, int, float, np.number, np.bool_)):
        return not isinstance(value, str)  # text may hold what HDF5 cannot
    dtype = getattr(value, "dtype", None)
    known = sparse.issparse(value) or isinstance(value, np.ndarray)
    return known and isinstance(dtype, np.dtype) and dtype.kind in "biuf" and dtype.itemsize <= 8


def _nbytes(value: Any) -> int:
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=False).sum()) + 32 * len(value)
    if isinstance(value, (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array)):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return int(getattr(value, "nbytes", 64))


def _try_write(value: Any, where: str) -> None:
    """Write a value to a file that exists in memory only."""
    import h5py
    from anndata.io import write_elem

    if value is None or hasattr(value, "dask"):  # no X; a lazy array, which would be computed here and again on writing
        return
    try:
        with h5py.File("probe", "w", driver="core", backing_store=False) as probe:
            write_elem(probe, "value", value)
    except Exception as err:  # whatever anndata or h5py raises, the slot is to be named
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        msg = (
            f"{where} holds a {type(value).__name__} that cannot be written ({reason}). Turn it into strings, numbers, "
            "arrays, tables or dictionaries of these, or delete it."
        )
        raise InputError(msg) from err
