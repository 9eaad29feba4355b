"""Transcription start sites from shipped tables, BED, GTF, DataFrames and PyRanges, in one form."""

from __future__ import annotations

import hashlib
import logging
import re
from importlib import resources
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._core.text import data_lines, existing_file, read_text, split_tabs
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import ASSEMBLIES, assembly_name
from tilegrn.io.annotation._gtf import read_gtf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["TSS_TABLES", "read_tss", "without_y_copies"]

logger = logging.getLogger(__name__)

TSS_TABLES = ("mm10", "hg38")
"""Assemblies whose RefSeq TSS table is shipped."""

_GENE_SPELLINGS = ("gene", "gene_name", "gene_symbol", "symbol", "name", "target_id", "gene_id")
_CHROM_SPELLINGS = ("chrom", "chr", "chromosome", "seqname", "seqnames", "seqid", "gene_chr")
_POS_SPELLINGS = ("pos", "tss", "position")
_START_SPELLINGS = ("start", "chromstart", "gene_start", "txstart")
_END_SPELLINGS = ("end", "chromend", "gene_end", "txend")
_HEADER_STARTS = frozenset(_START_SPELLINGS + _POS_SPELLINGS)
_ENSEMBL = re.compile(r"(ENS[A-Z]*[GT][0-9]{11})\.[0-9]+(_PAR_Y)?")
_NO_NAME = frozenset({"", ".", "nan", "None", "<NA>"})
_FARTHEST = 10**15
"""Position from which on a number is no position: the longest chromosomes hold a few 10^9 bp."""


