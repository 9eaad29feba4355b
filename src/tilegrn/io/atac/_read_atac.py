"""Accessibility matrices of Signac, ArchR, SnapATAC2 and others, with peaks named as tilegrn reads them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.peaks import parse_peaks
from tilegrn._core.text import existing_file
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import read_chrom_sizes
from tilegrn.io.atac._cells import named, read_barcodes
from tilegrn.io.atac._h5ad import read_parts
from tilegrn.io.atac._mtx import read_counts
from tilegrn.io.atac._places import COORDINATES, of_names, of_table, read_places, settled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from tilegrn.io.atac._places import Base, Places

__all__ = ["read_atac"]

_MATRIX = ("matrix.mtx", "counts.mtx")
_BARCODES = ("barcodes.tsv", "barcodes.txt", "barcodes.csv", "cells.tsv", "cells.txt", "cells.csv")
_FEATURES = tuple(f"{stem}.{end}" for stem in ("peaks", "features", "tiles") for end in ("bed", "tsv", "csv", "txt"))


class _Wish(NamedTuple):
    """What the caller says of features and cells."""

    start: Base | None
    width: int | None
    cell_names: str
    sizes: Mapping[str, int] | None


def read_atac(
    source: str | Path | AnnData,
    *,
    start: Base | None = None,
    width: int | None = None,
    features: str | Path | pd.DataFrame | Any | None = None,
    barcodes: str | Path | Sequence[str] | None = None,
    layer: str | None = None,
    cell_names: str = "{cell}",
    chrom_sizes: str | Path | Mapping[str, int] | None = None,
) -> AnnData:
    """Read accessibility that another tool has counted, in peaks or in tiles, for the modality ``atac``.

    Parameters
    ----------
    source
        - A folder with a Matrix Market file (``matrix.mtx``), a list of cells (``barcodes.tsv``) and one of features
          (``peaks.bed``, ``features.tsv``, ``peaks.csv``), each plain or gzipped; or the Matrix Market file itself.
          The matrix may be features x cells or cells x features.
        - An h5ad file: only its counts, ``obs`` and ``var`` are read.
        - An AnnData. It is left as it is.
    start
        Where positions begin. ``"0-based"``: the end is no part of the peak, as in BED. ``"1-based"``: both ends are
        part of it, as in a GRanges of R. None takes what the source says: it is a BED file, or has a column of widths;
        or proves: a position is 0, or all lie on the grid of tiles. Where it does neither, or what is given contradicts
        a proof, that is an error: a shift of one base is never guessed.
    width
        Width in bp of tiles that are listed by their starts alone (ArchR's TileMatrix); taken from the columns
        ``start`` and ``idx`` where both are there.
    features, barcodes
        Lists to use in the place of those in the folder: paths, or a table of ``chrom, start, end`` (also
        ``seqnames, start, end``, or a PyRanges) and names of cells.
    layer
        Of an h5ad or AnnData: layer with the counts, ``"raw"`` for ``.raw`` (where SeuratDisk puts them), X by default.
    cell_names
        How to name cells, with ``{cell}`` (the name as it is) and, of names such as ArchR's ``sample#barcode``,
        ``{sample}`` and ``{barcode}``: ``"{barcode}"`` for one sample, ``"{barcode}-{sample}"`` for several.
    chrom_sizes
        Assembly, file or mapping as in :func:`tilegrn.pp.bin_peaks`: the last tile of a chromosome is cut at its end,
        which ArchR does not do.

    Returns
    -------
    AnnData: cells x features, CSR float32. ``var_names`` are ``chrom:start-end``, 0-based and half-open; ``var`` has
    ``chrom``, ``start``, ``end`` (bp, int64), ``source_name`` and what else the source says. ``obs`` is the source's,
    with ``sample`` where cells are named ``sample#barcode``.

    Raises
    ------
    InputError
        If a file is missing, damaged, or does not fit the others; if names repeat, hold no interval, or do not say
        where they begin; if values are negative or not finite.

    Examples
    --------
    >>> atac = grn.io.read_atac("atac.h5ad", start="0-based")
    >>> mdata = grn.io.join(ad.read_h5ad("rna.h5ad"), atac)
    """
    from anndata import AnnData

    if start not in (None, "0-based", "1-based"):
        msg = f"start='{start}' must be '0-based' (as in BED) or '1-based' (as in R)."
        raise InputError(msg)
    sizes = read_chrom_sizes(chrom_sizes) if chrom_sizes is not None else None
    wish = _Wish(start, width, cell_names, sizes)
    if isinstance(source, AnnData):
        where = "the AnnData"
        matrix, obs, var = _of_memory(source, layer)
    else:
        path = Path(source).expanduser()
        where = f"'{path}'"
        if path.is_dir() or ".mtx" in path.suffixes:
            return _of_folder(path, features, barcodes, wish)
        matrix, obs, var = read_parts(existing_file(path, "The accessibility file"), layer)
    if features is not None or barcodes is not None:
        msg = "features and barcodes go with a Matrix Market file; an h5ad or AnnData has its own names."
        raise InputError(msg)
    return _assembled(_counts(matrix, where), obs, var, _places_of_var(var, where), where, wish)


def _of_memory(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    if layer == "raw":
        if adata.raw is None:
            msg = "layer='raw' was asked for, but the AnnData has no .raw."
            raise InputError(msg)
        return adata.raw.X, adata.obs, adata.raw.var
    if layer is not None and layer not in adata.layers:
        msg = f"The AnnData has no layer '{layer}'; it has {[k for k in adata.layers if k]}, and 'raw' is .raw."
        raise InputError(msg)
    return adata.X if layer is None else adata.layers[layer], adata.obs, adata.var


def _places_of_var(var: pd.DataFrame, where: str) -> Places:
    """Read the places of features from their names or, if these hold none, from columns."""
    names = [str(n) for n in var.index]
    columns = of_table(var, where, names)
    try:
        read = of_names(names)
    except InputError:
        if columns is None:
            raise
        return columns
    fits = columns is not None and columns.end is not None and (columns.start == read.start).all()
    return columns if columns is not None and fits else read


def _of_folder(path: Path, features: Any, barcodes: Any, wish: _Wish) -> AnnData:
    folder = path if path.is_dir() else path.parent
    matrix = path if not path.is_dir() else _the_matrix(folder)
    existing_file(matrix, "The matrix")
    if isinstance(features, (str, Path)) or features is None:
        listed = existing_file(features, "The list of features") if features else _beside(folder, _FEATURES, "features")
        places, where = read_places(listed), f"'{listed}'"
    else:
        table, where = getattr(features, "df", features), "features="
        found = of_table(table, where) if isinstance(table, pd.DataFrame) else None
        if found is None:
            msg = "features must be a path, or a table (or PyRanges) with columns for chromosome, start and end."
            raise InputError(msg)
        places = found
    if barcodes is None or isinstance(barcodes, (str, Path)):
        cells = read_barcodes(
            existing_file(barcodes, "The list of barcodes") if barcodes else _beside(folder, _BARCODES, "barcodes")
        )
    else:
        cells = [str(c) for c in barcodes]
    counts = read_counts(matrix, len(places.start), len(cells))
    obs, var = pd.DataFrame(index=pd.Index(cells)), pd.DataFrame(index=pd.Index(places.names))
    return _assembled(counts, obs, var, places, where, wish)


def _the_matrix(folder: Path) -> Path:
    found = [p for n in _MATRIX for p in (folder / n, folder / f"{n}.gz") if p.is_file()]
    found = found or sorted([*folder.glob("*.mtx"), *folder.glob("*.mtx.gz")])
    if len(found) != 1:
        has = [p.name for p in found] or "none"
        msg = f"'{folder}' must hold one Matrix Market file (matrix.mtx or matrix.mtx.gz); it has {has}. Give its path."
        raise InputError(msg)
    return found[0]


def _beside(folder: Path, names: Sequence[str], what: str) -> Path:
    found = [p for n in names for p in (folder / n, folder / f"{n}.gz") if p.is_file()]
    if not found:
        has = sorted(p.name for p in folder.iterdir())[:8]
        msg = (
            f"'{folder}' has no list of {what} ({', '.join(names[:4])}, ..., plain or gzipped); it has {has}. Give its "
            f"path: grn.io.read_atac(path, {what}=...)."
        )
        raise InputError(msg)
    return found[0]


def _counts(matrix: Any, where: str) -> sparse.csr_matrix:
    """CSR float32 of its own, refusing what is no accessibility."""
    if matrix is None:
        msg = f"{where} has no X. Name the layer of the counts with layer=."
        raise InputError(msg)
    if hasattr(matrix, "to_memory"):
        matrix = matrix.to_memory()
    if hasattr(matrix, "compute"):
        matrix = matrix.compute()
    try:
        counts = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
        counts.sum_duplicates()
    except (TypeError, ValueError) as err:
        msg = f"The matrix of {where} holds no numbers ({err}). Name the layer of the counts with layer=."
        raise InputError(msg) from err
    if not np.isfinite(counts.data).all() or (counts.data < 0).any():
        msg = f"{where} holds negative or infinite values. Name the layer of the counts: layer= ('raw' for .raw)."
        raise InputError(msg)
    return counts


def _assembled(
    counts: sparse.csr_matrix,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    places: Places,
    where: str,
    wish: _Wish,
) -> AnnData:
    from anndata import AnnData

    begin, end = settled(places, where, start=wish.start, width=wish.width, sizes=wish.sizes)
    names = [f"{c}:{a}-{b}" for c, a, b in zip(places.chrom, begin, end, strict=True)]
    parse_peaks(names)
    cells, sample = named(obs.index, wish.cell_names, where)
    spelled = {s for spellings in COORDINATES.values() for s in spellings}
    kept = var[[c for c in var.columns if str(c).strip().lower() not in spelled]]
    table = pd.DataFrame({"chrom": places.chrom, "start": begin, "end": end, "source_name": places.names}, index=names)
    table = table.join(kept.set_axis(table.index)[[c for c in kept.columns if c not in table]])
    rows = obs.set_axis(cells)
    if sample is not None and "sample" not in rows:
        rows = rows.assign(sample=sample)
    if len(counts.data) and (counts.data != np.rint(counts.data)).any():
        warnings.warn(
            f"{where} holds values that are no whole numbers: normalised, such as Signac's TF-IDF? Counts may be in "
            "another layer: layer='raw' is .raw.",
            UserWarning,
            stacklevel=3,
        )
    return AnnData(counts, obs=rows, var=table)
