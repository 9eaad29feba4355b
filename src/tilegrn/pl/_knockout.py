"""What a knock-out does: per gene, and per cell on an embedding."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import check
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import (
    ACCENT,
    GREY,
    INK,
    MODEL,
    MUTED,
    SINGLE,
    SMALL,
    axes,
    diverging,
    inches_wide,
    letters,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["knockout", "knockout_embedding"]


def knockout(
    table: pd.DataFrame,
    *,
    group: str = "all",
    n_labels: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Draw the change of every gene against its rate, the genes that change most named.

    A knock-out in a model has no p-value: the upright axis is the share of cells in which the gene changes in its
    direction, which is what makes a change general.

    Parameters
    ----------
    table
        From :func:`tilegrn.tl.knockout`.
    group
        Group of cells.
    n_labels
        Genes named.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes; point sizes follow the rate before, the 5 % of genes that change most are coloured.

    Raises
    ------
    InputError
        If the table is no knock-out or has no such group.

    Examples
    --------
    >>> change = grn.tl.knockout(mdata, model, "Tf3")
    >>> ax = grn.pl.knockout(change, n_labels=5)
    """
    missing = [c for c in ("target", "log2_fold_change", "share", "mean_rate") if c not in table]
    if missing:
        msg = f"The table has no column {missing}; give what grn.tl.knockout returned."
        raise InputError(msg)
    part = one_group(table, group)
    x, y = part["log2_fold_change"].to_numpy(dtype=float), part["share"].to_numpy(dtype=float)
    cut = float(np.quantile(np.abs(x), 0.95))
    colour = np.where(np.abs(x) < cut, GREY, np.where(x < 0, ACCENT, MODEL))
    rate = part["mean_rate"].to_numpy(dtype=float)
    size = 3 + 20 * np.sqrt(rate / max(float(rate.max()), 1e-12))
    best = np.argsort(-np.abs(x) * y, kind="stable")[: max(n_labels, 0)]
    names = part["target"].astype(str).to_numpy()[best]
    ax = axes(ax, size=(SINGLE, 2.7 + letters(max(map(len, names), default=0))))
    ax.scatter(x, y, s=size, c=colour, alpha=0.75, linewidths=0, rasterized=True)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.margins(x=0.06)
    ax.set_ylim(-0.03, 1.03)
    _names_above(ax, names, x[best], y[best])
    ax.set_xlabel("log2 fold change of the predicted rate")
    ax.set_ylabel("share of cells that change so")
    low = y < 0.15  # the note goes to the emptier corner
    right = int((low & (x > np.mean(ax.get_xlim()))).sum()) < int((low & (x < np.mean(ax.get_xlim()))).sum())
    at, side = (0.98, "right") if right else (0.02, "left")
    ax.text(at, 0.02, "size: rate before", transform=ax.transAxes, fontsize=SMALL, color=MUTED, ha=side)
    tidy(ax)
    return ax


def _names_above(ax: Axes, names: NDArray[np.str_], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Write upright names above the axes, side by side, each with a thin line down to its point.

    Genes that change most crowd at the top, where all cells agree: beside their points there is no room for names.
    """
    order = np.argsort(x, kind="stable")
    low, high = ax.get_xlim()
    at = (x[order] - low) / (high - low)
    width = inches_wide(ax)
    apart = min(0.125 / width, 1.0 / max(len(at), 1))
    for _ in range(200):  # neighbours push each other away until all have room
        gap = np.diff(at)
        push = np.clip(apart - gap, 0, None) / 2
        if not push.any():
            break
        at[:-1] -= push
        at[1:] += push
        at = np.clip(at, 0.0, 1.0)
    for place, i in zip(at, order, strict=True):
        ax.annotate(
            names[i],
            (x[i], y[i]),
            xytext=(place, 1.06),
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
            annotation_clip=False,
        )


def knockout_embedding(
    mdata: MuData,
    layer: str,
    gene: str | None = None,
    *,
    basis: str = "X_umap",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Colour an embedding of the cells by how much a knock-out changes a gene, or all genes.

    Parameters
    ----------
    mdata
        After :func:`tilegrn.tl.knockout` with ``key_added``.
    layer
        That key.
    gene
        A gene; the root mean square change over all genes by default.
    basis
        ``obsm`` of the MuData or the RNA with the coordinates.
    rna
        Name of the modality.
    ax
        Axes to draw on; a new figure if not given.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        If the layer, the gene or the embedding is not there.

    Examples
    --------
    >>> change = grn.tl.knockout(mdata, model, "Tf3", key_added="without_Tf3")
    >>> ax = grn.pl.knockout_embedding(mdata, "without_Tf3", "Gene12")
    """
    adata = check.modality(mdata, rna)
    if layer not in adata.layers:
        msg = f"'{rna}' has no layer '{layer}'. Run grn.tl.knockout(mdata, model, tf, key_added='{layer}')."
        raise InputError(msg)
    place = next((p for p in (mdata, adata) if basis in p.obsm), None)
    if place is None:
        msg = f"There is no obsm['{basis}']; make one, e.g. with scanpy's sc.tl.umap, or name another with basis=."
        raise InputError(msg)
    if gene is not None and gene not in adata.var_names:
        msg = f"'{rna}' has no gene '{gene}'."
        raise InputError(msg)
    xy = np.asarray(place.obsm[basis])[:, :2]
    change = np.asarray(adata.layers[layer], dtype=np.float64)
    if gene is None:
        value, label = np.sqrt(np.nanmean(change**2, axis=1)), "RMS change of all genes (log rate)"
    else:
        value, label = change[:, adata.var_names.get_loc(gene)], f"change of {gene} (log rate)"
    ax = axes(ax, size=(SINGLE, 2.9))
    limit = float(np.nanquantile(np.abs(value), 0.99)) or 1.0
    order = np.argsort(np.abs(value), kind="stable")  # the largest changes on top, whatever their sign
    obs = pd.DataFrame({label: value[order]}, index=adata.obs_names[order])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scanpy says about what it imports
        import scanpy
        from anndata import AnnData

        scanpy.pl.embedding(
            AnnData(obs=obs, obsm={basis: xy[order]}),
            basis,
            color=label,
            sort_order=False,
            size=max(1.0, min(24.0, 16_000 / len(xy))),
            color_map="viridis" if gene is None else diverging("#d9dadb"),  # grey, as white points would be lost
            vmin=0 if gene is None else -limit,
            vmax=limit,
            ax=ax,
            show=False,
            colorbar_loc=None,
        )
    bar = ax.figure.colorbar(ax.collections[0], ax=ax, pad=0.02, aspect=30, shrink=0.9)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=SMALL)
    ax.set_title("")
    name = basis.removeprefix("X_")
    ax.set_xlabel(f"{name.upper() if name.islower() else name} 1")
    ax.set_ylabel(f"{name.upper() if name.islower() else name} 2")
    tidy(ax)
    return ax
