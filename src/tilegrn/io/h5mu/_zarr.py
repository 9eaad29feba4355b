"""MuData in zarr folders: looked through first, read whole or with the counts left where they are."""

from __future__ import annotations

import math
import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core import keys as K
from tilegrn._core.mudata import assembled, no_pull
from tilegrn._core.rows import rows_in_block
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5check import AXIS_SLOTS, check_names, check_schema, check_sparse, check_sparse_indices
from tilegrn.io.h5mu._h5mu import read_h5mu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["is_zarr", "read_any", "read_zarr"]

_MARKS = (".zgroup", "zarr.json")
_FREE_BYTES = 2**30
_MAX_RATIO = 2**15
"""Zarr leaves out chunks of zeros and packs others tightly; an array beyond both holds nothing but its claim."""
_MATRICES = ("csr_matrix", "csc_matrix")


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is the root of a zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def read_any(path: Path, *, backed: bool = False) -> MuData:
    """Read a MuData from a folder (zarr) or a file (h5mu)."""
    return read_zarr(path, backed=backed) if path.is_dir() else read_h5mu(path, backed=backed)


def read_zarr(path: str | Path, *, safe: bool = True, backed: bool = False) -> MuData:
    """Read a MuData from a zarr folder, after looking through it: formats 2 and 3, sharded or not.

    Parameters
    ----------
    path
        The folder, as :func:`write_zarr` and ``mdata.write_zarr`` leave it.
    safe
        Walk through the folder first and refuse links, arrays that claim far more than the folder can hold, and sparse
        matrices whose parts do not fit each other or lack chunks (zarr reads these as zeros: what is left of a copy
        that was broken off); check the indices of all sparse matrices in memory and the names afterwards.
    backed
        Leave the counts (``X``, layers and ``raw.X`` of each modality) in the folder, behind dask arrays: the
        steps then read them a block of cells at a time. Everything else is in memory, and so is a
        matrix that is stored by columns (CSC). Needs dask.

    Returns
    -------
    The MuData, in memory, or with dask arrays whose blocks are rows of about four million values. They are read by the
    path of the folder, which must stay where it is, and on a dask cluster be there for every worker.

    Raises
    ------
    InputError
        The folder is missing, no zarr, damaged, unsafe, holds no modalities, or was written by a newer tilegrn; or
        ``backed`` without dask.

    Examples
    --------
    >>> grn.io.write_zarr("sample.zarr", mdata)
    >>> atlas = grn.io.read_zarr("sample.zarr", backed=True)
    >>> grn.pp.bin_peaks(atlas, "genome.chrom.sizes")
    """
    import zarr

    folder = Path(path).expanduser()
    if not is_zarr(folder):
        held = "does not exist" if not folder.exists() else "is a file" if folder.is_file() else "holds no zarr group"
        hint = f" Read it with grn.io.read_h5mu('{path}')." if folder.suffix == ".h5mu" and folder.is_file() else ""
        msg = f"The zarr folder '{path}' {held}.{hint}"
        raise InputError(msg)
    if backed:
        _need_dask()
    try:
        with no_pull(), warnings.catch_warnings():
            # zarr 3.1.0 warns whoever reads text of format 3
            warnings.filterwarnings("ignore", message="The codec `vlen-utf8`", category=UserWarning)
            # Not by the summary of all metadata at its root, which may tell of another state than the arrays do.
            root = zarr.open_group(str(folder.resolve()), mode="r", use_consolidated=False)
            _check_modalities(root, folder)
            if safe:
                _check_folder(root, folder)
            mdata = _assembled(root, folder.resolve(), backed=backed)
    except InputError:
        raise
    except MemoryError as err:
        msg = f"'{folder}' is too large for the memory that is left. Leave the counts in the folder: backed=True."
        raise InputError(msg) from err
    except Exception as err:  # of zarr, its codecs, anndata, mudata or pandas
        msg = f"'{folder}' cannot be read as a MuData: {err}"
        raise InputError(msg) from err
    if safe:
        check_sparse_indices(mdata, folder)
        check_names(mdata, folder)
    return mdata


