"""Peaks for HOMER: what users hand over, the ids HOMER is given, and the files it reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from tilegrn._core import check
from tilegrn._core.atomic import write_text
from tilegrn._core.peaks import parse_peaks
from tilegrn._core.text import data_lines, existing_file, read_text, split_tabs
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["PeakSet", "coordinates", "peak_lines", "peak_set", "write_homer_peaks"]

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", re.ASCII)
_CHROM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:*-]*", re.ASCII)


def coordinates(chrom: Iterable[Any], start: Iterable[Any], end: Iterable[Any]) -> list[str]:
    """Name intervals ``chr1:3000-4000``."""
    return [f"{c}:{s}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]


@dataclass(frozen=True)
class PeakSet:
    """Peaks by name, with their intervals (0-based, half-open)."""

    names: list[str]
    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @cached_property
    def coordinates(self) -> list[str]:
        """Names such as ``chr1:3000-4000``."""
        return coordinates(self.chrom, self.start, self.end)

    @cached_property
    def ids(self) -> list[str]:
        """Ids for HOMER: the names if they are plain ASCII without blanks, else ``peak1``, ``peak2``, ..."""
        if all(_SAFE.fullmatch(name) for name in self.names):
            return list(self.names)
        return [f"peak{i}" for i in range(1, len(self.names) + 1)]


def peak_set(peaks: MuData | AnnData | pd.DataFrame | Sequence[str] | str | Path, *, atac: str = "atac") -> PeakSet:
    """Read peaks from whatever holds them.

    Parameters
    ----------
    peaks
        A MuData, an AnnData whose features are peaks, peak names, a table with ``chrom, start, end`` and perhaps
        ``name``, a PyRanges, or the path of a BED file.
    atac
        Name of the modality of a MuData.

    Raises
    ------
    InputError
        For what is none of these, and for names, intervals or duplicates that cannot be.
    """
    if isinstance(peaks, str | Path):
        return _from_bed(existing_file(peaks, "BED file"))
    source: Any = peaks
    if isinstance(getattr(source, "df", None), pd.DataFrame):  # a PyRanges, which has column names of its own
        source = source.df.rename(columns={"Chromosome": "chrom", "Start": "start", "End": "end", "Name": "name"})
    if isinstance(source, pd.DataFrame):
        return _from_table(source)
    if hasattr(source, "mod"):
        source = check.modality(source, atac)
    names = [str(n) for n in getattr(source, "var_names", source)]
    chrom, start, end = parse_peaks(names)
    return PeakSet(names, chrom, start, end)


def _from_table(table: pd.DataFrame) -> PeakSet:
    missing = [c for c in ("chrom", "start", "end") if c not in table.columns]
    if missing:
        msg = f"The table of peaks lacks the columns {missing}; it has {list(map(str, table.columns))}."
        raise InputError(msg)
    plain = coordinates(table["chrom"], table["start"], table["end"])
    chrom, start, end = parse_peaks(plain)
    names = [str(n) for n in table["name"]] if "name" in table.columns else plain
    if len(set(names)) < len(names):
        msg = "The column 'name' of the table of peaks holds duplicates; make the names unique or drop the column."
        raise InputError(msg)
    return PeakSet(names, chrom, start, end)


def _from_bed(path: Path) -> PeakSet:
    names = []
    for number, line in data_lines(read_text(path)):
        fields = split_tabs(line, number, path, 3)
        if len(fields) < 3 or not (fields[1].isdigit() and fields[2].isdigit()):
            msg = f"'{path}', line {number}: '{line.strip()[:60]}' is no BED line (chrom, start, end with tabs)."
            raise InputError(msg)
        names.append(f"{fields[0]}:{fields[1]}-{fields[2]}")
    chrom, start, end = parse_peaks(names)
    return PeakSet(names, chrom, start, end)


def write_homer_peaks(
    peaks: MuData | AnnData | pd.DataFrame | Sequence[str],
    path: str | Path,
    *,
    format: Literal["auto", "bed", "homer"] = "auto",
    atac: str = "atac",
) -> None:
    """Write peaks for a HOMER that runs elsewhere, for instance on a cluster.

    Read what comes back with ``grn.io.read_homer(output, peaks=mdata)``. Peaks get their names as ids; if any name
    holds more than ASCII letters, digits and ``_ . : -``, which HOMER's scripts may not survive, all get ids ``peak1``,
    ``peak2``, ... in the order of the peaks.

    Parameters
    ----------
    peaks
        A MuData, peak names, a table ``chrom, start, end`` (0-based) and perhaps ``name``, or a PyRanges.
    path
        File to write. It appears whole or not at all.
    format
        ``"bed"`` writes BED6 (0-based start), ``"homer"`` HOMER's peak file (id, chromosome, 1-based start, end,
        strand). ``"auto"`` takes BED for a path that ends in ``.bed``.
    atac
        Name of the modality of a MuData.

    Raises
    ------
    InputError
        If peaks cannot be read, or a chromosome has a name that HOMER's scripts may not survive.

    Examples
    --------
    >>> grn.io.write_homer_peaks(mdata, "for_homer.bed")
    >>> pd.read_table("for_homer.bed", header=None).shape
    (150, 6)
    """
    if format not in ("auto", "bed", "homer"):
        msg = f"format is '{format}'; choose 'auto', 'bed' or 'homer'."
        raise InputError(msg)
    found = peak_set(peaks, atac=atac)
    target = Path(path).expanduser()
    as_bed = format == "bed" or (format == "auto" and target.suffix.lower() == ".bed")
    write_text(target, peak_lines(found, found.ids, as_bed=as_bed))


def peak_lines(peaks: PeakSet, ids: Sequence[str], *, as_bed: bool) -> str:
    """Return the text of a BED6 or HOMER peak file."""
    odd = sorted({c for c in peaks.chrom if not _CHROM.fullmatch(c)})
    if odd:
        msg = f"Chromosome name {odd[0]!r} holds characters that HOMER's scripts may not survive. Rename it."
        raise InputError(msg)
    if as_bed:
        rows = zip(peaks.chrom, peaks.start, peaks.end, ids, strict=True)
        return "".join(f"{c}\t{s}\t{e}\t{i}\t0\t+\n" for c, s, e, i in rows)
    rows = zip(ids, peaks.chrom, peaks.start + 1, peaks.end, strict=True)
    return "".join(f"{i}\t{c}\t{s}\t{e}\t+\n" for i, c, s, e in rows)
