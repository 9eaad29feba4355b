"""Colours, sizes, axes and labels that all plots share.

Sizes are those of print: figures are made one column (89 mm) or two columns (180 mm) wide. Text is sized relative to
matplotlib's ``font.size``, so that a user's settings hold; at its default of 10 pt the smallest text has 6.9 pt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from mudata import MuData

__all__ = [
    *("ACCENT", "BASELINE", "DOUBLE", "GREY", "INK", "LOG_UNIT", "MANY", "MARKERS", "MODEL", "MUTED", "OKABE_ITO"),
    *("PAGE", "SINGLE", "SMALL", "TEXT", "axes", "colour_bar", "density", "diverging", "grid", "group_colours"),
    *("inches_wide", "letters", "tidy"),
]

SINGLE: Final = 3.5
"""Width in inches of one column of a page."""
DOUBLE: Final = 7.08
"""Width in inches of two columns."""
TEXT: Final = "small"
"""Labels of axes, titles, names."""
SMALL: Final = "x-small"
"""Ticks, legends, notes."""
PAGE: Final = 9.0
"""Height of a page that leaves room for a legend."""
MODEL: Final = "#1b5e83"
"""What the model predicts or scores; what activates or goes up."""
BASELINE: Final = "#8a8f98"
"""What it is compared with."""
ACCENT: Final = "#b5462f"
"""Means and other summaries drawn over data; what represses or goes down."""
GREY: Final = "#b9bec6"
"""Guides."""
INK: Final = "#3c4148"
"""Text of ticks and labels."""
MUTED: Final = "#5a6069"
"""Frames, notes."""
LOG_UNIT: Final = "log1p(counts / size factor)"
"""Unit of observed and predicted expression."""
MANY: Final = 400
"""Above so many points a scatter hides how many lie on top of each other."""
OKABE_ITO: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000")
"""Colours of groups that have none of their own (Okabe and Ito 2008; grey in place of yellow, which white swallows)."""
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
"""Where there are more groups than colours, the shape changes each time the colours are used up."""


def axes(ax: Axes | None, *, size: tuple[float, float] = (SINGLE, 2.7)) -> Axes:
    """Return the given axes, or those of a new figure of that size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def grid(n: int, *, names: int = 0) -> list[Axes]:
    """Return ``n`` axes of a new figure, at most three in a row, with room for a legend of so many names."""
    import matplotlib.pyplot as plt

    across = min(n, 3)
    down = -(-n // across)
    size = (DOUBLE / 3 * across if across > 1 else SINGLE, 2.15 * down if across > 1 else 2.7)
    size = (size[0], size[1] + 0.16 * -(-names // (6 if across > 1 else 3)))
    figure, array = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    every = list(array.ravel())
    for spare in every[n:]:
        figure.delaxes(spare)
    return every[:n]


def inches_wide(ax: Axes) -> float:
    """Return about how wide axes are in inches, before a layout has been made."""
    return max(float(ax.get_window_extent().width) / float(ax.figure.dpi), 0.1)


def letters(n: int) -> float:
    """Return about how long a name of so many letters is in the small type, in inches."""
    return 0.065 * n


def tidy(ax: Axes) -> None:
    """Take away the frame's top and right side, quieten the ticks and size the labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK, labelsize=SMALL, length=3)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set_fontsize(TEXT)


def density(ax: Axes, x: Any, y: Any, *, n_bins: int = 30) -> Any:
    """Draw points, or hexagons coloured by the number of points (logarithmic) where there are many.

    Returns the artist; a colour bar can be made of the hexagons.
    """
    if len(x) <= MANY:
        return ax.scatter(x, y, s=7, color=MODEL, alpha=0.5, linewidths=0, rasterized=True)
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("tilegrn", ["#c5d7e4", "#74a1bf", MODEL, "#0c2f45"])
    return ax.hexbin(x, y, gridsize=n_bins, bins="log", mincnt=1, cmap=colours, linewidths=0.1, rasterized=True)


def diverging(middle: str = "#f4f4f2") -> Colormap:
    """Return a colour map from repression to activation, for values centred at 0, with a neutral middle."""
    from matplotlib.colors import LinearSegmentedColormap

    ends = ["#6e2010", ACCENT, "#e2a795", middle, "#8fb8d0", MODEL, "#0c2f45"]
    return LinearSegmentedColormap.from_list("tilegrn_signed", ends)


def colour_bar(ax: Axes, artist: Any, label: str) -> None:
    """Add a slim colour bar that says how many points a hexagon holds, with the ends of its range named."""
    bar = ax.figure.colorbar(artist, ax=ax, pad=0.02, aspect=30, shrink=0.9)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    low, high = artist.get_clim()
    steps = [b * 10**e for e in range(int(np.log10(max(high, 1))) + 1) for b in (1, 2, 5)]
    inside = [s for s in steps if low <= s <= high]
    if len(inside) > 6:  # a wide range needs its powers of ten only
        inside = [s for s in inside if np.isclose(np.log10(s) % 1, 0)]
    bar.set_ticks(inside, labels=[f"{s:,}" for s in inside])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)


def group_colours(mdata: MuData | None, column: str, groups: Sequence[str], *, rna: str, atac: str) -> dict[str, str]:
    """Return a colour for each group of cells: the one in ``uns["<column>_colors"]``, where scanpy keeps them, or ours.

    Looked for in the MuData, then in its modalities; colours follow the categories of the column in the same place.
    """
    from matplotlib.colors import is_color_like

    found: dict[str, str] = {}
    places = () if mdata is None else (mdata, *(mdata.mod[name] for name in (rna, atac) if name in mdata.mod))
    for place in places:
        colours = place.uns.get(f"{column}_colors")
        if colours is None or column not in place.obs:
            continue
        names = pd.Categorical(place.obs[column]).categories
        found = {str(n): str(c) for n, c in zip(names, np.ravel(colours), strict=False) if is_color_like(str(c))}
        break
    return {g: found.get(g, OKABE_ITO[i % len(OKABE_ITO)]) for i, g in enumerate(groups)}
