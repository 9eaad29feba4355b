"""Peaks and windows joined with the genes within reach of them, and the scores of their distances."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.intervals import distance_pairs, sum_or_nearest
from tilegrn._core.peaks import match_chroms, parse_peaks

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["Sites", "peak_gene_pairs", "tss_sites", "window_scores"]

Sites: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]"
"""Gene, chromosome code and position of each TSS."""


def peak_gene_pairs(
    mdata: MuData, *, rna: str = "rna", atac: str = "atac", every_tss: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Join peaks and genes within reach, as :func:`tilegrn.pp.tss_distance` was asked to.

    Returns peak position, gene position, distance and score. With ``every_tss`` a gene of several TSSs keeps a row for
    each, if it was run with ``multiple="all"``; else rows are reduced.
    """
    rule = store.distance_rule(mdata)
    grid = store.get_grid(mdata)
    names = check.modality(mdata, atac).var_names
    chrom, start, end = parse_peaks(list(names))
    mapping = match_chroms(chrom, dict(zip(grid.chroms, map(int, grid.lengths), strict=True)), assembly=grid.assembly)
    code = grid.chrom_codes([mapping.get(c, c) for c in chrom])
    gene_of_site, site_chrom, pos = tss_sites(mdata, rna)
    peak, site, dist = distance_pairs(
        code, start, end, site_chrom, pos, max_distance=rule.max_distance, anchor=rule.anchor
    )
    gene = gene_of_site[site]
    if every_tss and rule.multiple == "all":
        return peak, gene, dist, np.exp(-dist / rule.decay)
    gene, peak, dist, score = sum_or_nearest(gene, peak, dist, decay=rule.decay, multiple=rule.multiple)
    return peak, gene, dist, score


def tss_sites(mdata: MuData, rna: str) -> Sites:
    """Gene, chromosome code and position of each TSS; -1 for a gene removed since, whose TSSs match nothing."""
    record = store.get_record(mdata, K.REC_TSS)
    genes = check.modality(mdata, rna).var_names
    gene = pd.Index(genes).get_indexer(pd.Index(np.asarray(record["gene"], dtype=object))).astype(np.int64)
    codes = store.get_grid(mdata).chrom_codes([str(c) for c in record["chrom"]])
    return gene, np.where(gene >= 0, codes, -1), np.asarray(record["pos"], dtype=np.int64)


def window_scores(mdata: MuData, rna: str = "rna") -> sparse.csr_matrix:
    """Genes x windows distance scores, CSR float64 with the entries of ``rna.varm["tss_distance"]``.

    exp(-d / decay) of the nearest TSS, or with ``multiple="all"`` the sum over all TSSs of the gene within reach.
    """
    rule = store.distance_rule(mdata)
    stored = store.tss_distance(mdata, rna)
    out = stored.astype(np.float64)
    out.data = np.exp(-(out.data - 1) / rule.decay)
    if rule.multiple == "nearest" or not out.nnz:
        return out
    grid = store.get_grid(mdata)
    windows = np.unique(stored.indices).astype(np.int64)
    gene_of_site, site_chrom, pos = tss_sites(mdata, rna)
    interval, site, dist = distance_pairs(
        grid.chrom_of(windows),
        grid.starts(windows),
        grid.ends(windows),
        site_chrom,
        pos,
        max_distance=rule.max_distance,
        anchor=rule.anchor,
    )
    gene, interval, _, score = sum_or_nearest(
        gene_of_site[site], interval, dist, decay=rule.decay, multiple=rule.multiple
    )
    return sparse.csr_matrix((score, (gene, windows[interval])), shape=stored.shape)
