"""One sample, read from its MuData and checked; several samples joined."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.rows import Picked, blocks, held, put_aside, settled, stacked
from tilegrn._core.some_cells import drawn_by_name, values_in_cell
from tilegrn._core.tss_pairs import tss_sites
from tilegrn.errors import InputError, MissingStepError, StaleError

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid
    from tilegrn._core.intervals import DistanceRule
    from tilegrn._core.rows import Rows
    from tilegrn._core.tss_pairs import Sites
    from tilegrn.model.prepare.preparation import Vocabulary

__all__ = ["Source", "join_sources", "read_source", "require_alike", "unlike"]

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
        Cells x genes, float32: CSR in memory or rows read when they are asked for, see :mod:`tilegrn._core.rows`. Maybe
        the caller's own matrix: never to be changed.
    depth
        RNA counts per cell, float64.
    open
        Cells x occupied windows, summed counts, in the same way.
    windows
        Genome-wide numbers of the windows that hold peaks, int64, increasing: which cells are there does not matter.
    distance
        Genes x those windows, bp to the TSS plus one, CSR float32.
    binding
        Genes x those windows (TF rows filled), or None.
    grid
        The window vocabulary.
    rule
        How distances were measured and are scored.
    sites
        Gene (row of ``genes``, -1 for one removed since), chromosome code and position of each TSS; None once joined.
    """

    cells: NDArray[np.object_]
    genes: NDArray[np.object_]
    is_tf: NDArray[np.bool_]
    counts: Rows
    depth: NDArray[np.float64]
    open: Rows
    windows: NDArray[np.int64]
    distance: sparse.csr_matrix
    binding: sparse.csr_matrix | None
    grid: Grid
    rule: DistanceRule
    sites: Sites | None = None

    @property
    def hash(self) -> str:
        """SHA-256 (first 16 letters) of names, counts and accessibility, whatever the order of cells and genes."""
        own = self.ordered()
        h = hashlib.sha256()
        for names in (own.cells, own.genes):
            h.update("\n".join(map(str, names)).encode())
        for rows in (own.counts, own.open):
            each = [hashlib.sha256() for _ in range(3)]  # so that it does not matter where a block of cells ends
            for _, part in blocks(rows):
                for one, values in zip(each, (part.data, part.indices, np.diff(part.indptr)), strict=True):
                    kind = "<f4" if values is part.data else "<i4"
                    one.update(np.ascontiguousarray(values, dtype=kind).data)
            for one in each:
                h.update(one.digest())
        h.update(own.windows.tobytes())
        return h.hexdigest()[:16]

    def at_hand(self) -> Source:
        """Return the sample with rows that can be read in any order: what lies in files is copied to a temporary one.

        It takes 8 bytes a value and goes with the result.
        """
        counts, opened = (x if held(x) else put_aside(x) for x in (self.counts, self.open))
        return replace(self, counts=counts, open=opened)

    def some(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some cells that statistics are fitted to: all, or as many drawn as memory is meant for."""
        each = values_in_cell(self.open, rows)
        drawn = drawn_by_name(self.cells[rows], what="Statistics", each=each)
        return rows if drawn is None else rows[drawn]

    def ordered(self) -> Source:
        """Return the sample with cells and genes sorted by name, so that nothing drawn depends on their order."""
        rows, columns = check.by_name(self.cells), check.by_name(self.genes)
        if np.array_equal(rows, np.arange(len(rows))) and np.array_equal(columns, np.arange(len(columns))):
            return self
        place = np.full(len(columns) + 1, -1, dtype=np.int64)  # the last entry serves -1, a gene that is not there
        place[columns] = np.arange(len(columns))
        return replace(
            self,
            cells=self.cells[rows],
            genes=self.genes[columns],
            is_tf=self.is_tf[columns],
            counts=settled(Picked(self.counts, rows, place=place[:-1])),
            depth=self.depth[rows],
            open=settled(Picked(self.open, rows)),
            distance=self.distance[columns],
            binding=None if self.binding is None else self.binding[columns],
            sites=None if self.sites is None else (place[self.sites[0]], *self.sites[1:]),
        )


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
    r, _ = check.paired(mdata, rna, atac)
    check.unique_names(r.var_names, "gene names", "Make them unique, e.g. with mdata['rna'].var_names_make_unique().")
    grid = store.get_grid(mdata)
    counts = settled(check.count_rows(r, rna, layer, look=False))
    reached = store.tss_distance(mdata, rna)
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
    windows = np.unique(store.peak_windows(mdata, atac).indices).astype(np.int64)
    _all_measured(mdata, windows, rna)
    distance = _columns(reached, windows)
    binding = None
    if for_training and store.has_record(mdata, K.REC_BINDING) and K.WINDOW_BINDING in r.varm:
        binding = _columns(store.window_binding(mdata, rna, atac), windows).astype(np.float32)
    return Source(
        r.obs_names.to_numpy(dtype=object),
        r.var_names.to_numpy(dtype=object),
        is_tf,
        counts,
        _row_sums(counts),
        settled(store.window_rows(mdata, atac, windows)),
        windows,
        distance.astype(np.float32),
        binding,
        grid,
        store.distance_rule(mdata),
        tss_sites(mdata, rna),
    )


def _row_sums(x: Rows) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part.sum(1), dtype=np.float64).ravel() for _, part in blocks(x)])


def _all_measured(mdata: MuData, windows: NDArray[np.int64], rna: str) -> None:
    """Raise if windows were occupied after distances had been measured: their genes would be out of reach unsaid."""
    record = store.get_record(mdata, K.REC_TSS)
    if "windows" not in record:
        return
    new = np.setdiff1d(windows, np.asarray(record["windows"], dtype=np.int64))
    if len(new):
        msg = (
            f"{len(new)} of {len(windows)} windows with peaks were not there when {rna}.varm['{K.TSS_DISTANCE}'] was "
            f"made. Run {store.CALLS[K.REC_TSS]} again."
        )
        raise StaleError(msg)


def unlike(grid: Grid, rule: DistanceRule, other_grid: Grid, other_rule: DistanceRule) -> str:
    """Say how windows and distances of two samples, or of a sample and a model, differ; empty if they do not."""
    if grid.fingerprint != other_grid.fingerprint:
        same = str(grid) == str(other_grid)
        tail = ", with other chromosomes or lengths" if same else ""
        return f"{grid} against {other_grid}{tail} (grn.pp.bin_peaks needs the same sizes, window_size and seed)"
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
        shared_place = np.full(len(s.genes), -1, dtype=np.int64)
        shared_place[rows] = np.arange(len(rows))
        part = settled(Picked(s.counts, place=shared_place, width=len(rows)))
        counts.append(part)
        depths.append(_row_sums(part))
        opened.append(settled(Picked(s.open, place=np.searchsorted(windows, s.windows), width=len(windows))))
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
        stacked(counts),
        np.concatenate(depths),
        stacked(opened),
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
