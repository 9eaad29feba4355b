"""MuData files that are there whole or not at all, and that are looked through before they are read."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import re
import secrets
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tilegrn._mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io._h5check import check_file, check_sparse_indices, check_writable
from tilegrn.io._text import existing_file

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["read_10x", "read_h5mu", "write_h5mu", "write_zarr"]

logger = logging.getLogger(__name__)

_TEMPORARY = ".{name}.{pid}-{token}.tilegrn-tmp"
_STALE_SECONDS = 24 * 3600
_SPARE_BYTES = 2**20
_SLOTS = ("layers", "obsm", "varm", "obsp", "varp", "uns")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_h5mu(
    path: str | Path,
    mdata: MuData,
    *,
    overwrite: bool = True,
    compression: Literal["gzip", "lzf"] | None = None,
) -> None:
    """Write a MuData so that the file is there whole or not at all.

    The MuData is checked, then written to a temporary file in the same folder, brought to disk, opened again and
    compared with the MuData, and only then put in the place of an older file. Power loss, a kill or an error leave the
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
    """
    import mudata

    target = _checked_target(path, overwrite=overwrite)
    if target.is_dir():
        msg = f"'{target}' is a folder; give the path of a file."
        raise InputError(msg)
    mdata = _prepare(target, mdata)
    temporary = _temporary(target)
    try:
        with no_pull():
            mudata.write_h5mu(temporary, mdata, **({"compression": compression} if compression else {}))
        _sync(temporary)
        _verify(temporary, mdata)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    logger.info("wrote %s (%d bytes)", target, target.stat().st_size)


def write_zarr(path: str | Path, mdata: MuData, *, overwrite: bool = True) -> None:
    """Write a MuData as a zarr folder that is there whole or not at all.

    As :func:`write_h5mu`: checked first, written beside the target, brought to disk, opened again, then exchanged with
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
    """
    import mudata

    target = _checked_target(path, overwrite=overwrite)
    if target.exists() and not any((target / mark).is_file() for mark in (".zgroup", "zarr.json")):
        msg = f"'{target}' is there and is no zarr folder; it is not replaced. Give another path."
        raise InputError(msg)
    mdata = _prepare(target, mdata)
    temporary = _temporary(target)
    try:
        with warnings.catch_warnings(), no_pull():
            # mudata 0.4 asks anndata 0.13 for a setting that 0.14 drops
            warnings.filterwarnings("ignore", message="This setting will be removed", category=DeprecationWarning)
            mudata.write_zarr(str(temporary), mdata)
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        _verify_zarr(temporary, mdata)
        _exchange(temporary, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    logger.info("wrote %s", target)


def _verify_zarr(path: Path, mdata: MuData) -> None:
    import zarr

    root = zarr.open_group(str(path), mode="r")
    lost = []
    for name, adata in mdata.mod.items():
        for slot in _SLOTS:
            keys = [k for k in getattr(adata, slot) if k is not None]
            lost += [f"mod['{name}'].{slot}['{k}']" for k in keys if f"mod/{name}/{slot}/{k}" not in root]
    if lost:
        msg = f"The written folder lacks {', '.join(lost[:5])}. The old one was kept."
        raise InputError(msg)


def _exchange(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another; the old one is left under the temporary name."""
    if not target.exists():
        temporary.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(temporary), os.fsencode(target)
    if hasattr(libc, "renameat2") and libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    aside = _temporary(target)
    target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(temporary)


def _checked_target(path: str | Path, *, overwrite: bool) -> Path:
    """Return the real path to write to, if something may be written there."""
    target = Path(path).expanduser().resolve()  # through a symbolic link, to the file itself
    folder = target.parent
    if not folder.is_dir():
        msg = f"The folder '{folder}' does not exist; make it first."
        raise InputError(msg)
    if target.exists() and not overwrite:
        msg = f"'{target}' is there already; give another path, or overwrite=True."
        raise InputError(msg)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"The folder '{folder}' is not writable; choose another, or change its permissions."
        raise InputError(msg)
    return target


def _prepare(target: Path, mdata: MuData) -> MuData:
    """Check contents and room before anything is written; return the MuData, copied if it is a view."""
    if mdata.is_view or any(a.is_view for a in mdata.mod.values()):
        with no_pull():
            mdata = mdata.copy()
    needed = check_writable(mdata) + _backed_bytes(mdata)
    _sweep(target)
    free = shutil.disk_usage(target.parent).free
    if free < needed + _SPARE_BYTES:
        msg = (
            f"'{target.parent}' has {free:,} bytes free, but up to {needed:,} are needed. Make room, or choose another "
            "disk."
        )
        raise InputError(msg)
    return mdata


