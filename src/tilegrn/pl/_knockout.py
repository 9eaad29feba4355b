"""What a knock-out does: per gene, and per cell on an embedding."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import check
from tilegrn.errors import InputError
from tilegrn.pl._network import one_group
from tilegrn.pl._style import ACCENT, GREY, MODEL, axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

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
    size = 4 + 30 * np.sqrt(rate / max(float(rate.max()), 1e-12))
    ax = axes(ax, size=(5.2, 3.8))
    ax.scatter(x, y, s=size, c=colour, alpha=0.75, linewidths=0, rasterized=True)
    best = np.argsort(-np.abs(x) * y, kind="stable")[:n_labels]
    names = part["target"].astype(str).to_numpy()
    taken: list[tuple[float, float]] = []
    span = max(float(np.ptp(x)), 1e-12)
    for i in best:
        height = y[i]
        while any(abs(height - b) < 0.035 and abs(x[i] - a) < 0.2 * span for a, b in taken):
            height -= 0.035
        taken.append((x[i], height))
        left = x[i] < 0
        ax.annotate(
            names[i],
            (x[i], y[i]),
            xytext=(x[i] + (-0.015 if left else 0.015) * span, height),
            ha="right" if left else "left",
            va="center",
            fontsize="x-small",
        )
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.margins(x=0.18)
    ax.set_xlabel("log2 fold change of the predicted rate")
    ax.set_ylabel("share of cells that change so")
    tidy(ax)
    return ax


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
        value, label = np.sqrt(np.nanmean(change**2, axis=1)), "root mean square change"
    else:
        value, label = change[:, adata.var_names.get_loc(gene)], f"change of {gene} (log rate)"
    ax = axes(ax, size=(4.6, 3.8))
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
            size=max(2.0, min(18.0, 12_000 / len(xy))),
            color_map="viridis" if gene is None else "RdBu",
            vmin=0 if gene is None else -limit,
            vmax=limit,
            ax=ax,
            show=False,
        )
    tidy(ax)
    return ax
