"""Write links of peaks and genes for genome browsers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tilegrn._core.atomic import write_bytes
from tilegrn._core.peaks import parse_peaks
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import os

__all__ = ["write_links"]

_NEEDED = ("peak", "target", "tss", "score")


def write_links(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    *,
    format: Literal["auto", "bedpe", "interact", "csv"] = "auto",
    name: str = "tilegrn links",
) -> None:
    """Write links as BEDPE, for the UCSC Genome Browser, or as a table.

    Parameters
    ----------
    path
        Replaced if there; whole or not at all. ``.gz`` compresses.
    table
        From :func:`tilegrn.tl.links`: ``peak`` (``chrom:start-end``), ``target``, ``tss`` (0-based), ``score`` (0 to
        1), and perhaps ``group``.
    format
        ``"bedpe"``: ``chrom1, start1, end1`` of the peak, ``chrom2, start2, end2`` of the TSS, name (the gene), score,
        two strands (``.``) and, where there are groups, the group as eleventh column; bedtools and IGV read it.
        ``"interact"``: a custom track of UCSC's interact format (18 columns), from peak (source) to TSS (target), with
        score x 1,000, the score itself as value, and the group as experiment. ``"csv"``: the table as it is. ``"auto"``
        goes by the name: ``.bedpe``, ``.interact``, else CSV.
    name
        Of the custom track.

    Raises
    ------
    InputError
        If columns are missing, a peak name holds no interval, or the format is unknown.

    Examples
    --------
    >>> links = grn.tl.links(mdata, groupby="cell_type", top=3)
    >>> grn.io.write_links("links.bedpe", links)
    """
    where = Path(path)
    bare = where.with_suffix("") if where.suffix == ".gz" else where
    kind = format if format != "auto" else {".bedpe": "bedpe", ".interact": "interact"}.get(bare.suffix, "csv")
    missing = [c for c in _NEEDED if c not in table.columns]
    if missing:
        msg = f"The table of links has no column {missing}; it has {list(map(str, table.columns))}. See grn.tl.links."
        raise InputError(msg)
    if kind == "csv":
        text = table.to_csv(index=False, lineterminator="\n")
    elif kind in ("bedpe", "interact"):
        rows = _bedpe(table) if kind == "bedpe" else _interact(table)
        head = "#" + "\t".join(rows.columns) + "\n"
        if kind == "interact":
            head = f'track type=interact name="{name}" interactDirectional=true useScore=on visibility=full\n' + head
        text = head + rows.to_csv(sep="\t", index=False, header=False, lineterminator="\n")
    else:
        msg = f"format='{format}' is unknown; there are 'auto', 'bedpe', 'interact' and 'csv'."
        raise InputError(msg)
    data = text.encode("utf-8")
    write_bytes(where, gzip.compress(data, mtime=0) if where.suffix == ".gz" else data)


def _places(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Peaks as intervals, genes, and groups ('.' without), without blanks, which separate columns in browsers."""
    names = table["peak"].astype(str)
    distinct = list(names.unique())
    if distinct:
        chrom, start, end = parse_peaks(distinct)
    else:
        chrom, start, end = np.array([], dtype=object), np.zeros(0, np.int64), np.zeros(0, np.int64)
    spans = pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=distinct).loc[names].reset_index(drop=True)
    genes = table["target"].astype(str).str.replace(r"\s+", "_", regex=True).reset_index(drop=True)
    if "group" in table:
        groups = table["group"].astype(str).str.replace(r"\s+", "_", regex=True).reset_index(drop=True)
    else:
        groups = pd.Series(".", index=genes.index, dtype=object)
    return spans, genes, groups


def _bedpe(table: pd.DataFrame) -> pd.DataFrame:
    spans, genes, groups = _places(table)
    tss = table["tss"].to_numpy(np.int64)
    rows = pd.DataFrame(
        {
            "chrom1": spans["chrom"],
            "start1": spans["start"],
            "end1": spans["end"],
            "chrom2": spans["chrom"],
            "start2": tss,
            "end2": tss + 1,
            "name": genes,
            "score": table["score"].to_numpy(),
            "strand1": ".",
            "strand2": ".",
        }
    )
    return rows.assign(group=groups) if "group" in table else rows


def _interact(table: pd.DataFrame) -> pd.DataFrame:
    spans, genes, groups = _places(table)
    tss = table["tss"].to_numpy(np.int64)
    score = table["score"].to_numpy(np.float64)
    source = spans["chrom"].astype(str) + ":" + spans["start"].astype(str) + "-" + spans["end"].astype(str)
    return pd.DataFrame(
        {
            "chrom": spans["chrom"],
            "chromStart": np.minimum(spans["start"].to_numpy(), tss),
            "chromEnd": np.maximum(spans["end"].to_numpy(), tss + 1),
            "name": source + "/" + genes,
            "score": np.clip(np.rint(score * 1000), 0, 1000).astype(np.int64),
            "value": score,
            "exp": groups,
            "color": "0",
            "sourceChrom": spans["chrom"],
            "sourceStart": spans["start"],
            "sourceEnd": spans["end"],
            "sourceName": source,
            "sourceStrand": ".",
            "targetChrom": spans["chrom"],
            "targetStart": tss,
            "targetEnd": tss + 1,
            "targetName": genes,
            "targetStrand": ".",
        }
    )
