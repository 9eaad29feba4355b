"""Look before reading or writing: what an HDF5 file would make us do, and what a MuData cannot be written with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn import _keys as K
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

MAX_RATIO = 1100
"""Gzip cannot pack tighter than 1032 to 1; a data set that claims more holds nothing but its claim."""
_FREE_BYTES = 2**26
_MAX_DEPTH = 64
_TEXT_LIKE = frozenset({"string", "empty", "boolean"})
_AXIS_SLOTS = ("obsm", "varm", "obsp", "varp")


def check_file(path: Path) -> None:
    """Walk an h5mu file without reading its data, and raise if reading it is unsafe or cannot succeed.

    Raises
    ------
    InputError
        External or soft links, external or virtual storage, loops, data sets that claim far more than the file can
        hold, sparse matrices whose parts do not fit each other, no modalities, a layout newer than this version.
    """
    import h5py

    try:
        handle = h5py.File(path, "r")
    except OSError as err:
        msg = (
            f"'{path}' is no readable HDF5 file ({err}). It may be cut short: write it again with grn.io.write_h5mu, "
            "which never leaves half a file."
        )
        raise InputError(msg) from err
    with handle as file:
        try:
            total = _walk(file, file, path, ())
        except (RuntimeError, KeyError, OSError) as err:
            msg = f"'{path}' is damaged: its structure cannot be read ({err})."
            raise InputError(msg) from err
        size = path.stat().st_size
        if total > max(_FREE_BYTES, MAX_RATIO * size):
            msg = f"'{path}' has {size:,} bytes but claims to hold {total:,} bytes of data; refusing to read it."
            raise InputError(msg)
        if "mod" not in file or not len(file["mod"]):
            hint = " It looks like an h5ad: read it with anndata, and build a MuData." if "X" in file else ""
            msg = f"'{path}' holds no modalities (no group 'mod').{hint}"
            raise InputError(msg)
        schema = file.get(f"uns/{K.UNS}/schema")
        if (
            schema is not None
            and isinstance(schema, h5py.Dataset)
            and schema.shape == ()
            and int(schema[()]) > K.SCHEMA
        ):
            msg = f"'{path}' was written with tilegrn schema {int(schema[()])}, newer than {K.SCHEMA}; upgrade tilegrn."
            raise InputError(msg)


def _walk(group: Any, file: Any, path: Path, above: tuple[Any, ...]) -> int:
    """Return the bytes that the data sets below a group claim, refusing what is unsafe."""
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in above or len(above) > _MAX_DEPTH:
        msg = f"'{path}': group '{group.name}' contains itself; refusing to read it."
        raise InputError(msg)
    total = 0
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(link, h5py.HardLink):
            kind = "a link to another file" if isinstance(link, h5py.ExternalLink) else "a soft link"
            msg = f"'{path}': '{where}' is {kind}, which no MuData contains; refusing to read it."
            raise InputError(msg)
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _walk(item, file, path, (*above, address))
        elif isinstance(item, h5py.Dataset):
            total += _claimed_bytes(item, where, path)
    _check_sparse(group, path)
    return total


def _claimed_bytes(data: Any, where: str, path: Path) -> int:
    if data.external or data.is_virtual:
        msg = f"'{path}': '{where}' keeps its data in another file, which no MuData does; refusing to read it."
        raise InputError(msg)
    if data.shape is None:
        return 0
    claimed = math.prod(data.shape) * data.dtype.itemsize
    stored = data.id.get_storage_size()
    if claimed > max(_FREE_BYTES, MAX_RATIO * stored):
        msg = f"'{path}': '{where}' claims {claimed:,} bytes and stores {stored:,}; refusing to read it."
        raise InputError(msg)
    return int(claimed)


def _check_sparse(group: Any, path: Path) -> None:
    encoding = group.attrs.get("encoding-type", "")
    if encoding not in {"csr_matrix", "csc_matrix"}:
        return
    missing = [k for k in ("data", "indices", "indptr") if k not in group]
    shape = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    if missing or shape is None or len(shape) != 2:
        msg = f"'{path}': the sparse matrix '{group.name}' lacks {', '.join(missing) or 'its shape'}."
        raise InputError(msg)
    lengths = {k: group[k].shape[0] for k in ("data", "indices", "indptr")}
    major = int(shape[0 if encoding == "csr_matrix" else 1])
    last = int(group["indptr"][-1]) if lengths["indptr"] else -1
    if lengths["indptr"] != major + 1 or not lengths["data"] == lengths["indices"] == last:
        msg = (
            f"'{path}': the parts of the sparse matrix '{group.name}' do not fit: shape {tuple(map(int, shape))}, "
            f"{lengths['data']} values, {lengths['indices']} indices, {lengths['indptr']} offsets ending at {last}."
        )
        raise InputError(msg)


def matrices(mdata: MuData) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every matrix and array of a MuData, ``uns`` included."""
    for slot in _AXIS_SLOTS:
        for key, value in getattr(mdata, slot).items():
            yield f"{slot}['{key}']", value
    yield from _leaves(dict(mdata.uns), "uns")
    for name, adata in mdata.mod.items():
        for where, value in _of_modality(adata):
            yield f"mod['{name}'].{where}", value


