"""Look before reading: what an HDF5 file would make us do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core import keys as K
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5heaps import check_heaps

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

MAX_RATIO = 1100
"""Gzip cannot pack tighter than 1032 to 1; a data set that claims more holds nothing but its claim."""
_FREE_BYTES = 2**26
_MAX_DEPTH = 64
_OURS = frozenset(
    {"encoding-type", "encoding-version", "encoder", "encoder-version", "shape", "h5sparse_shape", "_index"}
    | {"column-order", "mod-order", "axis", "ordered", "origin_index"}
)
"""Attributes that anndata, mudata and the walk below read."""
AXIS_SLOTS = ("obsm", "varm", "obsp", "varp")


def named(slot: Any) -> dict[str, Any]:
    """Return what a slot of a modality holds under names; anndata 0.13 has X among the layers, under None."""
    return {key: slot[key] for key in slot if key is not None}


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
        walk(file, path)
        if not is_group(file, "mod") or not len(file["mod"]):
            hint = " It looks like an h5ad: read it with anndata, and build a MuData." if "X" in file else ""
            msg = f"'{path}' holds no modalities (no group 'mod').{hint}"
            raise InputError(msg)
        schema = file.get(f"uns/{K.UNS}/schema")
        if schema is not None:
            check_schema(schema, path)


def check_schema(schema: Any, path: Path) -> None:
    """Raise if the number of the layout, an HDF5 data set or zarr array, is none, or one of a newer tilegrn."""
    if getattr(schema, "shape", None) != () or schema.dtype.kind not in "iu":
        msg = f"'{path}': 'uns/{K.UNS}/schema' is no whole number; is the file damaged? Write it again."
        raise InputError(msg)
    if int(schema[()]) > K.SCHEMA:
        msg = f"'{path}' was written with tilegrn schema {int(schema[()])}, newer than {K.SCHEMA}; upgrade tilegrn."
        raise InputError(msg)


def walk(file: Any, path: Path) -> None:
    """Walk an open HDF5 file without reading its data; ``path`` is its name for messages.

    Raises
    ------
    InputError
        External or soft links, external or virtual storage, groups in two places, data sets that claim far more than
        the file can hold, sparse matrices whose parts do not fit each other.
    """
    check_heaps(path)
    try:
        total = _walk(file, path, 0, set())
    except InputError:
        raise
    except Exception as err:  # whatever HDF5 raises on a damaged structure
        msg = f"'{path}' is damaged: its structure cannot be read ({err}). Copy or write it again."
        raise InputError(msg) from err
    size = path.stat().st_size
    if total > max(_FREE_BYTES, MAX_RATIO * size):
        msg = f"'{path}' has {size:,} bytes but claims to hold {total:,} bytes of data; refusing to read it."
        raise InputError(msg)


def is_link(group: Any, name: str) -> bool:
    """Tell whether a member is a link that would have to be followed, without following it."""
    import h5py

    # 'name in group' would follow it.
    return name in set(group) and not isinstance(group.get(name, getlink=True), h5py.HardLink)


def is_group(group: Any, name: str) -> bool:
    """Tell whether a member is a group of this file."""
    import h5py

    return name in set(group) and not is_link(group, name) and isinstance(group[name], h5py.Group)


def _walk(group: Any, path: Path, depth: int, seen: set[int]) -> int:
    """Return the bytes that the data sets below a group claim, refusing what is unsafe."""
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen or depth > _MAX_DEPTH:
        msg = f"'{path}': group '{group.name}' contains itself or is there twice; refusing to read it."
        raise InputError(msg)
    seen.add(address)
    _check_attributes(group, path)
    total = 0
    for name in group:
        where = f"{group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            kind = "a link to another file" if isinstance(link, h5py.ExternalLink) else "a soft link"
            msg = f"'{path}': '{where}' is {kind}, which none of our files holds; refusing to read it."
            raise InputError(msg)
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _walk(item, path, depth + 1, seen)
        elif isinstance(item, h5py.Dataset):
            _check_attributes(item, path)
            total += claimed_bytes(item, where, path)
    check_sparse(group, path)
    return total


def _check_attributes(item: Any, path: Path) -> None:
    """Refuse attributes of kinds that none of ours has: HDF5 crashes on a text that damage has made a sequence."""
    import h5py

    plain = {h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM}
    for name in item.attrs:
        if name in _OURS and h5py.h5a.open(item.id, name.encode()).get_type().get_class() not in plain:
            msg = f"'{path}': the attribute '{name}' of '{item.name}' is neither text nor a number; is it damaged?"
            raise InputError(msg)


def claimed_bytes(data: Any, where: str, path: Path) -> int:
    """Return the bytes that a data set takes in memory, refusing one whose data lie elsewhere or nowhere."""
    if data.external or data.is_virtual:
        msg = f"'{path}': '{where}' keeps its data in another file, which none of ours does; refusing to read it."
        raise InputError(msg)
    if data.shape is None:
        return 0
    claimed = math.prod(data.shape) * data.dtype.itemsize
    stored = data.id.get_storage_size()
    if claimed > max(_FREE_BYTES, MAX_RATIO * stored):
        msg = f"'{path}': '{where}' claims {claimed:,} bytes and stores {stored:,}; refusing to read it."
        raise InputError(msg)
    return int(claimed)


def check_sparse(group: Any, path: Path) -> None:
    """Raise if a group of HDF5 or zarr that says it is a sparse matrix is none by its parts' kinds and lengths."""
    encoding = group.attrs.get("encoding-type", "")
    if encoding not in {"csr_matrix", "csc_matrix"}:
        return
    missing = [k for k in ("data", "indices", "indptr") if k not in group]
    shape = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    numbers = np.asarray(shape if shape is not None else 0)
    if missing or numbers.shape != (2,) or numbers.dtype.kind not in "iu" or numbers.min() < 0:
        msg = f"'{path}': the sparse matrix '{group.name}' lacks {', '.join(missing) or 'its shape'}."
        raise InputError(msg)
    for name, kinds in (("data", "biuf"), ("indices", "iu"), ("indptr", "iu")):
        part = group[name]
        if getattr(part, "ndim", None) != 1 or part.dtype.kind not in kinds:
            msg = f"'{path}': '{name}' of the sparse matrix '{group.name}' is no list of numbers; is it damaged?"
            raise InputError(msg)
    lengths = {k: group[k].shape[0] for k in ("data", "indices", "indptr")}
    major = int(numbers[0 if encoding == "csr_matrix" else 1])
    last = int(group["indptr"][-1]) if lengths["indptr"] else -1
    if lengths["indptr"] != major + 1 or not lengths["data"] == lengths["indices"] == last:
        msg = (
            f"'{path}': the parts of the sparse matrix '{group.name}' do not fit: shape {tuple(map(int, numbers))}, "
            f"{lengths['data']} values, {lengths['indices']} indices, {lengths['indptr']} offsets ending at {last}."
        )
        raise InputError(msg)


