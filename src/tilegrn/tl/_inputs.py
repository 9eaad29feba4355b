"""From MuData to what the model reads."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn import _check, _store
from tilegrn import _keys as K
from tilegrn._scaling import MinMax, fit_minmax
from tilegrn.errors import InputError, MissingStepError, StaleError

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._grid import Grid
    from tilegrn._intervals import DistanceRule
    from tilegrn.model.batches import CellData
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.preparation import Preparation, Vocabulary

__all__ = [
    "Source",
    "cell_data",
    "fit_preparation",
    "join_sources",
    "read_source",
    "require_alike",
    "unlike",
    "unseen_distance",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Source:
    """One sample, read and checked: counts, open windows, distances, binding.

    Attributes
    ----------
    cells, genes
        Names.
    is_tf
        Bool per gene.
    counts
        Cells x genes, CSR float32.
    depth
        RNA counts per cell, float64.
    open
        Cells x occupied windows, summed counts, CSR float32.
    windows
        Genome-wide numbers of those windows, int64, increasing.
    distance
        Genes x those windows, bp to the TSS plus one, CSR float32.
    binding
        Genes x those windows (TF rows filled), or None.
    grid
        The window vocabulary.
    rule
        How distances were measured and are scored.
    """

    cells: NDArray[np.object_]
    genes: NDArray[np.object_]
    is_tf: NDArray[np.bool_]
    counts: sparse.csr_matrix
    depth: NDArray[np.float64]
    open: sparse.csr_matrix
    windows: NDArray[np.int64]
    distance: sparse.csr_matrix
    binding: sparse.csr_matrix | None
    grid: Grid
    rule: DistanceRule

    @property
    def hash(self) -> str:
        """SHA-256 (first 16 letters) of names, counts and accessibility."""
        h = hashlib.sha256()
        for names in (self.cells, self.genes):
            h.update("\n".join(map(str, names)).encode())
        for mat in (self.counts, self.open):
            for part in (mat.data, mat.indices, mat.indptr):
                h.update(np.ascontiguousarray(part).tobytes())
        h.update(self.windows.tobytes())
        return h.hexdigest()[:16]


def _columns(mat: sparse.csr_matrix, windows: NDArray[np.int64]) -> sparse.csr_matrix:
    """Take genome-wide columns (increasing) of a window matrix without touching the others."""
    at = np.minimum(np.searchsorted(windows, mat.indices), max(len(windows) - 1, 0))
    keep = windows[at] == mat.indices if len(windows) else np.zeros(len(mat.indices), dtype=bool)
    start = np.concatenate([[0], np.cumsum(keep)])[mat.indptr]
    out = sparse.csr_matrix((mat.data[keep], at[keep], start), shape=(mat.shape[0], len(windows)))
    out.sort_indices()  # the order of sums, and so the last digit of every result, must not depend on the order on disk
    return out


def read_source(mdata: MuData, *, rna: str, atac: str, layer: str | None, for_training: bool) -> Source:
    """Read and check all inputs of one MuData; TFs and their binding only for training.

    Raises
    ------
    InputError, MissingStepError, StaleError
        Naming the slot and the call that mends it.
    """
    r, _ = _check.paired(mdata, rna, atac)
    _check.unique_names(r.var_names, "gene names", "Make them unique, e.g. with mdata['rna'].var_names_make_unique().")
    grid = _store.get_grid(mdata)
    counts = _check.counts(r, rna, layer, warn_empty=False)
    opened = _store.cell_windows(mdata, atac)
    reached = _store.tss_distance(mdata, rna)
    if K.IS_TF not in r.var:
        if for_training:
            msg = (
                f"{rna}.var['{K.IS_TF}'] is missing. Run grn.pp.add_binding(mdata, table) or "
                "grn.pp.mark_tfs(mdata, names) first."
            )
            raise MissingStepError(msg)
        is_tf = np.zeros(r.n_vars, dtype=bool)
    else:
        is_tf = r.var[K.IS_TF].to_numpy(dtype=bool)
    windows = np.unique(opened.indices[opened.data > 0]).astype(np.int64)
    _all_measured(mdata, windows, rna)
    distance = _columns(reached, windows)
    binding = None
    if for_training and _store.has_record(mdata, K.REC_BINDING) and K.WINDOW_BINDING in r.varm:
        binding = _columns(_store.window_binding(mdata, rna, atac), windows).astype(np.float32)
    return Source(
        r.obs_names.to_numpy(dtype=object),
        r.var_names.to_numpy(dtype=object),
        is_tf,
        counts.astype(np.float32),
        np.asarray(counts.sum(1), dtype=np.float64).ravel(),
        _columns(opened, windows).astype(np.float32),
        windows,
        distance.astype(np.float32),
        binding,
        grid,
        _store.distance_rule(mdata),
    )


def _all_measured(mdata: MuData, windows: NDArray[np.int64], rna: str) -> None:
    """Raise if windows were occupied after distances had been measured: their genes would be out of reach unsaid."""
    record = _store.get_record(mdata, K.REC_TSS)
    if "windows" not in record:
        return
    new = np.setdiff1d(windows, np.asarray(record["windows"], dtype=np.int64))
    if len(new):
        msg = (
            f"{len(new)} of {len(windows)} windows with peaks were not there when {rna}.varm['{K.TSS_DISTANCE}'] was "
            f"made. Run {_store.CALLS[K.REC_TSS]} again."
        )
        raise StaleError(msg)


def unlike(grid: Grid, rule: DistanceRule, other_grid: Grid, other_rule: DistanceRule) -> str:
    """Say how windows and distances of two samples, or of a sample and a model, differ; empty if they do not."""
    if grid.fingerprint != other_grid.fingerprint:
        same = str(grid) == str(other_grid)
        tail = ", with other chromosomes or lengths" if same else ""
        return f"{grid} and {other_grid}{tail} (grn.pp.bin_peaks needs the same sizes, window_size and seed)"
    different = rule.unlike(other_rule)
    return f"{different} (grn.pp.tss_distance needs the same arguments)" if different else ""


def require_alike(source: Source, vocabulary: Vocabulary) -> None:
    """Raise if a sample's windows or distances mean something else than the model's."""
    other = unlike(source.grid, source.rule, vocabulary.grid, vocabulary.rule)
    if other:
        msg = f"The MuData and the model do not go together: {other}. Run that step again as for the training data."
        raise InputError(msg)


def join_sources(sources: list[Source]) -> Source:
    """Stack samples of one assembly: the genes they share, all their windows.

    Raises
    ------
    InputError
        If the samples have other windows, measured distances in another way, or share no gene.
    """
    if len(sources) == 1:
        return sources[0]
    first = sources[0]
    for i, other in enumerate(sources[1:], start=2):
        why = unlike(first.grid, first.rule, other.grid, other.rule)
        if why:
            msg = f"Samples 1 and {i} do not go together: {why}. Run that step on all samples alike."
            raise InputError(msg)
    shared = set(first.genes).intersection(*(set(s.genes) for s in sources[1:]))
    genes = np.array([g for g in first.genes if g in shared], dtype=object)
    if not len(genes):
        msg = "The samples share no gene name; check that all use symbols of one organism."
        raise InputError(msg)
    dropped = max(len(s.genes) for s in sources) - len(genes)
    if dropped:
        logger.info("%d genes that not all samples have are left out.", dropped)
    windows = np.unique(np.concatenate([s.windows for s in sources]))
    counts, opened, depths, distances, bindings = [], [], [], [], []
    is_tf = np.zeros(len(genes), dtype=bool)
    for s in sources:
        place = {g: i for i, g in enumerate(s.genes)}
        rows = np.array([place[g] for g in genes])
        part = s.counts[:, rows]
        counts.append(part)
        depths.append(np.asarray(part.sum(1), dtype=np.float64).ravel())
        opened.append(_widen(s.open, s.windows, windows))
        distances.append(_widen(s.distance[rows], s.windows, windows))
        is_tf |= s.is_tf[rows]
        if s.binding is not None:
            bindings.append(_widen(s.binding[rows], s.windows, windows))
    distance = distances[0]
    for d in distances[1:]:
        distance = _union(distance, d)
    binding = None
    if bindings:
        binding = bindings[0]
        for b in bindings[1:]:
            binding = binding.maximum(b).tocsr()
    cells = np.concatenate([np.array([f"{i}:{c}" for c in s.cells], dtype=object) for i, s in enumerate(sources)])
    return Source(
        cells,
        genes,
        is_tf,
        sparse.vstack(counts, format="csr"),
        np.concatenate(depths),
        sparse.vstack(opened, format="csr"),
        windows,
        distance,
        binding,
        first.grid,
        first.rule,
    )


def _widen(mat: sparse.csr_matrix, own: NDArray[np.int64], windows: NDArray[np.int64]) -> sparse.csr_matrix:
    at = np.searchsorted(windows, own)
    return sparse.csr_matrix((mat.data, at[mat.indices], mat.indptr), shape=(mat.shape[0], len(windows)))


def _union(a: sparse.csr_matrix, b: sparse.csr_matrix) -> sparse.csr_matrix:
    """Entries of both; where both have one, that of ``a`` (equal distances of equal windows)."""
    only = b - b.multiply(a > 0)
    only.eliminate_zeros()
    return sparse.csr_matrix(a + only)


def fit_preparation(
    source: Source, train: NDArray[np.int64], targets: NDArray[np.int64], config: ModelConfig, *, seed: int
) -> tuple[Vocabulary, Preparation]:
    """Fit scalers, components and names on training cells.

    Parameters
    ----------
    train
        Rows of the training cells; no other row is read.
    targets
        Genes (columns) to be predicted.
    """
    from tilegrn.model.features import gene_features
    from tilegrn.model.guided import expression_axes, fit_guided
    from tilegrn.model.lsi import Components, fit_components
    from tilegrn.model.preparation import Preparation, Vocabulary, window_features

    opened = source.open[train]
    seen = np.bincount(opened.indices, weights=opened.data > 0, minlength=opened.shape[1])
    keep = np.flatnonzero(seen)
    if not len(keep):
        msg = "No window is open in any training cell; check atac.X and grn.pp.bin_peaks."
        raise InputError(msg)
    opened = opened[:, keep]
    counts = source.counts[train]
    tf_columns = np.flatnonzero(source.is_tf)
    tf_range = fit_minmax(counts[:, tf_columns])
    window_range = fit_minmax(opened)
    idf, loadings = fit_components(opened, config.n_loadings, seed=seed)
    median = max(float(np.median(source.depth[train])), 1.0)
    size = source.depth[train] / median
    depth = _depth(size, opened)
    n_guided = min(config.n_guided, len(train) // 20)
    known, guided = np.zeros(0, np.uint64), np.zeros((1, len(keep), 0), np.float32)
    if n_guided and config.use_windows and config.use_components:
        axes = expression_axes(counts[:, targets], np.maximum(size, 1.0 / median), n_guided, seed=seed)
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
        tf_min=tf_range.minimum,
        tf_max=tf_range.maximum,
        window_min=window_range.minimum,
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
        gene_mean=np.asarray(counts.mean(0), dtype=np.float64).ravel(),
        openness=openness,
        feature_mean=raw.mean(0),
        feature_scale=np.maximum(raw.std(0), 1e-6),
        tf_target=place[tf_columns],
        distance=distance,
    )
    return vocabulary, preparation


def _depth(size_factor: NDArray[np.float64], opened: sparse.csr_matrix) -> NDArray[np.float64]:
    return np.stack([np.log(np.maximum(size_factor, 1e-3)), np.log1p(np.asarray(opened.sum(1)).ravel())], axis=1)


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
    has other genes, its depth is compared with what training cells have over the shared genes.
    """
    from tilegrn.model.batches import CellData
    from tilegrn.model.guided import part_of_cells

    rows = np.arange(len(source.cells)) if rows is None else rows
    counts = source.counts[rows]
    opened = source.open[rows]
    place = {g: i for i, g in enumerate(source.genes)}
    tfs = _reorder(counts, [place.get(t, -1) for t in vocabulary.tfs])
    at = vocabulary.positions(source.windows)
    known = np.flatnonzero(at >= 0)
    part = opened[:, known]
    windows = sparse.csr_matrix(
        (part.data, at[known][part.indices], part.indptr), shape=(len(rows), len(vocabulary.windows))
    )
    windows.sort_indices()
    size = size_factors(source, vocabulary, preparation)[rows]
    depth = (_depth(size, windows) - preparation.depth_mean) / preparation.depth_scale
    part = part_of_cells(windows, preparation.known)
    return CellData(
        tfs=MinMax(preparation.tf_min, preparation.tf_max).transform(tfs),
        windows=MinMax(preparation.window_min, preparation.window_max).transform(windows),
        components=preparation.components.transform(windows, part),
        depth=depth.astype(np.float32),
        size_factor=size.astype(np.float32),
        counts=_reorder(counts, [place[g] for g in vocabulary.genes]) if with_counts else None,
        part=part,
    )


