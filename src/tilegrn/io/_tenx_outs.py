"""A folder of Cell Ranger ARC: which matrix to read, and what lies beside it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core.text import read_text
from tilegrn.errors import InputError
from tilegrn.io.atac._cells import read_barcodes
from tilegrn.io.atac._mtx import read_counts

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["companions", "find_matrix", "peak_annotation", "read_mtx_folder"]

MATRIX = "filtered_feature_bc_matrix"
_ANNOTATION, _FRAGMENTS = "atac_peak_annotation.tsv", "atac_fragments.tsv.gz"
_COLUMNS = 3


def find_matrix(folder: Path) -> Path:
    """Return the h5 file, else the folder of the Matrix Market file, that a folder of Cell Ranger ARC holds.

    Raises
    ------
    InputError
        If there is neither; the message says what there is.
    """
    for place in (folder, folder / "outs"):
        if (place / f"{MATRIX}.h5").is_file():
            return place / f"{MATRIX}.h5"
        for inner in (place, place / MATRIX):
            if any((inner / n).is_file() for n in ("matrix.mtx.gz", "matrix.mtx")):
                return inner
    has = sorted(p.name for p in folder.iterdir())[:8]
    msg = (
        f"'{folder}' holds no {MATRIX}.h5, no folder {MATRIX}/ and no matrix.mtx(.gz); it has {has}. Give the outs/ "
        "folder of cellranger-arc count, or its matrix."
    )
    raise InputError(msg)


def companions(matrix: Path) -> tuple[Path | None, Path | None]:
    """Return peak annotation and fragments beside a matrix, which downloads prefix by the name of the sample."""
    prefix = "" if matrix.is_dir() else matrix.name.partition(MATRIX)[0]
    found = [matrix.parent / f"{prefix}{name}" for name in (_ANNOTATION, _FRAGMENTS)]
    annotation, fragments = (p if p.is_file() else None for p in found)
    return annotation, fragments


def read_mtx_folder(folder: Path) -> AnnData:
    """Read ``matrix.mtx``, ``features.tsv`` and ``barcodes.tsv`` (plain or gzipped) of genes and peaks.

    Returns
    -------
    AnnData, cells x features, CSR float32, with ``gene_ids``, ``feature_types`` and, where the features have places,
    ``interval`` in ``var``, as scanpy names them.

    Raises
    ------
    InputError
        If a file is missing, damaged, or does not fit the others.
    """
    from anndata import AnnData

    paths = {}
    for name in ("matrix.mtx", "features.tsv", "barcodes.tsv"):
        paths[name] = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    lost = [n for n, p in paths.items() if p is None]
    if lost:
        has = sorted(p.name for p in folder.iterdir())[:8]
        msg = f"'{folder}' lacks {', '.join(lost)} (plain or gzipped); it has {has}. Copy the whole folder."
        raise InputError(msg)
    features, cells = paths["features.tsv"], read_barcodes(Path(str(paths["barcodes.tsv"])))
    rows = [line.split("\t") for line in read_text(Path(str(features))).splitlines() if line.strip()]
    short = next((i for i, row in enumerate(rows) if len(row) < _COLUMNS), None)
    if not rows or short is not None:
        msg = f"'{features}', line {(short or 0) + 1}: not id, name and type, separated by tabs. Copy it again."
        raise InputError(msg)
    var = pd.DataFrame(
        {"gene_ids": [r[0] for r in rows], "feature_types": [r[2].strip() for r in rows]},
        index=pd.Index([r[1] for r in rows]),
    )
    if any(len(r) >= 6 for r in rows):
        var["interval"] = [f"{r[3]}:{r[4]}-{r[5].strip()}" if len(r) >= 6 and r[3] else "NA" for r in rows]
    counts = read_counts(Path(str(paths["matrix.mtx"])), len(rows), len(cells))
    return AnnData(counts, obs=pd.DataFrame(index=pd.Index(cells)), var=var)


def peak_annotation(path: Path, genes: pd.DataFrame) -> pd.DataFrame:
    """Read Cell Ranger's peak annotation as muon keeps it: one row per peak and gene, indexed by ``gene_name``.

    Parameters
    ----------
    path
        ``chrom, start, end`` or ``peak``, with ``gene``, ``distance`` and ``peak_type``, whose entries ``;`` separates.
    genes
        ``var`` of the RNA, by which gene ids are turned into symbols.

    Returns
    -------
    DataFrame with ``peak`` (``chrom:start-end``), ``distance`` (bp; int64, or float64 where some are missing) and
    ``peak_type``; ``""`` is the name of no gene.

    Raises
    ------
    InputError
        If columns are missing or cannot be read.
    """
    try:
        table = pd.read_csv(io.StringIO(read_text(path)), sep="\t", dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as err:
        msg = f"'{path}' cannot be read as a table: {err}. Copy it again, or move it away."
        raise InputError(msg) from err
    missing = [c for c in ("gene", "distance", "peak_type") if c not in table]
    if "peak" in table:
        peak = table["peak"].str.replace(r"^(.+)_([0-9]+)_([0-9]+)$", r"\1:\2-\3", regex=True)
    elif {"chrom", "start", "end"} <= set(table):
        peak = table["chrom"] + ":" + table["start"] + "-" + table["end"]
    else:
        missing.append("peak")
    if missing:
        msg = f"'{path}' has no column {missing}; it has {list(map(str, table.columns))}. Mend or move it."
        raise InputError(msg)
    lists = {c: table[c].str.split(";") for c in ("gene", "distance", "peak_type")}
    sizes = {c: v.str.len().to_numpy() for c, v in lists.items()}
    uneven = np.flatnonzero((sizes["gene"] != sizes["distance"]) | (sizes["gene"] != sizes["peak_type"]))
    if len(uneven):
        msg = f"'{path}': row {uneven[0] + 1} has unlike numbers of genes, distances and types. Copy it again."
        raise InputError(msg)
    long = pd.DataFrame({"peak": peak, **lists}).explode(list(lists), ignore_index=True)
    distance = pd.to_numeric(long["distance"], errors="coerce")
    odd = np.flatnonzero(distance.isna() & (long["distance"] != ""))
    if len(odd):
        msg = f"'{path}': '{long['distance'].iloc[odd[0]]}' is no distance in bp. Copy it again."
        raise InputError(msg)
    whole = distance.notna().all() and (distance == distance.round()).all()
    name = long["gene"].astype(object)
    if "gene_ids" in genes and not name.isin(genes.index).any() and name.isin(genes["gene_ids"]).any():
        symbol = dict(zip(genes["gene_ids"].astype(str), genes.index.astype(str), strict=True))
        name = name.map(lambda g: symbol.get(g, ""))
    return pd.DataFrame(
        {
            "peak": long["peak"].to_numpy(object),
            "distance": distance.astype(np.int64 if whole else np.float64).to_numpy(),
            "peak_type": long["peak_type"].to_numpy(object),
        },
        index=pd.Index(name.to_numpy(object), name="gene_name"),
    )
