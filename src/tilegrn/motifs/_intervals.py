"""Tables of intervals: columns, names, and the windows that HOMER cuts around their centres."""

from __future__ import annotations

import logging
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tilegrn._core.chroms import other_name, pair_chroms
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Intervals", "is_whole", "read_intervals"]

logger = logging.getLogger(__name__)

_COLUMNS = {
    "chrom": ("chrom", "Chromosome"),
    "start": ("start", "Start"),
    "end": ("end", "End"),
    "name": ("name", "Name"),
}


@dataclass(frozen=True, eq=False)
class Intervals:
    """Half-open 0-based intervals and their names."""

    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    names: pd.Index

    def __len__(self) -> int:
        return len(self.start)

    def on(self, lengths: Mapping[str, int], where: str) -> Intervals:
        """Name the chromosomes as a sequence file does, and check that all intervals lie within.

        If no main chromosome is in the file, but all of them are once ``chr`` is put before them or taken away, that is
        done and logged; ``chrM`` and ``MT`` are one.

        Raises
        ------
        InputError
            If a chromosome is not in the file, or an interval ends past its chromosome.
        """
        codes, found = pd.factorize(self.chrom)
        names = [str(c) for c in found]
        absent = [c for c in names if c not in lengths]
        if absent:
            pairs = pair_chroms(names, lengths, "interval")
            if len(pairs) < len(names):
                n = int(np.isin(self.chrom.astype(str), absent).sum())
                has = ", ".join(list(lengths)[:5]) + (f" and {len(lengths) - 5} more" if len(lengths) > 5 else "")
                near = {c: other for c in absent if (other := other_name(c, lengths)) is not None}
                hint = f"did you mean '{near[next(iter(near))]}' for '{next(iter(near))}'? " if near else ""
                msg = (
                    f"'{where}' lacks {len(absent)} chromosomes of {n} intervals, among them '{absent[0]}'; it has "
                    f"{has}. {hint}Give the sequence of the intervals' assembly, with chromosomes named alike."
                )
                raise InputError(msg)
            first = absent[0]
            logger.info("The intervals name '%s' what '%s' names '%s'; all are mapped.", first, where, pairs[first])
            names = [pairs[c] for c in names]
        excess = self.end - np.array([lengths[c] for c in names], dtype=np.int64)[codes] if len(self) else self.end
        if (excess > 0).any():
            i = int(excess.argmax())
            msg = (
                f"{int((excess > 0).sum())} of {len(self)} intervals end past their chromosome: {self.chrom[i]}:"
                f"{self.start[i]}-{self.end[i]} by {int(excess[i])} bp in '{where}'. "
                "Give the sequence of the intervals' assembly, or cut the intervals at its ends."
            )
            raise InputError(msg)
        chrom = np.array(names, dtype=object)[codes] if len(self) else self.chrom
        return Intervals(chrom, self.start, self.end, self.names)

    def resized(self, size: int | Literal["given"], lengths: Mapping[str, int]) -> Intervals:
        """Cut windows of ``size + 1`` bp around the centres, as ``annotatePeaks.pl -size`` does.

        With c = (start + 1 + end) / 2, the window holds the bases floor(c - size / 2) to floor(c + size / 2), counted
        from 1 and inclusive, without those beyond the ends of the chromosome.

        Raises
        ------
        InputError
            If ``size`` is neither ``"given"`` nor a positive whole number.
        """
        if size == "given":
            return self
        if not is_whole(size) or size < 1:
            msg = f"size is {size!r}; it must be 'given' or a positive number of bp."
            raise InputError(msg)
        n = int(size)
        twice_centre = self.start + 1 + self.end
        last = np.array([lengths[c] for c in self.chrom], dtype=np.int64)
        start = np.maximum((twice_centre - n) // 2, 1) - 1
        return Intervals(self.chrom, start, np.minimum((twice_centre + n) // 2, last), self.names)


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number (numpy's too), not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def read_intervals(table: Any) -> Intervals:
    """Read a table with the columns chrom, start and end.

    Parameters
    ----------
    table
        A DataFrame with ``chrom, start, end`` or ``Chromosome, Start, End`` (0-based, half-open, as in BED), or a
        PyRanges. Intervals are named by a ``name`` (or ``Name``) column, else by the index if it is not a plain
        numbering, else ``chrom:start-end``.

    Raises
    ------
    InputError
        If a column is missing, a position is negative or no whole number, or ``start >= end``; the row is named.
    """
    frame = table if isinstance(table, pd.DataFrame) else getattr(table, "df", None)
    if not isinstance(frame, pd.DataFrame):
        kind = type(table).__name__
        msg = f"Intervals must be a DataFrame with the columns chrom, start, end, or a PyRanges, not {kind}."
        raise InputError(msg)
    columns = {}
    for key, options in _COLUMNS.items():
        present = [o for o in options if o in frame.columns]
        if not present and key != "name":
            has = ", ".join(map(str, frame.columns))
            msg = f"The intervals have no column '{key}' (or '{options[1]}'); they have {has}."
            raise InputError(msg)
        columns[key] = present[0] if present else None
    if frame[columns["chrom"]].isna().any():
        msg = f"Row {int(frame[columns['chrom']].isna().argmax())} of the intervals has no chromosome."
        raise InputError(msg)
    chrom = frame[columns["chrom"]].astype(str).to_numpy(dtype=object)
    start = _positions(frame[columns["start"]], "start")
    end = _positions(frame[columns["end"]], "end")
    for bad, kind in ((start < 0, "a negative start"), (start >= end, "start >= end")):
        if bad.any():
            i = int(bad.argmax())
            msg = (
                f"{int(bad.sum())} of {len(start)} intervals have {kind}, the first in row {i}: "
                f"{chrom[i]}:{start[i]}-{end[i]}. Intervals are 0-based and half-open, as in BED."
            )
            raise InputError(msg)
    if columns["name"] is not None:
        names = pd.Index(frame[columns["name"]].astype(str).to_numpy(dtype=object), name="interval")
    elif isinstance(frame.index, pd.RangeIndex):
        places = [f"{c}:{s}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
        names = pd.Index(places, dtype=object, name="interval")
    else:
        names = pd.Index(frame.index.astype(str).to_numpy(dtype=object), name="interval")
    return Intervals(chrom, start, end, names)


def _positions(column: pd.Series[Any], key: str) -> NDArray[np.int64]:
    values = column.to_numpy()
    if not np.issubdtype(values.dtype, np.integer):
        try:
            as_float = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            msg = f"The column '{key}' of the intervals holds something that is no number: {error}."
            raise InputError(msg) from error
        whole = np.isfinite(as_float) & (as_float == np.floor(as_float)) & (np.abs(as_float) < 2**53)
        if not whole.all():
            i = int((~whole).argmax())
            msg = f"Row {i} of the intervals has {key} {values[i]}; positions are whole numbers of bp."
            raise InputError(msg)
        values = as_float
    whole_numbers: NDArray[np.int64] = values.astype(np.int64)
    return whole_numbers
