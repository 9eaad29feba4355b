"""The counts, cells and features of an h5ad file, and nothing else of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy import sparse

from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5check import is_group, oddity, walk

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_parts"]


def read_parts(path: Path, layer: str | None) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Read a matrix of an h5ad file with its cells and features, after looking through the file.

    Fragments that SnapATAC2 keeps in ``obsm``, embeddings and graphs stay where they are.

    Returns
    -------
    Matrix, ``obs`` and ``var``.

    Raises
    ------
    InputError
        The file is no h5ad, is damaged or unsafe, or has no such layer.
    """
    import h5py
    from anndata.io import read_elem

    try:
        handle = h5py.File(path, "r")
    except OSError as err:
        msg = f"'{path}' cannot be read as h5ad: it is no HDF5 file, or cut short ({err}). Copy or write it again."
        raise InputError(msg) from err
    with handle as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what anndata says of files that older versions wrote
        try:
            walk(file, path)
            _refuse_others(file, path)
            place, features = ("raw/X", "raw/var") if layer == "raw" else (f"layers/{layer}" if layer else "X", "var")
            missing = [p for p in (place, features, "obs") if p not in file]
            if missing:
                has = sorted(file["layers"]) if "layers" in file else []
                msg = f"'{path}' holds no {missing[0]}; its layers are {has}, and 'raw' is .raw."
                raise InputError(msg)
            matrix, obs, var = read_elem(file[place]), read_elem(file["obs"]), read_elem(file[features])
        except InputError:
            raise
        except MemoryError as err:
            msg = f"'{path}' is too large for the memory that is left. Take fewer cells, or use a larger machine."
            raise InputError(msg) from err
        except Exception as err:  # of HDF5, anndata or pandas on damaged structure
            msg = f"'{path}' cannot be read as h5ad: {err}. Copy or write it again."
            raise InputError(msg) from err
    if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame) or getattr(matrix, "ndim", 0) != 2:
        msg = f"'{path}' cannot be read as h5ad: its matrix, cells or features are of another kind. Write it again."
        raise InputError(msg)
    if matrix.shape != (len(obs), len(var)):
        msg = f"'{path}' is damaged: {matrix.shape} values for {len(obs)} cells and {len(var)} features. Copy it again."
        raise InputError(msg)
    odd = oddity(matrix) if sparse.issparse(matrix) and matrix.format in {"csr", "csc"} else ""
    if odd:
        msg = f"'{path}' is damaged: its matrix is none ({odd}). Copy or write it again."
        raise InputError(msg)
    return matrix, obs, var


def _refuse_others(file: Any, path: Path) -> None:
    keys = set(file)
    encoding = file.attrs.get("encoding-type", "")
    if "mod" in keys or encoding == "MuData":
        msg = f"'{path}' is an h5mu file: grn.io.read_h5mu('{path}')."
    elif is_group(file, "matrix"):
        msg = f"'{path}' is a 10x file: grn.io.read_10x('{path}')."
    elif "_dataset" in keys or "anndatas" in keys or encoding == "AnnDataSet":
        msg = f"'{path}' is an AnnDataSet of SnapATAC2, which points to other files: write dataset.to_adata() as h5ad."
    elif not {"obs", "var"} <= keys:
        msg = f"'{path}' is no h5ad file: it holds {sorted(map(str, keys))[:6]}."
    else:
        return
    raise InputError(msg)
