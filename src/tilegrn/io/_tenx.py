"""The count matrix of a 10x multiome run, told from the many other HDF5 files that single-cell work is full of."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tilegrn._core.mudata import no_pull
from tilegrn._core.text import existing_file
from tilegrn.errors import InputError
from tilegrn.io._tenx_outs import companions, find_matrix, peak_annotation, read_mtx_folder
from tilegrn.io.h5mu._h5check import is_group, is_link, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mudata import MuData

__all__ = ["read_10x"]

_ARRAYS = ("barcodes", "data", "indices", "indptr", "shape")
_FEATURES = ("id", "name", "feature_type")
_LEGACY = frozenset({"barcodes", "data", "indices", "indptr", "shape"})
_WANTED = {"rna": "Gene Expression", "atac": "Peaks"}
_PIECE = 1 << 22
_GIVE = "Give the filtered_feature_bc_matrix.h5 that cellranger-arc count made."


def read_10x(path: str | Path, *, duplicates: Literal["error", "drop"] = "error") -> MuData:
    """Read the counts of a 10x multiome run, with what Cell Ranger ARC left beside them.

    Parameters
    ----------
    path
        ``filtered_feature_bc_matrix.h5``; the folder ``outs/`` of Cell Ranger ARC, of which the h5 is read if it is
        there; or ``filtered_feature_bc_matrix/`` with ``matrix.mtx``, ``features.tsv`` and ``barcodes.tsv``, plain or
        gzipped.
    duplicates
        What to do with gene symbols that occur more than once (a 10x reference holds a few): raise, or drop all genes
        of such symbols with a warning. They are never renamed, as ``TBCE-1`` would be no gene of any TSS table.

    Returns
    -------
    MuData with the modalities ``rna`` and ``atac``. Kept are, where 10x gives them and named as muon names them:

    ``rna.var["gene_ids"]``, ``rna.var["interval"]``
        Identifiers and places of genes.
    ``atac.uns["atac"]["peak_annotation"]``
        Of ``atac_peak_annotation.tsv`` beside the matrix: a table indexed by ``gene_name`` with ``peak``, ``distance``
        (bp) and ``peak_type``.
    ``atac.uns["files"]["fragments"]``
        Path of ``atac_fragments.tsv.gz`` beside the matrix. The file is not read.

    Raises
    ------
    InputError
        The file is missing, is no 10x matrix (the message says what it is and how to read that), is damaged, lacks one
        of the two modalities, or symbols are repeated; or what lies beside it is damaged.

    Examples
    --------
    >>> mdata = grn.io.read_10x("filtered_feature_bc_matrix.h5")
    >>> list(mdata.mod)
    ['rna', 'atac']
    """
    if duplicates not in {"error", "drop"}:
        msg = f"duplicates is '{duplicates}'; it must be 'error' or 'drop'."
        raise InputError(msg)
    given = Path(path).expanduser()
    file = find_matrix(given) if given.is_dir() else existing_file(given, "The 10x file")
    mdata = _of_folder(file) if file.is_dir() else _of_h5(file)
    names = mdata["rna"].var_names
    if not names.is_unique:
        twice = [str(n) for n in names[names.duplicated()].unique()]
        text = f"{len(twice)} gene symbols occur more than once in '{file}' ({', '.join(twice[:5])})"
        if duplicates == "error":
            msg = f"{text}. Drop them with grn.io.read_10x(path, duplicates='drop')."
            raise InputError(msg)
        warnings.warn(f"{text}; these genes are dropped.", UserWarning, stacklevel=2)
        with _quiet():
            once = mdata["rna"][:, ~names.duplicated(keep=False)].copy()
            mdata = type(mdata)({**mdata.mod, "rna": once})
    annotation, fragments = companions(file)
    uns = mdata["atac"].uns
    if annotation is not None:
        uns["atac"] = {"peak_annotation": peak_annotation(annotation, mdata["rna"].var)}
    if fragments is not None:
        uns["files"] = {"fragments": str(fragments)}
    return mdata


def _of_h5(file: Path) -> MuData:
    """Read an h5 file through muon."""
    _check(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what muon's own imports say about themselves
        import muon
    with _quiet():
        try:
            mdata: MuData = muon.read_10x_h5(file, extended=False)  # else it prints, and opens what lies beside
        except Exception as err:  # scanpy raises a bare Exception; whatever it is, the file is to be named
            msg = f"'{file}' cannot be read as a 10x h5 file: {err}"
            raise InputError(msg) from err
    return mdata


def _of_folder(folder: Path) -> MuData:
    """Read a folder of a Matrix Market file."""
    import mudata

    adata = read_mtx_folder(folder)
    _refuse_lone(Counter(adata.var["feature_types"]), folder)
    with _quiet():
        mdata: MuData = mudata.MuData(
            {n: adata[:, (adata.var["feature_types"] == kind).to_numpy()].copy() for n, kind in _WANTED.items()}
        )
    return mdata


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep anndata and mudata from telling of repeated symbols, which are dealt with here."""
    with warnings.catch_warnings(), no_pull():
        warnings.filterwarnings(
            "ignore", message=r".*(var_names|Variable names) (are|is) not unique", category=UserWarning
        )
        yield


