"""A gene's locus: open windows, TSSs, and edges as arcs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn import _keys as K
from tilegrn import _store
from tilegrn._edges_table import as_edges
from tilegrn._edges_table import edges as stored
from tilegrn.errors import InputError
from tilegrn.io._peaks import parse_peaks
from tilegrn.pl._network import one_group
from tilegrn.pl._style import ACCENT, GREY, MODEL, axes, tidy

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
    score; blue activates, red represses.

    Raises
    ------
    InputError
        If the gene has no TSS or no arcs.
    """
    record = _store.get_record(mdata, K.REC_TSS)
    mine = np.asarray(record["gene"], dtype=object).astype(str) == gene
    if not mine.any():
        msg = f"'{gene}' has no TSS in the table that grn.pp.tss_distance was given."
        raise InputError(msg)
    chrom = str(np.asarray(record["chrom"], dtype=object)[mine][0])
    own = np.asarray(record["pos"], dtype=np.int64)[mine & (np.asarray(record["chrom"], dtype=object) == chrom)]
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
    ax = axes(ax, size=(8.0, 3.0))
    _bars(ax, mdata, atac, chrom, low, high)
    top = float(arcs.abs().max())
    angle = np.linspace(0, np.pi, 60)
    for x, value in zip(middle, arcs.to_numpy(), strict=True):
        tss = float(own[np.abs(own - x).argmin()])
        height = 0.25 + 0.75 * abs(value) / top
        ax.plot(
            (x + tss) / 2 + (x - tss) / 2 * np.cos(angle),
            0.12 + height * np.sin(angle),
            color=MODEL if value > 0 else ACCENT,
            linewidth=0.7 + 2.3 * abs(value) / top,
            solid_capstyle="round",
        )
    _sites(ax, record, gene, chrom, low, high)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.95, 1.25)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    tidy(ax)
    ax.xaxis.set_major_formatter(lambda v, _: f"{v / 1e6:.3f}")
    ax.set_xlabel(f"{chrom} (Mb)")
    return ax


def _bars(ax: Axes, mdata: MuData, atac: str, chrom: str, low: float, high: float) -> None:
    """Mean accessibility of the windows in view, downwards."""
    grid = _store.get_grid(mdata)
    opened = _store.cell_windows(mdata, atac)
    code = int(grid.chrom_codes([chrom])[0])
    size = grid.window_size
    first = int(grid.offsets[code]) + max(int(low // size), 0)
    last = min(int(grid.offsets[code]) + int(high // size) + 1, int(grid.offsets[code + 1]))
    seen = np.flatnonzero((opened.indices >= first) & (opened.indices < last))
    used, at = np.unique(opened.indices[seen], return_inverse=True)
    mean = np.bincount(at, weights=opened.data[seen], minlength=len(used)) / opened.shape[0]
    if len(used):
        width = max(size, (high - low) / 400)  # a window must stay visible in a wide view
        ax.bar(grid.starts(used) + size / 2, -0.6 * mean / mean.max(), width=width, bottom=-0.05, color=GREY)
        ax.text(low, -0.7, f" accessibility, up to {mean.max():.2g} per cell", fontsize="x-small", color="#5a6069")


def _sites(ax: Axes, record: dict[str, object], gene: str, chrom: str, low: float, high: float) -> None:
    """TSSs in view: an arrow in the direction of transcription; names where there are few."""
    names = np.asarray(record["gene"], dtype=object).astype(str)
    pos = np.asarray(record["pos"], dtype=np.int64)
    strand = np.asarray(record["strand"], dtype=object).astype(str)
    inside = (np.asarray(record["chrom"], dtype=object).astype(str) == chrom) & (pos >= low) & (pos <= high)
    few = inside.sum() <= 14
    own = pos[inside & (names == gene)]
    for name, x, s in zip(names[inside], pos[inside], strand[inside], strict=True):
        step = (high - low) * 0.012 * (-1 if s == "-" else 1)
        colour = "black" if name == gene else "#8a8f98"
        ax.plot([x, x], [-0.05, 0.08], color=colour, linewidth=1.2 if name == gene else 0.8)
        ax.annotate("", xy=(x + step, 0.08), xytext=(x, 0.08), arrowprops={"arrowstyle": "-|>", "color": colour})
        apart = not len(own) or np.abs(own - x).min() > 0.06 * (high - low)  # names must not lie on each other
        if name == gene or (few and apart):
            ax.text(
                x,
                -0.86,
                name,
                ha="center",
                fontsize="x-small",
                color=colour,
                weight="bold" if name == gene else "normal",
            )
    ax.axhline(-0.05, color="#5a6069", linewidth=0.6)