def _need_dask() -> None:
    try:
        import dask.array  # noqa: F401
    except ImportError as err:
        msg = (
            "Counts are left in a zarr folder behind dask arrays: pip install 'dask[array]'; or leave out backed=True."
        )
        raise InputError(msg) from err


def _assembled(root: Any, folder: Path, *, backed: bool) -> MuData:
    from anndata.io import read_elem

    order = [str(n) for n in root["mod"].attrs.get("mod-order", ())]
    names = order if sorted(order) == sorted(root["mod"]) else list(root["mod"])
    slots = ("uns", *AXIS_SLOTS, "obsmap", "varmap")
    held = {slot: read_elem(root[slot]) for slot in slots if slot in root}
    where = folder if backed else None
    return assembled(
        {name: _modality(root["mod"][name], where) for name in names},
        obs=read_elem(root["obs"]),
        var=read_elem(root["var"]),
        axis=int(root.attrs.get("axis", 0)),
        **held,
    )


def _modality(group: Any, folder: Path | None) -> AnnData:
    import anndata
    from anndata.io import read_elem

    if folder is None:
        adata: AnnData = read_elem(group)
        return adata
    parts = {name: read_elem(group[name]) for name in ("obs", "var", "uns", *AXIS_SLOTS) if name in group}
    if "X" in group:
        parts["X"] = _left(group["X"], folder)
    parts["layers"] = (
        {name: _left(item, folder) for name, item in group["layers"].members()} if "layers" in group else {}
    )
    if "raw" in group:
        raw = group["raw"]
        parts["raw"] = {"X": _left(raw["X"], folder), **{n: read_elem(raw[n]) for n in ("var", "varm") if n in raw}}
    return anndata.AnnData(**parts)


def _left(item: Any, folder: Path) -> Any:
    """Give a matrix of cells x features as a dask array of blocks of cells, where it can be read so."""
    from anndata.io import read_elem

    stored_by_rows = item.attrs.get("encoding-type", "") == "csr_matrix"
    if not stored_by_rows and not (getattr(item, "ndim", 0) == 2 and item.dtype.kind in "biuf" and all(item.shape)):
        return read_elem(item)
    import dask.array

    da: Any = dask.array  # without types
    n, width = (int(k) for k in (dict(item.attrs)["shape"] if stored_by_rows else item.shape))
    dtype = (item["data"] if stored_by_rows else item).dtype
    rows = rows_in_block(n, item["data"].shape[0] if stored_by_rows else float(n) * width)
    cuts = range(0, n, rows) if n else range(1)
    return da.map_blocks(
        partial(_block, str(folder), item.path, _stamp(folder / item.path)),
        chunks=(tuple(min(rows, n - first) for first in cuts), (width,)),
        dtype=dtype,
        meta=sparse.csr_matrix((0, 0), dtype=dtype) if stored_by_rows else np.zeros((0, 0), dtype=dtype),
    )


def _stamp(place: Path) -> tuple[int, ...]:
    """Return what changes when a group or array is written anew."""
    return tuple((place / mark).stat().st_mtime_ns for mark in (*_MARKS, ".zarray") if (place / mark).is_file())


def _block(
    folder: str, name: str, stamp: tuple[int, ...], block_info: dict[Any, dict[str, Any]] | None = None
) -> sparse.csr_matrix | NDArray[Any]:
    """Read a block of rows: on whatever machine, so by its path; of a folder that is still the one that was opened."""
    import zarr

    if block_info is None or _stamp(Path(folder, name)) != stamp:
        msg = f"'{folder}' was written anew since it was opened. Open it again: grn.io.read_zarr(path, backed=True)."
        raise InputError(msg)
    (first, last), (_, width) = block_info[None]["array-location"]
    item: Any = zarr.open(str(Path(folder, name)), mode="r")
    if isinstance(item, zarr.Array):
        return np.asarray(item[first:last])
    start = np.asarray(item["indptr"][first : last + 1], dtype=np.int64)
    values, columns = (np.asarray(item[part][int(start[0]) : int(start[-1])]) for part in ("data", "indices"))
    return sparse.csr_matrix((values, columns, start - start[0]), shape=(last - first, width))


