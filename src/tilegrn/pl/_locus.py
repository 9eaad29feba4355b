"""A gene's locus: open windows, TSSs, and edges as arcs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core import store
from tilegrn._core.edges_table import as_edges
from tilegrn._core.edges_table import edges as stored
from tilegrn._core.peaks import parse_peaks
from tilegrn._core.rows import column_sums
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import ACCENT, DOUBLE, GREY, MODEL, MUTED, SMALL, axes, tidy
from tilegrn.pl._tss import draw_tss, tss_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["locus"]

MOST = 12
"""Arcs drawn."""
LEAST = 0.02
"""Arcs with less than this share of the strongest are left out: they only fill the picture."""


def locus(
    mdata: MuData,
    gene: str,
    *,
    tf: str | None = None,
    links: pd.DataFrame | None = None,
    flank: int = 20_000,
    group: str | None = None,
    atac: str = "atac",
    ax: Axes | None = None,
) -> Axes:
    """Draw the windows around a gene with their accessibility, TSSs, and arcs from windows to the gene's TSS.

    Parameters
    ----------
    mdata
        After :func:`tilegrn.tl.edges` (or give ``links``).
    gene
        A TG.
    tf
        Arcs of this TF only; all TFs of a window summed by default.
    links
        A table ``cre`` (or ``peak``), ``target, score`` instead of the stored triplets, such as from
        :func:`tilegrn.tl.links`.
    flank
        Bases shown beyond the outermost window and TSS.
    group
        Group of cells; must be named where there are several.
    atac
        Name of the modality.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes; x in bp of the chromosome. Bars: mean counts of each window over all cells. Arcs: height and width by
    score; with signs, blue activates and red represses.

    Raises
    ------
    InputError
        If the gene has no TSS or no arcs, or ``links`` lacks a column.

    Examples
    --------
    >>> links = grn.tl.links(mdata)
    >>> ax = grn.pl.locus(mdata, "Gene12", links=links)
    """
    tss = tss_table(mdata)
    mine = tss[tss["gene"] == gene]
    if mine.empty:
        msg = f"'{gene}' has no TSS in the table that grn.pp.tss_distance was given."
        raise InputError(msg)
    chrom = str(mine["chrom"].iloc[0])
    own = mine.loc[mine["chrom"] == chrom, "pos"].to_numpy(dtype=np.int64)
    if links is not None and not ({"target", "score"} <= set(links.columns) and {"cre", "peak"} & set(links.columns)):
        given = list(map(str, links.columns))
        msg = f"links has the columns {given}; it needs peak (or cre), target, score, as of grn.tl.links."
        raise InputError(msg)
    table = stored(mdata, level="triplet") if links is None else as_edges(links.assign(source=links.get("source", "")))
    table = one_group(table, group)
    table = table[table["target"] == gene]
    if tf is not None:
        table = table[table["source"] == tf]
    if not len(table):
        msg = f"'{gene}' has no edge through a window{'' if tf is None else f' from {tf}'} in this network."
        raise InputError(msg)
    signed = table["score"].to_numpy(dtype=float) * (table["sign"].to_numpy() if "sign" in table else 1.0)
    places = table["cre" if "cre" in table else "peak"].astype(str)
    arcs = table.assign(cre=places, signed=signed).groupby("cre")["signed"].sum()
    arcs = arcs.loc[arcs.abs().nlargest(MOST).index]
    arcs = arcs[arcs.abs() >= LEAST * arcs.abs().max()]
    _, start, end = parse_peaks(arcs.index)
    middle = (start + end) / 2
    low, high = min(middle.min(), own.min()) - flank, max(middle.max(), own.max()) + flank
    ax = axes(ax, size=(DOUBLE, 2.5))
    _bars(ax, mdata, atac, chrom, low, high)
    top = float(arcs.abs().max())
    angle = np.linspace(0, np.pi, 60)
    for x, value in zip(middle, arcs.to_numpy(), strict=True):
        to = float(own[np.abs(own - x).argmin()])
        height = 0.25 + 0.75 * abs(value) / top
        ax.plot(
            (x + to) / 2 + (x - to) / 2 * np.cos(angle),
            0.12 + height * np.sin(angle),
            color=MODEL if value > 0 else ACCENT,
            linewidth=0.7 + 2.3 * abs(value) / top,
            solid_capstyle="round",
        )
    _key(ax, arcs.to_numpy(), signed="sign" in table)
    draw_tss(ax, tss[tss["chrom"] == chrom], gene, (low, high), foot=-0.05, head=0.08, text=-0.82)
    ax.axhline(-0.05, color=MUTED, linewidth=0.6)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.95, 1.25)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    tidy(ax)
    width = ax.bbox.width / ax.figure.dpi
    ax.locator_params(axis="x", nbins=max(2, int(width / 0.6)))  # as many as do not touch, in inches
    ax.xaxis.set_major_formatter(lambda v, _: f"{v / 1e6:.3f}")
    ax.set_xlabel(f"{chrom} (Mb)")
    return ax


def _key(ax: Axes, scores: np.ndarray, *, signed: bool) -> None:
    """Say above the arcs what their height and colour mean, where no arc ends."""
    words = [(f"arcs: score, up to {np.abs(scores).max():.3g}", MUTED)]
    if signed:
        words += [("activates", MODEL)] * bool((scores > 0).any()) + [("represses", ACCENT)] * bool((scores < 0).any())
    for i, (word, colour) in enumerate(words):
        ax.annotate(
            word,
            (0.0, 1.0),
            xycoords="axes fraction",
            xytext=(2, -9 * i),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=SMALL,
            color=colour,
        )


def _bars(ax: Axes, mdata: MuData, atac: str, chrom: str, low: float, high: float) -> None:
    """Mean accessibility of the windows in view, downwards."""
    grid = store.get_grid(mdata)
    code = int(grid.chrom_codes([chrom])[0])
    size = grid.window_size
    first = int(grid.offsets[code]) + max(int(low // size), 0)
    last = min(int(grid.offsets[code]) + int(high // size) + 1, int(grid.offsets[code + 1]))
    mean = column_sums(store.window_rows(mdata, atac, np.arange(first, last))) / mdata.mod[atac].n_obs
    used = first + np.flatnonzero(mean)
    mean = mean[mean > 0]
    if len(used):
        width = max(size, (high - low) / 400)  # a window must stay visible in a wide view
        ax.bar(grid.starts(used) + size / 2, -0.6 * mean / mean.max(), width=width, bottom=-0.05, color=GREY)
        ax.text(low, -0.7, f" accessibility, up to {mean.max():.2g} per cell", fontsize=SMALL, color=MUTED)
