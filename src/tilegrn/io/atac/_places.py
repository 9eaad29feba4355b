"""Where features lie: tables and names of other tools, and whether their positions count from 0 or from 1."""

from __future__ import annotations

import csv
import io
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tilegrn._core.peaks import parse_peaks
from tilegrn._core.text import data_lines, read_text
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Base", "Places", "of_names", "of_table", "read_places", "settled"]

logger = logging.getLogger(__name__)

Base = Literal["0-based", "1-based"]

COORDINATES = {
    "chrom": ("chrom", "seqnames", "seqname", "chr", "chromosome"),
    "start": ("start", "chromstart"),
    "end": ("end", "chromend"),
    "width": ("width",),
    "idx": ("idx",),
}
_GRID = 3
"""Features that all have to lie on a grid of tiles for it to say where positions begin."""
_LEAST_TILE = 50


@dataclass(frozen=True, eq=False)
class Places:
    """Intervals as their source spells them."""

    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64] | None
    """None where the source names only starts, as ArchR's tiles do."""
    names: list[str]
    usual: Base | None = None
    """What the format means by itself: BED counts from 0."""
    width: NDArray[np.int64] | None = None
    idx: NDArray[np.int64] | None = None
    kinds: list[str] = field(default_factory=list)
    """Feature types of 10x, where the list has them."""


def of_names(names: Sequence[str]) -> Places:
    """Read names such as ``chr1:100-600`` or ``chr1-100-600``."""
    chrom, start, end = parse_peaks(names)
    return Places(chrom, start, end, [str(n) for n in names])


def of_table(table: pd.DataFrame, where: str, names: Sequence[str] | None = None) -> Places | None:
    """Read columns for chromosome, start and end in the usual spellings; None without chromosome or start."""
    by = {str(c).strip().lower(): c for c in table.columns}
    found = {key: next((by[s] for s in spelled if s in by), None) for key, spelled in COORDINATES.items()}
    if found["chrom"] is None or found["start"] is None:
        return None
    numbers = {
        key: None if found[key] is None else _whole(table[found[key]], str(found[key]), where)
        for key in ("start", "end", "width", "idx")
    }
    start = numbers["start"]
    if start is None or table[found["chrom"]].isna().any():
        msg = f"{where} has rows without a chromosome. Remove them."
        raise InputError(msg)
    chrom = table[found["chrom"]].astype(str).to_numpy(dtype=object)
    given = list(map(str, names)) if names is not None else [f"{c}:{s}" for c, s in zip(chrom, start, strict=True)]
    return Places(chrom, start, numbers["end"], given, width=numbers["width"], idx=numbers["idx"])


def _whole(column: pd.Series[Any], name: str, where: str) -> NDArray[np.int64]:
    number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(number) | (number != np.floor(number)) | (np.abs(number) > 2**53))
    if len(bad):
        msg = f"{where}: {name} of row {bad[0] + 1} is '{column.iloc[bad[0]]}', not a whole number of bp."
        raise InputError(msg)
    whole: NDArray[np.int64] = number.astype(np.int64)
    return whole


def read_places(path: Path) -> Places:
    """Read a list of features: BED, a table with a header, 10x's ``features.tsv``, or names.

    Raises
    ------
    InputError
        If it is empty, or a line holds no place.
    """
    where = f"'{path}'"
    text = "".join(f"{line}\n" for _, line in data_lines(read_text(path)))
    first = text.partition("\n")[0]
    separator = "\t" if "\t" in first else "," if "," in first else "\t"
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as err:
        msg = f"{where} cannot be read as a table: {err}. Export it again."
        raise InputError(msg) from err
    if not rows:
        msg = f"{where} names no features."
        raise InputError(msg)
    head = {c.strip().lower() for c in rows[0]}
    if head & set(COORDINATES["start"]):
        columns = rows[0] if len(rows) < 2 or len(rows[1]) == len(rows[0]) else ["", *rows[0]]  # R's row names
        places = of_table(_frame(rows[1:], columns, where), where) if len(rows) > 1 else None
        if places is None:
            msg = f"{where} has no rows, or no columns for chromosome and start; it has {rows[0][:6]}."
            raise InputError(msg)
        return places
    columns = [str(i) for i in range(len(rows[0]))]
    table = _frame(rows, columns, where)
    if len(columns) >= 3 and re.fullmatch(r"\s*[0-9]+\s*", rows[0][1]):
        bed = of_table(table.rename(columns={"0": "chrom", "1": "start", "2": "end"}), where)
        if bed is not None:
            return Places(bed.chrom, bed.start, bed.end, bed.names, usual="0-based")
    kinds = list(table["2"]) if len(columns) >= 3 else []
    if "Gene Expression" in kinds:
        msg = f"{where} lists genes too; read both with grn.io.read_10x('{path.parent}')."
        raise InputError(msg)
    listed = of_names(list(table["0"]))
    return Places(
        listed.chrom, listed.start, listed.end, listed.names, usual="0-based" if "Peaks" in kinds else None, kinds=kinds
    )


