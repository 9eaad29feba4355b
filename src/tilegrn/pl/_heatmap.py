"""TF x TG heatmap of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core.edges_table import as_edges
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import DOUBLE, INK, MUTED, PAGE, SMALL, TEXT, axes, diverging, letters

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
    The Axes. Blue (above 0) activates, red represses. Colours are cut at the 98th percentile, so that one strong edge
    does not bleach the rest.

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
    left, below = (letters(len(max(map(str, names), key=len))) for names in (rows, columns))
    # Many rows and columns become narrower rather than larger than a page.
    cell = min(0.2, (DOUBLE - 1.2 - left) / len(columns))
    line = min(0.19, (PAGE - 0.5 - below) / len(rows))
    wide_, tall = cell * len(columns) + 1.2 + left, line * len(rows) + 0.5 + below
    ax = axes(ax, size=(max(wide_, 2.1 + left), max(tall, 1.5 + below)))
    top = float(np.quantile(np.abs(table["signed"]), 0.98)) or 1.0
    image = ax.imshow(wide.to_numpy(), cmap=diverging(), vmin=-top, vmax=top, aspect="auto", interpolation="nearest")
    for axis, names, room in ((ax.xaxis, wide.columns, cell), (ax.yaxis, wide.index, line)):
        step = max(1, int(np.ceil(0.11 / room)))  # names that would touch are left out, every second or more
        axis.set_ticks(range(0, len(names), step), list(names[::step]))
    ax.tick_params(length=0, labelsize=SMALL, colors=INK)
    ax.tick_params(axis="x", rotation=90)
    ax.spines[:].set_color(MUTED)
    ax.set_xlabel("TG", fontsize=TEXT)
    ax.set_ylabel("TF", fontsize=TEXT)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, aspect=max(25, len(rows)), pad=0.02, extend="both")
    bar.set_label("signed score", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
    return ax


def _order(values: np.ndarray) -> np.ndarray:
    """Leaf order of average linkage on correlation; as given where there are fewer than three rows."""
    if len(values) < 3:
        return np.arange(len(values))
    from scipy.cluster.hierarchy import leaves_list, linkage

    centred = values - values.mean(1, keepdims=True)
    norm = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return np.asarray(leaves_list(linkage(centred / norm, method="average")))