def _of_modality(adata: AnnData) -> Iterator[tuple[str, Any]]:
    if not adata.isbacked:
        yield "X", adata.X
        if adata.raw is not None:
            yield "raw.X", adata.raw.X
            for key, value in adata.raw.varm.items():
                yield f"raw.varm['{key}']", value
    for slot in ("layers", *_AXIS_SLOTS):
        for key, value in getattr(adata, slot).items():
            if key is not None:
                yield f"{slot}['{key}']", value
    yield from _leaves(dict(adata.uns), "uns")


def _leaves(value: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        place = f"{where}[{key!r}]"
        if isinstance(item, Mapping):
            yield from _leaves(item, place)
        else:
            yield place, item


def check_sparse_indices(mdata: MuData, path: Path) -> None:
    """Raise if a sparse matrix points outside itself, before anything computes with it (that would crash Python)."""
    for where, value in matrices(mdata):
        if sparse.issparse(value) and hasattr(value, "check_format"):
            try:
                value.check_format(full_check=True)
            except ValueError as err:
                msg = f"'{path}': the sparse matrix {where} is damaged ({err}); its indices lie outside its shape."
                raise InputError(msg) from err


def check_writable(mdata: MuData) -> int:
    """Raise if a MuData cannot be written and read back unchanged; return the bytes it needs.

    Raises
    ------
    InputError
        Naming the slot: keys that are no strings, are empty or hold ``/``; values that HDF5 cannot hold; names of cells
        or features that occur twice (mudata would read them back as other cells).
    """
    for name, adata in mdata.mod.items():
        _check_key(name, "the modality name")
        for axis, names in (("obs_names", adata.obs_names), ("var_names", adata.var_names)):
            if not names.is_unique:
                twice = [str(n) for n in names[names.duplicated()].unique()]
                msg = (
                    f"mod['{name}'].{axis} holds {len(twice)} names more than once ({', '.join(twice[:3])}); the file "
                    "would not read back as it is. Make them unique first."
                )
                raise InputError(msg)
    total = 0
    for where, frame in _frames(mdata):
        _check_frame(frame, where)
        total += int(frame.memory_usage(deep=False).sum()) + 32 * len(frame)
    for where, slot in _slots(mdata):
        _check_keys(slot, where)
    for where, value in matrices(mdata):
        total += _nbytes(value)
        if isinstance(value, pd.DataFrame):
            _check_frame(value, where)
        elif not _plain(value):
            _try_write(value, where)
    return total


def _frames(mdata: MuData) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from (("obs", mdata.obs), ("var", mdata.var))
    for name, adata in mdata.mod.items():
        yield from ((f"mod['{name}'].obs", adata.obs), (f"mod['{name}'].var", adata.var))


def _slots(mdata: MuData) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    for slot in (*_AXIS_SLOTS, "uns"):
        yield slot, dict(getattr(mdata, slot))
    for name, adata in mdata.mod.items():
        for slot in ("layers", *_AXIS_SLOTS, "uns"):
            held = getattr(adata, slot)
            yield f"mod['{name}'].{slot}", {k: held[k] for k in held if k is not None}


def _check_keys(slot: Mapping[Any, Any], where: str) -> None:
    for key, value in slot.items():
        _check_key(key, where)
        if isinstance(value, Mapping):
            _check_keys(value, f"{where}['{key}']")


def _check_key(key: object, where: str) -> None:
    if not isinstance(key, str):
        msg = f"{where} has the key {key!r} ({type(key).__name__}); keys must be strings to be written. Rename it."
        raise InputError(msg)
    if "/" in key or "\0" in key or key in {"", ".", ".."}:
        msg = f"{where} has the key '{key}': '/', an empty name, '.' and '..' make the file unreadable. Rename it."
        raise InputError(msg)


def _check_frame(frame: pd.DataFrame, where: str) -> None:
    for column in frame.columns:
        _check_key(column, f"{where}.columns")
    if not frame.columns.is_unique:
        twice = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]})
        msg = f"{where} has columns that occur twice ({', '.join(twice[:3])}). Rename or drop them."
        raise InputError(msg)
    for name in frame.columns:
        values = frame[name]
        if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) not in _TEXT_LIKE:
            alone = pd.DataFrame({str(name): values.to_numpy()}, index=frame.index.astype(str))
            _try_write(alone, f"{where}['{name}']")
    _try_write(frame.iloc[:2], where)


def _plain(value: Any) -> bool:
    if isinstance(value, (str, bool, int, float, np.number, np.bool_)):
        return True
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