def _check_modalities(root: Any, folder: Path) -> None:
    """Raise if there are no modalities, one of those named is missing, or a newer tilegrn wrote the folder."""
    import zarr

    mod = root.get("mod")
    if not isinstance(mod, zarr.Group) or not list(mod):
        hint = " It looks like an AnnData: read it with anndata.read_zarr, and build a MuData." if "X" in root else ""
        msg = f"'{folder}' holds no modalities (no group 'mod').{hint}"
        raise InputError(msg)
    order: Any = mod.attrs.get("mod-order", ())
    lost = sorted({str(n) for n in order} - set(mod))
    if lost:
        msg = f"'{folder}' lacks the modality '{lost[0]}', which it names: was it copied whole? It has {sorted(mod)}."
        raise InputError(msg)
    tables = [f"{place}{axis}" for place in ("", *(f"mod/{n}/" for n in mod)) for axis in ("obs", "var")]
    gone = [name for name in tables if name not in root]
    if gone:
        msg = f"'{folder}' lacks the table '{gone[0]}': was it copied whole?"
        raise InputError(msg)
    schema = root.get(f"uns/{K.UNS}/schema")
    if schema is not None:
        check_schema(schema, folder)


def _check_folder(root: Any, folder: Path) -> None:
    """Walk through a folder without reading its data; see :func:`read_zarr`.

    Raises
    ------
    InputError
        Naming the group or array.
    """
    import zarr

    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (Path(place) / name).is_symlink():
                msg = f"'{folder}': '{Path(place, name).relative_to(folder)}' is a link, which none of ours holds; "
                msg += "refusing to read it."
                raise InputError(msg)
    for name, item in root.members(max_depth=None):
        if isinstance(item, zarr.Group):
            check_sparse(item, folder)
            if item.attrs.get("encoding-type") in _MATRICES:
                _check_whole(item, folder, name)
        elif not _stays(name):
            claimed = math.prod(item.shape) * item.dtype.itemsize
            stored = sum(p.stat().st_size for p in _chunk_files(folder / name))
            if claimed > max(_FREE_BYTES, _MAX_RATIO * stored):
                msg = f"'{folder}': '{name}' claims {claimed:,} bytes and stores {stored:,}; refusing to read it."
                raise InputError(msg)


def _stays(name: str) -> bool:
    """Tell whether an array belongs to counts, of which a block is read at a time."""
    parts = name.split("/")
    return parts[0] == "mod" and len(parts) > 2 and (parts[2] in {"X", "layers"} or parts[2:4] == ["raw", "X"])


def _chunk_files(folder: Path) -> Iterator[Path]:
    marks = {".zarray", ".zattrs", "zarr.json"}
    return (p for p in folder.rglob("*") if p.name not in marks and p.is_file())


def _check_whole(group: Any, folder: Path, name: str) -> None:
    """Raise if a sparse matrix lacks chunks that cannot be left out for being all zeros."""
    start = np.asarray(group["indptr"][:], dtype=np.int64)
    if (np.diff(start) < 0).any():
        msg = f"'{folder}': the rows of the sparse matrix '{name}' do not follow each other; is it damaged?"
        raise InputError(msg)
    for part in ("data", "indices"):
        array = group[part]
        each = (getattr(array, "shards", None) or array.chunks)[0]
        wanted, there = math.ceil(array.shape[0] / each), sum(1 for _ in _chunk_files(folder / name / part))
        # A row names a column once, so that a chunk of columns is all zeros only where rows have one value each.
        zeros = array.shape[0] < len(start) if part == "indices" else there == 0 and not name.endswith("/X")
        if there < wanted and not zeros:
            msg = (
                f"'{folder}': '{name}/{part}' lacks {wanted - there} of its {wanted} chunks, which zarr would read as "
                "zeros: was the folder copied whole?"
            )
            raise InputError(msg)
