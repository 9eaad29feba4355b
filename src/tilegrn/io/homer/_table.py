"""Motif hits per peak from HOMER's outputs."""

from __future__ import annotations

import logging
import re
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tilegrn._core.text import existing_file
from tilegrn.errors import InputError
from tilegrn.io.homer._hits import HomerHits, read_hits
from tilegrn.io.homer._peaks import PeakSet, coordinates, peak_set

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mudata import MuData

__all__ = ["hits_table", "read_homer"]

logger = logging.getLogger(__name__)

_COORDINATES = re.compile(r"^.+[:_-]\d+[-_]\d+$")


def read_homer(
    path: str | Path,
    *,
    peaks: MuData | pd.DataFrame | Sequence[str] | None = None,
    peak_id: Literal["auto", "name", "coordinates"] = "auto",
    atac: str = "atac",
) -> pd.DataFrame:
    """Read motif hits per peak from an output of HOMER.

    Read are ``annotatePeaks.pl ... -m`` with and without ``-nmotifs`` (the options ``-mscore`` and ``-mdist`` print no
    counts), ``findMotifsGenome.pl ... -find`` and ``homer2 find``; gzipped or not. The file is read in blocks, so that
    memory follows the number of hits, not of cells.

    Parameters
    ----------
    path
        The output.
    peaks
        The peaks that HOMER was given: a MuData, peak names, or a table ``chrom, start, end`` (0-based). Ids in the
        file are then turned into their names (by name, by the ids of :func:`write_homer_peaks`, or by coordinates), and
        other ids are an error.
    peak_id
        Without ``peaks``: ``"name"`` keeps HOMER's PeakID, ``"coordinates"`` makes ``chr1:3000-4000`` (0-based,
        half-open) of its columns Chr, Start and End, and ``"auto"`` does so unless the PeakIDs are coordinates already,
        HOMER resized the peaks (``-size 200``), or the output has no such columns.
    atac
        Name of the modality, if ``peaks`` is a MuData.

    Returns
    -------
    The long table of hits, by motif, then peak: ``source_id`` (categorical: the motif's whole name as HOMER printed it;
    :func:`tilegrn.pp.add_binding` resolves it to TFs), ``peak_id`` (categorical), ``tf_motifs_in_peak`` (int32, hits on
    both strands) and ``homer_binding_score`` (float64: hits in the peak / hits of the motif over all peaks). Pairs
    without a hit have no row; the categories hold all motifs and, but for the ``find`` outputs, all peaks.

    Raises
    ------
    InputError
        If the file is none of these outputs, is cut short, holds other values, repeats a peak, or does not fit
        ``peaks``.

    Notes
    -----
    HOMER prints hits summed by motif name. Should a column occur twice with the same values, it is taken once; with
    other values, the columns are summed. Both warn.

    Examples
    --------
    >>> hits = grn.io.read_homer("annotated.txt", peaks=mdata)
    >>> hits.columns.tolist()
    ['source_id', 'peak_id', 'tf_motifs_in_peak', 'homer_binding_score']
    """
    if peak_id not in ("auto", "name", "coordinates"):
        msg = f"peak_id is '{peak_id}'; choose 'auto', 'name' or 'coordinates'."
        raise InputError(msg)
    given = None if peaks is None else peak_set(peaks, atac=atac)
    file = existing_file(path, "HOMER output")
    hits = read_hits(file)
    what = f"'{file}'"
    if hits.sequenced is not None and not hits.sequenced.all():
        msg = (
            f"{what}: HOMER had no bases for {int((~hits.sequenced).sum())} of {len(hits.peaks)} peaks (their GC% is "
            "NA), so their counts are 0. Only N there, or chromosomes named otherwise in HOMER's genome?"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    names = _own_names(hits, peak_id, what) if given is None else _given_names(hits, given, what)
    table = hits_table(hits, names)
    shape = f"{len(names)} peaks x {len(hits.motifs)} motifs"
    logger.info("Read %s, %d pairs with hits, from %s.", shape, len(table), what)
    return table


def hits_table(hits: HomerHits, names: Sequence[str]) -> pd.DataFrame:
    """Turn counts into the long table, with ``names`` for the peaks."""
    counts = hits.counts
    per_motif = np.diff(counts.indptr)
    totals = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    codes = np.repeat(np.arange(counts.shape[1], dtype=np.int32), per_motif)
    return pd.DataFrame(
        {
            "source_id": pd.Categorical.from_codes(codes, categories=pd.Index(hits.motifs)),
            "peak_id": pd.Categorical.from_codes(counts.indices, categories=pd.Index(list(names))),
            "tf_motifs_in_peak": counts.data.astype(np.int32, copy=False),
            "homer_binding_score": counts.data / np.repeat(totals, per_motif),
        }
    )


def _own_names(hits: HomerHits, peak_id: str, what: str) -> list[str]:
    """Names of the peaks from the output alone."""
    if peak_id == "coordinates" and (hits.where is None or hits.resized):
        why = "HOMER resized its peaks (-size)" if hits.resized else "it has no columns Chr, Start, End"
        msg = f"{what} cannot tell the peaks' coordinates: {why}. Hand over the peaks: read_homer(path, peaks=mdata)."
        raise InputError(msg)
    if peak_id == "name" or hits.where is None or hits.resized:
        return hits.peaks
    if peak_id == "auto" and all(_COORDINATES.match(p) for p in hits.peaks):
        return hits.peaks
    names = coordinates(*hits.where)
    if len(set(names)) < len(names):
        msg = f"{what}: several peaks have the same coordinates; keep their ids with peak_id='name'."
        raise InputError(msg)
    return names


def _given_names(hits: HomerHits, given: PeakSet, what: str) -> list[str]:
    """Names of the peaks that HOMER was given, for the ids that came back."""
    ids = pd.Index(hits.peaks, dtype=object)
    for known in (pd.Index(given.names, dtype=object), pd.Index(given.ids, dtype=object)):
        position = known.get_indexer(ids)
        if (position >= 0).all():
            return [given.names[i] for i in position]
    if hits.where is not None and not hits.resized:
        own = pd.Index(coordinates(*hits.where), dtype=object)
        position = pd.Index(given.coordinates, dtype=object).get_indexer(own)
        if (position >= 0).all():
            return [given.names[i] for i in position]
    yours = set(given.names)
    lost = [p for p in hits.peaks if p not in yours]
    msg = (
        f"{what} holds {len(lost)} of {len(ids)} peaks that are not among the {len(given.names)} peaks handed over, "
        f"e.g. {lost[:3]} (yours: {given.names[:3]}). Is it the output for these peaks?"
    )
    raise InputError(msg)
