"""The scorecard as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError
from tilegrn.pl import _style
from tilegrn.tl.evaluate._report import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.tl.evaluate._report import Scorecard

__all__ = ["draw_genes", "draw_groups", "draw_means", "label_of", "scorecard"]


def draw_means(ax: Axes, card: Scorecard, *, lead: bool = True) -> None:
    """Mean correlation of each method; the bar is the interval of the model's lead, seen from the model's line."""
    order = card.table.sort_values("pearson", kind="stable").reset_index(drop=True)
    model = float(card.table.loc[card.table["method"] == "model", "pearson"].iloc[0])
    ax.axvline(model, color=_style.MODEL, linewidth=1, alpha=0.45, zorder=0)
    for i, row in order.iterrows():
        is_model = row["method"] == "model"
        colour = _style.MODEL if is_model else _style.BASELINE
        ax.plot([0, row["pearson"]], [i, i], color=colour, linewidth=1.2, alpha=0.5, zorder=1)
        ax.plot(row["pearson"], i, "o", color=colour, markersize=6 if is_model else 4.5, zorder=3)
        label = f"{row['pearson']:.3f}"
        if not is_model and np.isfinite(row["difference_low"]):
            low, high = model - row["difference_high"], model - row["difference_low"]
            ax.plot([low, high], [i, i], color=colour, linewidth=3.2, alpha=0.55, solid_capstyle="butt", zorder=2)
            if lead:
                label += f"  {row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        _beside(ax, label, i, _style.MODEL if is_model else _style.INK)
    ax.set_yticks(range(len(order)), [label_of(m) for m in order["method"]])
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.set_xlim(min(0.0, float(order["pearson"].min())), max(float(order["pearson"].max()), 1e-3) * 1.08)
    ax.set_xlabel("mean Pearson r of genes")
    _beside(ax, "mean r  lead [95 % interval]" if lead else "mean r", len(order) - 0.4, _style.MUTED)
    _style.tidy(ax)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=3)


def _beside(ax: Axes, text: str, y: float, colour: str) -> None:
    """Write on the right of the axes, in the room that the layout then leaves."""
    note = ax.annotate(
        text,
        (1.03, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=_style.SMALL,
        color=colour,
        annotation_clip=False,
    )
    note.set_in_layout(True)


def draw_genes(ax: Axes, card: Scorecard) -> None:
    """Each gene's correlation, model against the best baseline."""
    best = card.best_baseline
    genes = card.per_gene[card.per_gene["scored"].astype(bool) & ~card.per_gene["is_tf"].astype(bool)]
    x, y = genes[f"pearson_{best}"].to_numpy(dtype=float), genes["pearson_model"].to_numpy(dtype=float)
    artist = _style.density(ax, x, y, n_bins=35)
    ends = [min(x.min(), y.min()), max(x.max(), y.max())] if len(x) else [0.0, 1.0]
    pad = 0.04 * max(ends[1] - ends[0], 0.02)
    ax.plot(ends, ends, color=_style.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_xlabel(f"r of {label_of(str(best))}")
    ax.set_ylabel("r of tilegrn")
    ax.set(xlim=(ends[0] - pad, ends[1] + pad), ylim=(ends[0] - pad, ends[1] + pad))
    if len(x) > _style.MANY:
        _style.colour_bar(ax, artist, "genes")
    share = f"; tilegrn ahead in {100 * float(np.mean(y > x)):.0f} %" if len(x) else ""
    ax.set_title(f"{len(x):,} genes{share}", loc="left", fontsize=_style.SMALL, color=_style.MUTED)
    _style.tidy(ax)


def draw_groups(ax: Axes, card: Scorecard, colours: Mapping[str, str]) -> None:
    """Mean correlation within each group of cells, of the model and of the baseline that is best overall."""
    best = card.best_baseline
    order = card.per_group.sort_values("model", kind="stable").reset_index(drop=True)
    for i, row in order.iterrows():
        colour = colours[str(row["group"])]
        if best is not None:
            ax.plot([row[best], row["model"]], [i, i], color=_style.GREY, linewidth=1, zorder=1)
            ax.plot(row[best], i, "|", color=_style.INK, markersize=7, markeredgewidth=1.4, zorder=2)
        ax.plot(row["model"], i, "o", color=colour, markersize=5, zorder=3)
    ax.set_yticks(range(len(order)), [f"{g} ({n:,})" for g, n in zip(order["group"], order["n_cells"], strict=True)])
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.axvline(0, color=_style.GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel("mean r of genes within the group")
    words = "dot: tilegrn" if best is None else f"dot: tilegrn   bar: {label_of(best)}"
    ax.set_title(words, loc="left", fontsize=_style.SMALL, color=_style.MUTED)
    _style.tidy(ax)
    ax.tick_params(axis="y", length=0)


def scorecard(
    mdata: MuData | Scorecard,
    *,
    kind: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
    ax: Axes | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw how the model compares with the baselines on held-out cells.

    Parameters
    ----------
    mdata
        Multiome data after :func:`tilegrn.tl.scorecard`, or the Scorecard that it returned.
    kind
        ``"means"``: mean correlation of each method, with the 95 % interval of the model's lead over it (the thick bar;
        where it does not reach the model's line, the lead is beyond chance). ``"genes"``: each gene's correlation,
        model against the best baseline. ``"groups"``: mean correlation within each group of cells, with their numbers
        of held-out cells, of a scorecard made with ``groupby=``; colours are those of
        ``mdata.uns["<column>_colors"]`` (or of a modality's ``uns``) where they are. None draws the first two, or the
        means alone when ``ax`` is given.
    rna, atac
        Names of the modalities, where colours of groups are looked for.
    ax
        Axes to draw into.

    Returns
    -------
    Axes, or an array of two.

    Raises
    ------
    MissingStepError
        Without a scorecard.
    InputError
        If ``kind`` is unknown, or the scorecard has no baseline to draw genes against, or no groups.

    Examples
    --------
    >>> ax = grn.pl.scorecard(mdata, kind="means")
    >>> ax.figure.savefig("scorecard.png")
    """
    from tilegrn.tl.evaluate._report import Scorecard

    card: Any = (
        mdata if isinstance(mdata, Scorecard) else Scorecard.from_record(store.get_record(mdata, K.REC_SCORECARD))
    )
    if kind not in (None, "means", "genes", "groups"):
        msg = f"kind='{kind}' must be 'means', 'genes' or 'groups'."
        raise InputError(msg)
    if kind == "genes" and card.best_baseline is None:
        msg = "The scorecard has no baseline to compare genes with."
        raise InputError(msg)
    if kind == "groups":
        groups = [str(g) for g in card.per_group.get("group", ())]
        if not groups:
            msg = (
                "The scorecard has no groups of cells. Run grn.tl.scorecard(mdata, groupby='cell_type'), with "
                "min_group_cells= below the size of the groups."
            )
            raise InputError(msg)
        column = str(card.parameters.get("groupby", ""))
        data: Any = None if isinstance(mdata, Scorecard) else mdata
        colours = _style.group_colours(data, column, groups, rna=rna, atac=atac)
        panel = _style.axes(ax, size=(_style.SINGLE, min(0.2 * len(groups) + 0.9, _style.PAGE)))
        draw_groups(panel, card, colours)
        return panel
    height = 0.24 * len(card.table) + 0.8
    if kind is None and ax is None and card.best_baseline is not None:
        import matplotlib.pyplot as plt

        size = (_style.DOUBLE, max(height, 2.6))
        _, panels = plt.subplots(1, 2, figsize=size, layout="constrained", width_ratios=(1.3, 1))
        draw_means(panels[0], card)
        draw_genes(panels[1], card)
        return np.array(panels, dtype=object)
    panel = _style.axes(ax, size=(_style.SINGLE, 3.1) if kind == "genes" else (1.35 * _style.SINGLE, height))
    (draw_genes if kind == "genes" else draw_means)(panel, card)
    return panel