def _frame(rows: list[list[str]], columns: list[str], where: str) -> pd.DataFrame:
    odd = next((i for i, row in enumerate(rows) if len(row) != len(columns)), None)
    if odd is not None:
        msg = f"{where}: row {odd + 1} of the features has {len(rows[odd])} columns, not {len(columns)}. Is it whole?"
        raise InputError(msg)
    return pd.DataFrame(rows, columns=columns, dtype=object)


def settled(
    places: Places, where: str, *, start: Base | None, width: int | None, sizes: Mapping[str, int] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Settle starts and ends, 0-based and half-open.

    Parameters
    ----------
    places
        As the source spells them.
    where
        Their name for messages.
    start
        What the caller says of them.
    width
        Of tiles that have no end.
    sizes
        Chromosome lengths at which last tiles are cut.

    Raises
    ------
    InputError
        If the places say something else than the caller, nothing says where positions begin, or an interval is empty.
    """
    begin, end = places.start, places.end
    if end is None:
        tile = _tile(places, where, width)
        if start == "1-based":
            end = begin + tile - 1
        else:
            end, start = begin + tile, start or "0-based"
    base = _base(places, begin, end, where, start)
    if base == "1-based":
        begin = begin - 1
    bad = np.flatnonzero((begin < 0) | (begin >= end))
    if len(bad):
        msg = f"{len(bad)} of {len(begin)} features of {where} are no intervals, e.g. '{places.names[bad[0]]}'."
        raise InputError(msg)
    if sizes is not None:
        length = np.array([sizes.get(c, np.iinfo(np.int64).max) for c in places.chrom], dtype=np.int64)
        end = np.where(begin < length, np.minimum(end, length), end)
    return begin, end


def _tile(places: Places, where: str, width: int | None) -> int:
    """Width of tiles that are listed by their starts (and perhaps their number in the chromosome)."""
    held = 0
    if places.idx is not None:
        later = np.flatnonzero(places.idx > 1)
        if len(later) and not (places.start[later] % (places.idx[later] - 1)).any():
            steps = places.start[later] // (places.idx[later] - 1)
            held = int(steps[0]) if (steps == steps[0]).all() else 0
    if held and width is not None and width != held:
        msg = f"width={width}, but the tiles of {where} are {held} bp apart by their columns start and idx."
        raise InputError(msg)
    tile = width if width is not None else held
    if not tile or tile < 1:
        msg = f"{where} lists starts without ends. Say how wide its tiles are: grn.io.read_atac(..., width=500)."
        raise InputError(msg)
    return int(tile)


def _base(places: Places, start: NDArray[np.int64], end: NDArray[np.int64], where: str, said: Base | None) -> Base:
    proof, reason = _proof(places, start, end)
    if said is not None and proof is not None and said != proof:
        msg = f"start='{said}' was given for {where}, but {reason}: its positions are {proof}. Give start='{proof}'."
        raise InputError(msg)
    base = said or proof or places.usual
    if base is None:
        msg = (
            f"Nothing in {where} says whether '{places.names[0]}' counts from 0 or from 1. Say so: start='0-based' "
            "(peaks of Cell Ranger and SnapATAC2, and Signac assays made of them: the end is not part of the peak) or "
            "start='1-based' (GRanges of R: ArchR's peaks, and peaks that Signac called itself: both ends are part of "
            "it)."
        )
        raise InputError(msg)
    logger.info("Positions of %s are %s: %s.", where, base, "as said" if said else reason or "as in BED")
    return base


def _proof(places: Places, start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[Base | None, str]:
    """Say what the positions themselves prove, and why."""
    if not len(start):
        return None, ""
    if places.width is not None:
        if (places.width == end - start + 1).all():
            return "1-based", "its column of widths counts both ends"
        if (places.width == end - start).all():
            return "0-based", "its column of widths leaves the end out"
    if (start == 0).any():
        return "0-based", f"'{places.names[int((start == 0).argmax())]}' starts at 0"
    span = int(np.bincount(np.minimum(end - start, 10**6)).argmax()) if (end > start).all() else 0
    for base, tile, shift in (("0-based", span, 0), ("1-based", span + 1, 1)):
        inside = (end - start <= span).all() and (end - start == span).mean() > 0.5
        if len(start) >= _GRID and tile >= _LEAST_TILE and inside and not ((start - shift) % tile).any():
            found: Base = "0-based" if base == "0-based" else "1-based"
            return found, f"its features are tiles of {tile} bp"
    return None, ""
