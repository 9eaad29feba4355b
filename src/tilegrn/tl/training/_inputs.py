"""From what was read of a sample to what the model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from tilegrn._core.intervals import distance_pairs, sum_or_nearest
from tilegrn._core.rows import Picked, blocks, column_sums, in_memory, settled
from tilegrn._core.scaling import MinMax, fit_minmax
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.prepare.preparation import Preparation, Vocabulary
    from tilegrn.tl.training._source import Source

__all__ = ["cell_data", "fit_preparation", "unseen_distance"]


def fit_preparation(
    source: Source,
    train: NDArray[np.int64],
    targets: NDArray[np.int64],
    config: ModelConfig,
    *,
    ranges: tuple[pd.Series, NDArray[np.float64]] | None = None,
) -> tuple[Vocabulary, Preparation]:
    """Fit scalers, components and names on training cells.

    Parameters
    ----------
    train
        Rows of the training cells; no other row is read.
    targets
        Genes (columns) to be predicted.
    ranges
        Ends of the ranges of TFs (by name) and of all windows of the grid, from :func:`tilegrn.pp.scale`; fitted here
        in the same way by default.
    """
    from tilegrn._stats.lsi import inverse_frequency_of, leading_windows
    from tilegrn.model.prepare.components import Components
    from tilegrn.model.prepare.features import gene_features
    from tilegrn.model.prepare.guided import expression_axes, fit_guided
    from tilegrn.model.prepare.preparation import Preparation, Vocabulary, window_features

    seen, total = _opened(source.open, train)
    keep = np.flatnonzero(seen)
    if not len(keep):
        msg = "No window is open in any training cell; check atac.X and grn.pp.bin_peaks."
        raise InputError(msg)
    kept = np.full(len(seen), -1, dtype=np.int64)
    kept[keep] = np.arange(len(keep))
    tf_columns = np.flatnonzero(source.is_tf)
    if ranges is None:
        of_tf = np.full(len(source.genes), -1, dtype=np.int64)
        of_tf[tf_columns] = np.arange(len(tf_columns))
        tf_range = fit_minmax(Picked(source.counts, place=of_tf, width=len(tf_columns)), train)
        window_range = fit_minmax(Picked(source.open, place=kept, width=len(keep)), train)
    else:
        tf_max, window_max = ranges
        tf_range = MinMax(tf_max.reindex(source.genes[tf_columns]).to_numpy(np.float64))
        window_range = MinMax(window_max[source.windows[keep]])
    some = source.some(train)
    opened = in_memory(Picked(source.open, place=kept, width=len(keep)), some)
    idf = inverse_frequency_of(seen[keep], len(train))
    loadings = leading_windows(opened, idf, config.n_loadings)
    median = max(float(np.median(source.depth[train])), 1.0)
    depth = _depth(source.depth[train] / median, total)
    n_guided = min(config.n_guided, len(some) // 20)
    known, guided = np.zeros(0, np.uint64), np.zeros((1, len(keep), 0), np.float32)
    if n_guided and config.use_windows and config.use_components:
        size = np.maximum(source.depth[some] / median, 1.0 / median)
        axes = expression_axes(in_memory(source.counts, some)[:, targets], size, n_guided)
        known, guided = fit_guided(opened, idf, axes, penalty=config.guided_penalty)
    plain = loadings[:, : config.n_components]
    n = plain.shape[1] + guided.shape[2]
    scores = Components(idf, plain, guided, known, np.ones(n, np.float32), np.zeros(n, np.float32)).raw(opened)
    distance = source.distance[targets][:, keep]
    openness = (seen[keep] / len(train)).astype(np.float32)
    raw = gene_features(distance, window_features(loadings, idf), openness, config.pooling_lengths)
    place = np.full(len(source.genes), -1, dtype=np.int64)
    place[targets] = np.arange(len(targets))
    vocabulary = Vocabulary(
        tuple(map(str, source.genes[targets])),
        tuple(map(str, source.genes[tf_columns])),
        source.windows[keep],
        source.grid,
        source.rule,
        tuple(map(str, source.genes)),
    )
    preparation = Preparation(
        tf_max=tf_range.maximum,
        window_max=window_range.maximum,
        idf=idf,
        loadings=loadings,
        guided=guided,
        known=known,
        component_scale=np.maximum(scores.std(0), 1e-6).astype(np.float32),
        component_center=scores.mean(0).astype(np.float32),
        depth_mean=depth.mean(0),
        depth_scale=np.maximum(depth.std(0), 1e-6),
        median_depth=median,
        gene_mean=column_sums(source.counts, train) / len(train),
        openness=openness,
        feature_mean=raw.mean(0),
        feature_scale=np.maximum(raw.std(0), 1e-6),
        tf_target=place[tf_columns],
        distance=distance,
    )
    return vocabulary, preparation


def _opened(windows: Rows, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """In how many of some cells each window is open, and each of these cells' accessibility."""
    seen = np.zeros(windows.shape[1], dtype=np.int64)
    total = np.zeros(len(rows))
    for at, part in blocks(windows, rows):
        seen += np.bincount(part.indices[part.data > 0], minlength=len(seen))
        total[at] = np.asarray(part.sum(1)).ravel()
    return seen, total


