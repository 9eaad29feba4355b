"""Predicted against observed expression of chosen genes, and expected against observed error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._stats import metrics
from tilegrn._stats.poisson import excess_share, implied_mean, variance_log1p
from tilegrn.errors import InputError, MissingStepError
from tilegrn.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray
    from scipy import sparse

__all__ = ["best_genes", "predicted_vs_observed", "reliability"]

_CUTS: Final = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Shares of the cells, ordered by prediction, between which means are drawn."""
_MIN_CELLS: Final = 8
_PAIRS: Final = 1 << 20
"""About the most gene-cell pairs that :func:`reliability` reads."""


def _cells(mdata: MuData, adata: Any, split: str, cells: str | None) -> NDArray[np.intp]:
    if cells is None:
        return np.arange(adata.n_obs)
    labels = store.split_labels(mdata, adata.obs_names, split)
    if labels is None:
        msg = f"mdata.obs['{split}'] is missing. Run {store.CALLS[K.REC_SPLIT]}, or draw all cells with cells=None."
        raise MissingStepError(msg)
    rows = np.flatnonzero(labels == cells)
    if not len(rows):
        msg = f"mdata.obs['{split}'] marks no cell as '{cells}'."
        raise InputError(msg)
    return rows


def _observed(
    mdata: MuData, adata: Any, rna: str, layer: str | None, predicted: str, split: str, cells: str | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], sparse.csr_matrix]:
    """Cells to draw that have RNA, their size factors, and log1p(counts / size factor) of all genes."""
    if predicted not in adata.layers:
        msg = f"{rna}.layers['{predicted}'] is missing. Run {store.CALLS[K.REC_PREDICT]} first."
        raise MissingStepError(msg)
    rows = _cells(mdata, adata, split, cells)
    counts = check.counts(adata, rna, layer, integer=False, warn_empty=False)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    record = store.get_record(mdata, K.REC_PREDICT) if store.has_record(mdata, K.REC_PREDICT) else {}
    sf = depth / float(record.get("median_depth", np.median(depth[depth > 0])))
    rows = rows[sf[rows] > 0]
    return rows, sf[rows], metrics.normalised_log1p(counts[rows], sf[rows])


