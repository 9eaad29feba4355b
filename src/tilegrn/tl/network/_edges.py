"""The gene-regulatory network of a trained model: TF -> window -> TG triplets and TF -> TG edges."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.rows import column_sums, grouped_sums, in_memory
from tilegrn._core.some_cells import drawn_by_name
from tilegrn.errors import InputError
from tilegrn.tl.network._covariation import conditional_covariation
from tilegrn.tl.network._direct_effects import fit_direct_effects
from tilegrn.tl.network._edge_tables import GroupEdges, GroupTriplets, edge_tables
from tilegrn.tl.network._support import Support, combine, jaccard, ranks, support_of
from tilegrn.tl.pairs._window_links import WindowLinks, window_links
from tilegrn.tl.training._inputs import cell_data
from tilegrn.tl.training._source import read_source, require_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.data.batches import CellData
    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.network._attribution import Attribution
    from tilegrn.tl.training._source import Source

__all__ = ["edges"]

TOP = 10_000
"""Edges whose overlap between networks is reported."""
USUAL = 10
"""Average cells added to each group, so that a few cells decide little."""


def edges(
    mdata: MuData,
    model: GRNModel,
    *,
    groupby: str | None = None,
    cells: str | Sequence[str] | NDArray[np.bool_] | None = None,
    per_cell: bool = False,
    indirect: bool = False,
    max_cells: int = 128,
    max_edges: int = 250_000,
    max_cres: int = 5,
    layer: str | None = None,
    seed: int = 0,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    r"""Read the network off a trained model.

    Three sources of evidence are combined, because each alone misleads. *Attribution* says how much the predicted log
    rate of a TG changes on the way from "no TF expressed" to the cell as it is, and how much of that each TF carries
    (integrated gradients). It sees all that the model sees, but the model shares
    credit among TFs that go together. *Support* says whether the TF can act there: the sum over the windows within
    reach of binding x accessibility x :math:`e^{-d/decay}`, the factorised TF x window x TG term without the TF's
    expression, times the square root of the *link*: the score that :func:`score_pairs` gives the window and the TG.
    *Direct effects* are coefficients of the TG on all TFs at once, over all cells, shrunk towards what support allows
    and towards the TF's own mode (activator or repressor): they tell TFs apart that go together.

    Parameters
    ----------
    mdata
        Cells to explain, prepared as for :func:`train`.
    model
        From :func:`train` or ``grn.io.load_model``. With several networks (``n_models``) the edges are those of their
        mean, and carry their stability.
    groupby
        Column of ``obs``: one network per group, beside none for all cells.
    cells
        Barcode, barcodes or mask: explain these only.
    per_cell
        One network for each of ``cells``, which must be given.
    indirect
        Also list pairs without any bound window within reach, marked ``kind="indirect"``.
    max_cells
        Cells drawn (from ``seed``) per group to average attributions over. Support uses all cells of the group.
    max_edges, max_cres
        Best edges kept per group, and best windows per edge.
    layer
        Layer of the RNA counts; X by default.
    seed
        Of the cells drawn.
    rna, atac, copy
        As in :func:`tilegrn.pp.bin_peaks`.

    Returns
    -------
    ``None``, or the changed copy. Written are:

    ``mdata.uns["tilegrn"]["edges"]``
        ``network``: one row per TF -> TG and group, best first: ``group, source, target, cre`` (the window that carries
        most; empty for indirect edges), ``score`` (float32, above 0), ``sign`` (1 or -1), ``attribution`` (mean change
        of the log rate), ``direct_effect``, ``support``, ``n_cres``, ``kind``, ``stability``, ``rank_sd``;
        ``triplets``: one row per TF -> window -> TG: ``group, source, target, cre, score, sign, stability,
        attribution, distance`` (bp), ``link`` (float32, 0 to 1); scores and attributions of direct edges add up to the
        edge's where no window was cut by ``max_cres``.
        ``jaccard_top``: per group, mean overlap (Jaccard) of the best 10,000 edges (a tenth of the candidates where
        these are fewer than 100,000) between pairs of networks, NaN with one network;
        ``completeness``: largest difference between attributions and predicted change over the groups. Read them with
        ``grn.get.edges(mdata)``.

    Raises
    ------
    InputError
        If the windows are not those of the model, it knows no TF, or a group has no fragments or no RNA counts.
    MissingStepError, StaleError
        If a step is missing; the message names the call.

    Notes
    -----
    With :math:`A` the attribution, :math:`S` the support and :math:`\beta` the direct effect of a pair, and
    :math:`\|x\|` the root mean square over the candidates, the evidence for a direct edge is
    :math:`A S / \|A S\| + 2 \beta / \|\beta\|`; its size is the score, its sign the sign of the edge. Windows that are
    open in the group share the score by binding x link.

    A link is what ``score_pairs(mdata, pairs, groupby=, group=)`` says of the window as an element: that of a group is
    compared with the other groups, of ``cells`` if these are given, and its correlation is over all cells. In a group
    of fewer than ten cells, and for ``per_cell``, accessibility is chance, and links are those of all cells.
    *Stability* is the share of the networks that agree on the sign and hold the edge among their own best: as many as
    those down to this edge, at least as many as ``jaccard_top`` compares. None of this proves a causal link: it ranks
    hypotheses for an experiment.

    Examples
    --------
    >>> grn.tl.edges(mdata, model, groupby="cell_type")
    >>> best = grn.get.edges(mdata, group="type1", n=20)  # group="all" for all cells
    >>> best.columns.tolist()[:7]
    ['group', 'source', 'target', 'cre', 'score', 'sign', 'stability']
    """
    from tilegrn.tl.network._attribution import choose_steps, complete, frozen

    _positive(max_cells=max_cells, max_edges=max_edges, max_cres=max_cres)
    out = check.start(mdata, rna, atac, copy=copy)
    source = read_source(out, rna=rna, atac=atac, layer=layer, for_training=K.IS_TF in out.mod[rna].var)
    source = source.ordered()
    require_alike(source, model.vocabulary)
    if not model.vocabulary.tfs:
        msg = "The model knows no TF, so it has no TF -> TG edges. Train with grn.pp.mark_tfs or add_binding before."
        raise InputError(msg)
    groups = _groups(out, source, groupby, cells, rna=rna, atac=atac, per_cell=per_cell)
    support = support_of(model, source)
    links = None
    if support is None:
        msg = (
            "Neither the model nor the MuData has binding, so that nothing says which genes a TF can reach: every edge "
            "is marked kind='indirect'. Such edges ranked the targets of ChIP-seq no better than chance (see the page "
            "on networks). Run grn.pp.add_binding(mdata, table) or grn.pp.homer_binding(mdata, fasta, motifs) first."
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    else:
        v = model.vocabulary
        own = {} if per_cell else _own_rows(out.mod[rna].obs_names, source, groups)
        links = window_links(out, v.windows, v.genes, support.distance, groups=own, layer=layer, rna=rna, atac=atac)
    everyone = cell_data(source, model.vocabulary, model.preparation, model.config)
    direct = _direct(model, source, support, links, everyone)
    rng = np.random.default_rng(seed)
    tables, triplets, overlaps, errors = [], [], [], []
    undo = [frozen(net) for net in model.networks]
    try:
        steps: list[int] = []
        # Groups lie scattered over files: a pass for each would read all of a file each time.
        parts = list(groups.values())
        sums = zip(grouped_sums(everyone.windows, parts), grouped_sums(everyone.tfs, parts), strict=True)
        mean_tf = column_sums(everyone.tfs) / everyone.n_cells
        for (name, rows), (opened, expressed) in zip(groups.items(), sums, strict=True):
            drawn = np.sort(rng.choice(rows, size=max_cells, replace=False)) if len(rows) > max_cells else rows
            data = everyone.take(drawn)
            found: list[Attribution] = []
            if not steps:
                steps = [choose_steps(model, net, data) for net in model.networks]
            for i, net in enumerate(model.networks):
                steps[i], each = complete(model, net, data, steps[i])
                found.append(each)
            errors.append(max(f.error for f in found))
            openness = opened / len(rows)
            here = direct * _presence(expressed, len(rows), mean_tf)[:, None]
            linked = weight = None
            if support is not None and links is not None:
                linked = support.open_links(links.of(name), openness)
                weight = support.tf_gene(linked, openness)
            made = _group_edges(model, found, weight, here, indirect=indirect or support is None, max_edges=max_edges)
            tables.append((name, made))
            overlaps.append(made.jaccard)
            triplets.append(_triplets(model, data, found, support, linked, made, max_cres))
            logger.info(
                "%s: %d edges; overlap of the networks' best edges (Jaccard): %s",
                name,
                len(made.tf),
                "one network only, train with n_models > 1" if np.isnan(made.jaccard) else f"{made.jaccard:.2f}",
            )
    finally:
        for put_back in undo:
            put_back()
    network, flat = edge_tables(model, tables, triplets)
    store.put_record(
        out,
        K.REC_EDGES,
        {
            "network": network,
            "triplets": flat,
            "groups": np.asarray(list(groups), dtype=object),
            "groupby": groupby or "",
            "jaccard_top": np.asarray(overlaps, dtype=np.float64),
            "completeness": float(max(errors)),
            "steps": max(steps),
            "n_networks": len(model.networks),
            "max_cells": int(max_cells),
            "seed": int(seed),
            "decay": source.rule.decay,
            "model_input_sha256": str(model.record.get("input_sha256", "")),
        },
    )
    return out if copy else None


logger = logging.getLogger(__name__)


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            msg = f"{name} is {value}; it must be at least 1."
            raise InputError(msg)


def _groups(
    mdata: MuData,
    source: Source,
    groupby: str | None,
    cells: str | Sequence[str] | NDArray[np.bool_] | None,
    *,
    rna: str,
    atac: str,
    per_cell: bool,
) -> dict[str, NDArray[np.int64]]:
    names = mdata.mod[rna].obs_names
    rows = pd.Index(source.cells).get_indexer(names[check.rows_of(mdata, cells, names)]).astype(np.int64)
    if per_cell:
        if cells is None or groupby is not None:
            msg = "per_cell=True explains single cells: name them with cells=, and leave groupby out."
            raise InputError(msg)
        return {str(source.cells[i]): np.array([i], dtype=np.int64) for i in rows}
    if groupby is None:
        return {"all": np.sort(rows)}
    labels = check.cell_labels(mdata, groupby, rna, atac, cells=pd.Index(source.cells))
    rows = np.sort(rows)
    return {str(g): rows[labels[rows] == g] for g in np.unique(labels[rows])}


def _own_rows(names: pd.Index, source: Source, groups: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Rows of the MuData of each group's cells, which are known by their rows in the ordered source."""
    place = names.get_indexer(pd.Index(source.cells)).astype(np.int64)
    return {name: place[rows] for name, rows in groups.items()}


