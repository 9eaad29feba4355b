"""Motif logos, and where the hits of motifs lie in a locus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.peaks import parse_peaks
from tilegrn.errors import InputError
from tilegrn.pl._style import DOUBLE, OKABE_ITO, axes, tidy
from tilegrn.pl._tss import draw_tss, tss_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.motifs._motif import Motif

__all__ = ["motif_hits", "motif_logo"]

_BASE_COLORS = {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#c84e00"}
_FLANK = 10_000
_MAX_BOXES = 1000
_HIT_COLUMNS = ("chrom", "position", "strand", "motif")


def motif_logo(
    motif: Motif,
    ax: Axes | None = None,
    *,
    kind: Literal["information", "probability", "score"] = "information",
    reverse_complement: bool = False,
) -> Axes:
    """Draw a motif as stacked letters.

    Parameters
    ----------
    motif
        The motif, for instance one of :func:`tilegrn.io.read_motifs`.
    ax
        Axes to draw on; a new figure if not given.
    kind
        Height of a letter: its probability times the position's information in bits (2 - entropy), its probability, or
        its score ln(max(p, 0.001) / 0.25), in which letters below the background stand under the axis.
    reverse_complement
        Draw the other strand.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        If ``kind`` is unknown.

    Examples
    --------
    >>> motif = grn.io.read_motifs("motifs.motif")[0]
    >>> ax = grn.pl.motif_logo(motif)
    """
    ax = axes(ax, size=(min(0.22 * motif.length + 0.8, DOUBLE), 1.4))
    if kind not in ("information", "probability", "score"):
        msg = f"kind is '{kind}'; choose 'information', 'probability' or 'score'."
        raise InputError(msg)
    p = np.asarray(motif.probabilities, dtype=np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    heights = p
    if kind == "information":
        logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
        heights = p * (2 + (p * logs).sum(axis=1, keepdims=True))
    elif kind == "score":
        heights = motif.log_odds
    if reverse_complement:
        heights = heights[::-1, ::-1]
    for position, column in enumerate(heights):
        up, down = 0.0, 0.0
        for base in np.argsort(np.abs(column), kind="stable"):
            height = float(column[base])
            if height > 0:
                _letter(ax, "ACGT"[base], position + 0.5, up, height)
                up += height
            elif height < 0:
                _letter(ax, "ACGT"[base], position + 0.5, down + height, -height, faint=True)
                down += height
    ax.set_xlim(0.4, motif.length + 0.6)
    top = {"information": 2.0, "probability": 1.0}.get(kind, float(np.maximum(heights, 0).sum(axis=1).max()) * 1.05)
    ax.set_ylim(min(0.0, float(np.minimum(heights, 0).sum(axis=1).min()) * 1.05), top)
    step = 1 if motif.length <= 20 else 5
    ax.set_xticks([i for i in range(1, motif.length + 1) if i == 1 or i % step == 0])
    ax.set_xlabel("position (bp)")
    ax.set_ylabel({"information": "bits", "probability": "probability", "score": "score (ln odds)"}[kind])
    ax.set_title(_short(motif.name) + (" (reverse complement)" if reverse_complement else ""))
    if kind == "score":
        ax.axhline(0, color="black", linewidth=0.8)
    tidy(ax)
    return ax


def motif_hits(
    mdata: MuData,
    region: str | tuple[str, int, int] | None = None,
    *,
    fasta: str | Path | None = None,
    motifs: str | Path | Sequence[Motif] | None = None,
    hits: pd.DataFrame | None = None,
    gene: str | None = None,
    flank: int = _FLANK,
    max_motifs: int = 12,
    ax: Axes | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> Axes:
    """Draw a locus: TSSs, windows, peaks, and the hits of motifs in the peaks.

    Hits of the ``+`` strand stand above a motif's line, those of the ``-`` strand below.

    Parameters
    ----------
    mdata
        Multiome data; windows are drawn after :func:`tilegrn.pp.bin_peaks`, TSSs after :func:`tilegrn.pp.tss_distance`.
    region
        ``"chr1:3000-60000"`` or ``("chr1", 3000, 60000)``; with ``gene`` it may be left out.
    fasta, motifs
        The genome and the motifs to look for (:func:`tilegrn.motifs.find_hits`).
    hits
        In their place: a table of hits, with ``chrom``, ``position`` (leftmost base, 0-based), ``strand``, ``motif``.
    gene
        Gene whose TSSs are marked. Without ``region``, these and ``flank`` bp on both sides are shown.
    flank
        See ``gene``.
    max_motifs
        Rows at most; those with most hits are shown, and the title says how many there are.
    ax
        Axes to draw on; a new figure if not given.
    rna, atac
        Names of the modalities.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        If the region cannot be read or holds no peak, the gene has no TSS, or neither hits nor fasta and motifs are
        given.
    MissingStepError
        If a gene is asked for before :func:`tilegrn.pp.tss_distance`.

    Examples
    --------
    >>> ax = grn.pl.motif_hits(mdata, gene="Gene12", fasta="genome.fa", motifs="motifs.motif")
    """
    from matplotlib.ticker import MaxNLocator

    adata = check.modality(mdata, atac)
    chrom, start, end = _region(mdata, region, gene, flank)
    peaks = pd.DataFrame(dict(zip(("chrom", "start", "end"), parse_peaks(adata.var_names), strict=True)))
    peaks["name"] = list(map(str, adata.var_names))
    peaks = peaks[(peaks["chrom"] == chrom) & (peaks["start"] < end) & (peaks["end"] > start)]
    if peaks.empty:
        msg = f"No peak of '{atac}' lies in {chrom}:{start:,}-{end:,}."
        raise InputError(msg)
    found = _hits_in(hits, fasta, motifs, peaks, (chrom, start, end))
    counts = found["motif"].value_counts()
    shown = sorted(counts.index[:max_motifs].tolist(), key=lambda m: (-counts[m], m))
    labels = _labels(shown)

    ax = axes(ax, size=(DOUBLE, 0.9 + 0.24 * (len(shown) + 3)))
    rows = ["TSS", "windows", "peaks", *labels]
    if store.has_record(mdata, K.REC_TSS):
        tss = tss_table(mdata)
        draw_tss(ax, tss[tss["chrom"] == chrom], gene, (start, end), foot=0.35, head=-0.15, text=-0.45)
        for pos in tss.loc[(tss["gene"] == gene) & (tss["chrom"] == chrom), "pos"]:
            ax.vlines(pos, 0.35, 2.6 + len(shown), color="black", linewidth=0.7, linestyle=":", zorder=0)
    _draw_windows(ax, mdata, peaks.index.to_numpy(), atac, (chrom, start, end), y=1)
    for left, right in zip(peaks["start"], peaks["end"], strict=True):
        _box(ax, left, right, 2, color="#555555", height=0.5)
        ax.axvspan(left, right, color="#000000", alpha=0.05, linewidth=0)
    for i, motif in enumerate(shown):
        y, color = 3 + i, OKABE_ITO[i % len(OKABE_ITO)]
        mine = found[found["motif"] == motif]
        ax.axhline(y, color="#cccccc", linewidth=0.6, zorder=0)
        for strand, up in (("+", -0.36), ("-", 0.36)):
            at = mine.loc[mine["strand"] == strand, "middle"]
            ax.vlines(at, y, y + up, color=color, linewidth=1.6)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.4, -0.8)
    ax.set_xlim(start, end)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel(f"{chrom} (bp); hits above the line: + strand, below: \N{MINUS SIGN} strand")
    title = f"{_counted(len(found), 'hit')} of {_counted(len(counts), 'motif')} in {_counted(len(peaks), 'peak')}"
    ax.set_title(title if len(shown) == len(counts) else f"{title}; the {len(shown)} with most hits")
    tidy(ax)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _letter(ax: Axes, letter: str, x: float, y: float, height: float, *, faint: bool = False) -> None:
    """Draw a letter stretched to one position's width and the given height."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = path.get_extents()
    stretch = Affine2D().translate(-box.x0, -box.y0).scale(0.92 / box.width, height / box.height).translate(x + 0.04, y)
    patch = PathPatch(
        stretch.transform_path(path), facecolor=_BASE_COLORS[letter], linewidth=0, alpha=0.45 if faint else 1.0
    )
    ax.add_patch(patch)


