"""How far the networks of a model agree on its edges."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.edges_table import as_edges
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import BASELINE, MODEL, SMALL, axes, tidy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["stability"]


def stability(
    edges: MuData | pd.DataFrame, *, group: str | None = None, n_bins: int = 40, ax: Axes | None = None
) -> Axes:
    """Draw the mean stability of edges along their rank, with the share that all networks hold.

    Parameters
    ----------
    edges
        A MuData after :func:`tilegrn.tl.edges` with a model of several networks, or such a table.
    group
        Group of cells; must be named where there are several.
    n_bins
        Points of the lines.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        If the model had one network.

    Examples
    --------
    >>> ax = grn.pl.stability(mdata, group="all")
    """
    table = one_group(as_edges(edges), group).sort_values("score", ascending=False, kind="stable")
    value = table["stability"].to_numpy(dtype=float) if "stability" in table else np.zeros(0)
    if not np.isfinite(value).any():
        msg = "These edges have no stability: it needs several networks, grn.tl.train(mdata, n_models=5)."
        raise InputError(msg)
    ax = axes(ax)
    bounds = np.unique(np.geomspace(1, len(value), n_bins + 1).round().astype(int))
    bounds[0] = 0
    middle = [(a + b + 1) / 2 for a, b in itertools.pairwise(bounds)]
    mean = [value[a:b].mean() for a, b in itertools.pairwise(bounds)]
    every = [(value[a:b] > 1 - 1e-6).mean() for a, b in itertools.pairwise(bounds)]
    ax.plot(middle, mean, color=MODEL, label="mean")
    ax.plot(middle, every, color=BASELINE, label="held by all networks")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.03)
    ax.set_xlabel("rank of the edge, strongest first")
    ax.set_ylabel("stability (share of networks)")
    ax.legend(frameon=False, fontsize=SMALL, loc="best")
    tidy(ax)
    return ax
