"""Windows, peaks, and tables that name them, as PyRanges."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from tilegrn._core import check
from tilegrn._core.peaks import parse_peaks
from tilegrn._core.ranges import plain_table, pyranges_of
from tilegrn.errors import InputError
from tilegrn.get._tables import windows

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["ranges"]

logger = logging.getLogger(__name__)

_PLACES = ("cre", "peak", "peak_id", "window_id")
"""Columns of our tables that name an interval, the first of which counts."""


def ranges(mdata: MuData, what: Literal["windows", "peaks"] | pd.DataFrame = "windows", *, atac: str = "atac") -> Any:
    """Give windows, peaks, or the rows of a table as a PyRanges, to intersect them with other annotation.

    The other way, whatever takes a table of intervals or TSSs takes a PyRanges.

    Parameters
    ----------
    mdata
        Multiome data.
    what
        ``"windows"`` that hold peaks, ``"peaks"``, or a table such as edges, links or :func:`peak_tg`: its intervals
        are those of the first of the columns ``cre``, ``peak``, ``peak_id``, ``window_id``, else ``chrom, start, end``.
    atac
        Name of the modality.

    Returns
    -------
    PyRanges: ``Chromosome``, ``Start``, ``End`` (bp, 0-based, half-open), ``Name`` (``chrom:start-end``) and all other
    columns. Rows without an interval (edges without a window) are left out.

    Raises
    ------
    MissingStepError
        If windows are asked for before :func:`tilegrn.pp.bin_peaks`.
    InputError
        If the table names no intervals.

    Examples
    --------
    >>> windows = grn.get.ranges(mdata)
    >>> list(windows.columns[:3])
    ['Chromosome', 'Start', 'End']
    """
    if isinstance(what, pd.DataFrame):
        table = what
    elif what == "windows":
        table = windows(mdata, atac=atac).rename_axis("cre").reset_index()
        table = table.drop(columns=["chrom", "start", "end"])
    elif what == "peaks":
        table = pd.DataFrame({"cre": check.modality(mdata, atac).var_names.astype(str)})
    else:
        msg = f"what='{what}' must be 'windows', 'peaks', or a table."
        raise InputError(msg)
    table = plain_table(table)
    column = next((c for c in _PLACES if c in table), None)
    if column is not None:
        names = table[column].astype(object).where(table[column].notna(), "").astype(str)
        held = table[(names != "").to_numpy()].reset_index(drop=True)
        codes, distinct = pd.factorize(names[names != ""])
        if len(distinct):
            chrom, start, end = (part[codes] for part in parse_peaks(distinct))
            places = pd.DataFrame({"Chromosome": chrom, "Start": start, "End": end})
        else:
            places = pd.DataFrame(columns=["Chromosome", "Start", "End"])
        if len(held) < len(table):
            logger.info("%d of %d rows have no interval and are left out.", len(table) - len(held), len(table))
    elif {"chrom", "start", "end"} <= set(table.columns):
        held = table.reset_index(drop=True)
        places = held[["chrom", "start", "end"]].set_axis(["Chromosome", "Start", "End"], axis=1)
    else:
        msg = f"The table names no intervals: it has neither {', '.join(_PLACES)} nor chrom, start, end."
        raise InputError(msg)
    if not len(places):
        msg = "The table has no rows with an interval."
        raise InputError(msg)
    chroms = places["Chromosome"].astype(str)
    name = chroms + ":" + places["Start"].astype(str) + "-" + places["End"].astype(str)
    own = [c for c in held.columns if c not in ("chrom", "start", "end", "Name")]
    return pyranges_of(pd.concat([places.assign(Chromosome=chroms), name.rename("Name"), held[own]], axis=1))
