"""One page that says what a model was trained on and what it is worth, to read anywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.atomic import new_file
from tilegrn._core.edges_table import edges as stored_edges
from tilegrn._core.mudata import no_pull
from tilegrn.errors import TileGRNError
from tilegrn.io._provenance import provenance
from tilegrn.pl import _html, _scorecard, _style
from tilegrn.pl._heatmap import edge_heatmap
from tilegrn.pl._html import Html, figure, figures, section, table, tag
from tilegrn.pl._locus import locus
from tilegrn.pl._predicted import best_genes, predicted_vs_observed
from tilegrn.pl._training import training

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

    from tilegrn.model.grn_model import GRNModel

__all__ = ["report"]

TOP: Final = 20
"""Rows of the tables of edges and links."""
MOST_CELLS: Final = 4000
"""Held-out cells that are compared with the training data."""


def report(
    mdata: MuData,
    model: GRNModel | None,
    path: str | os.PathLike[str],
    *,
    title: str = "tilegrn report",
    links: pd.DataFrame | None = None,
    run: Mapping[str, Any] | None = None,
    warned: Sequence[str] | None = None,
    files: Mapping[str, str] | None = None,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
) -> Path:
    """Write what was run on what, and what it is worth, as one HTML file that needs nothing else.

    Shown are the data and their split, the scorecard, the training, predicted against observed expression of the best
    genes, the strongest edges and links, how far the model suits the held-out cells, and the records of all steps. A
    section whose step was not run says which call runs it. Figures lie inside the file, which asks no other host for
    anything and runs no script. ``tilegrn run`` leaves such a file.

    Parameters
    ----------
    mdata
        Multiome data after the steps to report; only read.
    model
        From :func:`tilegrn.tl.train`, to compare its training data with the held-out cells; None leaves that out.
    path
        File to write; an older one is replaced.
    title
        Heading of the page.
    links
        From :func:`tilegrn.tl.links`; computed by default.
    run
        Further facts to list, such as the command and when it was started.
    warned
        Messages to show as warnings of the run; None leaves the section out.
    files
        Names of files that lie beside the report, and what each is.
    rna, atac
        Names of the modalities.
    layer
        Layer of the RNA with the counts; X by default.

    Returns
    -------
    Path of the file.

    Raises
    ------
    InputError
        If a modality is missing, or the file cannot be written.

    Examples
    --------
    >>> grn.pl.report(mdata, model, "report.html").name
    'report.html'
    """
    check.modality(mdata, atac)
    names = {"rna": rna, "atac": atac}
    parts: dict[str, tuple[str, Callable[[], list[Html]]]] = {
        "scorecard": ("Scorecard", partial(_card, mdata, **names)),
        "data": ("Data", partial(_data, mdata, run or {}, **names)),
        "training": ("Training", partial(_training, mdata)),
        "predicted": ("Predicted and observed", partial(_predicted, mdata, layer=layer, **names)),
        "edges": ("Edges", partial(_edges, mdata)),
        "links": ("Links", partial(_links, mdata, links, layer=layer, **names)),
    }
    if model is not None:
        parts["compatibility"] = ("Compatibility", partial(_compatible, mdata, model, layer=layer, **names))
    if warned is not None:
        parts["warnings"] = ("Warnings", partial(_warnings, warned))
    if files:
        parts["files"] = ("Files", partial(_files, files))
    parts["provenance"] = ("Provenance", partial(_provenance, mdata))
    with new_file(path) as unfinished:  # a path that cannot be written is found before the work
        text = _page(title, parts)
        unfinished.write_text(text, encoding="utf-8")
    return Path(path)


def _page(title: str, parts: Mapping[str, tuple[str, Callable[[], list[Html]]]]) -> str:
    from importlib.metadata import version

    sections = {}
    for ident, (name, make) in parts.items():
        try:
            content = make()
        except TileGRNError as err:  # a step that was not run, or has nothing to show: its message names the call
            content = [tag("p", f"Not shown. {err}")]
        sections[ident] = (name, section(ident, name, *content))
    return _html.page(title, sections, tag("p", f"Written by tilegrn {version('tilegrn')}."))


def _data(mdata: MuData, run: Mapping[str, Any], rna: str, atac: str) -> list[Html]:
    genes, peaks = check.modality(mdata, rna), check.modality(mdata, atac)
    facts: dict[str, Any] = {"Cells": f"{genes.n_obs:,}", "Genes": f"{genes.n_vars:,}", "Peaks": f"{peaks.n_vars:,}"}
    if store.has_record(mdata, K.REC_GRID):
        grid = store.get_record(mdata, K.REC_GRID)
        facts["Windows"] = f"{int(grid['occupied']):,} with a peak, of {int(grid['window_size']):,} bp"
        facts["Assembly"] = str(grid.get("assembly") or "") or f"{len(grid['chroms'])} chromosomes"
    if K.IS_TF in genes.var:
        facts["TFs"] = f"{int(genes.var[K.IS_TF].sum()):,} of the genes"
    labels = store.split_labels(mdata, genes.obs_names)
    if labels is not None:
        counts = {part: int((labels == part).sum()) for part in (K.TRAIN, K.VAL, K.TEST)}
        by = store.get_record(mdata, K.REC_SPLIT).get("by") if store.has_record(mdata, K.REC_SPLIT) else None
        whole = f"; whole groups of '{by}' were held out" if by else ""
        facts["Split"] = (
            f"{counts[K.TRAIN]:,} cells to train on, {counts[K.VAL]:,} to validate, {counts[K.TEST]:,} held out{whole}"
        )
    return [_html.pairs({**facts, **run})]


def _card(mdata: MuData, rna: str, atac: str) -> list[Html]:
    from tilegrn.tl.evaluate._report import Scorecard

    card = Scorecard.from_record(store.get_record(mdata, K.REC_SCORECARD))
    best = card.best_baseline
    height = 0.24 * len(card.table) + 0.8
    drawn = [
        figure(
            lambda ax: _scorecard.draw_means(ax, card, lead=False),
            alt="Mean correlation of each method with observed expression in held-out cells; figures in the table.",
            caption="Mean over genes of the Pearson correlation across held-out cells. Thick bars: 95 % interval of "
            "tilegrn's lead, drawn from tilegrn's line.",
            size=(_style.SINGLE, max(height, 2.6)),
        )
    ]
    if best is not None:
        drawn.append(
            figure(
                lambda ax: _scorecard.draw_genes(ax, card),
                alt=f"Correlation of each gene, tilegrn against {_scorecard.label_of(best)}.",
                caption=f"Each gene: tilegrn against the best baseline, {_scorecard.label_of(best)}. Above the line "
                "tilegrn is ahead.",
                size=(_style.SINGLE, max(height, 2.6)),
            )
        )
    groups = [str(g) for g in card.per_group.get("group", ())]
    if groups:
        column = str(card.parameters.get("groupby", ""))
        colours = _style.group_colours(mdata, column, groups, rna=rna, atac=atac)
        drawn.append(
            figure(
                lambda ax: _scorecard.draw_groups(ax, card, colours),
                alt=f"Mean correlation within each group of '{column}'.",
                caption=f"Within the groups of '{column}' (held-out cells in brackets), where differences between the "
                "groups do not help.",
                size=(_style.SINGLE, 0.2 * len(groups) + 1.0),
            )
        )
    rows = []
    for _, row in card.table.sort_values("pearson", ascending=False, kind="stable").iterrows():
        lead = ""
        if np.isfinite(row["difference"]):
            lead = f"{row['difference']:+.3f}"
            if np.isfinite(row["difference_low"]):
                lead += f" [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        rows.append(
            [
                _scorecard.label_of(row["method"]),
                _number(row["pearson"]),
                _number(row["pearson_median"]),
                _percent(row["pearson_above_0.1"]),
                _percent(row["deviance_explained"], 1),
                lead,
            ]
        )
    header = ["method", "mean r", "median r", "genes with r > 0.1", "deviance explained", "tilegrn's lead in mean r"]
    about = f"Held-out cells; {card.parameters.get('n_genes', 0):,} genes that are no TFs. Lead: with 95 % interval"
    return [tag("p", card.sentence), figures(*drawn), table(about, header, rows)]


def _training(mdata: MuData) -> list[Html]:
    record = store.get_record(mdata, K.REC_TRAIN)
    n = int(record.get("n_models", 1))
    text = f"{n} network{'s' if n > 1 else ''}; {float(record.get('seconds', 0)):,.0f} s of training."
    drawn = figure(
        lambda ax: training(mdata, ax=ax),
        alt="Loss of training and validation cells per epoch.",
        caption="Watch the courses, not the gap: the training loss is measured with dropout, against softened targets.",
    )
    return [tag("p", text), figures(drawn)]


def _predicted(mdata: MuData, rna: str, atac: str, layer: str | None) -> list[Html]:
    del atac
    best = best_genes(mdata, rna=rna, layer=layer, n_genes=6)
    drawn = [
        figure(
            partial(_one_gene, mdata, gene, rna=rna, layer=layer),
            alt=f"Predicted against observed expression of {gene} in held-out cells.",
        )
        for gene in best
    ]
    text = (
        "The best predicted genes, in held-out cells; they flatter, the scorecard judges all. Points with bars are "
        "means of cells of similar prediction and their standard errors. They lie below the diagonal where counts vary "
        "more than counting alone makes them, or where the rate is predicted too high."
    )
    return [tag("p", text), figures(*drawn)]


def _one_gene(mdata: MuData, gene: str, ax: Axes, *, rna: str, layer: str | None) -> None:
    predicted_vs_observed(mdata, gene, rna=rna, layer=layer, ax=ax)


def _edges(mdata: MuData) -> list[Html]:
    found = stored_edges(mdata)
    if not len(found):
        return [tag("p", "The network has no edge.")]
    groups = [str(g) for g in found["group"].unique()]
    several = len(groups) > 1
    best = found.nlargest(TOP, "score", keep="first")
    stable = bool(np.isfinite(best["stability"]).any())
    digits = 1 if float(best["score"].max()) >= 10 else 3
    header = [
        *(["group"] if several else []),
        "TF",
        "TG",
        "window",
        "score",
        "sign",
        *(["stability"] if stable else []),
    ]
    rows = [
        [
            *([str(row["group"])] if several else []),
            str(row["source"]),
            str(row["target"]),
            str(row["cre"]) or "indirect",
            _number(row["score"], digits),
            "+" if row["sign"] > 0 else "\N{MINUS SIGN}",
            *([_number(row["stability"], 2)] if stable else []),
        ]
        for _, row in best.iterrows()
    ]
    drawn = figure(
        lambda ax: edge_heatmap(mdata, n=12, group=groups[0], ax=ax),
        alt="Signed scores of the TFs and TGs with the largest sums; the strongest edges stand in the table.",
        caption="The 12 TFs with the largest summed score and their 12 strongest TGs"
        + (f", in {groups[0]}." if several else "."),
        size=(_style.SINGLE, 3.2),
    )
    text = (
        f"{len(found):,} edges from {found['source'].nunique():,} TFs to {found['target'].nunique():,} TGs were kept. "
        "They say what the model uses, which is no proof that the TF acts. All of them: grn.get.edges(mdata)."
    )
    about = f"The {len(best)} strongest edges; window: the one that carries most"
    return [tag("p", text), table(about, header, rows, text=4 if several else 3), figures(drawn)]


def _links(mdata: MuData, links: pd.DataFrame | None, *, rna: str, atac: str, layer: str | None) -> list[Html]:
    if links is None:
        from tilegrn.tl.pairs._links import links as tl_links

        links = tl_links(mdata, rna=rna, atac=atac, layer=layer)
    best = links.nlargest(TOP, "score", keep="first")
    header = ["peak", "TG", "score", "distance (bp)", "correlation"]
    rows = [
        [
            str(row["peak"]),
            str(row["target"]),
            f"{row['score']:.3f}",
            f"{int(row['distance']):,}",
            _number(row["correlation"], 2),
        ]
        for _, row in best.iterrows()
    ]
    text = (
        f"{len(links):,} peak-gene pairs, scored from distance, accessibility and correlation without the model. Near "
        "peaks lead the list: distance says most. All of them: grn.tl.links(mdata)."
    )
    group, gene = str(best["group"].iloc[0]), str(best["target"].iloc[0])
    drawn = figure(
        lambda ax: locus(mdata, gene, links=links, group=group, atac=atac, ax=ax),
        alt=f"Peaks around {gene} with their links as arcs.",
        caption=f"Links of {gene}, the gene of the first row. Bars: accessibility.",
        size=(_style.SINGLE, 2.4),
    )
    return [tag("p", text), table(f"The {len(best)} strongest links", header, rows, text=2), figures(drawn)]


def _compatible(mdata: MuData, model: GRNModel, *, rna: str, atac: str, layer: str | None) -> list[Html]:
    from tilegrn.tl.training._compatibility import compatibility

    names = check.modality(mdata, rna).obs_names
    labels = store.split_labels(mdata, names)
    held_out = np.ones(len(names), dtype=bool) if labels is None else labels == K.TEST
    which = "held-out cells" if held_out.any() and labels is not None else "cells"
    order = check.by_name(names)
    order = order[held_out[order]] if held_out.any() else order
    some = names[np.sort(order[:: -(-len(order) // MOST_CELLS)])]
    with no_pull():
        found = compatibility(model, mdata[some], rna=rna, atac=atac, layer=layer)
    values = {
        "Accessibility in windows that the model knows": _percent(found.windows_known),
        "Training accessibility in windows that are here": _percent(found.windows_present),
        "TF expression known": _percent(found.tfs_known),
        "Genes trained on": _percent(found.genes_trained),
        "Genes predicted from windows alone": _percent(found.genes_from_windows),
        "RNA depth over that of the training cells": _number(found.rna_depth_ratio, 2),
        "ATAC depth over that of the training cells": _number(found.atac_depth_ratio, 2),
        "Shift of the mean state, in standard deviations": _number(found.component_shift, 2),
        "Spearman correlation of mean expression": _number(found.expression_correlation, 2),
    }
    told = [tag("p", line.removeprefix("- ")) for line in str(found).splitlines()]
    about = f"{len(some):,} {which}, beside the cells that the model was trained on"
    return [*told, table(about, ["what", "value"], list(values.items()), words=True)]


def _warnings(warned: Sequence[str]) -> list[Html]:
    if not warned:
        return [tag("p", "None were raised.")]
    return [tag("ul", *(tag("li", text) for text in dict.fromkeys(warned)))]


def _files(files: Mapping[str, str]) -> list[Html]:
    return [table("In the folder of this report", ["file", "what"], list(files.items()), text=2, words=True)]


def _provenance(mdata: MuData) -> list[Html]:
    text = tag("p", "What each step was given, and fingerprints of what it read: ", tag("code", "grn.io.provenance"))
    records = tag("pre", provenance(mdata), attrs={"tabindex": 0})
    return [text, tag("details", tag("summary", "Records of all steps"), records)]


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def _percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %" if np.isfinite(value) else ""