def _box(ax: Axes, left: float, right: float, y: float, *, color: str, height: float, **kind: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, y - height / 2), right - left, height, facecolor=color, **kind))


def _region(
    mdata: MuData, region: str | tuple[str, int, int] | None, gene: str | None, flank: int
) -> tuple[str, int, int]:
    """Read the region, or make it around a gene's TSSs."""
    if region is None:
        if gene is None:
            msg = "Name a region ('chr1:3000-60000') or a gene."
            raise InputError(msg)
        tss = tss_table(mdata)
        mine = tss[tss["gene"] == gene]
        if mine.empty:
            msg = f"Gene '{gene}' has no TSS in the TSS table of grn.pp.tss_distance; genes are spelt as in var_names."
            raise InputError(msg)
        here = mine[mine["chrom"] == mine["chrom"].iloc[0]]
        return str(here["chrom"].iloc[0]), max(0, int(here["pos"].min()) - flank), int(here["pos"].max()) + flank
    name = region if isinstance(region, str) else f"{region[0]}:{region[1]}-{region[2]}"
    chrom, start, end = parse_peaks([name])
    return str(chrom[0]), int(start[0]), int(end[0])


def _hits_in(
    hits: pd.DataFrame | None,
    fasta: str | Path | None,
    motifs: str | Path | Sequence[Motif] | None,
    peaks: pd.DataFrame,
    region: tuple[str, int, int],
) -> pd.DataFrame:
    """Hits whose middle lies in the region, each once."""
    if hits is None:
        if fasta is None or motifs is None:
            msg = "Give fasta and motifs to look for hits, or a table of hits (hits=)."
            raise InputError(msg)
        from tilegrn.motifs._scan import find_hits

        blocks = list(find_hits(fasta, peaks.reset_index(drop=True), motifs, n_jobs=1))
        hits = pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=[*_HIT_COLUMNS, "sequence"])
    missing = [c for c in _HIT_COLUMNS if c not in hits.columns]
    if missing:
        msg = f"The table of hits lacks the columns {missing}; it has {list(map(str, hits.columns))}."
        raise InputError(msg)
    found = hits.drop_duplicates(list(_HIT_COLUMNS)).copy()
    length = found["sequence"].str.len() if "sequence" in found.columns else 1
    found["middle"] = found["position"].astype(np.float64) + (np.asarray(length, dtype=np.float64) - 1) / 2
    found["motif"] = found["motif"].astype(str)
    chrom, start, end = region
    return found[(found["chrom"].astype(str) == chrom) & (found["middle"] >= start) & (found["middle"] < end)]


