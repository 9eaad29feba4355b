"""Matrix Market files, whose header is believed only as far as the lists beside it and the size of the file go."""

from __future__ import annotations

import gzip
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_bytes", "read_counts"]

_HEAD_BYTES = 1 << 16
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
    rows, columns, values = _header(path)
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
    from scipy.io import mmread

    try:
        with open_bytes(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error")
            found = mmread(file)
    except MemoryError as err:
        msg = f"'{path}' is too large for the memory that is left. Take fewer cells, or use a larger machine."
        raise InputError(msg) from err
    except (ValueError, TypeError, OverflowError, OSError, EOFError, zlib.error, Warning) as err:
        msg = f"'{path}' cannot be read as a Matrix Market file: {err}. Copy or export it again."
        raise InputError(msg) from err
    matrix = sparse.csr_matrix(found.T if across else found, dtype=np.float32)
    matrix.sum_duplicates()
    if matrix.shape != (n_cells, n_features) or not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        msg = f"'{path}' holds negative or infinite values, which are no counts. Export the raw counts."
        raise InputError(msg)
    return matrix


def _header(path: Path) -> tuple[int, int, int]:
    """Rows, columns and entries that the file claims to have."""
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
        return rows, columns, values
    msg = f"'{path}' is damaged: the line with its rows, columns and entries cannot be read. Export it again."
    raise InputError(msg)


def _refuse_claims(path: Path, values: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as raw:
        most = size * (_RATIO if raw.read(2) == b"\x1f\x8b" else 1) // _LEAST_LINE
    if values > most:
        msg = f"'{path}' has {size:,} bytes but claims to hold {values:,} entries; it is cut short or damaged."
        raise InputError(msg)