def read_tss(source: str | Path | pd.DataFrame | Any, *, gene_key: str = "gene_name") -> pd.DataFrame:
    """Read transcription start sites.

    Parameters
    ----------
    source
        - ``"mm10"`` or ``"hg38"``: the shipped RefSeq tables;
        - the path of a BED file with the gene name in column 4 (plain or gzip): rows of 1 bp are the TSS itself; wider
          rows are genes, whose TSS is ``start`` on the ``+`` and ``end - 1`` on the ``-`` strand (column 6); rows of
          0 bp (``start == end``, as in the notebook's table) are read as ``start``;
        - the path of a GTF file: the starts of its transcripts, and of the genes it lists no transcript of. Those
          without a strand (``.``, ``?``), hence without a known TSS, and those without any name are left out with a
          warning; so are, logged, pseudoautosomal copies on chrY (``_PAR_Y``) of genes that chrX has by the same name,
          as references mask them;
        - a DataFrame with gene, chromosome and either a TSS column (``pos``, ``tss``; 0-based) or ``start`` and ``end``
          (0-based, half-open, read as BED rows), in the usual spellings;
        - a PyRanges object, as such a DataFrame.
    gene_key
        Which GTF attribute names the gene, ``"gene_name"`` or ``"gene_id"``; where ``gene_name`` is missing or empty,
        ``gene_id`` is used. Ensembl versions (``ENSG00000139618.19``) are cut off; ``_PAR_Y`` of an identifier stays.

    Returns
    -------
    DataFrame with ``gene``, ``chrom`` (object), ``pos`` (int64, 0-based position of the TSS base) and ``strand``
    (``+``, ``-``, or ``.`` if unknown), one row per TSS; a gene may have several. Rows that are equal are kept once.
    ``attrs`` holds ``origin`` (name or path) and ``sha256``, the hash of these rows, whatever the file's compression.

    Raises
    ------
    InputError
        With line or row, value and mend: missing columns, spaces in the place of tabs, positions that are negative or
        no integers, ``start > end``, a row wider than 1 bp without strand, no gene name, two Ensembl identifiers that
        differ only in their version, nothing at all.

    Examples
    --------
    >>> grn.io.read_tss("tss.bed").columns.tolist()
    ['gene', 'chrom', 'pos', 'strand']
    >>> len(grn.io.read_tss("mm10"))
    26546
    """
    if isinstance(source, pd.DataFrame):
        table, origin = _from_frame(pd.DataFrame(source), gene_key), "DataFrame"
    elif hasattr(source, "df") and isinstance(source.df, pd.DataFrame):
        table, origin = _from_frame(source.df, gene_key), "PyRanges"
    elif name := assembly_name(source):
        if name not in TSS_TABLES:
            msg = f"No TSS table of {name} is shipped, only of {', '.join(TSS_TABLES)}. Give a BED or GTF file of it."
            raise InputError(msg)
        with resources.as_file(resources.files("tilegrn").joinpath("data", f"{name}_refseq_tss.bed.gz")) as path:
            table, origin = _from_bed(read_text(path), f"{name} RefSeq TSSs"), name
    elif isinstance(source, (str, Path)):
        table, origin = _from_path(source, gene_key), str(source)
    else:
        msg = f"TSSs must be a name, a path, a DataFrame or PyRanges, not {type(source).__name__}."
        raise InputError(msg)
    if table.empty:
        msg = f"'{origin}' holds no transcription start sites."
        raise InputError(msg)
    n_rows = len(table)
    table = table.drop_duplicates(ignore_index=True)
    logger.info(
        "%s: %d TSSs of %d genes (%d repeated rows left out)",
        origin,
        len(table),
        table["gene"].nunique(),
        n_rows - len(table),
    )
    text = table.to_csv(sep="\t", index=False, lineterminator="\n")
    table.attrs = {"origin": origin, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return table


def _from_path(source: str | Path, gene_key: str) -> pd.DataFrame:
    if isinstance(source, str) and re.fullmatch(r"\w+", source) and not Path(source).exists():
        known = f"{', '.join(TSS_TABLES)} (of the assemblies {', '.join(ASSEMBLIES)})"
        msg = f"Unknown TSS table '{source}'. Shipped are {known}; else give a BED or GTF file."
        raise InputError(msg)
    path = existing_file(source, "The TSS file")
    text = read_text(path)
    suffixes = {s.lower() for s in path.suffixes}
    if suffixes & {".gff3", ".gff"}:
        msg = f"'{path}' is GFF3; give the GTF of the same annotation, or a BED file."
        raise InputError(msg)
    if suffixes & {".gtf"} or _looks_like_gtf(text):
        return _from_gtf(text, path, gene_key)
    return _from_bed(text, str(path))


def _looks_like_gtf(text: str) -> bool:
    first = next(data_lines(text[:100_000]), (0, ""))[1].split("\t")
    return len(first) == 9 and not first[1].strip().isdigit() and "gene_id" in first[8]


def _from_bed(text: str, where: str) -> pd.DataFrame:
    chrom: list[str] = []
    start: list[str] = []
    end: list[str] = []
    gene: list[str] = []
    strand: list[str] = []
    lines: list[int] = []
    for number, line in data_lines(text):
        fields = split_tabs(line, number, where, 4)
        if not lines and len(fields) > 1 and fields[1].lower() in _HEADER_STARTS:
            continue
        if len(fields) < 4:
            msg = (
                f"'{where}', line {number}: {len(fields)} columns; a BED of TSSs needs chrom, start, end and gene name "
                f"(and the strand in column 6 where rows are wider than 1 bp): '{line.strip()[:60]}'."
            )
            raise InputError(msg)
        chrom.append(fields[0])
        start.append(fields[1])
        end.append(fields[2])
        gene.append(fields[3])
        strand.append(fields[5] if len(fields) > 5 else ".")
        lines.append(number)
    places = [f"'{where}', line {n}" for n in lines]
    return _tss_rows(gene, chrom, _integers(start, places, "start"), _integers(end, places, "end"), strand, places)


def _integers(values: Sequence[Any], places: Sequence[str], what: str) -> NDArray[np.int64]:
    """Return int64 positions, or raise naming the first value that is none."""
    out = np.empty(len(values), dtype=np.int64)
    for i, value in enumerate(values):
        number = _whole(value)
        if number is None:
            msg = f"{places[i]}: {what} is {value!r}; it must be a whole number of bp, digits only."
            raise InputError(msg)
        if number < 0:
            msg = f"{places[i]}: {what} is {number}; positions are 0-based and never negative."
            raise InputError(msg)
        out[i] = number
    return out


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]{1,15}", value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return int(value) if -_FARTHEST < value < _FARTHEST and float(value).is_integer() else None


