"""Colours, axes and labels that all plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACCENT", "BASELINE", "GREY", "LOG_UNIT", "MANY", "MODEL", "axes", "colour_bar", "density", "grid", "tidy"]

MODEL: Final = "#1b5e83"
"""What the model predicts or scores."""
BASELINE: Final = "#8a8f98"
"""What it is compared with."""
ACCENT: Final = "#c8553d"
"""Means and other summaries drawn over data."""
GREY: Final = "#b9bec6"
"""Guides."""
LOG_UNIT: Final = "log1p(counts / size factor)"
"""Unit of observed and predicted expression."""
MANY: Final = 400
"""Above so many points a scatter hides how many lie on top of each other."""


def axes(ax: Axes | None, *, size: tuple[float, float] = (4.8, 3.6)) -> Axes:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def grid(n: int) -> list[Axes]:
    """Return ``n`` axes of a new figure, at most three in a row."""
    import matplotlib.pyplot as plt

    across = min(n, 3)
    down = -(-n // across)
    figure, array = plt.subplots(down, across, figsize=(2.9 * across, 2.7 * down), layout="constrained", squeeze=False)
    every = list(array.ravel())
    for spare in every[n:]:
        figure.delaxes(spare)
    return every[:n]


def tidy(ax: Axes) -> None:
    """Take away the frame's top and right side and quieten the ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#5a6069")
    ax.tick_params(colors="#3c4148", labelsize="small", length=3)


def density(ax: Axes, x: Any, y: Any, *, n_bins: int = 40) -> Any:
    """Draw points, or hexagons coloured by the number of points (logarithmic) where there are many.

    Returns the artist; a colour bar can be made of the hexagons.
    """
    if len(x) <= MANY:
        return ax.scatter(x, y, s=9, color=MODEL, alpha=0.5, linewidths=0, rasterized=True)
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("tilegrn", ["#c5d7e4", "#74a1bf", MODEL, "#0c2f45"])
    return ax.hexbin(x, y, gridsize=n_bins, bins="log", mincnt=1, cmap=colours, linewidths=0.1, rasterized=True)


def colour_bar(ax: Axes, artist: Any, label: str) -> None:
    """Add a slim colour bar that says how many points a hexagon holds."""
    from matplotlib.ticker import StrMethodFormatter

    bar = ax.figure.colorbar(artist, ax=ax, pad=0.02, aspect=30, shrink=0.9)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="x-small", length=2)
    bar.formatter = StrMethodFormatter("{x:g}")
    bar.update_ticks()
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