def _check(path: Path) -> None:
    """Raise unless a file holds a whole 10x matrix of genes and peaks."""
    import h5py

    try:
        handle = h5py.File(path, "r")
    except OSError as err:
        msg = f"'{path}' cannot be read as a 10x h5 file: it is no HDF5 file, or cut short ({err}). {_GIVE}"
        raise InputError(msg) from err
    with handle as file:
        try:
            other = _other_kind(file, path)
            if other:
                msg = f"'{path}' is no 10x feature-barcode matrix: it is {other}"
                raise InputError(msg)
            walk(file, path)
            _check_matrix(file["matrix"], path)
        except InputError:
            raise
        except Exception as err:
            msg = f"'{path}' cannot be read as a 10x h5 file: its structure is damaged ({err}). Copy it again."
            raise InputError(msg) from err


def _other_kind(file: Any, path: Path) -> str:
    """Say what kind of HDF5 file it is, and what reads it; empty for a 10x matrix."""
    keys = set(file)
    encoding = file.attrs.get("encoding-type", "")
    build = "mudata.MuData({'rna': ..., 'atac': ...})"
    if "mod" in keys or encoding == "MuData":
        return f"an h5mu file. Read it with grn.io.read_h5mu('{path}')."
    if encoding == "anndata" or {"obs", "var"} <= keys:
        return f"an h5ad file. Read it with anndata.read_h5ad('{path}'), and pair RNA and ATAC with {build}."
    if {"row_attrs", "col_attrs"} & keys:
        return f"a loom file. Read it with anndata.io.read_loom('{path}'), and pair RNA and ATAC with {build}."
    if {"umi", "umis"} & keys and {"barcode_idx", "barcode"} & keys:
        return f"a molecule_info file (single molecules, no matrix). {_GIVE}"
    legacy = [k for k in sorted(keys) if is_group(file, k) and set(file[k]) >= _LEGACY and k != "matrix"]
    if legacy:
        return (
            f"a matrix of Cell Ranger 2 or older (of {', '.join(legacy[:3])}), which has genes only. {_GIVE} Or read "
            f"it with scanpy.read_10x_h5('{path}', genome='{legacy[0]}'), and pair it with its peaks by {build}."
        )
    if {"assays", "cell.names"} <= keys:
        return "an h5Seurat file. Export RNA and ATAC as h5ad in R, and pair them with " + build + "."
    if "matrix" not in keys or not (is_group(file, "matrix") or is_link(file, "matrix")):
        held = ", ".join(sorted(keys)[:6]) or "nothing"
        return f"an HDF5 file without the group 'matrix' (it holds {held}). {_GIVE}"
    return ""


def _check_matrix(matrix: Any, path: Path) -> None:
    import h5py

    features = matrix.get("features", {})
    lost = [k for k in _ARRAYS if k not in matrix] + [f"features/{k}" for k in _FEATURES if k not in features]
    if lost:
        msg = f"'{path}' is no whole 10x feature-barcode matrix: 'matrix' lacks {', '.join(lost)}. {_GIVE}"
        raise InputError(msg)
    for part, dtypes in (("data", "iuf"), ("indices", "iu"), ("indptr", "iu"), ("shape", "iu")):
        data = matrix[part]
        if not isinstance(data, h5py.Dataset) or data.dtype.kind not in dtypes or len(data.shape or ()) != 1:
            msg = f"'{path}' is damaged: matrix/{part} is no list of numbers. Copy it again."
            raise InputError(msg)
    if matrix["shape"].shape != (2,):
        msg = f"'{path}' is damaged: matrix/shape holds {matrix['shape'].shape} numbers, not 2. Copy it again."
        raise InputError(msg)
    n_features, n_cells = (int(n) for n in matrix["shape"][:])
    n_values = len(matrix["data"])
    indptr = matrix["indptr"][:].astype(np.int64)
    fits = (
        len(features["id"]) == len(features["name"]) == len(features["feature_type"]) == n_features
        and len(matrix["barcodes"]) == n_cells == len(indptr) - 1
        and len(matrix["indices"]) == n_values == int(indptr[-1])
        and int(indptr[0]) == 0
        and bool((np.diff(indptr) >= 0).all())
    )
    if not fits:
        msg = (
            f"'{path}' is damaged: the parts of its matrix do not fit each other (shape {n_features} x {n_cells}, "
            f"{len(features['id'])} features, {len(matrix['barcodes'])} barcodes, {n_values} values). Copy it again."
        )
        raise InputError(msg)
    for start in range(0, n_values, _PIECE):
        piece = matrix["indices"][start : start + _PIECE]
        if piece.min() < 0 or piece.max() >= n_features:
            msg = f"'{path}' is damaged: its matrix points to features outside its {n_features}. Copy it again."
            raise InputError(msg)
    _refuse_lone(Counter(k.decode() if isinstance(k, bytes) else str(k) for k in features["feature_type"][:]), path)


def _refuse_lone(kinds: Counter[str], path: Path) -> None:
    """Raise unless there are genes and peaks."""
    missing = [name for name, kind in _WANTED.items() if kind not in kinds]
    if missing:
        held = ", ".join(f"{n:,} of type '{k}'" for k, n in kinds.most_common(4)) or "none"
        msg = (
            f"'{path}' holds no {' and no '.join(missing)} features (it has {held}); a multiome run has genes and "
            f"peaks. {_GIVE} If they lie in two files, read each with scanpy.read_10x_h5(path, gex_only=False), and "
            "pair them with mudata.MuData({'rna': ..., 'atac': ...})."
        )
        raise InputError(msg)
