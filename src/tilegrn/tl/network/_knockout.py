"""Knock-outs in the trained model: TFs set to a level, windows closed, and what every gene does then."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core.rows import Picked, blocks, column_sums, in_memory, settled
from tilegrn._core.scaling import MinMax
from tilegrn._core.some_cells import drawn_by_name
from tilegrn._core.symbols import match_symbols
from tilegrn.errors import InputError
from tilegrn.tl.network._direct_effects import fit_direct_effects
from tilegrn.tl.network._support import support_of
from tilegrn.tl.pairs._window_links import window_links
from tilegrn.tl.training._inputs import cell_data
from tilegrn.tl.training._source import read_source, require_alike

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.data.batches import CellData
    from tilegrn.model.grn_model import GRNModel
    from tilegrn.model.prepare.preparation import Preparation
    from tilegrn.tl.training._source import Source

__all__ = ["knockout"]

logger = logging.getLogger(__name__)

_SPAN = re.compile(r"^(.+?)[:\-_](\d[\d,]*)[\-_](\d[\d,]*)$")


def knockout(
    mdata: MuData,
    model: GRNModel,
    tf: str | Sequence[str] | Mapping[str, float] | None = None,
    *,
    to: float = 0.0,
    close: Sequence[str] = (),
    groupby: str | None = None,
    direct: bool = True,
    key_added: str | None = None,
    layer: str | None = None,
    batch_size: int = 128,
    device: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> pd.DataFrame:
    """Predict what every gene does when TFs are knocked out (or set to a level) and windows are closed.

    Depths stay as they are: fewer reads of one TF do not make a cell shallower.

    Parameters
    ----------
    mdata
        Cells to perturb, prepared as for :func:`predict`.
    model
        From :func:`train` or ``grn.io.load_model``.
    tf
        A TF, several, or a dictionary of TF and the count to set it to.
    to
        Count (UMIs per cell, as in the RNA matrix) that the named TFs get in every cell; 0 is a knock-out, more than
        they have an overexpression. Levels above the range of the training cells (see :func:`tilegrn.pp.scale`) are cut
        there.
    close
        Windows or intervals (``"chr1:3000-4000"``); every window that an interval touches is closed.
    groupby
        Column of ``obs``: summary per group, besides all cells.
    direct
        Multiply the model's change by direct effects of the TFs, fitted to these cells by a regression that is shrunk
        towards the support of :func:`edges` (empirical Bayes). The model alone spreads the effect of a TF over
        those that go with it, and so underestimates it; see Notes. Without binding there is none.
    key_added
        Also write the change of the log rate of every cell and gene to ``rna.layers[key_added]`` (float32, NaN for
        genes that the model was not trained on).
    layer
        Layer of the RNA counts; X by default.
    batch_size
        Cells at a time.
    device
        Where to compute, as torch names it (``"cuda"``); the CPU by default.
    rna, atac
        Names of the modalities.

    Returns
    -------
    DataFrame, one row per group and gene, largest change first:

    - ``group``, ``target``,
    - ``log2_fold_change``: of the mean predicted rate over the group's cells,
    - ``model_log2_fold_change``: the same without direct effects,
    - ``mean_rate``: before, counts at size factor 1,
    - ``sd``: of the change over the networks (NaN with one), and ``z``: change / sd (NaN where they agree to the last
      digits),
    - ``share``: of the cells that change in that direction,
    - ``n_cells``: of the group.

    Raises
    ------
    InputError
        If a TF or window is not one of the model, or nothing was named.

    Notes
    -----
    On simulated data, predicted and re-simulated changes of affected genes rank alike (Spearman .84 to .92, the model
    alone .61 to .73; see the benchmark of networks). Their size is .6 to .8 of the true changes there, and rests
    on a guess: that a TF has half of its largest effect at its mean level. Read the order and the sign first.
    Direct effects need many cells; they are linear in the TF's level, which saturates with its expression, and cut at
    1/20 and 20-fold.

    A gene that is a TF is predicted with its own expression hidden; its own knock-out leaves it unchanged here.

    Examples
    --------
    >>> change = grn.tl.knockout(mdata, model, "Tf3", groupby="cell_type")
    >>> change.columns.tolist()[:4]
    ['group', 'target', 'log2_fold_change', 'model_log2_fold_change']
    >>> double = grn.tl.knockout(mdata, model, {"Tf3": 0.0, "Tf5": 8.0})  # one off, one up
    """
    levels = _levels(tf, to, model)
    source = read_source(mdata, rna=rna, atac=atac, layer=layer, for_training=False)
    require_alike(source, model.vocabulary)
    closed = _windows(close, model)
    if not levels and not len(closed):
        msg = "Nothing to knock out: name a TF, or windows with close=."
        raise InputError(msg)
    groups = _groups(mdata, groupby, len(source.cells), rna, atac)
    before = cell_data(source, model.vocabulary, model.preparation, model.config)
    after = _perturbed(before, levels, closed, model.preparation)
    factor = None
    if direct and levels:
        factor = _direct(mdata, model, source, before, levels, layer=layer, rna=rna, atac=atac)
    n_genes = len(model.vocabulary.genes)
    n_nets = len(model.networks)
    sums = {g: np.zeros((3, n_nets, n_genes)) for g in groups}
    down = {g: np.zeros(n_genes) for g in groups}
    up = {g: np.zeros(n_genes) for g in groups}
    place = pd.Index(source.genes).get_indexer(pd.Index(model.vocabulary.genes))  # exactly, as the model was read
    full = np.full((len(source.cells), len(source.genes)), np.nan, dtype=np.float32) if key_added else None
    with model.on(device):
        for first in range(0, before.n_cells, batch_size):
            rows = np.arange(first, min(first + batch_size, before.n_cells))
            # One after the other, never interleaved: each pass switches gradients off and back on.
            old, new = (_rates(model, data.take(rows), device) for data in (before, after))
            alone = new
            if factor is not None:
                new = (new * factor(rows)).astype(np.float32)
            change = np.log(new.mean(0) / old.mean(0))
            for g, mask in groups.items():
                mine = mask[rows]
                sums[g][0] += old[:, mine].sum(1, dtype=np.float64)
                sums[g][1] += new[:, mine].sum(1, dtype=np.float64)
                sums[g][2] += alone[:, mine].sum(1, dtype=np.float64)
                down[g] += (change[mine] < 0).sum(0)
                up[g] += (change[mine] > 0).sum(0)
            if full is not None:
                full[np.ix_(rows, place[place >= 0])] = change[:, place >= 0]
    tables = [
        _summary(g, model.vocabulary.genes, sums[g], down[g], up[g], int(mask.sum())) for g, mask in groups.items()
    ]
    if full is not None and key_added is not None:
        store.set_elem(mdata.mod[rna], "layers", key_added, full)
    out = pd.concat(tables, ignore_index=True)
    out["group"] = pd.Categorical(out["group"], categories=list(groups))
    return out


def _direct(
    mdata: MuData,
    model: GRNModel,
    source: Source,
    data: CellData,
    levels: dict[int, float],
    *,
    layer: str | None,
    rna: str,
    atac: str,
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]] | None:
    """Return a function of rows of cells that gives the factor on rates, cells x genes; None without binding."""
    support = support_of(model, source)
    if support is None:
        return None
    v = model.vocabulary
    number = {g: i for i, g in enumerate(source.genes)}
    tfs, genes = (np.array([number.get(n, -1) for n in names], dtype=np.int64) for names in (v.tfs, v.genes))
    if (tfs < 0).any() or (genes < 0).any() or data.n_cells < 2:
        logger.info("The sample lacks genes of the model or has one cell: no direct effects, the model alone.")
        return None
    size = np.maximum(data.size_factor.astype(np.float64), 1e-3)
    openness = column_sums(data.windows) / data.n_cells
    some = drawn_by_name(source.cells, what="Direct effects")
    of_some = size if some is None else size[some]
    links = window_links(mdata, v.windows, v.genes, support.distance, groups={}, layer=layer, rna=rna, atac=atac)
    weight = support.tf_gene(support.open_links(links.of(None), openness), openness)
    effects = fit_direct_effects(in_memory(source.counts, some), of_some, tfs, genes, weight)
    which = np.array(list(levels), dtype=np.int64)
    place = np.full(len(source.genes), -1, dtype=np.int64)
    place[tfs[which]] = np.arange(len(which))
    counts = in_memory(Picked(source.counts, place=place, width=len(which))).toarray().astype(np.float64)
    new = np.array(list(levels.values()))
    return lambda rows: effects.change(which, counts[rows], new, size[rows])


def _rates(model: GRNModel, data: CellData, device: str | None) -> NDArray[np.float32]:
    """Return rates of some cells, networks x cells x genes; batches come in another order than the cells."""
    out = np.empty((len(model.networks), data.n_cells, len(model.vocabulary.genes)), dtype=np.float32)
    for rows, known, _ in model.iter_rates(data, batch_size=data.n_cells, device=device):
        out[:, rows] = known
    return out


def _levels(tf: str | Sequence[str] | Mapping[str, float] | None, to: float, model: GRNModel) -> dict[int, float]:
    """Return the number of each named TF and the count to set."""
    if tf is None:
        return {}
    if isinstance(tf, Mapping):
        named, counts = list(tf), [float(c) for c in tf.values()]
    else:
        named = [tf] if isinstance(tf, str) else list(tf)
        counts = [float(to)] * len(named)
    for name, count in zip(named, counts, strict=True):
        if not (np.isfinite(count) and count >= 0):
            msg = f"'{name}' cannot be set to {count} counts; give a number that is 0 or more."
            raise InputError(msg)
    at = match_symbols(named, model.vocabulary.tfs)
    if (at < 0).any():
        unknown = [n for n, i in zip(named, at, strict=True) if i < 0]
        msg = (
            f"{unknown} are no TFs of this model; it reads {len(model.vocabulary.tfs)}, e.g. "
            f"{list(model.vocabulary.tfs[:3])}."
        )
        raise InputError(msg)
    return {int(i): c for i, c in zip(at, counts, strict=True)}


def _windows(close: Sequence[str], model: GRNModel) -> NDArray[np.int64]:
    """Columns of the model's windows that the intervals touch."""
    v = model.vocabulary
    if isinstance(close, str):
        close = [close]
    code = {c: i for i, c in enumerate(v.grid.chroms)}
    found = []
    for name in close:
        hit = _SPAN.match(str(name))
        start, end = (int(hit.group(k).replace(",", "")) for k in (2, 3)) if hit else (0, 0)
        if hit is None or hit.group(1) not in code or start >= end or end > v.grid.lengths[code[hit.group(1)]]:
            msg = f"close= names '{name}', which is no interval of the model's assembly; write e.g. 'chr1:3000-4000'."
            raise InputError(msg)
        first = v.grid.offsets[code[hit.group(1)]]
        low, high = first + start // v.grid.window_size, first + (end - 1) // v.grid.window_size
        at = np.arange(np.searchsorted(v.windows, low), np.searchsorted(v.windows, high, side="right"))
        if not len(at):
            msg = f"'{name}' touches no window that was open in the training cells, so the model cannot close it."
            raise InputError(msg)
        found.append(at)
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def _groups(mdata: MuData, groupby: str | None, n: int, rna: str, atac: str) -> dict[str, NDArray[np.bool_]]:
    out = {"all": np.ones(n, dtype=bool)}
    if groupby is not None:
        labels = check.cell_labels(mdata, groupby, rna, atac)
        out |= {str(g): labels == g for g in np.unique(labels)}
    return out