def _tss_rows(
    gene: Sequence[Any],
    chrom: Sequence[Any],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    strand: Sequence[Any],
    places: Sequence[str],
) -> pd.DataFrame:
    """Turn BED-like rows into TSSs."""
    strands = _strands(strand, places)
    wrong = np.flatnonzero(start > end)
    if len(wrong):
        i = int(wrong[0])
        msg = f"{places[i]}: start {start[i]} > end {end[i]} ({gene[i]}); give 0-based, half-open intervals."
        raise InputError(msg)
    wide = end - start > 1
    unknown = np.flatnonzero(wide & (strands == "."))
    if len(unknown):
        i = int(unknown[0])
        msg = (
            f"{places[i]}: '{gene[i]}' is {end[i] - start[i]} bp wide and has no strand, so its TSS is unknown "
            f"({len(unknown)} such rows). Give the strand (+ or -), or rows of 1 bp at the TSS."
        )
        raise InputError(msg)
    pos = np.where(wide & (strands == "-"), end - 1, start)
    return _table(gene, chrom, pos, strands, places)


def _strands(strand: Sequence[Any], places: Sequence[str]) -> NDArray[np.object_]:
    out = pd.Series(list(strand), dtype=object)
    out = out.where(out.notna(), ".").replace(
        {"": ".", "*": ".", "?": ".", "NA": ".", 1: "+", -1: "-", "1": "+", "-1": "-"}
    )
    wrong = np.flatnonzero(~out.isin(["+", "-", "."]).to_numpy())
    if len(wrong):
        i = int(wrong[0])
        msg = f"{places[i]}: the strand is {out.iloc[i]!r}; it must be '+', '-' or '.'."
        raise InputError(msg)
    return np.asarray(out, dtype=object)


def _table(
    gene: Sequence[Any], chrom: Sequence[Any], pos: NDArray[np.int64], strand: Any, places: Sequence[str]
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "gene": pd.Series([str(g).strip() for g in gene], dtype=object),
            "chrom": pd.Series([str(c).strip() for c in chrom], dtype=object),
            "pos": pd.Series(pos, dtype=np.int64),
            "strand": pd.Series(strand, dtype=object),
        }
    )
    for column, what in (("gene", "gene name"), ("chrom", "chromosome")):
        nameless = np.flatnonzero(table[column].isin(_NO_NAME).to_numpy())
        if len(nameless):
            msg = f"{places[int(nameless[0])]}: no {what} ({len(nameless)} such rows). Fill it in, or remove the row."
            raise InputError(msg)
    table["gene"] = _without_version(table["gene"])
    return table


def _without_version(genes: pd.Series) -> pd.Series:
    """Cut the version off Ensembl identifiers; ``.1`` in symbols (``RP11-34P13.7``) is part of the name."""
    distinct = {g: m for g in genes.unique() if (m := _ENSEMBL.fullmatch(g))}
    if not distinct:
        return genes
    taken: dict[str, str] = {g: g for g in genes.unique() if g not in distinct}
    new = {}
    for gene, match in distinct.items():
        plain = match[1] + (match[2] or "")
        if plain in taken:
            msg = (
                f"Genes '{taken[plain]}' and '{gene}' are the same identifier in two versions. Keep one of them in the "
                "TSS table."
            )
            raise InputError(msg)
        taken[plain] = gene
        new[gene] = plain
    return genes.map(lambda g: new.get(g, g))


