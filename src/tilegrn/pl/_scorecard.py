"""The scorecard as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError
from tilegrn.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.tl.evaluate._report import Scorecard

__all__ = ["scorecard"]

_NAMES = {
    "model": "tilegrn",
    "mean": "gene mean",
    "depth": "depth only",
    "ridge": "ridge",
    "lsi": "ridge on ATAC components",
    "low_rank": "reduced-rank ridge",
    "lightgbm": "LightGBM",
    "mlp": "MLP",
    "deepset": "DeepSet",
    "mlp_teacher": "MLP + teacher",
    "deepset_teacher": "DeepSet + teacher",
}


def _means(ax: Axes, card: Scorecard) -> None:
    """Mean correlation of each method; the bar is the interval of the model's lead, seen from the model's line."""
    order = card.table.sort_values("pearson", kind="stable").reset_index(drop=True)
    model = float(card.table.loc[card.table["method"] == "model", "pearson"].iloc[0])
    ax.axvline(model, color=_style.MODEL, linewidth=1, alpha=0.45, zorder=0)
    for i, row in order.iterrows():
        is_model = row["method"] == "model"
        colour = _style.MODEL if is_model else _style.BASELINE
        ax.plot([0, row["pearson"]], [i, i], color=colour, linewidth=1.2, alpha=0.5, zorder=1)
        ax.plot(row["pearson"], i, "o", color=colour, markersize=7 if is_model else 5.5, zorder=3)
        label = f"{row['pearson']:.3f}"
        if not is_model and np.isfinite(row["difference_low"]):
            low, high = model - row["difference_high"], model - row["difference_low"]
            ax.plot([low, high], [i, i], color=colour, linewidth=3.2, alpha=0.55, solid_capstyle="butt", zorder=2)
            label += f"   ({row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}])"
        text = ax.annotate(
            label,
            (1.02, i),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=_style.MODEL if is_model else "#3c4148",
            annotation_clip=False,
        )
        text.set_in_layout(True)
    ax.set_yticks(range(len(order)), [_NAMES.get(m, m) for m in order["method"]])
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.set_xlim(min(0.0, float(order["pearson"].min())), max(float(order["pearson"].max()), 1e-3) * 1.06)
    ax.set_xlabel("mean Pearson r over genes, across held-out cells")
    head = ax.annotate(
        "mean r   (tilegrn's lead [95 % interval])",
        (1.02, len(order) - 0.55),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize="x-small",
        color="#5a6069",
        annotation_clip=False,
    )
    head.set_in_layout(True)
    _style.tidy(ax)
    ax.tick_params(axis="y", length=0)


def _genes(ax: Axes, card: Scorecard) -> None:
    """Each gene's correlation, model against the best baseline."""
    best = card.best_baseline
    genes = card.per_gene[card.per_gene["scored"].astype(bool) & ~card.per_gene["is_tf"].astype(bool)]
    x, y = genes[f"pearson_{best}"].to_numpy(dtype=float), genes["pearson_model"].to_numpy(dtype=float)
    artist = _style.density(ax, x, y, n_bins=45)
    if len(x) > _style.MANY:
        _style.colour_bar(ax, artist, "genes")
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    ax.plot(ends, ends, color="#5a6069", linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_xlabel(f"r of {_NAMES.get(str(best), str(best))}")
    ax.set_ylabel("r of tilegrn")
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_title(
        f"{len(x):,} genes; tilegrn ahead in {100 * float(np.mean(y > x)):.0f} %",
        fontsize="small",
        loc="left",
        color="#5a6069",
    )
    _style.tidy(ax)


def scorecard(
    mdata: MuData | Scorecard,
    *,
    kind: str | None = None,
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
        model against the best baseline. None draws both, or the means alone when ``ax`` is given.
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
        If ``kind`` is unknown, or the scorecard has no baseline to draw genes against.

    Examples
    --------
    >>> ax = grn.pl.scorecard(mdata, kind="means")
    >>> ax.figure.savefig("scorecard.png")
    """
    from tilegrn.tl.evaluate._report import Scorecard

    card: Any = (
        mdata if isinstance(mdata, Scorecard) else Scorecard.from_record(store.get_record(mdata, K.REC_SCORECARD))
    )
    if kind not in (None, "means", "genes"):
        msg = f"kind='{kind}' must be 'means' or 'genes'."
        raise InputError(msg)
    if kind == "genes" and card.best_baseline is None:
        msg = "The scorecard has no baseline to compare genes with."
        raise InputError(msg)
    height = 0.36 * len(card.table) + 1.3
    if kind is None and ax is None and card.best_baseline is not None:
        import matplotlib.pyplot as plt

        _, panels = plt.subplots(1, 2, figsize=(10.2, max(height, 3.4)), layout="constrained", width_ratios=(1.15, 1))
        _means(panels[0], card)
        _genes(panels[1], card)
        return np.array(panels, dtype=object)
    panel = _style.axes(ax, size=(4.0, 3.6) if kind == "genes" else (6.4, height))
    (_genes if kind == "genes" else _means)(panel, card)
    return panel