def _depth(size_factor: NDArray[np.float64], accessible: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.log(np.maximum(size_factor, 1e-3)), np.log1p(accessible)], axis=1)


def cell_data(
    source: Source,
    vocabulary: Vocabulary,
    preparation: Preparation,
    config: ModelConfig,
    *,
    rows: NDArray[np.int64] | None = None,
    with_counts: bool = False,
) -> CellData:
    """Bring cells to the axes and scales of a model.

    TFs and windows that the sample lacks are absent; those that the model does not know are left out. Where the sample
    has other genes, its depth is compared with what training cells have over the shared genes. Windows, TFs and counts
    of many cells stay where they lie, and are brought to the model's axes as they are read.
    """
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.prepare.guided import part_of_cells

    rows = np.arange(len(source.cells)) if rows is None else rows
    place = {g: i for i, g in enumerate(source.genes)}
    width = len(vocabulary.windows)
    windows = settled(Picked(source.open, rows, place=vocabulary.positions(source.windows), width=width))
    size = size_factors(source, vocabulary, preparation, rows)
    scaled = MinMax(preparation.window_max)
    total, opened = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.float32)
    part = np.zeros(len(rows), dtype=np.int64)
    components = np.zeros((len(rows), preparation.components.n), dtype=np.float32)
    for at, block in blocks(windows):
        total[at] = np.asarray(block.sum(1)).ravel()
        part[at] = part_of_cells(block, preparation.known)
        components[at] = preparation.components.transform(block, part[at])
        opened[at] = np.asarray(scaled.transform(block).sum(1), dtype=np.float32).ravel()
    depth = (_depth(size, total) - preparation.depth_mean) / preparation.depth_scale
    tfs = _reorder(source.counts, rows, [place.get(t, -1) for t in vocabulary.tfs])
    return CellData(
        tfs=settled(Picked(tfs, then=MinMax(preparation.tf_max).transform)),
        windows=settled(Picked(windows, then=scaled.transform)),
        components=components,
        depth=depth.astype(np.float32),
        size_factor=size.astype(np.float32),
        opened=opened,
        counts=settled(_reorder(source.counts, rows, [place[g] for g in vocabulary.genes])) if with_counts else None,
        part=part,
    )


def size_factors(
    source: Source, vocabulary: Vocabulary, preparation: Preparation, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """RNA depth of some cells / median RNA depth of the training cells; never below one count.

    For a sample that lacks genes of the model, the depth over the shared genes is divided by the share of the training
    counts that those genes made up.
    """
    names = set(source.genes)
    shared = np.array([g in names for g in vocabulary.all_genes])
    if shared.all() and len(source.genes) == len(shared):
        return np.asarray(np.maximum(source.depth[rows], 1.0) / preparation.median_depth)
    share = float(preparation.gene_mean[shared].sum() / max(preparation.gene_mean.sum(), 1e-12))
    if share <= 0:
        msg = "The sample shares no expressed gene with the model's training data; check that gene names are symbols."
        raise InputError(msg)
    place = {g: i for i, g in enumerate(source.genes)}
    columns = np.zeros(len(source.genes), dtype=np.float32)
    columns[[place[g] for g, there in zip(vocabulary.all_genes, shared, strict=True) if there]] = 1.0
    depth = np.zeros(len(rows))
    for at, part in blocks(source.counts, rows):
        depth[at] = part @ columns
    return np.asarray(np.maximum(depth, 1.0) / (preparation.median_depth * share))


def _reorder(counts: Rows, rows: NDArray[np.int64], columns: list[int]) -> Picked:
    """Take columns in an order; -1 makes an empty one."""
    wanted = np.asarray(columns, dtype=np.int64)
    there = np.flatnonzero(wanted >= 0)
    place = np.full(counts.shape[1], -1, dtype=np.int64)
    place[wanted[there]] = there
    return Picked(counts, rows, place=place, width=len(wanted))


def unseen_distance(source: Source, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
    """Genes outside the model that have windows of the model within reach: their columns, and genes x model windows.

    Measured from the TSSs of the sample to the windows of the model, so that neither the cells nor the peaks of the
    sample matter: bp plus one, CSR float32.
    """
    if source.sites is None:
        msg = "Joined samples have no TSSs of their own; predict each sample by itself."
        raise ValueError(msg)
    known = set(vocabulary.genes)
    new = np.array([g not in known for g in source.genes], dtype=bool)
    gene, chrom, pos = source.sites
    grid, windows = vocabulary.grid, vocabulary.windows
    wanted = (gene >= 0) & new[np.maximum(gene, 0)]
    at, site, dist = distance_pairs(
        grid.chrom_of(windows),
        grid.starts(windows),
        grid.ends(windows),
        np.where(wanted, chrom, -1),
        pos,
        max_distance=source.rule.max_distance,
        anchor=source.rule.anchor,
    )
    row, column, nearest, _ = sum_or_nearest(gene[site], at, dist, decay=None, multiple="nearest")
    stored = (nearest + 1).astype(np.float32)
    mat = sparse.csr_matrix((stored, (row, column)), shape=(len(source.genes), len(windows)))
    mat.sort_indices()
    columns = np.flatnonzero(np.diff(mat.indptr))
    return columns, mat[columns]