def size_factors(source: Source, vocabulary: Vocabulary, preparation: Preparation) -> NDArray[np.float64]:
    """RNA depth / median RNA depth of the training cells; never below one count.

    For a sample that lacks genes of the model, the depth over the shared genes is divided by the share of the training
    counts that those genes made up.
    """
    names = set(source.genes)
    shared = np.array([g in names for g in vocabulary.all_genes])
    if shared.all() and len(source.genes) == len(shared):
        return np.asarray(np.maximum(source.depth, 1.0) / preparation.median_depth)
    share = float(preparation.gene_mean[shared].sum() / max(preparation.gene_mean.sum(), 1e-12))
    if share <= 0:
        msg = "The sample shares no expressed gene with the model's training data; check that gene names are symbols."
        raise InputError(msg)
    place = {g: i for i, g in enumerate(source.genes)}
    columns = [place[g] for g, there in zip(vocabulary.all_genes, shared, strict=True) if there]
    depth = np.asarray(source.counts[:, columns].sum(1), dtype=np.float64).ravel()
    return np.asarray(np.maximum(depth, 1.0) / (preparation.median_depth * share))


def _reorder(counts: sparse.csr_matrix, columns: list[int]) -> sparse.csr_matrix:
    """Take columns in an order; -1 makes an empty one."""
    wanted = np.asarray(columns, dtype=np.int64)
    there = np.flatnonzero(wanted >= 0)
    place = np.full(counts.shape[1], -1, dtype=np.int64)
    place[wanted[there]] = there
    at = place[counts.indices]
    keep = at >= 0
    start = np.concatenate([[0], np.cumsum(keep)])[counts.indptr]
    out = sparse.csr_matrix((counts.data[keep], at[keep], start), shape=(counts.shape[0], len(wanted)))
    out.sort_indices()
    return out


def unseen_distance(source: Source, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], Any]:
    """Genes outside the model that have windows of the model within reach: their columns, and genes x model windows."""
    known = set(vocabulary.genes)
    at = vocabulary.positions(source.windows)
    place = np.flatnonzero(at >= 0)
    part = source.distance[:, place]
    mat = sparse.csr_matrix(
        (part.data, at[place][part.indices], part.indptr), shape=(len(source.genes), len(vocabulary.windows))
    )
    new = np.array([g not in known for g in source.genes]) & (np.diff(mat.indptr) > 0)
    columns = np.flatnonzero(new)
    return columns, mat[columns]
