"""Edges of groups of cells as numbers, and as labelled tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._core.symbols import labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.grn_model import GRNModel

__all__ = ["GroupEdges", "GroupTriplets", "edge_tables"]


@dataclass(frozen=True, eq=False)
class GroupEdges:
    """The best edges of a group, best first."""

    tf: NDArray[np.int64]
    gene: NDArray[np.int64]
    score: NDArray[np.float32]
    sign: NDArray[np.int8]
    attribution: NDArray[np.float32]
    direct_effect: NDArray[np.float32]
    support: NDArray[np.float32]
    stability: NDArray[np.float32]
    rank_sd: NDArray[np.float32]
    jaccard: float


@dataclass(frozen=True, eq=False)
class GroupTriplets:
    """Windows of the edges of a group: position of the edge, window, bp, pair score, share of the edge, attribution."""

    edge: NDArray[np.int64]
    window: NDArray[np.int64]
    distance: NDArray[np.int64]
    link: NDArray[np.float64]
    share: NDArray[np.float64]
    attribution: NDArray[np.float64]


def edge_tables(
    model: GRNModel, groups: list[tuple[str, GroupEdges]], triplets: list[GroupTriplets]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn numbers into labelled rows; the network's ``cre`` is the window that carries most of the edge."""
    v = model.vocabulary
    names = [name for name, _ in groups]
    sizes = [len(e.tf) for _, e in groups]
    shift = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def of_edges(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(e, field) for _, e in groups])

    def of_windows(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(t, field) for t in triplets])

    edge = np.concatenate([t.edge + s for t, s in zip(triplets, shift, strict=True)])
    share = of_windows("share")
    tf, gene, sign = of_edges("tf"), of_edges("gene"), of_edges("sign")
    group = np.repeat(np.arange(len(names)), sizes)
    used, code = np.unique(of_windows("window"), return_inverse=True)
    labels = [*_window_names(model, used), ""]
    top = np.full(len(tf), len(used), dtype=np.int64)
    heads = np.flatnonzero(np.r_[True, np.diff(edge) != 0]) if len(edge) else edge  # largest share first
    top[edge[heads]] = code[heads]
    support, score = of_edges("support"), of_edges("score")
    network = pd.DataFrame(
        {
            "group": labelled(group, names),
            "source": labelled(tf, v.tfs),
            "target": labelled(gene, v.genes),
            "cre": labelled(top, labels),
            "score": score,
            "sign": sign,
            "stability": of_edges("stability"),
            "attribution": of_edges("attribution"),
            "direct_effect": of_edges("direct_effect"),
            "support": support,
            "kind": labelled((support <= 0).astype(np.int64), ["direct", "indirect"]),
            "n_cres": np.bincount(edge, minlength=len(tf)).astype(np.int32),
            "rank_sd": of_edges("rank_sd"),
        }
    )
    flat = pd.DataFrame(
        {
            "group": labelled(group[edge], names),
            "source": labelled(tf[edge], v.tfs),
            "target": labelled(gene[edge], v.genes),
            "cre": labelled(code, labels[:-1]),
            "score": (score[edge] * share).astype(np.float32),
            "sign": sign[edge],
            "stability": of_edges("stability")[edge],
            "attribution": of_windows("attribution").astype(np.float32),
            "distance": of_windows("distance"),
            "link": of_windows("link").astype(np.float32),
        }
    )
    return network, flat


def _window_names(model: GRNModel, columns: NDArray[np.int64]) -> list[str]:
    v = model.vocabulary
    return [str(n) for n in v.grid.names(v.windows[columns])]
