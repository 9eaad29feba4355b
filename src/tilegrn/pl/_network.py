"""The network around a TF or a TG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.edges_table import as_edges
from tilegrn.errors import InputError
from tilegrn.pl._style import ACCENT, GREY, MODEL, axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["network"]


def network(
    edges: MuData | pd.DataFrame,
    gene: str,
    *,
    n: int = 15,
    group: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the strongest edges of one gene: its regulators on the left, what it regulates on the right.

    Parameters
    ----------
    edges
        A MuData after :func:`tilegrn.tl.edges`, or a table ``source, target, score, sign``.
    gene
        A TF or a TG.
    n
        Most edges drawn on each side.
    group
        Group of cells; must be named where there are several.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes. Width of an edge: score over the largest shown on its side; blue activates, red represses; broken where
    the edge is indirect.

    Raises
    ------
    InputError
        If the gene has no edge, or the group must be named.

    Examples
    --------
    >>> ax = grn.pl.network(mdata, "Tf3", group="all", n=10)
    """
    table = one_group(as_edges(edges), group)
    into = table[table["target"] == gene].nlargest(n, "score")
    out = table[table["source"] == gene].nlargest(n, "score")
    if not len(into) and not len(out):
        msg = f"'{gene}' has no edge in this network; grn.get.edges(mdata) lists them."
        raise InputError(msg)
    ax = axes(ax, size=(6.4 if len(into) and len(out) else 4.2, 0.26 * max(len(into), len(out), 6) + 0.8))
    for side, part, column in ((-1.0, into, "source"), (1.0, out, "target")):
        if not len(part):
            continue
        heights = np.linspace(0.5, -0.5, len(part)) if len(part) > 1 else np.zeros(1)
        width = 0.6 + 3.0 * part["score"].to_numpy() / float(part["score"].max())
        signs = part["sign"].to_numpy() if "sign" in part else np.ones(len(part))
        kinds = part["kind"].astype(str).to_numpy() if "kind" in part else np.full(len(part), "direct")
        for y, name, w, sign, kind in zip(heights, part[column].astype(str), width, signs, kinds, strict=True):
            start, end = ((side * 0.86, y), (side * 0.16, 0.0)) if side < 0 else ((0.16, 0.0), (0.86, y))
            ax.annotate(
                "",
                xy=end,
                xytext=start,
                arrowprops={
                    "arrowstyle": "-|>" if sign > 0 else "|-|,widthA=0,widthB=0.25",
                    "color": MODEL if sign > 0 else ACCENT,
                    "linewidth": float(w),
                    "linestyle": "-" if kind == "direct" else (0, (3, 2)),
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 9,
                },
            )
            ax.text(side * 0.89, y, name, ha="right" if side < 0 else "left", va="center", fontsize="small")
    ax.text(0, 0, gene, ha="center", va="center", weight="bold", bbox={"boxstyle": "round", "fc": "white", "ec": GREY})
    ax.set_xlim(-1.35 if len(into) else -0.35, 1.35 if len(out) else 0.35)
    ax.set_ylim(-0.6, 0.68)
    for x, label, part in ((-0.89, "regulators", into), (0.89, "targets", out)):
        if len(part):
            ax.text(x, 0.6, label, ha="right" if x < 0 else "left", color="#5a6069", fontsize="small", style="italic")
    for x, label, colour in ((-0.03, "activates", MODEL), (0.03, "represses", ACCENT)):
        ax.text(x, -0.58, label, ha="right" if x < 0 else "left", color=colour, fontsize="small")
    ax.set_axis_off()
    return ax


def one_group(table: pd.DataFrame, group: str | None) -> pd.DataFrame:
    """Rows of one group of cells.

    Raises
    ------
    InputError
        If there are several groups and none is named, or the named one is not there.
    """
    if "group" not in table:
        return table
    have = [str(g) for g in table["group"].unique()]
    if group is None and len(have) > 1:
        msg = f"The network has several groups of cells {have[:6]}: name one with group=."
        raise InputError(msg)
    wanted = group or (have[0] if have else "")
    if wanted not in have:
        msg = f"The network has no group '{wanted}'; it has {have}."
        raise InputError(msg)
    return table[table["group"].astype(str) == wanted]
