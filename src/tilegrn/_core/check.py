"""Errors about modalities, cells and matrices, and the one way counts are read from a MuData."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import copied
from tilegrn._core.rows import Checked, as_rows, blocks
from tilegrn._core.sparse import canonical_csr
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows

__all__ = [
    "aligned",
    "by_name",
    "cell_labels",
    "count_rows",
    "counts",
    "modality",
    "paired",
    "rows_of",
    "start",
    "unique_names",
]


def modality(mdata: MuData, name: str) -> AnnData:
    """Return a modality, or say which ones there are."""
    mods = getattr(mdata, "mod", None)
    if mods is None:
        msg = f"Expected a MuData with an RNA and an ATAC modality, got {type(mdata).__name__}."
        raise InputError(msg)
    if name not in mods:
        msg = f"The MuData has no modality '{name}'; it has {list(mods)}. Name yours with the arguments rna= and atac=."
        raise InputError(msg)
    adata = mods[name]
    if 0 in adata.shape:
        msg = f"Modality '{name}' has shape {adata.shape}: nothing to work on."
        raise InputError(msg)
    return adata


def start(mdata: MuData, *modalities: str, copy: bool) -> MuData:
    """Open a shell: check the modalities and copy if asked. Nothing is written yet."""
    for name in modalities:
        modality(mdata, name)
    if not copy:
        return mdata
    return copied(mdata)


def unique_names(names: pd.Index, what: str, mend: str) -> None:
    """Raise if names repeat."""
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        msg = f"{len(repeated)} {what} occur more than once, e.g. {list(map(str, repeated[:3]))}. {mend}"
        raise InputError(msg)


def paired(mdata: MuData, rna: str, atac: str) -> tuple[AnnData, AnnData]:
    """Return both modalities if their rows are the same cells in the same order."""
    r, a = modality(mdata, rna), modality(mdata, atac)
    if not r.obs_names.equals(a.obs_names):
        msg = (
            f"'{rna}' ({r.n_obs} cells) and '{atac}' ({a.n_obs} cells) do not hold the same cells in the same order. "
            "Run grn.pp.intersect_cells(mdata) first."
        )
        raise InputError(msg)
    unique_names(
        r.obs_names, "barcodes", "Make them unique, e.g. with mdata['rna'].obs_names_make_unique() before pairing."
    )
    return r, a


def _raw_matrix(adata: AnnData, name: str, layer: str | None) -> Any:
    if layer is None or layer == "X":
        return adata.X
    if layer == "raw":
        if adata.raw is None:
            msg = f"layer='raw' was asked for, but '{name}' has no .raw."
            raise InputError(msg)
        raw = adata.raw
        if raw.var_names.equals(adata.var_names):
            return raw.X
        # .raw keeps the features of the day it was made, in their order
        missing = adata.var_names.difference(raw.var_names)
        if len(missing):
            msg = f"'{name}'.raw lacks {len(missing)} of the features, e.g. {list(map(str, missing[:3]))}."
            raise InputError(msg)
        unique_names(raw.var_names, f"features of '{name}'.raw", "Name the layer of the counts with layer=.")
        return raw[:, adata.var_names].X
    if layer not in adata.layers:
        msg = (
            f"'{name}' has no layer '{layer}'; it has {[k for k in adata.layers if k]}. Counts may also be in X "
            f"(layer=None)."
        )
        raise InputError(msg)
    return adata.layers[layer]


def as_csr(x: Any, where: str) -> sparse.csr_matrix:
    """Bring any matrix AnnData can hold (dense, COO, CSC, CSR, dask, backed, view) to canonical CSR in memory."""
    if x is None:
        msg = f"{where} is empty (None); name the layer that holds the counts with layer=."
        raise InputError(msg)
    if hasattr(x, "compute"):
        x = x.compute()
    if hasattr(x, "to_memory"):
        x = x.to_memory()
    if not sparse.issparse(x):
        x = np.asarray(x)
        if x.dtype == object:
            msg = f"{where} holds Python objects, not numbers."
            raise InputError(msg)
    return canonical_csr(x)


def _place(adata: AnnData, mat: sparse.csr_matrix, k: int, rows: NDArray[np.int64]) -> str:
    row = int(np.searchsorted(mat.indptr, k, side="right") - 1)
    return f"cell '{adata.obs_names[rows[row]]}', feature '{adata.var_names[mat.indices[k]]}'"


def _refuse_odd(adata: AnnData, where: str, mat: sparse.csr_matrix, rows: NDArray[np.int64], *, integer: bool) -> None:
    """Raise on values in some rows that are no counts, naming a cell and a feature."""
    data = mat.data
    if data.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(data))
        if bad.size:
            msg = (
                f"{where} holds {bad.size} NaN or infinite values, e.g. {_place(adata, mat, int(bad[0]), rows)}. "
                "Replace them, or name the layer of the raw counts with layer=."
            )
            raise InputError(msg)
    if data.dtype.kind in "fi":
        bad = np.flatnonzero(data < 0)
        if bad.size:
            msg = (
                f"{where} holds {bad.size} negative values, e.g. {data[bad[0]]} at "
                f"{_place(adata, mat, int(bad[0]), rows)}. Counts are needed: name their layer with layer=."
            )
            raise InputError(msg)
    if integer and data.dtype.kind == "f":
        bad = np.flatnonzero(data != np.rint(data))
        if bad.size:
            msg = (
                f"{where} holds {bad.size} values that are not whole numbers, e.g. {data[bad[0]]:.4g} at "
                f"{_place(adata, mat, int(bad[0]), rows)}: it looks normalised. Counts are needed: name their layer "
                "with layer= (layer='raw' for .raw)."
            )
            raise InputError(msg)


def counts(
    adata: AnnData, name: str, layer: str | None = None, *, integer: bool = True, warn_empty: bool = True
) -> sparse.csr_matrix:
    """Read cells x features counts as canonical CSR float32 and check every value.

    Parameters
    ----------
    adata, name
        The modality and its name for messages.
    layer
        Layer of the counts, ``"raw"``, or None for X.
    integer
        Whether values must be whole numbers (counts); accessibility may also be given as fractions.

    Raises
    ------
    InputError
        On NaN, infinite, negative or (``integer``) fractional values, naming a cell and a feature.
    """
    where = f"'{name}'" + (f" layer '{layer}'" if layer else ".X")
    mat = as_csr(_raw_matrix(adata, name, layer), where)
    _refuse_odd(adata, where, mat, np.arange(mat.shape[0]), integer=integer)
    mat = mat.astype(np.float32)
    mat.eliminate_zeros()
    if warn_empty:
        _warn_empty(int((np.diff(mat.indptr) == 0).sum()), mat.shape[0], where)
    return mat


def _warn_empty(empty: int, n: int, where: str) -> None:
    if empty:
        warnings.warn(
            f"{empty} of {n} cells have no counts in {where}; consider sc.pp.filter_cells.", UserWarning, stacklevel=4
        )


def count_rows(
    adata: AnnData,
    name: str,
    layer: str | None = None,
    *,
    integer: bool = True,
    look: bool = True,
    warn_empty: bool = False,
) -> Rows:
    """Read the same counts a block of cells at a time, wherever they lie; what is in memory is not copied.

    Parameters
    ----------
    look
        Whether to look at every value now; what lies in a file is looked at as it is read in any case.
    warn_empty
        Whether to warn of cells without counts, having looked.

    Returns
    -------
    Rows of canonical CSR float32. They may be the caller's own matrix: they are never to be changed.

    Raises
    ------
    InputError
        As :func:`counts`.
    """
    where = f"'{name}'" + (f" layer '{layer}'" if layer else ".X")
    raw = _raw_matrix(adata, name, layer)
    held = isinstance(raw, np.ndarray) or sparse.issparse(raw) or raw is None
    rows: Any = as_csr(raw, where) if held else as_rows(raw)

    def checked(part: sparse.csr_matrix, at: NDArray[np.int64]) -> sparse.csr_matrix:
        _refuse_odd(adata, where, part, at, integer=integer)
        if part.dtype != np.float32 or not part.data.all():
            part = part.astype(np.float32)
            part.eliminate_zeros()
        return part

    lazily = Checked(rows, checked)
    if not (look or held):
        return lazily
    n_values, empty, plain = 0, 0, sparse.issparse(rows) and rows.dtype == np.float32
    for at, part in blocks(rows):
        clean = checked(part, at)
        plain = plain and clean is part
        n_values += clean.nnz
        empty += int((np.diff(clean.indptr) == 0).sum())
    if warn_empty:
        _warn_empty(empty, rows.shape[0], where)
    if not isinstance(rows, sparse.csr_matrix):
        lazily.values = float(n_values)
        return lazily
    mat = rows if plain else rows.astype(np.float32)
    if not plain:
        mat.eliminate_zeros()
    found: Rows = mat
    return found


def by_name(names: Any) -> NDArray[np.int64]:
    """Positions that sort names: the order in which anything random is drawn, so that it does not depend on rows."""
    return np.argsort(np.asarray(names, dtype=str), kind="stable")


def cell_labels(
    mdata: MuData, column: str, rna: str, atac: str, *, cells: pd.Index | None = None, missing: bool = False
) -> NDArray[np.object_]:
    """Read a column of cell annotation for the paired cells, by their names, wherever it is kept.

    This is the one place where annotation meets cells. The rows of ``mdata.obs`` stand in an order of their own:
    modalities may have been sorted, filtered or joined by a third one since.

    Parameters
    ----------
    column
        Looked for in ``mdata.obs``, then in the modalities' ``obs``.
    cells
        Barcodes to read it for, those of the RNA by default.
    missing
        Whether cells may lack a label; they get None.

    Returns
    -------
    One label per cell, as text, object.

    Raises
    ------
    InputError
        If there is no such column, or (unless ``missing``) cells without a label.
    """
    radata, aadata = mdata.mod[rna], mdata.mod[atac]
    cells = radata.obs_names if cells is None else cells
    places = {"mdata.obs": mdata.obs, f"mdata['{rna}'].obs": radata.obs, f"mdata['{atac}'].obs": aadata.obs}
    found = {place: aligned(obs, column, cells, place) for place, obs in places.items() if column in obs}
    if not found:
        have = sorted({str(c) for obs in places.values() for c in obs.columns})
        msg = f"No obs column '{column}'. There are: {have}."
        raise InputError(msg)
    place, labels = next(iter(found.items()))
    for other, others in list(found.items())[1:]:
        unlike = int((~((labels == others) | (pd.isna(labels) & pd.isna(others)))).sum())
        if unlike:
            warnings.warn(
                f"'{column}' differs between {place} and {other} for {unlike} of {len(cells)} cells; {place} is used.",
                UserWarning,
                stacklevel=3,
            )
    lost = np.flatnonzero(pd.isna(labels))
    if len(lost) and not missing:
        msg = (
            f"{place}['{column}'] has no value for {len(lost)} of {len(cells)} cells, e.g. '{cells[lost[0]]}'. Fill "
            "them in, remove these cells, or run mdata.update() if cells were added to a modality."
        )
        raise InputError(msg)
    return labels


def aligned(obs: pd.DataFrame, column: str, cells: pd.Index, place: str) -> NDArray[np.object_]:
    """Values of a column for the given cells, found by name; text, or None where there is none."""
    unique_names(obs.index, f"barcodes of {place}", "Make them unique, e.g. with obs_names_make_unique().")
    at = obs.index.get_indexer(cells)
    values = obs[column].astype(object).to_numpy()
    known = (at >= 0) & ~np.asarray(pd.isna(values))[np.maximum(at, 0)] if len(values) else np.zeros(len(at), bool)
    out = np.full(len(cells), None, dtype=object)
    out[known] = [str(v) for v in values[at[known]]]
    return out


def rows_of(mdata: MuData, cells: str | Sequence[str] | NDArray[np.bool_] | None, names: pd.Index) -> NDArray[np.int64]:
    """Positions among the paired cells of one barcode, several, a mask, or all cells.

    Parameters
    ----------
    cells
        A mask that is a Series finds its cells by their names. One that is a plain array says nothing of its order, so
        it is taken only where the MuData has the cells in the order of its RNA.
    names
        Barcodes of the paired cells.

    Raises
    ------
    InputError
        If a barcode is unknown, no cell is named, or a mask does not fit.
    """
    if cells is None:
        return np.arange(len(names))
    wanted = np.asarray([cells] if isinstance(cells, str) else cells)
    if isinstance(cells, pd.Series) and pd.api.types.is_bool_dtype(cells.dtype):
        wanted = np.asarray(cells.index[cells.fillna(value=False).astype(bool)])  # nullable text gives nullable masks
    if wanted.dtype == bool:
        if len(wanted) != len(names):
            msg = f"cells= is a mask of {len(wanted)} for {len(names)} cells."
            raise InputError(msg)
        if not mdata.obs_names.equals(names):
            msg = (
                "cells= is a mask without names, and the MuData has its cells in another order than its RNA. Give a "
                "Series indexed by barcodes, such as mdata.obs['cell_type'] == 'B', or the barcodes."
            )
            raise InputError(msg)
        rows = np.flatnonzero(wanted)
    else:
        rows = names.get_indexer(pd.Index(wanted.astype(object)))
        if (rows < 0).any():
            absent = wanted[rows < 0]
            msg = (
                f"{len(absent)} of the cells asked for are not in the data, e.g. '{absent[0]}' (have e.g. "
                f"'{names[0]}')."
            )
            raise InputError(msg)
    if not len(rows):
        msg = "cells= names no cell."
        raise InputError(msg)
    return np.asarray(rows, dtype=np.int64)
