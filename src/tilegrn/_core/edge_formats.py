"""Edges in the columns of other tools."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tilegrn._core.peaks import parse_peaks
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["FORMATS", "NetworkFormat", "in_format"]

logger = logging.getLogger(__name__)

NetworkFormat = Literal["celloracle", "decoupler", "gretapy", "scenicplus"]
_MOST_CELLS = 2_000_000_000
"""Pairs x TFs of a base GRN, one byte each, beyond which it is too large for a machine."""


def in_format(edges: pd.DataFrame, kind: NetworkFormat) -> pd.DataFrame:
    """Turn a table of edges or triplets into that of another tool; see :func:`tilegrn.get.edges` for the columns.

    Raises
    ------
    InputError
        For an unknown format, and where columns or the windows that the format needs are missing.
    """
    if kind not in FORMATS:
        msg = f"format='{kind}' is unknown; there are {', '.join(map(repr, FORMATS))}."
        raise InputError(msg)
    return FORMATS[kind](edges)


def _numbers(edges: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return edges[column].to_numpy(dtype=np.float64) if column in edges else np.ones(len(edges))


def _best_first(table: pd.DataFrame, size: NDArray[np.float64], keys: list[str]) -> pd.DataFrame:
    """Keep the strongest row of those that share their keys; groups of cells have one each."""
    order = np.argsort(-size, kind="stable")
    return table.iloc[order].drop_duplicates(keys).reset_index(drop=True)


def decoupler_net(edges: pd.DataFrame) -> pd.DataFrame:
    """Return ``source, target, weight`` as decoupler takes it; of several rows of a pair the strongest stays."""
    weight = _numbers(edges, "score") * _numbers(edges, "sign")
    net = pd.DataFrame({"source": edges["source"].astype(str), "target": edges["target"].astype(str), "weight": weight})
    return _best_first(net, np.abs(weight), ["source", "target"])


def _with_windows(edges: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that have a window, and their windows as chrom, start, end."""
    if "cre" not in edges:
        msg = f"format='{kind}' needs the windows of edges (column 'cre'): grn.get.edges(mdata, level='triplet')."
        raise InputError(msg)
    cre = edges["cre"].astype(object).where(edges["cre"].notna(), "").astype(str)
    held = edges[(cre != "").to_numpy()].reset_index(drop=True)
    if held.empty:
        msg = f"format='{kind}' needs edges with windows (column 'cre'), and none of these {len(edges)} has one."
        raise InputError(msg)
    if len(held) < len(edges):
        logger.info("%d of %d edges have no window and are left out.", len(edges) - len(held), len(edges))
    codes, names = pd.factorize(cre[cre != ""])
    chrom, start, end = parse_peaks(names)
    return held, pd.DataFrame({"chrom": chrom, "start": start, "end": end}).iloc[codes].reset_index(drop=True)


def _joined(places: pd.DataFrame, between: str, then: str) -> pd.Series:
    name = places["chrom"].astype(str) + between + places["start"].astype(str) + then + places["end"].astype(str)
    joined: pd.Series = name
    return joined


def gretapy_grn(edges: pd.DataFrame) -> pd.DataFrame:
    """Return ``source, cre, target, score``; its windows are spelt chrom-start-end, and every row has one."""
    held, places = _with_windows(edges, "gretapy")
    score = _numbers(held, "score") * _numbers(held, "sign")
    table = pd.DataFrame(
        {
            "source": held["source"].astype(str),
            "cre": _joined(places, "-", "-"),
            "target": held["target"].astype(str),
            "score": score,
        }
    )
    # Its own check refuses the whole table for one contig.
    fits = table["cre"].str.fullmatch(r"chr[0-9a-zA-Z]+-[0-9]+-[0-9]+").to_numpy()
    if not fits.any():
        msg = (
            f"gretapy takes chromosomes such as chr1 only; these edges have e.g. '{table['cre'].iloc[0]}'. Rename them."
        )
        raise InputError(msg)
    if not fits.all():
        msg = (
            f"{int((~fits).sum())} of {len(fits)} edges lie on contigs, which gretapy does not take; they are left out."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)
    return _best_first(table[fits], np.abs(score)[fits], ["source", "cre", "target"])


def base_grn(edges: pd.DataFrame) -> pd.DataFrame:
    """Return CellOracle's base GRN: a row per window and TG, a column of 0 and 1 per TF."""
    held, places = _with_windows(edges, "celloracle")
    peak, target = _joined(places, "_", "_"), held["target"].astype(str)
    tf, tfs = pd.factorize(held["source"].astype(str), sort=True)
    clash = sorted({"peak_id", "gene_short_name"} & set(map(str, tfs)))
    if clash:
        msg = f"A TF is called {clash[0]}, as a column of CellOracle's base GRN is. Rename it."
        raise InputError(msg)
    rows = pd.DataFrame({"peak_id": peak, "gene_short_name": target})
    pairs = rows.drop_duplicates().sort_values(["peak_id", "gene_short_name"], ignore_index=True)
    if len(pairs) * len(tfs) > _MOST_CELLS:
        msg = (
            f"A base GRN of {len(pairs):,} window-TG pairs and {len(tfs):,} TFs is too large. Take fewer edges "
            "(n=), one group (group=), or fewer TFs (sources=)."
        )
        raise InputError(msg)
    at = pd.MultiIndex.from_frame(pairs).get_indexer(pd.MultiIndex.from_frame(rows))
    bound = np.zeros((len(pairs), len(tfs)), dtype=np.int8)
    bound[at, tf] = 1
    return pd.concat([pairs, pd.DataFrame(bound, columns=list(map(str, tfs)))], axis=1)


def eregulons(edges: pd.DataFrame) -> pd.DataFrame:
    """Return SCENIC+'s table of eRegulons; see :func:`tilegrn.get.edges` for what its columns hold."""
    held, places = _with_windows(edges, "scenicplus")
    table = pd.DataFrame(
        {
            "Region": _joined(places, ":", "-"),
            "Gene": held["target"].astype(str),
            "TF": held["source"].astype(str),
            "score": _numbers(held, "score"),
            "sign": np.where(_numbers(held, "sign") < 0, -1, 1),
        }
    )
    table = _best_first(table, table["score"].to_numpy(), ["TF", "Region", "Gene"])
    sign = np.where(table["sign"] < 0, "-", "+")
    name = table["TF"] + "_direct_" + pd.Series(sign, index=table.index) + "/+"
    regions, genes = (table.groupby(name)[c].transform("nunique").astype(str) for c in ("Region", "Gene"))
    unknown = np.full(len(table), np.nan)
    return pd.DataFrame(
        {
            "Region": table["Region"],
            "Gene": table["Gene"],
            "importance_R2G": table.groupby(["Region", "Gene"])["score"].transform("sum"),
            "rho_R2G": unknown,
            "importance_x_rho_R2G": unknown,
            "importance_x_abs_rho_R2G": unknown,
            "TF": table["TF"],
            "is_extended": False,
            "eRegulon_name": name,
            "Gene_signature_name": name + "_(" + genes + "g)",
            "Region_signature_name": name + "_(" + regions + "r)",
            "importance_TF2G": table.groupby(["TF", "Gene"])["score"].transform("sum"),
            "regulation": table["sign"].to_numpy(np.int64),
            "rho_TF2G": unknown,
            "importance_x_abs_rho_TF2G": unknown,
            "importance_x_rho_TF2G": unknown,
            "triplet_rank": np.arange(len(table)),
        }
    )


FORMATS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "celloracle": base_grn,
    "decoupler": decoupler_net,
    "gretapy": gretapy_grn,
    "scenicplus": eregulons,
}