def _direct(
    model: GRNModel, source: Source, support: Support | None, links: WindowLinks | None, data: CellData
) -> NDArray[np.float32]:
    """Direct effects fitted to all cells, TFs x genes of the model; 0 where the sample lacks one.

    Without any support: co-variation given the other TFs.
    """
    v = model.vocabulary
    place = {g: i for i, g in enumerate(source.genes)}
    tfs, genes = (np.array([place.get(n, -1) for n in names], dtype=np.int64) for names in (v.tfs, v.genes))
    out = np.zeros((len(tfs), len(genes)), dtype=np.float32)
    rows, columns = np.flatnonzero(tfs >= 0), np.flatnonzero(genes >= 0)
    if not (len(rows) and len(columns) and len(source.cells) > 1):
        return out
    some = drawn_by_name(source.cells, what="Direct effects")
    counts = in_memory(source.counts, some)
    if support is None or links is None:
        depth = source.depth if some is None else source.depth[some]
        found = conditional_covariation(counts, tfs[rows], genes[columns], depth=depth)
    else:
        openness = column_sums(data.windows) / data.n_cells
        linked = support.open_links(links.of(None), openness)
        weight = support.tf_gene(linked, openness)[np.ix_(rows, columns)]
        size = np.maximum(data.size_factor.astype(np.float64), 1e-3)
        found = fit_direct_effects(
            counts, size if some is None else size[some], tfs[rows], genes[columns], weight
        ).effect
    out[np.ix_(rows, columns)] = found
    return out