def _best(observed: sparse.csr_matrix, predicted: NDArray[np.float32], n: int) -> NDArray[np.intp]:
    """Columns with the highest correlation, of those seen in at least one cell in a hundred."""
    seen = np.asarray((observed > 0).sum(axis=0)).ravel()
    usable = np.flatnonzero((seen >= max(5, observed.shape[0] // 100)) & ~np.isnan(predicted).any(axis=0))
    if not len(usable):
        msg = "No predicted gene is expressed in enough of these cells; name genes=."
        raise InputError(msg)
    columns = observed.tocsc()
    scores = [
        metrics.pearson(columns[:, part].toarray(), predicted[:, part])
        for part in np.array_split(usable, -(-len(usable) // 256))
    ]
    return usable[np.argsort(-np.concatenate(scores), kind="stable")[:n]]


def best_genes(mdata: MuData, *, rna: str, layer: str | None, n_genes: int) -> list[str]:
    """Names of the genes whose predictions go best with what is observed in held-out cells."""
    adata = check.modality(mdata, rna)
    rows, _, observed = _observed(mdata, adata, rna, layer, K.PREDICTED, K.SPLIT, K.TEST)
    values = np.asarray(adata.layers[K.PREDICTED][rows], dtype=np.float32)
    return [str(adata.var_names[c]) for c in _best(observed, values, n_genes)]


def _draw(ax: Axes, name: str, x: NDArray[np.float64], y: NDArray[np.float64], *, means: bool = True) -> None:
    artist = _style.density(ax, x, y, n_bins=25)
    if len(x) > _style.MANY:
        _style.colour_bar(ax, artist, "cells")
    top = min(x.max(), y.max())
    ax.plot([0, top], [0, top], color=_style.MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    if means:  # A prediction is an expectation: the mean of what is observed at one prediction should be it.
        cuts = (np.array(_CUTS) * len(x)).astype(int)
        parts = [p for p in np.split(np.argsort(x, kind="stable"), np.unique(cuts)) if len(p) >= _MIN_CELLS]
        mean_x, mean_y, error = _of_parts(x, y, parts)
        ax.errorbar(
            mean_x, mean_y, yerr=error, fmt="o-", color=_style.ACCENT, markersize=2.5, linewidth=1, elinewidth=0.9
        )
    r = metrics.pearson(y[:, None], x[:, None])[0]
    ax.set_title(f"{name}   r = {r:.2f}")
    _style.tidy(ax)


def _of_parts(
    x: NDArray[np.float64], y: NDArray[np.float64], parts: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean predicted, mean observed and its standard error of some sets of cells."""
    mean_x, mean_y = (np.array([v[p].mean() for p in parts]) for v in (x, y))
    return mean_x, mean_y, np.array([y[p].std() / np.sqrt(len(p)) for p in parts])


def _draw_groups(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    labels: NDArray[np.object_],
    colours: dict[str, str],
) -> None:
    """Draw each group's mean, in its colour, over the cells."""
    for i, (group, colour) in enumerate(colours.items()):
        mean_x, mean_y, error = _of_parts(x, y, [np.flatnonzero(labels == group)])
        ax.errorbar(
            mean_x,
            mean_y,
            yerr=error,
            fmt=_style.MARKERS[i // len(_style.OKABE_ITO) % len(_style.MARKERS)],
            color=colour,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=1,
            label=group,
            zorder=4,
        )


def predicted_vs_observed(
    mdata: MuData,
    genes: str | Sequence[str] | None = None,
    *,
    rna: str = "rna",
    layer: str | None = None,
    predicted: str = K.PREDICTED,
    split: str = K.SPLIT,
    cells: str | None = K.TEST,
    n_genes: int = 6,
    groupby: str | None = None,
    atac: str = "atac",
    ax: Axes | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw predicted against observed expression of chosen genes, one panel per gene.

    Above 400 cells, hexagons are coloured by the number of cells (logarithmic), so that the many zeros do not hide each
    other. Red points are means of observed expression over cells of similar prediction, with standard errors (finer
    groups at the top, where a rarely expressed gene happens): on the dashed diagonal where predictions are calibrated.
    Predictions are expectations of log1p under counting (Poisson) noise. Where counts vary more than that, as those of
    :func:`tilegrn.datasets.simulate` do, the mean of log1p is lower at the same rate, and the points lie below the
    diagonal. They do as well where the rate itself is predicted too high.

    Parameters
    ----------
    mdata
        Multiome data with a predicted layer.
    genes
        One or several genes; the best predicted ones when None (they flatter: see the scorecard for all).
    rna
        Name of the modality.
    layer
        Layer of the counts; X when None.
    predicted
        Layer of the predictions.
    split, cells
        Column of ``mdata.obs`` and the part to draw (``"test"``); all cells with ``cells=None``.
    n_genes
        How many genes when ``genes`` is None.
    groupby
        Column of ``obs`` (cell type): draw the mean of each of its groups instead, in the colours of
        ``mdata.uns["<column>_colors"]`` (or of a modality's ``uns``) where they are.
    atac
        Name of the other modality; its annotation is read with ``groupby``.
    ax
        Axes for a single gene; with several genes a figure is made. Given with ``genes=None``, the best gene is drawn.

    Returns
    -------
    Axes of the one gene, or an array of Axes.

    Raises
    ------
    MissingStepError
        Without a predicted layer or a split.
    InputError
        If a gene is unknown or not predicted, or ``ax`` is given for several genes.

    Examples
    --------
    >>> axes = grn.pl.predicted_vs_observed(mdata, ["Gene12", "Gene30"])
    """
    adata = check.modality(mdata, rna)
    rows, _, observed = _observed(mdata, adata, rna, layer, predicted, split, cells)
    values = np.asarray(adata.layers[predicted][rows], dtype=np.float32)
    if genes is None:
        columns = _best(observed, values, 1 if ax is not None else n_genes)
    else:
        wanted = [genes] if isinstance(genes, str) else list(map(str, genes))
        columns = adata.var_names.get_indexer(wanted)
        lost = [g for g, c in zip(wanted, columns, strict=True) if c < 0]
        if lost or not wanted:
            msg = f"genes={lost} are not in '{rna}' ({adata.n_vars} genes, e.g. {list(map(str, adata.var_names[:3]))})."
            raise InputError(msg)
        lost = [g for g, c in zip(wanted, columns, strict=True) if np.isnan(values[:, c]).any()]
        if lost:
            msg = f"genes={lost} are not predicted (NaN in layers['{predicted}']); see {rna}.var['{K.PREDICTABLE}']."
            raise InputError(msg)
    if ax is not None and len(columns) > 1:
        msg = f"ax= takes one gene, {len(columns)} were asked for. Leave ax out to get a figure of all."
        raise InputError(msg)
    labels: NDArray[np.object_] = np.array([], dtype=object)
    colours: dict[str, str] = {}
    if groupby is not None:
        labels = check.cell_labels(mdata, groupby, rna, atac, missing=True)[rows]
        colours = _style.group_colours(mdata, groupby, sorted({g for g in labels if g is not None}), rna=rna, atac=atac)
    panels = [ax] if ax is not None else _style.grid(len(columns), names=len(colours))
    for panel, column in zip(panels, columns, strict=True):
        x, y = values[:, column].astype(np.float64), observed[:, [column]].toarray().ravel()
        _draw(panel, str(adata.var_names[column]), x, y, means=groupby is None)
        _draw_groups(panel, x, y, labels, colours)
        panel.set_xlabel(f"predicted {_style.LOG_UNIT}" if len(panels) == 1 else "predicted")
        panel.set_ylabel(f"observed {_style.LOG_UNIT}" if len(panels) == 1 else "observed")
    what = "cells of similar prediction" if groupby is None else f"groups of '{groupby}'"
    note = f"points with bars: means of {what} and their standard errors"
    if len(panels) == 1 and ax is not None:
        if colours:  # below the axes, where it covers no cell
            _legend(panels[0], panels[0], colours, loc="upper center", at=(0.5, -0.3))
        return panels[0]
    figure = panels[0].figure
    if colours:
        _legend(figure, panels[0], colours, loc="outside lower center" if len(panels) == 1 else "outside upper center")
    if len(panels) == 1:
        return panels[0]
    figure.supxlabel(f"{note}; unit: {_style.LOG_UNIT}", fontsize=_style.SMALL, color=_style.MUTED)
    return np.array(panels, dtype=object)


def _legend(
    place: Any, panel: Axes, colours: dict[str, str], *, loc: str, at: tuple[float, float] | None = None
) -> None:
    """Name the groups in a legend of the figure or of the axes."""
    handles, names = panel.get_legend_handles_labels()
    wide = 3 if panel.figure.bbox.width / panel.figure.dpi <= 1.4 * _style.SINGLE else 6
    place.legend(
        handles,
        names,
        frameon=False,
        fontsize=_style.SMALL,
        ncols=min(len(colours), wide),
        handletextpad=0.2,
        columnspacing=0.8,
        loc=loc,
        bbox_to_anchor=at,
    )


def reliability(
    mdata: MuData,
    *,
    rna: str = "rna",
    layer: str | None = None,
    predicted: str = K.PREDICTED,
    split: str = K.SPLIT,
    cells: str | None = K.TEST,
    ax: Axes | None = None,
) -> Axes:
    """Draw observed against expected RMS error, a point for each tenth of the gene-cell pairs, by predicted spread.

    Where the points lie on the diagonal, counting noise and spread together tell the size of the error. The open points
    leave out the spread: how far they lie from the diagonal is the error of the predictions themselves. Genes that are
    TFs are left out, as in the fit of the spread's factor.

    Parameters
    ----------
    mdata
        Multiome data with predictions of a model of several networks.
    rna
        Name of the modality.
    layer
        Layer of the counts; X when None.
    predicted
        Layer of the predictions; their spread is in ``<predicted>_sd``.
    split, cells
        Column of ``mdata.obs`` and the part to judge (``"test"``); all cells with ``cells=None``.
    ax
        Axes to draw into.

    Returns
    -------
    Axes.

    Raises
    ------
    MissingStepError
        Without predictions, their spread, or a split.
    InputError
        If there is no cell or gene to judge.

    Examples
    --------
    >>> ax = grn.pl.reliability(mdata)  # predictions of a model with n_models=2 or more
    """
    adata = check.modality(mdata, rna)
    rows, size, observed = _observed(mdata, adata, rna, layer, predicted, split, cells)
    if f"{predicted}_sd" not in adata.layers:
        msg = (
            f"{rna}.layers['{predicted}_sd'] is missing: a model of one network has no spread. Run "
            f"grn.tl.train(mdata, n_models=5), then {store.CALLS[K.REC_PREDICT]}."
        )
        raise MissingStepError(msg)
    values, spread = (np.asarray(adata.layers[k][rows]) for k in (predicted, f"{predicted}_sd"))
    usable = np.isfinite(values).all(axis=0)
    if K.IS_TF in adata.var:
        usable &= ~adata.var[K.IS_TF].to_numpy(dtype=bool)
    genes = check.by_name(adata.var_names)
    genes = genes[usable[genes]]
    if not genes.size * rows.size:
        msg = f"No cell with RNA, or no gene that is no TF and predicted, to judge ({len(rows)} cells)."
        raise InputError(msg)
    genes = genes[:: -(-genes.size * rows.size // _PAIRS)]
    values = values[:, genes]
    rate = implied_mean(values, size) / size[:, None]
    noise = variance_log1p(rate, size)
    expected = noise + excess_share(rate, size) * spread[:, genes].astype(np.float64) ** 2
    squared = (observed[:, genes].toarray() - values) ** 2
    tenths = np.array_split(np.argsort(spread[:, genes], axis=None, kind="stable"), 10)
    alone, x, y = (
        np.sqrt([max(float(v.ravel()[t].mean()), 0.0) for t in tenths if len(t)]) for v in (noise, expected, squared)
    )
    calibrated = store.has_record(mdata, K.REC_PREDICT) and store.get_record(mdata, K.REC_PREDICT).get("calibrated")
    panel = _style.axes(ax, size=(_style.SINGLE, 3.4))
    ends = [min(map(np.min, (alone, x, y))), max(map(np.max, (alone, x, y)))]
    panel.plot(ends, ends, color=_style.GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    panel.plot(
        *(alone, y, "o"), markersize=5, color=_style.BASELINE, markerfacecolor="white", label="counting noise alone"
    )
    kind = "calibrated" if calibrated else "uncalibrated"
    panel.plot(x, y, "o", markersize=5, color=_style.MODEL, label=f"counting noise and {kind} spread")
    panel.set_aspect("equal")
    panel.set_xlabel("expected RMS error")
    panel.set_ylabel("observed RMS error")
    panel.set_title(f"unit: {_style.LOG_UNIT}", fontsize=_style.SMALL, loc="left", color=_style.MUTED)
    panel.legend(frameon=False, fontsize=_style.SMALL)
    _style.tidy(panel)
    return panel
