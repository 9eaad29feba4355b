"""PyRanges in and out, by their columns: pyranges is loaded for those who hand one over or ask for one."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

__all__ = ["plain_table", "pyranges_of"]

_NAMES = {"Chromosome": "chrom", "Start": "start", "End": "end"}


def plain_table(table: Any) -> Any:
    """Turn a PyRanges, or a table with its column names, into ``chrom, start, end``; all else is returned as it is."""
    frame = table if isinstance(table, pd.DataFrame) else getattr(table, "df", table)
    if not isinstance(frame, pd.DataFrame):
        return table
    plain = pd.DataFrame(frame)  # pyranges1's is a kind of DataFrame
    taken = {k: v for k, v in _NAMES.items() if k in plain.columns and v not in plain.columns}
    return plain.rename(columns=taken) if taken else plain


def pyranges_of(table: pd.DataFrame) -> Any:
    """Make a PyRanges of ``Chromosome, Start, End`` and further columns.

    Raises
    ------
    ImportError
        If pyranges is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pyranges' own imports say about themselves
        import pyranges

        return pyranges.PyRanges(table)
