"""Activity of elements from peaks (BED) or coverage (bigWig) of a cell type, in reads per million."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.ranges import plain_table
from tilegrn._core.text import data_lines, existing_file, read_text, split_tabs
from tilegrn.errors import InputError, ToolError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["read_activity"]

_BIGWIG = (".bw", ".bigwig")


def read_activity(path: str | os.PathLike[str], elements: pd.DataFrame) -> NDArray[np.float64]:
    """Share of a cell type's signal that falls into each element, per million.

    Parameters
    ----------
    path
        BED of peaks (plain or gzipped): each counts with its signal, column 7 of narrowPeak and broadPeak, else column
        5, else 1. Or a bigWig (``.bw``, ``.bigWig``) of coverage, which needs pyBigWig.
    elements
        ``chrom, start, end`` (half-open bp), or a PyRanges; chromosomes spelt as in the file.

    Returns
    -------
    float64, one per element. Units of the file cancel: signal in the element / signal in the file x 1,000,000. For a
    BED all peaks that share a base with the element count in full.

    Raises
    ------
    InputError
        If a column is missing, or the file is, cannot be read, or holds no signal on the elements' chromosomes.
    ToolError
        If a bigWig is given and pyBigWig is not installed.

    Examples
    --------
    >>> elements = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [1_000_000]})
    >>> grn.io.read_activity("bulk.bed", elements).shape
    (1,)
    """
    elements = plain_table(elements)
    missing = [c for c in ("chrom", "start", "end") if c not in elements.columns]
    if missing:
        msg = f"The table of elements has no column {missing}; it has {list(map(str, elements.columns))}."
        raise InputError(msg)
    chrom = [str(c) for c in elements["chrom"]]
    start, end = elements["start"].to_numpy(np.int64), elements["end"].to_numpy(np.int64)
    where = existing_file(Path(path), "The activity file")
    if where.suffix.lower() in _BIGWIG:
        return _from_bigwig(where, chrom, start, end)
    return _from_bed(where, chrom, start, end)


def _from_bed(
    where: Path, chrom: Sequence[str], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    rows: dict[str, list[tuple[int, int, float]]] = {}
    total = 0.0
    for number, line in data_lines(read_text(where)):
        fields = split_tabs(line, number, where, 3)
        place = 6 if len(fields) in (9, 10) else 4
        text = fields[place] if len(fields) > place and fields[place] != "." else "1"
        try:
            low, high, signal = int(fields[1]), int(fields[2]), float(text)
        except (ValueError, IndexError) as error:
            msg = f"'{where}', line {number}: not chromosome, start, end (and a signal): '{line.strip()[:60]}'."
            raise InputError(msg) from error
        if not (0 <= low < high and 0 <= signal < np.inf):
            msg = f"'{where}', line {number}: start, end or signal out of range: '{line.strip()[:60]}'."
            raise InputError(msg)
        rows.setdefault(fields[0], []).append((low, high, signal))
        total += signal
    _some_shared(where, rows, chrom, total)
    out = np.zeros(len(start))
    names = np.asarray(chrom, dtype=object)
    for name in set(chrom) & set(rows):
        mine = np.flatnonzero(names == name)
        peaks = np.array(rows[name])
        for column, edge, side, sign in ((0, end, "left", 1.0), (1, start, "right", -1.0)):
            order = np.argsort(peaks[:, column], kind="stable")
            running = np.concatenate([[0.0], np.cumsum(peaks[order, 2])])
            out[mine] += sign * running[np.searchsorted(peaks[order, column], edge[mine], side=side)]  # type: ignore[call-overload]
    return np.maximum(out, 0.0) / total * 1e6


def _from_bigwig(
    where: Path, chrom: Sequence[str], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    from tilegrn.io._bigwig import bigwig_sums

    found = bigwig_sums(where, [(c, int(a), int(b)) for c, a, b in zip(chrom, start, end, strict=True)])
    if found.get("error") == "missing":
        msg = (
            "Reading a bigWig needs pyBigWig: pip install 'tilegrn[bigwig]'. Or give the peaks as BED, or a column of "
            "the pairs."
        )
        raise ToolError(msg)
    if "error" in found:
        msg = f"'{where}' cannot be read as bigWig: {found['error']}. Copy or download it again."
        raise InputError(msg)
    total = float(found["total"])
    _some_shared(where, found["chroms"], chrom, total)
    return np.maximum(np.asarray(found["sums"], dtype=np.float64), 0.0) / total * 1e6


def _some_shared(where: Path, known: object, chrom: Sequence[str], total: float) -> None:
    names = set(known)  # type: ignore[call-overload]
    if not names & set(chrom) or not total > 0:
        msg = (
            f"'{where}' holds no signal on the elements' chromosomes: it has {sorted(names)[:3]}, the elements "
            f"{sorted(set(chrom))[:3]}. Give a file of the same assembly and spelling."
        )
        raise InputError(msg)