def _perturbed(data: CellData, levels: dict[int, float], closed: NDArray[np.int64], prep: Preparation) -> CellData:
    """Set TF columns to levels and take windows out; components follow, depths stay."""
    known = np.array(list(levels), dtype=np.int64)
    counts = np.array([list(levels.values())], dtype=np.float32)
    level = MinMax(prep.tf_max[known]).transform(sparse.csr_matrix(counts)).toarray()[0]
    kept_tfs = np.arange(data.tfs.shape[1])
    kept_tfs[known] = -1
    kept_windows = np.arange(data.windows.shape[1])
    kept_windows[closed] = -1

    def set_levels(part: sparse.csr_matrix) -> sparse.csr_matrix:
        rows = np.repeat(np.arange(part.shape[0]), len(known))
        put = (np.tile(level, part.shape[0]), (rows, np.tile(known, part.shape[0])))
        out = sparse.csr_matrix(part + sparse.csr_matrix(put, shape=part.shape, dtype=np.float32))
        out.eliminate_zeros()
        out.sort_indices()
        return out

    tfs = settled(Picked(data.tfs, place=kept_tfs, then=set_levels)) if levels else data.tfs
    windows, components = data.windows, data.components
    if len(closed):
        windows = settled(Picked(data.windows, place=kept_windows))
        components = np.empty_like(data.components)
        for at, part in blocks(windows):
            components[at] = prep.components.transform(part, None if data.part is None else data.part[at])
    return dataclasses.replace(data, tfs=tfs, windows=windows, components=components)


_RESOLUTION = 1e-5
"""Changes that differ by less are the same in float32: below, rounding moves the ratio to their spread."""


def _summary(
    group: str,
    genes: tuple[str, ...],
    sums: NDArray[np.float64],
    down: NDArray[np.float64],
    up: NDArray[np.float64],
    n_cells: int,
) -> pd.DataFrame:
    old, new, alone = np.maximum(sums, 1e-300)
    each = np.log2(new / old)
    change = np.log2(new.sum(0) / old.sum(0))
    sd = each.std(0, ddof=1) if len(each) > 1 else np.full(len(genes), np.nan)
    z = np.divide(change, sd, out=np.full(len(genes), np.nan), where=sd > _RESOLUTION)
    table = pd.DataFrame(
        {
            "group": group,
            "target": np.asarray(genes, dtype=object),
            "log2_fold_change": change,
            "model_log2_fold_change": np.log2(alone.sum(0) / old.sum(0)),
            "mean_rate": old.mean(0) / n_cells,
            "sd": sd,
            "z": z,
            "share": np.where(change < 0, down, up) / n_cells,
            "n_cells": n_cells,
        }
    )
    order = np.argsort(-np.abs(change), kind="stable")
    return table.iloc[order].reset_index(drop=True)
