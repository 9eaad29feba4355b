"""Matrix Market files, whose header is believed only as far as the lists beside it and the size of the file go."""

from __future__ import annotations

import gzip
import warnings
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["open_bytes", "read_counts"]

_HEAD_BYTES = 1 << 16
_CHUNK = 4_000_000
_LEAST_LINE = 4
"""Bytes of the shortest entry: row, blank, column, line end."""
_RATIO = 300
"""What gzip makes of such text at most, with room to spare (about 5 in practice); beyond lie bombs."""


def open_bytes(path: Path) -> Any:
    """Open a file for reading bytes, unpacked if its first bytes say gzip."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def read_counts(path: Path, n_features: int, n_cells: int) -> sparse.csr_matrix:
    """Read a Matrix Market file of features x cells (or cells x features) as cells x features.

    Parameters
    ----------
    path
        Plain or gzipped.
    n_features, n_cells
        Lengths of the lists that name its rows and columns. Where both are equal, rows are features, as 10x, Signac and
        ArchR write them.

    Returns
    -------
    Cells x features, CSR, float32; ones for a matrix of the kind ``pattern``.

    Raises
    ------
    InputError
        If the header is none, claims another shape than the lists or more entries than the file can hold, or an entry
        is damaged, negative or not finite.
    """
    rows, columns, values, pattern = _header(path)
    if (rows, columns) == (n_features, n_cells):
        across = True
    elif (columns, rows) == (n_features, n_cells):
        across = False
    else:
        msg = (
            f"'{path}' is {rows:,} x {columns:,}, but the lists beside it name {n_features:,} features and "
            f"{n_cells:,} cells. All three must come from one export."
        )
        raise InputError(msg)
    _refuse_claims(path, values)
    at = _entries(path, values, (rows, columns), pattern=pattern)
    cell, feature = (at[1], at[0]) if across else (at[0], at[1])
    matrix = sparse.csr_matrix((at[2], (cell, feature)), shape=(n_cells, n_features))
    matrix.sum_duplicates()
    return matrix


def _entries(
    path: Path, n_values: int, shape: tuple[int, int], *, pattern: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Read rows and columns (from 0) and values, by pandas: scipy's reader crashes on damaged files."""
    row, column = np.empty(n_values, dtype=np.int32), np.empty(n_values, dtype=np.int32)
    value = np.ones(n_values, dtype=np.float32)
    names = ["row", "column"] if pattern else ["row", "column", "value"]
    done = 0
    try:
        with open_bytes(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", category=Warning)  # pandas warns of lines that are too long
            _skip_header(file)
            if n_values:
                parts = pd.read_csv(file, sep=r"\s+", header=None, names=names, index_col=False, chunksize=_CHUNK)
                for part in parts:
                    end = done + len(part)
                    if end > n_values:
                        done = n_values + 1
                        break
                    for place, name, size in ((row, "row", shape[0]), (column, "column", shape[1])):
                        number = part[name].to_numpy()
                        if number.dtype.kind not in "iu" or number.min() < 1 or number.max() > size:
                            _damaged(path, f"an entry lies outside of {shape[0]:,} x {shape[1]:,}, or is no number")
                        place[done:end] = number - 1
                    if not pattern:
                        held = part["value"].to_numpy()
                        if held.dtype.kind not in "iuf" or not np.isfinite(held).all() or (held < 0).any():
                            msg = f"'{path}' holds negative or infinite values, or none where counts should be. "
                            raise InputError(msg + "Export the raw counts.")
                        value[done:end] = held
                    done = end
            elif any(line.strip() for line in file):
                done = 1
    except MemoryError as err:
        msg = f"'{path}' is too large for the memory that is left. Take fewer cells, or use a larger machine."
        raise InputError(msg) from err
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, OSError, EOFError, zlib.error, Warning) as err:
        msg = f"'{path}' cannot be read as a Matrix Market file: {err}. Copy or export it again."
        raise InputError(msg) from err
    if done != n_values:
        _damaged(path, f"its header names {n_values:,} entries, and it has {'fewer' if done < n_values else 'more'}")
    return row, column, value


def _damaged(path: Path, what: str) -> NoReturn:
    msg = f"'{path}' is damaged: {what}. Copy or export it again."
    raise InputError(msg)


def _skip_header(file: Any) -> None:
    """Leave a file at its first entry."""
    next((line for line in file if line.strip() and not line.startswith(b"%")), None)


def _header(path: Path) -> tuple[int, int, int, bool]:
    """Rows, columns and entries that the file claims to have, and whether these have no values."""
    try:
        with open_bytes(path) as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as err:
        msg = f"'{path}' is damaged: its gzip stream cannot be unpacked ({err}). Copy or export it again."
        raise InputError(msg) from err
    lines = head.split(b"\n")
    words = lines[0].decode("latin-1").lower().split()
    if words[:1] != ["%%matrixmarket"] or len(words) != 5:
        msg = f"'{path}' is no Matrix Market file: its first line is '{lines[0][:60].decode('latin-1')}'."
        raise InputError(msg)
    kind = " ".join(words[1:])
    if words[2] != "coordinate" or words[3] not in ("integer", "real", "pattern") or words[4] != "general":
        msg = (
            f"'{path}' is a '{kind}'; a sparse matrix of counts is needed ('matrix coordinate integer general'). In R, "
            "Matrix::writeMM writes one of a dgCMatrix."
        )
        raise InputError(msg)
    for line in lines[1:-1] if len(head) == _HEAD_BYTES else lines[1:]:
        if not line.strip() or line.startswith(b"%"):
            continue
        sizes = line.split()
        if len(sizes) != 3 or not all(s.isdigit() and len(s) < 19 for s in sizes):
            break
        rows, columns, values = (int(s) for s in sizes)
        return rows, columns, values, words[3] == "pattern"
    msg = f"'{path}' is damaged: the line with its rows, columns and entries cannot be read. Export it again."
    raise InputError(msg)


def _refuse_claims(path: Path, values: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as raw:
        most = size * (_RATIO if raw.read(2) == b"\x1f\x8b" else 1) // _LEAST_LINE
    if values > most:
        msg = f"'{path}' has {size:,} bytes but claims to hold {values:,} entries; it is cut short or damaged."
        raise InputError(msg)
