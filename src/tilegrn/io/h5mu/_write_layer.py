"""A layer added to an h5mu in place."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy import sparse

from tilegrn._core import check
from tilegrn._core.atomic import check_room, disk_errors, real_target
from tilegrn._core.text import existing_file
from tilegrn.errors import InputError, WriteError
from tilegrn.io.h5mu._h5check import check_file, named
from tilegrn.io.h5mu._journal import changing, recover

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["write_layer"]

logger = logging.getLogger(__name__)

_ROWS = 1024


def write_layer(
    path: str | Path,
    mdata: MuData,
    layer: str = "predicted",
    *,
    modality: str = "rna",
    key_added: str | None = None,
    overwrite: bool = False,
) -> None:
    """Add a layer to an h5mu file in place: the rest of the file is neither read nor written again.

    Unlike everything else in :mod:`tilegrn.io` this changes an existing file. It does so under a journal: killed at any
    moment, the file is as it was when it is next opened by :func:`read_h5mu`, or has the layer whole.

    Parameters
    ----------
    path
        An h5mu file, open nowhere else.
    mdata
        Holds ``mdata[modality].layers[layer]``, cells x features, dense or sparse: for instance what
        :func:`tilegrn.tl.predict` wrote. Cells and features must be those of the file; their order may differ.
    layer
        Name of the layer in ``mdata``.
    modality
        Name of the modality in both.
    key_added
        Name of the layer in the file; ``layer`` by default.
    overwrite
        Whether a layer of that name may be replaced. The space of the old one is not given back to the disk.

    Raises
    ------
    InputError
        If the file, the modality or the layer does not exist, the layer holds no numbers, the cells or features are
        others, the layer is there already, the disk has too little room, or the file is open elsewhere. The file is as
        it was.
    WriteError
        If the system refuses to write. The file is as it was.

    Examples
    --------
    >>> grn.pp.scale(mdata)
    >>> grn.io.write_h5mu("annotated.h5mu", mdata)
    >>> mdata["rna"].layers["shown"] = mdata["rna"].layers["scaled"]
    >>> grn.io.write_layer("annotated.h5mu", mdata, "shown")
    """
    target = real_target(existing_file(path, "The h5mu file"))
    adata = check.modality(mdata, modality)
    if layer not in adata.layers:
        have = sorted(named(adata.layers))
        msg = f"'{modality}' has no layer '{layer}'; there are {have}. grn.tl.predict(mdata, model) writes 'predicted'."
        raise InputError(msg)
    values, key = adata.layers[layer], layer if key_added is None else key_added
    if not key or "/" in key or key in {".", ".."}:
        msg = f"A layer cannot be called '{key}' in a file."
        raise InputError(msg)
    if sparse.issparse(getattr(values, "_meta", None)):
        values = values.compute()  # sparse blocks of dask
    if np.dtype(values.dtype).kind not in "biufc":
        msg = f"mdata['{modality}'].layers['{layer}'] holds {values.dtype} values; a layer that is added holds numbers."
        raise InputError(msg)
    recover(target)
    check_file(target)
    check_room(target, _bytes(values))
    place = f"mod/{modality}"
    with h5py.File(target, "r") as handle:
        rows, columns = _orders(handle, adata, target, place)
        if key in handle[place].get("layers", {}) and not overwrite:
            msg = f"'{target}' has a layer '{key}' already. Name another key_added, or overwrite=True."
            raise InputError(msg)
    ordered = _ordered(values, rows, columns)
    with (
        disk_errors(target),
        changing(target, lambda: _check_written(target, f"{place}/layers/{key}", ordered)) as file,
        h5py.File(file, "r+") as handle,
    ):
        _put(handle[place], ordered, key)
    logger.info("added layer '%s' to %s (%d bytes)", key, target, target.stat().st_size)


def _orders(handle: h5py.File, adata: AnnData, path: Path, place: str) -> list[NDArray[np.int64]]:
    """Return where the cells and features of the file stand in the MuData."""
    from anndata.io import read_elem

    if place not in handle:
        msg = f"'{path}' has no modality '{place.removeprefix('mod/')}'; it has {sorted(handle['mod'])}."
        raise InputError(msg)
    group, orders = handle[place], []
    for axis, what, mine in (("obs", "cells", adata.obs_names), ("var", "features", adata.var_names)):
        check.unique_names(mine, f"names of {what}", "Keep one of each.")
        theirs = np.asarray(read_elem(group[axis][group[axis].attrs["_index"]])).astype(str)
        order = mine.astype(str).get_indexer(theirs)
        if len(theirs) != len(mine) or (order < 0).any():
            msg = (
                f"'{path}' has {len(theirs):,} {what} in '{place}', the MuData {len(mine):,}, and "
                f"{int((order < 0).sum()):,} of the file are not in the MuData. A layer needs the {what} of the file."
            )
            raise InputError(msg)
        orders.append(order)
    return orders


def _put(group: h5py.Group, values: Any, key: str) -> None:
    """Write beside an older layer first: HDF5 would write over its place, and all that were kept to take it back."""
    from anndata.io import write_elem

    layers, new = _layers(group), f"{key}.tilegrn-new"
    write_elem(layers, new, values)
    if key in layers:
        del layers[key]
    layers.move(new, key)


def _check_written(path: Path, place: str, values: Any) -> None:
    """Compare what the file holds now with what was to be written.

    Raises
    ------
    WriteError
        If it differs.
    """
    from anndata.io import read_elem

    with h5py.File(path, "r", locking=False) as handle:
        held = handle[place]
        if sparse.issparse(values):
            there = read_elem(held)
            same = (there.shape, there.nnz) == (values.shape, values.nnz) and all(
                np.array_equal(getattr(there, part), getattr(values, part), equal_nan=True)
                for part in ("data", "indices", "indptr")
            )
        else:
            same = held.shape == values.shape and all(
                np.asarray(held[i : i + _ROWS]).tobytes() == np.ascontiguousarray(values[i : i + _ROWS]).tobytes()
                for i in range(0, len(values), _ROWS)
            )
    if not same:
        msg = f"What was written to '{path}' does not read back the same; is the disk sound? It is as it was."
        raise WriteError(msg, number=errno.EIO)


def _layers(group: h5py.Group) -> h5py.Group:
    if "layers" not in group:
        made = group.create_group("layers")
        made.attrs["encoding-type"], made.attrs["encoding-version"] = "dict", "0.1.0"
    layers: h5py.Group = group["layers"]
    return layers


def _ordered(values: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    straight = all((order == np.arange(len(order))).all() for order in (rows, columns))
    if straight:
        return values
    if sparse.issparse(values):
        return values.tocsr()[rows][:, columns]
    return np.asarray(values)[np.ix_(rows, columns)]


def _bytes(values: Any) -> int:
    if sparse.issparse(values):
        return int(values.data.nbytes + 12 * values.nnz)
    return int(np.dtype(values.dtype).itemsize * np.prod(values.shape))
