"""What pair scores read from a MuData: sums over groups of cells, peaks, and the TSSs of all genes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.peaks import match_chroms, parse_peaks
from tilegrn._core.rows import blocks, in_memory
from tilegrn._core.some_cells import drawn_by_name
from tilegrn._core.symbols import match_symbols
from tilegrn._core.tss_pairs import tss_sites
from tilegrn.errors import InputError
from tilegrn.io.annotation._tss import TSS_TABLES, read_tss
from tilegrn.tl.pairs._evidence import Profiles, cell_axes, fit_profiles
from tilegrn.tl.pairs._features import Landscape
from tilegrn.tl.pairs._places import PeakSums, Sites

if TYPE_CHECKING:
    from pathlib import Path

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid
    from tilegrn._core.rows import Rows
    from tilegrn.tl.pairs._places import Floats, Ints

__all__ = ["ALL", "PairData", "grouped_pair_data", "read_pair_data"]

logger = logging.getLogger(__name__)

ALL = "all"
"""Name of the one group where cells are not grouped."""
_FEWEST = 10
"""Cells below which a group says nothing about where else an element is open."""


@dataclass(frozen=True, eq=False)
class PairData:
    """Cells, peaks and genes as pair scores need them.

    Attributes
    ----------
    grid
        For chromosome names.
    genes
        Names by gene number: those of the data first, then those that only the TSS table has.
    n_data
        How many of them are in the data.
    chrom, start, end
        Peaks; chromosome code -1 where the assembly has no such chromosome.
    sums, sites
        See :mod:`tilegrn.tl.pairs._places`.
    groups, n_cells
        Names of the groups, sorted, and their cells.
    fragments, counts
        Groups x peaks and groups x genes, sums over cells; a last row is that of the cells that are in no group.
    peak_cells, gene_cells
        Cells x peaks and cells x genes of the cells that profiles are fitted to, CSR: all, or as many drawn as memory
        is meant for, see :mod:`tilegrn._core.some_cells`.
    """

    grid: Grid
    genes: list[str]
    n_data: int
    chrom: Ints
    start: Ints
    end: Ints
    sums: PeakSums
    sites: Sites
    groups: list[str]
    n_cells: Ints
    fragments: Floats
    counts: Floats
    peak_cells: sparse.csr_matrix
    gene_cells: sparse.csr_matrix

    @property
    def grouped(self) -> bool:
        """Whether there are other groups to compare with."""
        return len(self.groups) > 1

    def landscape(self, group: str) -> Landscape:
        """Return what one group and the others show."""
        mine = self.groups.index(group)
        others = [i for i in range(len(self.groups)) if i != mine]
        # A handful of cells has a fragment here and there: their profile is chance.
        others = [i for i in others if self.n_cells[i] >= _FEWEST] or others
        return Landscape(
            sums=self.sums,
            sites=self.sites,
            opened=_per_million(self.fragments[mine], group, "fragments in peaks"),
            opened_elsewhere=[_per_million(self.fragments[i], self.groups[i], "fragments in peaks") for i in others],
            expression=_per_million(self.counts[mine], group, "RNA counts"),
            expression_elsewhere=[_per_million(self.counts[i], self.groups[i], "RNA counts") for i in others],
        )

    def everyone(self) -> Landscape:
        """Return what all cells show, those of no group too, as one group."""
        return Landscape(
            sums=self.sums,
            sites=self.sites,
            opened=_per_million(self.fragments.sum(axis=0), ALL, "fragments in peaks"),
            opened_elsewhere=[],
            expression=_per_million(self.counts.sum(axis=0), ALL, "RNA counts"),
            expression_elsewhere=[],
        )

    def says_little(self, group: str) -> bool:
        """Tell whether a group has too few cells for its accessibility to be more than chance."""
        return bool(self.n_cells[self.groups.index(group)] < _FEWEST)

    def require_counts(self) -> None:
        """Raise if a group that is scored by itself, or all cells, have no fragments or no RNA counts."""
        self.everyone()
        for group, fragments, counts in zip(self.groups, self.fragments, self.counts, strict=False):
            if not self.says_little(group):
                _per_million(fragments, group, "fragments in peaks")
                _per_million(counts, group, "RNA counts")

    def profiles(self) -> Profiles:
        """Fit peaks and genes on the cells' axes."""
        return fit_profiles(self.peak_cells, self.gene_cells, cell_axes(self.peak_cells))


def _per_million(values: Floats, group: str, what: str) -> Floats:
    total = values.sum()
    if not total > 0:
        msg = f"The cells of group '{group}' have no {what}. Remove them, or choose another groupby."
        raise InputError(msg)
    return np.asarray(values / total * 1e6)


