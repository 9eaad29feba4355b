"""The network around a TF or a TG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.edges_table import as_edges
from tilegrn.errors import InputError
from tilegrn.pl._style import ACCENT, GREY, MODEL, MUTED, SINGLE, SMALL, TEXT, axes

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
    tall = max(0.19 * max(len(into), len(out), 6) + 0.8, 0.09 * len(gene) + 1.0)
    ax = axes(ax, size=(1.4 * SINGLE if len(into) and len(out) else SINGLE, tall))
    _side(ax, into, "source")
    _side(ax, out, "target")
    # The name stands upright: its box is as narrow for a long name as for a short one, and no edge runs into it.
    box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": GREY}
    ax.text(0, 0, gene, ha="center", va="center", weight="bold", rotation=90, fontsize=TEXT, bbox=box)
    ax.set_xlim(-1.5 if len(into) else -0.25, 1.5 if len(out) else 0.25)
    ax.set_ylim(-0.56, 0.66)
    shown = (into, out)
    signs = np.concatenate([p["sign"].to_numpy() if "sign" in p else np.ones(len(p)) for p in shown])
    words = [("activates", MODEL)] * bool((signs > 0).any()) + [("represses", ACCENT)] * bool((signs < 0).any())
    if any("kind" in p and (p["kind"].astype(str) != "direct").any() for p in shown):
        words.append(("broken: indirect", MUTED))
    ax.legend(
        handles=[ax.plot([], [], color=c, label=w, linestyle="--" if c == MUTED else "-")[0] for w, c in words],
        frameon=False,
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=len(words),
        handlelength=1.2,
        columnspacing=1.0,
    )
    ax.set_axis_off()
    return ax


def _side(ax: Axes, part: pd.DataFrame, column: str) -> None:
    """Draw the edges of one side, fanned out at the gene so that their ends can be told apart."""
    if not len(part):
        return
    side = -1.0 if column == "source" else 1.0
    heights = np.linspace(0.5, -0.5, len(part)) if len(part) > 1 else np.zeros(1)
    width = 0.6 + 2.2 * part["score"].to_numpy() / float(part["score"].max())
    signs = part["sign"].to_numpy() if "sign" in part else np.ones(len(part))
    kinds = part["kind"].astype(str).to_numpy() if "kind" in part else np.full(len(part), "direct")
    for y, name, w, sign, kind in zip(heights, part[column].astype(str), width, signs, kinds, strict=True):
        start, end = (side * 0.93, y), (side * 0.16, 0.35 * y)
        if side > 0:
            start, end = end, start
        ax.annotate(
            "",
            xy=end,
            xytext=start,
            arrowprops={
                "arrowstyle": "-|>,head_length=0.5,head_width=0.2" if sign > 0 else "|-|,widthA=0,widthB=0.3",
                "color": MODEL if sign > 0 else ACCENT,
                "linewidth": float(w),
                "linestyle": "-" if kind == "direct" else (0, (3, 2)),
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 7,
            },
        )
        ax.text(side * 0.97, y, name, ha="right" if side < 0 else "left", va="center", fontsize=SMALL)
    word = "regulators" if side < 0 else "targets"
    ax.text(side * 0.97, 0.6, word, ha="right" if side < 0 else "left", color=MUTED, fontsize=SMALL, style="italic")


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
