"""MuData files that are there whole or not at all, and that are looked through before they are read."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tilegrn._core.atomic import new_file, new_folder, real_target
from tilegrn._core.mudata import assembled, copied, fitting_name, no_pull
from tilegrn._core.text import existing_file
from tilegrn.errors import InputError
from tilegrn.io.h5mu._guarded import guarded
from tilegrn.io.h5mu._h5check import check_file, check_names, check_sparse_indices, named
from tilegrn.io.h5mu._journal import recover
from tilegrn.io.h5mu._writable import writable

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["read_h5mu", "write_h5mu", "write_zarr"]

logger = logging.getLogger(__name__)

_SLOTS = ("layers", "obsm", "varm", "obsp", "varp", "uns")


def write_h5mu(
    path: str | Path,
    mdata: MuData,
    *,
    overwrite: bool = True,
    compression: Literal["gzip", "lzf"] | None = None,
) -> None:
    """Write a MuData so that the file is there whole or not at all.

    The MuData is checked, then written to a temporary file in the same folder, opened again and compared with the
    MuData, brought to disk, and only then put in the place of an older file. Power loss, a kill or an error leave the
    older file as it was; temporary files of killed runs are swept by the next call.

    Parameters
    ----------
    path
        The file, usually ``*.h5mu``. Its folder must exist.
    mdata
        The MuData. Views are copied first; a backed one is read from its file.
    overwrite
        Whether an existing file may be replaced.
    compression
        Of the arrays; ``None`` is fastest.

    Raises
    ------
    InputError
        Before anything is written: the folder is missing or not writable, the disk has too little room, or the MuData
        holds what cannot be written and read back (see the message for the slot): values that HDF5 cannot hold, keys
        with ``/``, cell or feature names that occur twice. Afterwards: the written file does not read back.
    WriteError
        If the system refuses to write (disk full, quota); the older file is as it was.

    Examples
    --------
    >>> grn.io.write_h5mu("annotated.h5mu", mdata)
    >>> again = grn.io.read_h5mu("annotated.h5mu")
    """
    import mudata

    target = _checked_target(path, overwrite=overwrite)
    if target.is_dir():
        msg = f"'{target}' is a folder; give the path of a file."
        raise InputError(msg)
    light, needed = _prepare(mdata)
    with new_file(target, need=needed) as temporary:
        with no_pull(), guarded(temporary) as file:
            mudata.write_h5mu(file, light, **({"compression": compression} if compression else {}))
        _verify(temporary, light)
    logger.info("wrote %s (%d bytes)", target, target.stat().st_size)


def write_zarr(path: str | Path, mdata: MuData, *, overwrite: bool = True) -> None:
    """Write a MuData as a zarr folder that is there whole or not at all.

    As :func:`write_h5mu`: checked first, written beside the target, opened again, brought to disk, then exchanged with
    an older folder in one step (in two renames where the system cannot exchange).

    Parameters
    ----------
    path
        The folder, usually ``*.zarr``.
    mdata
        The MuData.
    overwrite
        Whether an existing zarr folder may be replaced; other folders never are.

    Raises
    ------
    InputError
        As :func:`write_h5mu`; also if the target is a file, or a folder that is no zarr.

    Examples
    --------
    >>> grn.io.write_zarr("annotated.zarr", mdata)
    """
    import mudata

    target = _checked_target(path, overwrite=overwrite)
    if target.exists() and not any((target / mark).is_file() for mark in (".zgroup", "zarr.json")):
        msg = f"'{target}' is there and is no zarr folder; it is not replaced. Give another path."
        raise InputError(msg)
    light, needed = _prepare(mdata)
    with new_folder(target, need=needed) as temporary:
        with warnings.catch_warnings(), no_pull():
            # mudata 0.4 asks anndata 0.13 for a setting that 0.14 drops
            warnings.filterwarnings("ignore", message="This setting will be removed", category=DeprecationWarning)
            mudata.write_zarr(str(temporary), light)
        _verify_zarr(temporary, light)
    logger.info("wrote %s", target)


def _verify_zarr(path: Path, mdata: MuData) -> None:
    import zarr

    root = zarr.open_group(str(path), mode="r")
    lost = []
    for name, adata in mdata.mod.items():
        for slot in _SLOTS:
            held = named(getattr(adata, slot))
            lost += [f"mod['{name}'].{slot}['{k}']" for k in held if f"mod/{name}/{slot}/{k}" not in root]
    for _, item in root.members(max_depth=None):
        _read_last("", item)
    if lost:
        msg = f"The written folder lacks {', '.join(lost[:5])}. The old one was kept."
        raise InputError(msg)


def _checked_target(path: str | Path, *, overwrite: bool) -> Path:
    """Return the real path to write to, if something may be written there."""
    target = real_target(path)
    if target.exists() and not overwrite:
        msg = f"'{target}' is there already; give another path, or overwrite=True."
        raise InputError(msg)
    return target


def _prepare(mdata: MuData) -> tuple[MuData, int]:
    """Check contents before anything is written; return a light copy as it is to be written, and the bytes it needs."""
    if mdata.is_view or any(a.is_view for a in mdata.mod.values()):
        mdata = copied(mdata)
    light, needed = writable(mdata)
    return light, needed + _backed_bytes(mdata)


def _backed_bytes(mdata: MuData) -> int:
    name = getattr(mdata.file, "filename", None) if mdata.isbacked else None
    return Path(name).stat().st_size if name is not None and Path(name).is_file() else 0


def _verify(path: Path, mdata: MuData) -> None:
    """Open what was written and compare its structure, shapes and last values' readability with the MuData."""
    import h5py

    check_file(path)
    with h5py.File(path, "r") as file:
        problems = []
        for name, adata in mdata.mod.items():
            group = file.get(f"mod/{name}")
            if group is None:
                problems.append(f"modality '{name}' is missing")
                continue
            for slot in _SLOTS:
                lost = set(named(getattr(adata, slot))) - set(group.get(slot, ()))
                problems += [f"mod['{name}'].{slot}['{k}'] is missing" for k in sorted(lost)]
            for axis, length in (("obs", adata.n_obs), ("var", adata.n_vars)):
                index = group[axis][group[axis].attrs["_index"]]
                values = index if isinstance(index, h5py.Dataset) else index["values"]  # nullable strings are a group
                if values.shape[0] != length:
                    problems.append(f"mod['{name}'].{axis} has {values.shape[0]} rows, not {length}")
        problems += [f"uns['{k}'] is missing" for k in sorted(set(mdata.uns) - set(file.get("uns", ())))]
        file.visititems(_read_last)
    if problems:
        msg = f"The written file does not hold the whole MuData: {'; '.join(problems[:5])}. The old file was kept."
        raise InputError(msg)


