"""Errors about modalities, cells and matrices, and the one way counts are read from a MuData."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._mudata import copied
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["cell_labels", "counts", "modality", "paired", "start", "unique_names"]


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
        raw = adata.raw.to_adata() if adata.raw.shape[1] != adata.n_vars else adata.raw
        if raw.shape[1] != adata.n_vars:
            missing = adata.var_names.difference(raw.var_names)
            if len(missing):
                msg = f"'{name}'.raw lacks {len(missing)} of the features, e.g. {list(map(str, missing[:3]))}."
                raise InputError(msg)
            return raw[:, adata.var_names].X
        return raw.X
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


def canonical_csr(x: Any) -> sparse.csr_matrix:
    """CSR with sorted and unique indices; values of one place are added up, the caller's arrays are left alone."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    if sparse.issparse(x) and x.dtype.kind in "biu" and not (x.format in {"csr", "csc"} and x.has_canonical_format):
        # scipy adds up in the matrix's own type, where 200 + 100 is 44 (uint8) and True + True is True
        x = x.astype(np.int64)
    mat = sparse.csr_matrix(x)
    if not mat.has_canonical_format:
        mat = mat.copy()  # the arrays may be the caller's
        mat.sum_duplicates()
    return mat


def _place(adata: AnnData, mat: sparse.csr_matrix, k: int) -> str:
    row = int(np.searchsorted(mat.indptr, k, side="right") - 1)
    return f"cell '{adata.obs_names[row]}', feature '{adata.var_names[mat.indices[k]]}'"


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
    data = mat.data
    if data.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(data))
        if bad.size:
            msg = (
                f"{where} holds {bad.size} NaN or infinite values, e.g. {_place(adata, mat, int(bad[0]))}. "
                "Replace them, or name the layer of the raw counts with layer=."
            )
            raise InputError(msg)
    if data.dtype.kind in "fi":
        bad = np.flatnonzero(data < 0)
        if bad.size:
            msg = (
                f"{where} holds {bad.size} negative values, e.g. {data[bad[0]]} at {_place(adata, mat, int(bad[0]))}. "
                "Counts are needed: name their layer with layer=."
            )
            raise InputError(msg)
    if integer and data.dtype.kind == "f":
        bad = np.flatnonzero(data != np.rint(data))
        if bad.size:
            msg = (
                f"{where} holds {bad.size} values that are not whole numbers, e.g. {data[bad[0]]:.4g} at "
                f"{_place(adata, mat, int(bad[0]))}: it looks normalised. Counts are needed: name their layer with "
                "layer= (layer='raw' for .raw)."
            )
            raise InputError(msg)
    mat = mat.astype(np.float32)
    mat.eliminate_zeros()
    if warn_empty:
        empty = int((np.diff(mat.indptr) == 0).sum())
        if empty:
            warnings.warn(
                f"{empty} of {mat.shape[0]} cells have no counts in {where}; consider sc.pp.filter_cells.",
                UserWarning,
                stacklevel=3,
            )
    return mat


def cell_labels(mdata: MuData, column: str, rna: str, atac: str) -> NDArray[np.str_]:
    """Read a column of cell annotation, wherever it is kept."""
    for place in (mdata, mdata.mod[rna], mdata.mod[atac]):
        if column in place.obs:
            values = place.obs[column]
            if values.isna().any():
                msg = f"obs['{column}'] is missing for {int(values.isna().sum())} of {len(values)} cells."
                raise InputError(msg)
            return np.asarray(values.astype(str))
    have = sorted({*mdata.obs.columns, *mdata.mod[rna].obs.columns, *mdata.mod[atac].obs.columns})
    msg = f"No obs column '{column}'. There are: {have}."
    raise InputError(msg)
