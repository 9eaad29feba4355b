"""Where features lie: tables and names of other tools, and whether their positions count from 0 or from 1."""

from __future__ import annotations

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
    if not len(table):
        msg = f"{where} names no features."
        raise InputError(msg)
    if found["end"] is not None:
        found["idx"] = None  # of ArchR's peaks; only tiles need it
    chrom = table[found["chrom"]]
    if (chrom.isna() | (chrom.astype(str).str.strip() == "")).any():
        msg = f"{where} has rows without a chromosome. Remove them."
        raise InputError(msg)
    start = _whole(table[found["start"]], str(found["start"]), where)
    end, width, idx = (
        None if found[key] is None else _whole(table[found[key]], str(found[key]), where)
        for key in ("end", "width", "idx")
    )
    chroms = chrom.astype(str).to_numpy(dtype=object)
    given = list(map(str, names)) if names is not None else _spelled(chroms, start)
    return Places(chroms, start, end, given, width=width, idx=idx)


def _spelled(chrom: NDArray[np.object_], start: NDArray[np.int64]) -> list[str]:
    return [f"{c}:{s}" for c, s in zip(chrom, start, strict=True)]


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
    text = read_text(path)
    number, first = next(data_lines(text), (0, ""))
    if not number:
        msg = f"{where} names no features."
        raise InputError(msg)
    separator = "\t" if "\t" in first else "," if "," in first else "\t"
    head = [c.strip().strip('"') for c in first.split(separator)]
    if {c.lower() for c in head} & set(COORDINATES["start"]):
        table = _table(text, where, separator, skip=number)
        columns = head if len(table.columns) == len(head) else ["", *head]  # R's row names have no title
        places = of_table(table.set_axis(columns, axis=1), where) if len(table.columns) == len(columns) else None
        if places is None:
            msg = f"{where} has no rows, or no columns for chromosome and start; it has {head[:6]}."
            raise InputError(msg)
        return places
    table = _table(text, where, separator, skip=number - 1)
    columns, row = [str(c) for c in table.columns], list(table.iloc[0])
    if len(columns) >= 3 and re.fullmatch(r"\s*[0-9]+\s*", row[1]):
        start, end = (_whole(table[at], name, where) for at, name in (("1", "start"), ("2", "end")))
        chrom = table["0"].to_numpy(dtype=object)
        return Places(chrom, start, end, _spelled(chrom, start), usual="0-based")
    kinds = list(table["2"]) if len(columns) >= 3 else []
    if "Gene Expression" in kinds:
        msg = f"{where} lists genes too; read both with grn.io.read_10x('{path.parent}')."
        raise InputError(msg)
    listed = of_names(list(table["0"]))
    return Places(
        listed.chrom, listed.start, listed.end, listed.names, usual="0-based" if "Peaks" in kinds else None, kinds=kinds
    )


def _table(text: str, where: str, separator: str, *, skip: int) -> pd.DataFrame:
    """Read all rows below the first lines as text, in columns named by their numbers."""
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, skiprows=skip, header=None, dtype=str, keep_default_na=False, comment="#"
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as err:
        msg = f"{where} cannot be read as a table of features: {err}. Export it again."
        raise InputError(msg) from err
    return table.set_axis([str(i) for i in range(table.shape[1])], axis=1)


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
    usual, because = _usual(places, start, end)
    base, reason = (said, "as said") if said else (proof, reason) if proof else (usual, because)
    if base is None:
        msg = (
            f"Nothing in {where} says whether '{places.names[0]}' counts from 0 or from 1. Say so: start='0-based' "
            "(peaks of Cell Ranger and SnapATAC2, and Signac assays made of them: the end is not part of the peak) or "
            "start='1-based' (GRanges of R: ArchR's peaks, and peaks that Signac called itself: both ends are part of "
            "it)."
        )
        raise InputError(msg)
    logger.info("Positions of %s are %s: %s.", where, base, reason)
    return base


def _usual(places: Places, start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[Base | None, str]:
    """Say what the source takes its positions for, which whoever knows their origin may say otherwise.

    A GRanges counts both ends whatever it was made of; Signac's keeps the numbers of Cell Ranger's BED.
    """
    if places.width is not None:
        if (places.width == end - start + 1).all():
            return "1-based", "its column of widths counts both ends"
        if (places.width == end - start).all():
            return "0-based", "its column of widths leaves the end out"
    return places.usual, "as in BED"


def _proof(places: Places, start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[Base | None, str]:
    """Say what the positions themselves prove, and why."""
    if (start == 0).any():
        return "0-based", f"'{places.names[int((start == 0).argmax())]}' starts at 0"
    span = int(np.bincount(np.minimum(end - start, 10**6)).argmax()) if (end > start).all() else 0
    for base, tile, shift in (("0-based", span, 0), ("1-based", span + 1, 1)):
        inside = (end - start <= span).all() and (end - start == span).mean() > 0.5
        if len(start) >= _GRID and tile >= _LEAST_TILE and inside and not ((start - shift) % tile).any():
            found: Base = "0-based" if base == "0-based" else "1-based"
            return found, f"its features are tiles of {tile} bp"
    return None, ""