def read_pair_data(
    mdata: MuData,
    *,
    groupby: str | None,
    tss: str | Path | pd.DataFrame | Any | None,
    layer: str | None,
    rna: str,
    atac: str,
) -> PairData:
    """Read sums, peaks and TSSs.

    Raises
    ------
    MissingStepError
        Before ``grn.pp.tss_distance``.
    InputError
        If cells are not paired, counts are no counts, or a label is missing.
    """
    r = check.paired(mdata, rna, atac)[0]
    labels: NDArray[Any] = np.full(r.n_obs, ALL, dtype=object)
    if groupby is not None:
        labels = np.asarray(check.cell_labels(mdata, groupby, rna, atac)).astype(object)
    groups, member = np.unique(labels.astype(str), return_inverse=True)
    return grouped_pair_data(mdata, list(groups), member, tss=tss, layer=layer, rna=rna, atac=atac)


def grouped_pair_data(
    mdata: MuData,
    groups: list[str],
    member: Ints,
    *,
    tss: str | Path | pd.DataFrame | Any | None,
    layer: str | None,
    rna: str,
    atac: str,
) -> PairData:
    """Read sums, peaks and TSSs for groups of cells: ``member`` is the number of each cell's group, -1 for none.

    Raises
    ------
    MissingStepError, InputError
        As :func:`read_pair_data`.
    """
    r, a = check.paired(mdata, rna, atac)
    grid = store.get_grid(mdata)
    gene_cells = check.count_rows(r, rna, layer, look=False)
    # The layer of fragments that the windows were summed from; the empty string is X.
    peak_layer = str(store.get_record(mdata, K.REC_GRID).get("layer", "")) or None
    peak_cells = check.count_rows(a, atac, peak_layer, integer=False, look=False)
    n = len(groups)
    member = np.where(member < 0, n, member)
    fragments, n_open = _group_sums(peak_cells, member, n + 1)
    counts, _ = _group_sums(gene_cells, member, n + 1)
    some = drawn_by_name(r.obs_names, what="Profiles of peaks and genes", each=n_open / max(r.n_obs, 1))
    chrom, start, end = parse_peaks(list(a.var_names))
    sizes = dict(zip(grid.chroms, map(int, grid.lengths), strict=True))
    names = match_chroms(chrom, sizes, max_absent=None, assembly=grid.assembly)
    code = grid.chrom_codes([names.get(c, "") for c in chrom])
    genes, sites = _sites(mdata, rna, grid, tss)
    return PairData(
        grid=grid,
        genes=genes,
        n_data=r.n_vars,
        chrom=code,
        start=start,
        end=end,
        sums=PeakSums(code, start, end),
        sites=sites,
        groups=[str(g) for g in groups],
        n_cells=np.bincount(member, minlength=n)[:n].astype(np.int64),
        fragments=fragments,
        counts=counts,
        peak_cells=in_memory(peak_cells, some),
        gene_cells=in_memory(gene_cells, some),
    )


def _group_sums(x: Rows, member: NDArray[np.int64], n: int) -> tuple[Floats, int]:
    """Add up cells of each group: groups x features, and the number of values seen."""
    out, seen = np.zeros((n, x.shape[1])), 0
    for at, part in blocks(x):
        group, row = np.unique(member[at], return_inverse=True)
        indicator = sparse.csr_matrix((np.ones(len(at)), (row, np.arange(len(at)))))
        out[group] += (indicator @ part).toarray()
        seen += part.nnz
    return out, seen


def _sites(mdata: MuData, rna: str, grid: Grid, tss: Any | None) -> tuple[list[str], Sites]:
    """TSSs of the data's genes as ``tss_distance`` read them, and of all other genes of the table.

    Genes in between count whether or not they are in the data: a matrix cut to variable genes would else look like a
    genome with few genes.
    """
    gene, chrom, pos = tss_sites(mdata, rna)
    keep = gene >= 0  # genes removed from the data since
    genes = [str(g) for g in mdata.mod[rna].var_names]
    source = tss if tss is not None else (grid.assembly if grid.assembly in TSS_TABLES else None)
    if source is None:
        logger.debug("No TSS table of '%s' is shipped: genes in between are those of the data.", grid.assembly)
        return genes, Sites(gene[keep], chrom[keep], pos[keep])
    table = read_tss(source)
    there = match_symbols(list(table["gene"].unique()), genes)
    absent = table["gene"].unique()[there < 0]
    # Genes of the data without a TSS in the record keep having none, whatever this table says: one place for a gene.
    extra = table[table["gene"].isin(absent)]
    names = match_chroms(extra["chrom"], set(grid.chroms), what="TSS", max_absent=None, assembly=grid.assembly)
    number = pd.Index(absent).get_indexer(pd.Index(extra["gene"])) + len(genes)
    return genes + [str(g) for g in absent], Sites(
        np.concatenate([gene[keep], number]).astype(np.int64),
        np.concatenate([chrom[keep], grid.chrom_codes([names.get(c, "") for c in extra["chrom"]])]),
        np.concatenate([pos[keep], extra["pos"].to_numpy(np.int64)]),
    )