def _from_gtf(text: str, path: Path, gene_key: str) -> pd.DataFrame:
    _check_gene_key(gene_key)
    rows = read_gtf(text, path, gene_key)
    places = [f"'{path}', line {row.line}" for row in rows]
    start, end = (np.array([getattr(row, side) for row in rows], dtype=np.int64) for side in ("start", "end"))
    table = _tss_rows([r.gene for r in rows], [r.chrom for r in rows], start, end, [r.strand for r in rows], places)
    return without_y_copies(table)


def without_y_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the chrY rows of genes that lie on chrX and chrY alone: the copies in the pseudoautosomal regions.

    References mask these regions on chrY, so what is measured is the gene on chrX.
    """
    bare = table["chrom"].astype(str).str.removeprefix("chr")
    on_x, on_y = bare == "X", bare == "Y"
    both = set(table["gene"][on_x]) & set(table["gene"][on_y]) - set(table["gene"][~on_x & ~on_y])
    copies = on_y & table["gene"].isin(both)
    if not copies.any():
        return table
    logger.info("%d TSSs on chrY of %d genes that lie on chrX as well left out", int(copies.sum()), len(both))
    return table.loc[~copies].reset_index(drop=True)


def _check_gene_key(gene_key: str) -> None:
    if gene_key not in {"gene_name", "gene_id"}:
        msg = f"gene_key is '{gene_key}'; it must be 'gene_name' or 'gene_id'."
        raise InputError(msg)


def _column(frame: pd.DataFrame, spellings: Sequence[str]) -> str | None:
    lower = {str(c).lower(): c for c in reversed(frame.columns)}
    return next((lower[s] for s in spellings if s in lower), None)


def _nameless(names: pd.Series) -> pd.Series:
    return names.isna() | names.astype(str).str.strip().isin(_NO_NAME)


def _from_frame(frame: pd.DataFrame, gene_key: str) -> pd.DataFrame:
    _check_gene_key(gene_key)
    places = [f"TSS table, row {i}" for i in range(len(frame))]
    feature = _column(frame, ("feature",))
    if feature is not None:
        kind = frame[feature].astype(str).str.lower()
        wanted = "transcript" if (kind == "transcript").any() else "gene"
        keep = (kind == wanted).to_numpy()
        frame, places = frame[keep], list(compress(places, keep))
    spellings = _GENE_SPELLINGS if gene_key == "gene_name" else ("gene_id",)
    gene_col, chrom_col = _column(frame, spellings), _column(frame, _CHROM_SPELLINGS)
    pos_col, start_col, end_col = (_column(frame, s) for s in (_POS_SPELLINGS, _START_SPELLINGS, _END_SPELLINGS))
    if gene_col is None or chrom_col is None or (pos_col is None and (start_col is None or end_col is None)):
        msg = (
            f"The TSS table needs a gene, a chromosome and a position column (gene, chrom, pos; or start and end); "
            f"it has {', '.join(map(str, frame.columns)) or 'none'}."
        )
        raise InputError(msg)
    gene = frame[gene_col].astype(object)
    id_col = _column(frame, ("gene_id",))
    if id_col is not None:
        ids = frame[id_col].astype(object)
        gene = gene.where(~_nameless(gene), ids)
        copies = ids.astype(str).str.contains("_PAR_Y", regex=False) & ~gene.astype(str).str.contains(
            "_PAR_Y", regex=False
        )
        if copies.any():
            logger.info("%d rows of chrY that chrX has as well (_PAR_Y) left out", int(copies.sum()))
            keep = ~copies.to_numpy()
            frame, gene, places = frame[keep], gene[keep], list(compress(places, keep))
    strand_col = _column(frame, ("strand",))
    strand = list(frame[strand_col].astype(object)) if strand_col is not None else ["."] * len(frame)
    genes, chroms = list(gene), list(frame[chrom_col].astype(object))
    if pos_col is not None:
        pos = _integers(list(frame[pos_col]), places, str(pos_col))
        return _table(genes, chroms, pos, _strands(strand, places), places)
    start = _integers(list(frame[start_col]), places, str(start_col))
    end = _integers(list(frame[end_col]), places, str(end_col))
    return _tss_rows(genes, chroms, start, end, strand, places)