def _temporary(target: Path) -> Path:
    return target.parent / _TEMPORARY.format(name=target.name, pid=os.getpid(), token=secrets.token_hex(4))


def _backed_bytes(mdata: MuData) -> int:
    name = getattr(mdata.file, "filename", None) if mdata.isbacked else None
    return Path(name).stat().st_size if name is not None and Path(name).is_file() else 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(target: Path) -> None:
    """Remove temporary files of this target whose writer is gone."""
    pattern = re.compile(re.escape(f".{target.name}.") + r"([0-9]+)-[0-9a-f]{8}\.tilegrn-tmp")
    for entry in target.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match is None or entry.is_symlink():
            continue
        old = time.time() - entry.stat().st_mtime > _STALE_SECONDS  # its number may by now be another process's
        if old or not _is_running(int(match[1])):
            logger.info("removing %s, left behind by a run that was killed", entry)
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    entry.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


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
                expected = {k for k in getattr(adata, slot) if k is not None}
                lost = expected - set(group.get(slot, ()))
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


def _read_last(_name: str, item: object) -> None:
    import h5py

    if isinstance(item, h5py.Dataset) and item.shape and all(item.shape):
        item[tuple(n - 1 for n in item.shape)]


def read_h5mu(path: str | Path, *, safe: bool = True) -> MuData:
    """Read an h5mu file, after looking through it.

    Parameters
    ----------
    path
        The file.
    safe
        Walk through the file first and refuse links to other files, data kept outside the file, loops, and data sets
        that claim far more than the file can hold; check the indices of all sparse matrices afterwards. Costs
        milliseconds.

    Returns
    -------
    The MuData, in memory.

    Raises
    ------
    InputError
        The file is missing, damaged, unsafe, holds no modalities, or was written by a newer tilegrn.
    """
    import mudata

    file = existing_file(path, "The h5mu file")
    if safe:
        check_file(file)
    try:
        with no_pull():
            mdata = mudata.read_h5mu(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as err:
        if isinstance(err, InputError):
            raise
        msg = f"'{file}' cannot be read as a MuData: {err}"
        raise InputError(msg) from err
    if safe:
        check_sparse_indices(mdata, file)
    return mdata


def read_10x(path: str | Path, *, duplicates: Literal["error", "drop"] = "error") -> MuData:
    """Read the ``filtered_feature_bc_matrix.h5`` of a 10x multiome run, through muon.

    Parameters
    ----------
    path
        The file of Cell Ranger ARC.
    duplicates
        What to do with gene symbols that occur more than once (a 10x reference holds a few): raise, or drop all genes
        of such symbols with a warning. They are never renamed, as ``TBCE-1`` would be no gene of any TSS table.

    Returns
    -------
    MuData with the modalities ``rna`` and ``atac``; ``var["interval"]`` is kept.

    Raises
    ------
    InputError
        The file is missing, is no 10x file, lacks one of the two modalities, or symbols are repeated.
    """
    if duplicates not in {"error", "drop"}:
        msg = f"duplicates is '{duplicates}'; it must be 'error' or 'drop'."
        raise InputError(msg)
    file = existing_file(path, "The 10x file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what muon's own imports say about themselves
        import muon
    with warnings.catch_warnings(), no_pull():
        warnings.filterwarnings(
            "ignore", message=r".*(var_names|Variable names) (are|is) not unique", category=UserWarning
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # muon prints what it adds
                mdata = muon.read_10x_h5(file, extended=True)
        except (OSError, ValueError, KeyError) as err:
            msg = f"'{file}' cannot be read as a 10x h5 file: {err}"
            raise InputError(msg) from err
        missing = [m for m in ("rna", "atac") if m not in getattr(mdata, "mod", {})]
        if missing:
            msg = f"'{file}' holds no {' and no '.join(missing)} features; a multiome run has genes and peaks."
            raise InputError(msg)
        names = mdata["rna"].var_names
        if not names.is_unique:
            twice = [str(n) for n in names[names.duplicated()].unique()]
            text = f"{len(twice)} gene symbols occur more than once in '{file}' ({', '.join(twice[:5])})"
            if duplicates == "error":
                msg = f"{text}. Drop them with grn.io.read_10x(path, duplicates='drop')."
                raise InputError(msg)
            warnings.warn(f"{text}; these genes are dropped.", UserWarning, stacklevel=2)
            once = mdata["rna"][:, ~names.duplicated(keep=False)].copy()
            mdata = type(mdata)({**mdata.mod, "rna": once})
    return mdata
