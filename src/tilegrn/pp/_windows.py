"""Peaks to windows, and cells x windows accessibility."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core.grid import Grid
from tilegrn._core.mix import GOLDEN, mix, uniform
from tilegrn._core.peaks import match_chroms, parse_peaks
from tilegrn._core.rows import SMALL, Picked, blocks, in_memory, values_stored
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import (
    assembly_name,
    check_assembly,
    identify_assembly,
    read_chrom_sizes,
    refuse_foreign,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["assign_windows", "bin_peaks"]

logger = logging.getLogger(__name__)


def assign_windows(
    start: NDArray[np.int64], end: NDArray[np.int64], window_size: int, *, salt: NDArray[np.int64], seed: int = 0
) -> NDArray[np.int64]:
    """Window of largest overlap of each half-open interval, as a number within its chromosome.

    An even split is drawn from ``seed`` and the interval itself, not from the order of the peaks: the same peak falls
    into the same window in every sample and every subset.

    Parameters
    ----------
    start, end
        Intervals in bp, ``start < end``, int64.
    window_size
        In bp.
    salt
        Further identity of each interval (its chromosome), so that like positions of two chromosomes draw apart.
    seed
        Seed of the draws.
    """
    first = start // window_size
    last = (end - 1) // window_size
    in_first = np.minimum(end, (first + 1) * window_size) - start
    in_last = end - np.maximum(start, last * window_size)
    # Windows between the first and the last are covered whole; without any, the larger of the two parts wins.
    best = np.where(last - first >= 2, window_size, np.maximum(in_first, in_last))
    low = np.where(in_first == best, first, first + 1)
    high = np.where(in_last == best, last, last - 1)
    even = np.flatnonzero(high > low)  # a draw depends on nothing but its interval: the others need none
    low = low.astype(np.int64)
    with np.errstate(over="ignore"):
        bits = mix(np.asarray(salt, dtype=np.uint64)[even] + GOLDEN * np.uint64(seed + 1))
        bits = mix(bits ^ mix(start[even].astype(np.uint64)))
        bits = mix(bits ^ mix(end[even].astype(np.uint64) + np.uint64(1)))
    low[even] += np.floor(uniform(bits) * (high - low + 1)[even]).astype(np.int64)
    return low


def peak_windows(
    names: list[str], sizes: Mapping[str, int], window_size: int, *, seed: int = 0, assembly: str = ""
) -> tuple[Grid, NDArray[np.int64]]:
    """Lay the windows of an assembly and find each peak's; -1 where its chromosome is absent."""
    chrom, start, end = parse_peaks(names)
    refuse_foreign(chrom, end, sizes)
    mapping = match_chroms(chrom, sizes, assembly=assembly)
    chrom = np.array([mapping.get(c, c) for c in chrom], dtype=object)
    check_assembly(chrom, start, end, sizes, assembly)
    grid = Grid(tuple(sizes), np.array(list(sizes.values()), dtype=np.int64), window_size, assembly, seed)
    code = grid.chrom_codes(chrom)
    # The name, not the position in the sizes file, salts the draw: sizes files differ in order.
    salt = np.array(
        [int.from_bytes(c.encode()[:7].ljust(7, b"\0"), "little") for c in grid.chroms] + [0], dtype=np.int64
    )
    window = assign_windows(start, end, window_size, salt=salt[code], seed=seed)
    return grid, np.where(code >= 0, window + grid.offsets[code], -1)


def bin_peaks(
    mdata: MuData,
    chrom_sizes: str | Path | Mapping[str, int],
    *,
    window_size: int = 1000,
    seed: int = 0,
    layer: str | None = None,
    keep_cells: bool | None = None,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    """Give every peak to the window that overlaps most of it, and sum accessibility per window.

    The genome is tiled into half-open windows ``[k * window_size, (k + 1) * window_size)``, the last one of a
    chromosome cut at its length. Columns are all windows of the assembly, so that samples share them; only windows
    with peaks hold values.

    Parameters
    ----------
    mdata
        Multiome data; peak names such as ``chr1:100-600``, ``chr1-100-600`` or ``chr1_100_600`` in ``atac.var_names``,
        0-based and half-open as in BED.
    chrom_sizes
        ``"mm10"``, ``"mm39"``, ``"hg38"``, ``"hg19"``, the path of a chrom.sizes or .fai file, or a mapping.
    window_size
        In bp.
    seed
        Draws the window of a peak that is split evenly; the draw depends on the seed and the peak alone. It is part of
        the window vocabulary: samples that go together need the same one, whatever the seeds of split and training.
    layer
        Layer of the peak counts; None is X, ``"raw"`` is ``.raw``.
    keep_cells
        Whether to keep the sums of each cell in ``obsm``. By default if the counts have at most 50 million values: of
        more, no second matrix of their size is made, and what needs the sums adds them up from the peaks as it reads.
    rna, atac
        Names of the modalities (``rna`` is not read here).
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes ``atac.varm["windows"]`` (peaks x windows, one 1 per row, CSR float32), the
    window vocabulary in ``uns``, and either ``atac.obsm["windows"]`` (cells x windows sums, CSR float32) or
    ``atac.obs["window_total"]`` (their sum per cell, float64, by which counts that were changed since are noticed).

    Raises
    ------
    InputError
        On peak names that cannot be read, repeat, or lie past the end of a chromosome or on one that only another
        assembly has, on more than 5 % of peaks without a chromosome, and on values that are not counts.

    Examples
    --------
    >>> grn.pp.bin_peaks(mdata, "genome.chrom.sizes")  # or "mm10", "hg38"
    >>> mdata["atac"].varm["windows"].shape  # peaks x all windows of the assembly
    (150, 6000)
    """
    mdata = check.start(mdata, atac, copy=copy)
    adata = mdata.mod[atac]
    if window_size < 1:
        msg = f"window_size is {window_size}; it must be at least 1 bp."
        raise InputError(msg)
    sizes = read_chrom_sizes(chrom_sizes)
    assembly = assembly_name(chrom_sizes) or identify_assembly(sizes)
    grid, window = peak_windows(list(adata.var_names), sizes, int(window_size), seed=seed, assembly=assembly)
    counts = check.count_rows(adata, atac, layer, integer=False, warn_empty=True)
    if keep_cells is None:
        keep_cells = (values_stored(counts) or 0.0) <= SMALL
    rows = np.flatnonzero(window >= 0)
    membership = sparse.csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, window[rows])), shape=(adata.n_vars, grid.n_windows)
    )
    cell_windows, total = None, None
    if keep_cells:
        cell_windows = in_memory(Picked(counts, place=window, width=grid.n_windows)).astype(np.float32)
    else:
        inside = Picked(counts, place=np.where(window >= 0, 0, -1), width=1)
        total = np.concatenate([np.asarray(part.sum(axis=1), dtype=np.float64).ravel() for _, part in blocks(inside)])
    store.put_cell_windows(adata, membership, cell_windows, total)
    store.put_grid(
        mdata,
        grid,
        {
            "layer": layer or "",
            "peaks": store.names_fingerprint(adata.var_names),
            "occupied": len(np.unique(window[rows])),
        },
    )
    logger.info(
        "%d peaks lie in %d of %d windows of %d bp.",
        len(rows),
        len(np.unique(window[rows])),
        grid.n_windows,
        window_size,
    )
    return mdata if copy else None