def _read_last(_name: str, item: Any) -> None:
    """Read the last value of a data set or array; groups have no shape."""
    shape = getattr(item, "shape", None)
    if shape and all(shape):
        item[tuple(n - 1 for n in shape)]


def read_h5mu(path: str | Path, *, safe: bool = True, backed: bool = False) -> MuData:
    """Read an h5mu file, after looking through it.

    Parameters
    ----------
    path
        The file.
    safe
        Walk through the file first and refuse links to other files, data kept outside the file, loops, and data sets
        that claim far more than the file can hold; check the indices of all sparse matrices and the names afterwards.
        Costs milliseconds, and one pass through the bytes of the file.
    backed
        Leave the counts (``X`` of each modality) in the file, opened for reading: the steps then read them a block of
        cells at a time, and memory does not follow the number of cells. Everything else is in memory.

    Returns
    -------
    The MuData, in memory, or backed by the file.

    Raises
    ------
    InputError
        The file is missing, damaged, unsafe, holds no modalities, or was written by a newer tilegrn.
    WriteError
        If a change that was killed (:func:`write_layer`) cannot be taken back, as the system refuses to write.

    Examples
    --------
    >>> mdata = grn.io.read_h5mu("sample.h5mu")
    >>> mdata["rna"].n_vars, mdata["atac"].n_vars
    (40, 150)
    """
    import mudata

    file = existing_file(path, "The h5mu file")
    recover(file)
    if safe:
        check_file(file)
    try:
        with no_pull():
            if not _index_names_fit(file):
                if backed:
                    msg = f"'{file}' has index names that mudata cannot open in place; write it anew: "
                    msg += "grn.io.write_h5mu(path, grn.io.read_h5mu(path))."
                    raise InputError(msg)
                mdata = _read_parts(file)
            else:
                mdata = mudata.read_h5mu(file, backed="r" if backed else None)
    except InputError:
        raise
    except MemoryError as err:
        msg = f"'{file}' is too large for the memory that is left. Take a subset of it, or use a larger machine."
        raise InputError(msg) from err
    except Exception as err:  # of HDF5, anndata, mudata or pandas
        msg = f"'{file}' cannot be read as a MuData: {err}"
        raise InputError(msg) from err
    if safe:
        check_sparse_indices(mdata, file)
        check_names(mdata, file)
    return mdata


def _index_names_fit(path: Path) -> bool:
    """Tell whether the global indices are called what mudata 0.3 can read."""
    import h5py

    def name(group: h5py.Group, axis: str) -> object:
        frame = group.get(axis)
        return frame.attrs.get("_index") if frame is not None else None

    with h5py.File(path, "r") as file:
        for axis in ("obs", "var"):
            mine = name(file, axis)
            common = fitting_name(mine, (name(mod, axis) for mod in file.get("mod", {}).values()))
            if mine is not None and mine != (common or "_index"):
                return False
    return True


def _read_parts(path: Path) -> MuData:
    """Read a file part by part, so that the index names can be mended before mudata puts them together."""
    import h5py
    import mudata
    from anndata.io import read_elem

    slots = ("obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap")
    with h5py.File(path, "r") as file:
        order = [n.decode() if isinstance(n, bytes) else str(n) for n in file["mod"].attrs.get("mod-order", ())]
        names = order if sorted(order) == sorted(file["mod"]) else list(file["mod"])
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        held = {slot: read_elem(file[slot]) for slot in slots if slot in file}
        axis = int(file.attrs.get("axis", 0))
    mods = {name: mudata.read_h5ad(path, name) for name in names}
    return assembled(mods, obs=obs, var=var, axis=axis, **held)
