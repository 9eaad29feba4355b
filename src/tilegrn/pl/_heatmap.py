"""TF x TG heatmap of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core.edges_table import as_edges
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["edge_heatmap"]


def edge_heatmap(
    edges: MuData | pd.DataFrame,
    *,
    tfs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    n: int = 25,
    group: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw scores of TFs (rows) and TGs (columns), signed, rows and columns ordered by similarity.

    Parameters
    ----------
    edges
        A MuData after :func:`tilegrn.tl.edges`, or a table ``source, target, score, sign``.
    tfs, targets
        Which to show; the ``n`` with the largest summed score (of all edges, of the edges of the TFs) by default.
    n
        How many to choose.
    group
        Group of cells; must be named where there are several.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes. Colours are cut at the 98th percentile, so that one strong edge does not bleach the rest.

    Raises
    ------
    InputError
        If nothing is left to show.

    Examples
    --------
    >>> ax = grn.pl.edge_heatmap(mdata, n=8, group="all")
    """
    table = one_group(as_edges(edges), group)
    sign = table["sign"].to_numpy() if "sign" in table else 1
    table = pd.DataFrame(
        {
            "source": table["source"].astype(str),
            "target": table["target"].astype(str),
            "score": table["score"].to_numpy(dtype=float),
            "signed": table["score"].to_numpy(dtype=float) * sign,
        }
    )
    rows = list(tfs) if tfs is not None else list(table.groupby("source")["score"].sum().nlargest(n).index)
    table = table[table["source"].isin(rows)]
    columns = list(targets) if targets is not None else list(table.groupby("target")["score"].sum().nlargest(n).index)
    table = table[table["target"].isin(columns)]
    if not len(table):
        msg = "None of these TFs and targets has an edge; grn.get.edges(mdata) lists them."
        raise InputError(msg)
    wide = table.pivot_table(index="source", columns="target", values="signed", aggfunc="sum", fill_value=0.0)
    wide = wide.reindex(index=rows, columns=columns, fill_value=0.0)
    wide = wide.iloc[_order(wide.to_numpy()), _order(wide.to_numpy().T)]
    ax = axes(ax, size=(0.21 * len(columns) + 1.9, 0.21 * len(rows) + 1.5))
    top = float(np.quantile(np.abs(table["signed"]), 0.98)) or 1.0
    image = ax.imshow(wide.to_numpy(), cmap="RdBu", vmin=-top, vmax=top, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(wide.shape[1]), list(wide.columns), rotation=90, fontsize="x-small")
    ax.set_yticks(range(wide.shape[0]), list(wide.index), fontsize="x-small")
    ax.tick_params(length=0)
    ax.set_xlabel("TG")
    ax.set_ylabel("TF")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, extend="both")
    bar.set_label("score x sign", fontsize="small")
    bar.ax.tick_params(labelsize="x-small")
    return ax


def _order(values: np.ndarray) -> np.ndarray:
    """Leaf order of average linkage on correlation; as given where there are fewer than three rows."""
    if len(values) < 3:
        return np.arange(len(values))
    from scipy.cluster.hierarchy import leaves_list, linkage

    centred = values - values.mean(1, keepdims=True)
    norm = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return np.asarray(leaves_list(linkage(centred / norm, method="average")))