def _presence(total: NDArray[np.float64], n: int, every: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean expression of each TF in a group over that in all cells, shrunk to 1 as by :data:`USUAL` average cells."""
    more = (total + USUAL * every) / (n + USUAL)
    return np.divide(more, every, out=np.ones_like(every), where=every > 0).astype(np.float32)


def _group_edges(
    model: GRNModel,
    found: list[Attribution],
    weight: NDArray[np.float32] | None,
    direct: NDArray[np.float32],
    *,
    indirect: bool,
    max_edges: int,
) -> GroupEdges:
    """Combine attribution and support of one group; rank within each network for stability."""
    target = model.preparation.tf_target
    total = [f.total() for f in found]
    mean = np.mean(total, axis=0)
    allowed = np.ones(mean.shape, dtype=bool) if weight is None or indirect else weight > 0
    known = np.flatnonzero(target >= 0)
    allowed[known, target[known]] = False
    where = np.flatnonzero(allowed)
    own_support = np.zeros(len(where), dtype=np.float32) if weight is None else weight.ravel()[where]
    effect = direct.ravel()[where]
    score, signs = combine(mean.ravel()[where], effect, own_support)
    order = np.argsort(-score, kind="stable")[: min(max_edges, int((score > 0).sum()))]
    best = where[order]
    each = [t.ravel()[where] for t in total]
    sign = signs[order]
    stability = np.full(len(best), np.nan, dtype=np.float32)
    spread = stability.copy()
    overlap = np.nan
    if len(found) > 1:
        judged = [combine(e, effect, own_support) for e in each]
        places = [ranks(s) for s, _ in judged]
        top = min(TOP, max(1, len(where) // 10))
        reach = np.maximum(top, np.arange(1, len(order) + 1))
        held = [(p[order] < reach) & (s[order] == sign) for p, (_, s) in zip(places, judged, strict=True)]
        stability = np.mean(held, axis=0).astype(np.float32)
        spread = np.std([p[order] for p in places], axis=0).astype(np.float32)
        overlap = jaccard(places, top)
    tf, gene = np.divmod(best, mean.shape[1])
    return GroupEdges(
        tf,
        gene,
        score[order].astype(np.float32),
        sign,
        mean.ravel()[best].astype(np.float32),
        effect[order],
        own_support[order].astype(np.float32),
        stability,
        spread,
        float(overlap),
    )


def _triplets(
    model: GRNModel,
    data: CellData,
    found: list[Attribution],
    support: Support | None,
    links: NDArray[np.float64] | None,
    made: GroupEdges,
    max_cres: int,
) -> GroupTriplets:
    """Share each edge among its windows: the cis head's part where it arose, the rest by binding x link."""
    from tilegrn.tl.network._attribution import cis_triplets

    if support is None or links is None:
        none = np.zeros(0, dtype=np.int64)
        return GroupTriplets(none, none, none, np.zeros(0), np.zeros(0), np.zeros(0))
    edge, entry, share = support.windows(links, made.tf, made.gene, max_cres)
    window = support.distance.indices[entry].astype(np.int64)
    bp = np.rint(support.distance.data[entry].astype(np.float64) - 1).astype(np.int64)
    tf, gene = made.tf[edge], made.gene[edge]
    value = np.mean([f.context[tf, gene] for f in found], axis=0) * share
    value = value + np.mean([cis_triplets(model, net, data, tf, window, gene) for net in model.networks], axis=0)
    return GroupTriplets(edge, window, bp, links[entry], share, value)
