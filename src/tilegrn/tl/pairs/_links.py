"""Links of every peak within reach of every gene, by the score of :func:`tilegrn.tl.score_pairs`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.intervals import distance_pairs
from tilegrn._core.symbols import labelled
from tilegrn.errors import InputError
from tilegrn.io._activity import read_activity
from tilegrn.tl.pairs._data import PairData, read_pair_data
from tilegrn.tl.pairs._parts import Elements, Evidence, GroupPart, geometry
from tilegrn.tl.pairs._score_pairs import density, warn_model_unread
from tilegrn.tl.pairs._weights import PairWeights

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from mudata import MuData

    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.pairs._places import Floats, Ints, Places

__all__ = ["links"]

logger = logging.getLogger(__name__)


def links(
    mdata: MuData,
    model: GRNModel | None = None,
    *,
    groupby: str | None = None,
    group: str | None = None,
    top: int | None = 20,
    max_distance: int | None = None,
    activity: str | os.PathLike[str] | None = None,
    weights: PairWeights | None = None,
    evidence: bool = True,
    tss: str | Path | pd.DataFrame | Any | None = None,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> pd.DataFrame:
    """Score every peak within reach of every gene, and list the best peaks of each; needs no model and no binding.

    The score is that of :func:`score_pairs`, with peaks as elements.

    Parameters
    ----------
    mdata
        Multiome data after :func:`tilegrn.pp.tss_distance`.
    model
        Not read, see :func:`score_pairs`.
    groupby, group
        Column of ``obs``: links of each group, or of one.
    top
        Best peaks of each gene that are listed, in each group; None lists all (millions of rows at 10x density).
    max_distance
        Reach in bp from a peak's middle to a TSS; that of ``tss_distance`` by default.
    activity
        BED or bigWig of the cell type, see :func:`score_pairs`; with several groups it is used for each of them.
    weights, evidence, tss, layer, rna, atac
        As for :func:`score_pairs`.

    Returns
    -------
    DataFrame ``group, peak, target`` (categorical), ``score`` (float64, 0 to 1), ``rank`` (int32, within gene and
    group, from 1), ``distance`` (bp, int64, from the peak's middle to the nearest TSS), ``tss`` (int64, 0-based),
    ``correlation`` (float32, shrunken, over all cells), ``accessibility`` (float32, fragments per million of the group
    in peaks within 250 bp); best first within a group. ``attrs`` as for :func:`score_pairs`.
    :func:`tilegrn.io.write_links` writes it for genome browsers, :func:`tilegrn.pl.locus` draws it.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.pp.tss_distance`.
    InputError
        If a group is unknown, an argument is out of range, or no peak is within reach of a gene.

    Examples
    --------
    >>> links = grn.tl.links(mdata, groupby="cell_type", top=5)
    >>> links.columns.tolist()[:5]
    ['group', 'peak', 'target', 'score', 'rank']
    """
    if model is not None:
        warn_model_unread(stacklevel=3)
    if top is not None and top < 1:
        msg = f"top is {top}; give 1 or more peaks a gene, or None for all."
        raise InputError(msg)
    reach = int(store.get_record(mdata, K.REC_TSS)["max_distance"]) if max_distance is None else int(max_distance)
    if reach < 0:
        msg = f"max_distance is {reach}; it must be 0 bp or more."
        raise InputError(msg)
    used = PairWeights.shipped() if weights is None else weights
    data = read_pair_data(mdata, groupby=groupby, tss=tss, layer=layer, rna=rna, atac=atac)
    wanted = data.groups if group is None else [_known(data, groupby, group)]
    bulk = None if activity is None else _peak_activity(data, activity)
    peaks = Elements(data.chrom, data.start, data.end)
    parts = {g: GroupPart.of(data.landscape(g), peaks, used, activity=bulk) for g in wanted}
    chosen = next(iter(parts.values())).chosen
    if activity is not None and "activity" not in used.sets[chosen]:
        msg = "These weights have no set with activity. Leave activity= out, or fit them with it: grn.tl.fit_pairs."
        raise InputError(msg)
    evidenced = Evidence(data, peaks, used.evidence) if evidence else None
    tables: dict[str, list[pd.DataFrame]] = {g: [] for g in wanted}
    n_pairs = 0
    for code in np.unique(data.chrom[data.chrom >= 0]):
        near = _near(data, int(code), reach)
        n_pairs += len(near.gene)
        if not len(near.gene):
            continue
        known = geometry(used, chosen, near.places)
        r = np.zeros(len(near.gene))
        if evidenced is not None:
            r = evidenced.of(near.peak, near.gene)
            known += evidenced.weight * r
        for g in wanted:
            tables[g].append(_best(near, parts[g], known, r, top))
    if not n_pairs:
        msg = f"No peak lies within {reach} bp of a gene's TSS. Give a larger max_distance=."
        raise InputError(msg)
    logger.info("%d pairs of a peak and a gene within %d bp, %d groups.", n_pairs, reach, len(wanted))
    names = [str(p) for p in mdata.mod[atac].var_names]
    out = []
    for i, g in enumerate(wanted):
        whole = pd.concat(tables[g], ignore_index=True).sort_values("score", ascending=False, kind="stable")
        out.append(whole.assign(group=i))
    table = pd.concat(out, ignore_index=True)
    table["group"] = labelled(table["group"].to_numpy(), wanted)
    table["peak"] = labelled(table["peak"].to_numpy(), names)
    table["target"] = labelled(table["target"].to_numpy(), data.genes[: data.n_data])
    table = table[["group", "peak", "target", "score", "rank", "distance", "tss", "correlation", "accessibility"]]
    table.attrs = {"features": chosen, "effective_axes": 0.0 if evidenced is None else evidenced.axes}
    return table


def _known(data: PairData, groupby: str | None, group: str) -> str:
    if groupby is None:
        msg = f"group='{group}' needs groupby=, the obs column that holds it."
        raise InputError(msg)
    if str(group) not in data.groups:
        msg = f"group='{group}' is none of '{groupby}': {data.groups}."
        raise InputError(msg)
    return str(group)


def _peak_activity(data: PairData, activity: str | os.PathLike[str]) -> Floats:
    chroms = np.asarray([*data.grid.chroms, ""], dtype=object)[data.chrom]
    peaks = pd.DataFrame({"chrom": chroms, "start": data.start, "end": data.end})
    return density(read_activity(activity, peaks), data.start, data.end)


@dataclass(frozen=True, eq=False)
class _Near:
    """Pairs within reach on one chromosome, and where they lie."""

    peak: Ints
    gene: Ints
    places: Places
    first: Ints
    last: Ints


def _near(data: PairData, code: int, reach: int) -> _Near:
    peaks = np.flatnonzero(data.chrom == code)
    sites = np.flatnonzero((data.sites.chrom == code) & (data.sites.gene < data.n_data))
    peak, site, _ = distance_pairs(
        data.chrom[peaks],
        data.start[peaks],
        data.end[peaks],
        data.sites.chrom[sites],
        data.sites.pos[sites],
        max_distance=reach,
        anchor="center",
    )
    # A peak within reach of two TSSs of a gene is one pair, placed by the nearest.
    key = np.unique(data.sites.gene[sites[site]] * np.int64(len(peaks)) + peak)
    gene, peak = key // max(len(peaks), 1), peaks[key % max(len(peaks), 1)]
    places = data.sites.place(gene, data.chrom[peak], (data.start[peak] + data.end[peak]) // 2)
    return _Near(peak, gene, places, *data.sums.places_between(places.low, places.high))


def _best(near: _Near, part: GroupPart, known: Floats, r: Floats, top: int | None) -> pd.DataFrame:
    """Best peaks of each gene of a chromosome in one group."""
    odds = known + part.odds(near.peak, near.gene, near.first, near.last)
    order = np.lexsort((near.peak, -odds, near.gene))
    gene = near.gene[order]
    head = np.flatnonzero(np.r_[True, np.diff(gene) != 0])
    rank = np.arange(len(gene)) - np.repeat(head, np.diff(np.r_[head, len(gene)])) + 1
    if top is not None:
        order, rank = order[rank <= top], rank[rank <= top]
    return pd.DataFrame(
        {
            "peak": near.peak[order],
            "target": near.gene[order],
            "score": expit(odds[order]),
            "rank": rank.astype(np.int32),
            "distance": near.places.distance[order],
            "tss": near.places.tss[order],
            "correlation": r[order].astype(np.float32),
            "accessibility": part.accessibility[near.peak[order]].astype(np.float32),
        }
    )