def matrices(mdata: MuData) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every matrix and array of a MuData, ``uns`` included."""
    for slot in AXIS_SLOTS:
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
    for slot in ("layers", *AXIS_SLOTS):
        for key, value in named(getattr(adata, slot)).items():
            yield f"{slot}['{key}']", value
    yield from _leaves(dict(adata.uns), "uns")


def _leaves(value: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        place = f"{where}[{key!r}]"
        if isinstance(item, Mapping):
            yield from _leaves(item, place)
        else:
            yield place, item


def check_names(mdata: MuData, path: Path) -> None:
    """Raise if cells or features of a modality share a name: mudata would take them for one another."""
    call = "read_zarr" if path.is_dir() else "read_h5mu"
    for name, adata in mdata.mod.items():
        for axis in ("obs_names", "var_names"):
            names = getattr(adata, axis)
            if not names.is_unique:
                twice = [str(n) for n in names[names.duplicated()].unique()]
                msg = (
                    f"'{path}': mod['{name}'].{axis} holds {len(twice)} names more than once ({', '.join(twice[:3])}). "
                    f"Read it with grn.io.{call}(path, safe=False), make them unique, and write it again."
                )
                raise InputError(msg)


def check_sparse_indices(mdata: MuData, path: Path) -> None:
    """Raise if a sparse matrix points outside itself, before anything computes with it (that would crash Python)."""
    for where, value in matrices(mdata):
        odd = oddity(value) if sparse.issparse(value) and value.format in {"csr", "csc"} else ""
        if odd:
            msg = f"'{path}': the sparse matrix {where} is damaged ({odd}); its indices lie outside its shape."
            raise InputError(msg)


def oddity(x: Any) -> str:
    """Say what is wrong with a CSR or CSC matrix; scipy's own check copies all of it, which doubles the memory."""
    rows, columns = x.shape if x.format == "csr" else x.shape[::-1]
    start, indices = x.indptr, x.indices
    if len(start) != rows + 1 or start[0] != 0 or start[-1] != len(indices) or len(indices) != len(x.data):
        return "its parts do not fit each other"
    if (np.diff(start) < 0).any():
        return "its rows do not follow each other"
    if len(indices) and (indices.min() < 0 or indices.max() >= columns):
        return f"it names columns outside {columns}"
    return ""