def _short(name: str) -> str:
    """Part of a motif's name before bracket and slash."""
    return re.split(r"[(/]", name)[0].strip() or name


def _labels(names: list[str]) -> list[str]:
    """Short names; where two are the same, with the experiment that HOMER's names state second."""
    short = [_short(n) for n in names]
    twice = {s for s in short if short.count(s) > 1}
    source = [_short(n.split("/")[1])[:24] if "/" in n else n for n in names]
    return [f"{s} ({e})" if s in twice else s for s, e in zip(short, source, strict=True)]


def _draw_windows(
    ax: Axes, mdata: MuData, peaks: NDArray[np.int64], atac: str, region: tuple[str, int, int], *, y: float
) -> None:
    """Draw the windows as boxes, those of the peaks filled; only these where there are very many."""
    if not store.has_record(mdata, K.REC_GRID):
        return
    chrom, start, end = region
    grid = store.get_grid(mdata)
    code = int(grid.chrom_codes([chrom])[0])
    if code < 0:
        return
    size, length = grid.window_size, int(grid.lengths[code])
    held = set((store.peak_windows(mdata, atac)[peaks].indices - grid.offsets[code]).tolist())
    window = range(start // size, min(-(-end // size), int(grid.windows_per_chrom[code])))
    for k in window if len(window) <= _MAX_BOXES else sorted(held):
        color = "#9ecae1" if k in held else "white"
        right = min((k + 1) * size, length)
        _box(ax, k * size, right, y, color=color, height=0.4, edgecolor="#999999", linewidth=0.5)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
