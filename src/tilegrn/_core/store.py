"""The one place that reads and writes tilegrn's records and window matrices in a MuData.

Records live in ``mdata.uns["tilegrn"][step]`` as flat dictionaries of arrays, strings and numbers, because these are
what h5mu and zarr bring back unchanged. Dictionaries are replaced, never mutated: MuData views share nested ``uns``
with their parent.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check
from tilegrn._core import keys as K
from tilegrn._core.grid import Grid
from tilegrn._core.intervals import DistanceRule
from tilegrn._core.mudata import no_pull, quiet_update
from tilegrn._core.rows import Picked, in_memory
from tilegrn._core.sparse import canonical_csr
from tilegrn.errors import InputError, MissingStepError, StaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows

CALLS = {
    K.REC_GRID: "grn.pp.bin_peaks(mdata, chrom_sizes)",
    K.REC_TSS: "grn.pp.tss_distance(mdata, tss)",
    K.REC_BINDING: "grn.pp.add_binding(mdata, table) or grn.pp.homer_binding(mdata, fasta, motifs)",
    K.REC_SCALE: "grn.pp.scale(mdata)",
    K.REC_SPLIT: "grn.pp.split_cells(mdata)",
    K.REC_TRAIN: "grn.tl.train(mdata)",
    K.REC_PREDICT: "grn.tl.predict(mdata, model)",
    K.REC_SCORECARD: "grn.tl.scorecard(mdata)",
    K.REC_EDGES: "grn.tl.edges(mdata, model)",
}
"""The call that makes each record, named by errors."""


def names_fingerprint(names: Iterable[Any]) -> str:
    """Hash a set of names whatever their order: same names, same fingerprint."""
    values = np.asarray(list(names), dtype=object)
    hashed = pd.util.hash_array(values, categorize=False)
    return f"{len(values)}:{int(hashed.sum(dtype=np.uint64)):016x}"


def put_record(mdata: MuData, step: str, record: Mapping[str, Any]) -> None:
    """Write the record of a step, replacing the whole ``uns["tilegrn"]`` dictionary."""
    with _writing():
        mdata.uns[K.UNS] = {**mdata.uns.get(K.UNS, {}), "schema": K.SCHEMA, step: dict(record)}


def has_record(mdata: MuData, step: str) -> bool:
    """Tell whether a step has left its record."""
    return step in mdata.uns.get(K.UNS, {})


def get_record(mdata: MuData, step: str) -> dict[str, Any]:
    """Read the record of a step.

    Raises
    ------
    MissingStepError
        If the step was not run; the message names the call.
    InputError
        If the file was written by a newer tilegrn.
    """
    records = mdata.uns.get(K.UNS, {})
    schema = int(records.get("schema", K.SCHEMA))
    if schema > K.SCHEMA:
        msg = (
            f"This MuData was written with tilegrn schema {schema}, newer than {K.SCHEMA}; upgrade tilegrn to read it."
        )
        raise InputError(msg)
    if step not in records:
        msg = f"mdata.uns['{K.UNS}'] has no '{step}' record. Run {CALLS[step]} first."
        raise MissingStepError(msg)
    return dict(records[step])


def put_grid(mdata: MuData, grid: Grid, extra: Mapping[str, Any]) -> None:
    """Write the window vocabulary and what ``bin_peaks`` wants remembered."""
    put_record(
        mdata,
        K.REC_GRID,
        {
            "chroms": np.asarray(grid.chroms, dtype=object),
            "lengths": np.asarray(grid.lengths, dtype=np.int64),
            "window_size": int(grid.window_size),
            "assembly": grid.assembly,
            "seed": int(grid.seed),
            "fingerprint": grid.fingerprint,
            **extra,
        },
    )


def get_grid(mdata: MuData) -> Grid:
    """Read the window vocabulary."""
    rec = get_record(mdata, K.REC_GRID)
    return Grid(
        chroms=tuple(str(c) for c in rec["chroms"]),
        lengths=np.asarray(rec["lengths"], dtype=np.int64),
        window_size=int(rec["window_size"]),
        assembly=str(rec.get("assembly", "")),
        seed=int(rec.get("seed", 0)),
    )


def _matrix(adata: AnnData, axis: str, key: str, step: str) -> sparse.csr_matrix:
    slot = getattr(adata, axis)
    if key not in slot:
        msg = f"{axis}['{key}'] is missing. Run {CALLS[step]} first."
        raise MissingStepError(msg)
    return sparse.csr_matrix(slot[key])


def window_matrix(mdata: MuData, modality: str, axis: str, key: str, step: str) -> sparse.csr_matrix:
    """Read a matrix whose columns are the windows, checked against the grid of the MuData.

    Parameters
    ----------
    modality, axis, key
        For instance ``"atac"``, ``"varm"``, ``"windows"``.
    step
        The record of the step that wrote it; its ``grid`` entry must be the fingerprint of the current grid.

    Raises
    ------
    MissingStepError, StaleError
        Naming the slot and the call to run (again).
    """
    grid = get_grid(mdata)
    record = get_record(mdata, step)
    where = f"{modality}.{axis}['{key}']"
    made_on = record["fingerprint"] if step == K.REC_GRID else record.get("grid", "")
    mat = _matrix(mdata.mod[modality], axis, key, step)
    if mat.shape[1] != grid.n_windows or made_on != grid.fingerprint:
        msg = (
            f"{where} has {mat.shape[1]} columns made on another set of windows than the current {grid.n_windows}: "
            f"{grid}. Run {CALLS[step]} again."
        )
        raise StaleError(msg)
    return mat


def check_peaks_unchanged(mdata: MuData, atac: str, where: str, step: str) -> None:
    """Raise if the peaks are not those a sum or mean over peaks was made from."""
    made_from = str(get_record(mdata, step).get("peaks", ""))
    now = names_fingerprint(mdata.mod[atac].var_names)
    if made_from != now:
        msg = (
            f"{where} was made from {made_from.partition(':')[0] or 'unknown'} peaks, but '{atac}' now has other ones "
            f"({mdata.mod[atac].n_vars}). Run {CALLS[step]} again."
        )
        raise StaleError(msg)


def cell_windows(mdata: MuData, atac: str = "atac") -> sparse.csr_matrix:
    """Cells x windows accessibility in memory, see :func:`window_rows`."""
    return in_memory(window_rows(mdata, atac))


def window_rows(mdata: MuData, atac: str = "atac", columns: NDArray[np.int64] | None = None) -> Rows:
    """Cells x windows accessibility, a block of cells at a time; refused when peaks changed since ``bin_peaks``.

    Read from ``obsm["windows"]`` if it is there, else added up from the peaks as it is read.

    Parameters
    ----------
    columns
        Windows wanted, increasing; those of the whole assembly by default.
    """
    adata, grid, record = mdata.mod[atac], get_grid(mdata), get_record(mdata, K.REC_GRID)
    width = grid.n_windows if columns is None else len(columns)
    place = np.arange(grid.n_windows, dtype=np.int32)
    if columns is not None:
        place = np.full(grid.n_windows, -1, dtype=np.int32)
        place[columns] = np.arange(width)
    if K.CELL_WINDOWS in adata.obsm or K.WINDOW_TOTAL not in adata.obs:
        mat = window_matrix(mdata, atac, "obsm", K.CELL_WINDOWS, K.REC_GRID)
        check_peaks_unchanged(mdata, atac, f"{atac}.obsm['{K.CELL_WINDOWS}']", K.REC_GRID)
        return Picked(canonical_csr(mat), place=place, width=width)
    check_peaks_unchanged(mdata, atac, f"{atac}.varm['{K.PEAK_WINDOWS}']", K.REC_GRID)
    of_peak = peak_windows(mdata, atac)
    at = np.full(adata.n_vars, -1, dtype=np.int32)
    filled = np.diff(of_peak.indptr) > 0
    at[filled] = place[of_peak.indices]
    layer = str(record.get("layer", "")) or None
    counts = check.count_rows(adata, atac, layer, integer=False, look=False)
    out = Picked(counts, place=at, width=width)
    _counts_unchanged(adata, atac, Picked(counts, place=np.where(filled, 0, -1), width=1))
    return out


def _counts_unchanged(adata: AnnData, atac: str, total: Rows) -> None:
    """Raise if peak counts are not those that ``bin_peaks`` saw; a few cells are looked at."""
    some = np.unique(np.linspace(0, adata.n_obs - 1, min(_LOOKED_AT, adata.n_obs)).round().astype(np.int64))
    now = np.asarray(total[some].sum(axis=1), dtype=np.float64).ravel()
    then = adata.obs[K.WINDOW_TOTAL].to_numpy(dtype=np.float64)[some]
    unlike = np.flatnonzero(~np.isclose(now, then, rtol=1e-4))
    if len(unlike):
        i = int(unlike[0])
        msg = (
            f"The peak counts of '{atac}' changed since the windows were laid: cell '{adata.obs_names[some[i]]}' sums "
            f"to {now[i]:.6g}, not to {atac}.obs['{K.WINDOW_TOTAL}'] = {then[i]:.6g}. Run {CALLS[K.REC_GRID]} again, "
            "naming the layer of the counts with layer=."
        )
        raise StaleError(msg)


_LOOKED_AT = 64


def peak_windows(mdata: MuData, atac: str = "atac") -> sparse.csr_matrix:
    """Peaks x windows assignment, one 1 per row (row-aligned, so right for any subset of peaks)."""
    return window_matrix(mdata, atac, "varm", K.PEAK_WINDOWS, K.REC_GRID)


def tss_distance(mdata: MuData, rna: str = "rna") -> sparse.csr_matrix:
    """Genes x windows, bp to the nearest TSS plus one, so that 0 bp is stored; no entry out of reach."""
    mat = window_matrix(mdata, rna, "varm", K.TSS_DISTANCE, K.REC_TSS)
    if mat.dtype.kind != "i":
        msg = (
            f"{rna}.varm['{K.TSS_DISTANCE}'] holds scores, as tilegrn 0.1 wrote them, not distances in bp. Run "
            f"{CALLS[K.REC_TSS]} again."
        )
        raise StaleError(msg)
    return mat


def distance_rule(mdata: MuData) -> DistanceRule:
    """How distances were measured and are scored."""
    record = get_record(mdata, K.REC_TSS)
    return DistanceRule(
        max_distance=int(record["max_distance"]),
        decay=float(record["decay"]),
        anchor=record["anchor"],
        multiple=record["multiple"],
        tss_sha256=str(record.get("sha256", "")),
    )


def window_binding(mdata: MuData, rna: str = "rna", atac: str = "atac") -> sparse.csr_matrix:
    """Genes x windows mean binding scores (TF rows filled), refused when the peaks changed."""
    mat = window_matrix(mdata, rna, "varm", K.WINDOW_BINDING, K.REC_BINDING)
    check_peaks_unchanged(mdata, atac, f"{rna}.varm['{K.WINDOW_BINDING}']", K.REC_BINDING)
    return mat


def peak_binding(mdata: MuData, atac: str = "atac", *, score: bool = True) -> tuple[sparse.csr_matrix, list[str]]:
    """Peaks x TFs scores (or hit counts) and the TF names of the columns."""
    key = K.PEAK_BINDING_SCORE if score else K.PEAK_BINDING
    tfs = [str(t) for t in get_record(mdata, K.REC_BINDING)["tfs"]]
    mat = _matrix(mdata.mod[atac], "varm", key, K.REC_BINDING)
    if mat.shape[1] != len(tfs):
        msg = f"{atac}.varm['{key}'] has {mat.shape[1]} columns for {len(tfs)} TFs. Run {CALLS[K.REC_BINDING]} again."
        raise StaleError(msg)
    return mat, tfs


@contextmanager
def _writing() -> Iterator[None]:
    """Let a view become actual on writing (its parent stays untouched) without anndata's warning about it."""
    from anndata import ImplicitModificationWarning

    with warnings.catch_warnings(), no_pull():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        yield


def set_elem(adata: AnnData, axis: str, key: str, value: Any) -> None:
    """Write one slot of a modality."""
    with _writing():
        getattr(adata, axis)[key] = value


def put_cell_windows(
    adata: AnnData, peaks: sparse.csr_matrix, cells: sparse.csr_matrix | None, total: NDArray[np.float64] | None
) -> None:
    """Write the windows of peaks and, of the cells, either their sums over windows or the total of each."""
    set_elem(adata, "varm", K.PEAK_WINDOWS, peaks)
    with _writing():
        if cells is not None:
            adata.obsm[K.CELL_WINDOWS] = cells
        else:
            adata.obsm.pop(K.CELL_WINDOWS, None)
        if total is not None:
            adata.obs[K.WINDOW_TOTAL] = total
        elif K.WINDOW_TOTAL in adata.obs:
            del adata.obs[K.WINDOW_TOTAL]


def put_split(mdata: MuData, cells: pd.Index, labels: Any, key: str, params: Mapping[str, Any]) -> None:
    """Write the split of the paired cells as a categorical of ``mdata.obs``, and its record."""
    column = pd.Series(pd.Categorical(labels, categories=[K.TRAIN, K.VAL, K.TEST]), index=cells)
    if set(mdata.obs_names) != set().union(*(a.obs_names for a in mdata.mod.values())):
        quiet_update(mdata)  # cells were taken from or added to the modalities since
    with _writing():
        mdata.obs[key] = column.reindex(mdata.obs_names)
    put_record(mdata, K.REC_SPLIT, {"key": key, **params})


def put_scale(
    mdata: MuData, windows: NDArray[np.int64], window_max: NDArray[np.float64], params: Mapping[str, Any]
) -> None:
    """Write the ends of the ranges of some windows, and what they were fitted on."""
    filled = np.flatnonzero(window_max > 0)
    ends = {"window": windows[filled].astype(np.int64), "window_max": window_max[filled]}
    put_record(mdata, K.REC_SCALE, {"grid": get_grid(mdata).fingerprint, **ends, **params})


def scale_ranges(mdata: MuData, rna: str = "rna") -> tuple[pd.Series, Any]:
    """Return the ends of the ranges of ``pp.scale``: per gene (NaN where it was no TF), and per window of the grid.

    Raises
    ------
    MissingStepError, StaleError
        If there are none, or they were made on other windows.
    """
    record, grid = get_record(mdata, K.REC_SCALE), get_grid(mdata)
    var = mdata.mod[rna].var
    if record["grid"] != grid.fingerprint or K.SCALE_MAX not in var or "cells" not in record:
        msg = f"The ranges of {rna}.var['{K.SCALE_MAX}'] were made on other windows. Run {CALLS[K.REC_SCALE]} again."
        raise StaleError(msg)
    window_max = np.zeros(grid.n_windows)
    window_max[np.asarray(record["window"], dtype=np.int64)] = record["window_max"]
    return var[K.SCALE_MAX], window_max


def split_labels(mdata: MuData, cells: pd.Index, key: str = K.SPLIT) -> Any:
    """Read ``train`` / ``val`` / ``test`` of the given cells, as an object array; None when there is no split yet.

    Raises
    ------
    InputError
        If the column holds other words, or none of the cells may train.
    """
    if key not in mdata.obs:
        return None
    labels = check.aligned(mdata.obs, key, cells, "mdata.obs")
    lost = int(pd.isna(labels).sum())
    if lost:
        msg = (
            f"mdata.obs['{key}'] has no value for {lost} of {len(cells)} cells. Run grn.pp.split_cells(mdata), or "
            "mdata.update() first if cells were added to a modality."
        )
        raise InputError(msg)
    odd = sorted(set(labels) - {K.TRAIN, K.VAL, K.TEST})
    if odd:
        msg = (
            f"mdata.obs['{key}'] holds {odd}; a split has only '{K.TRAIN}', '{K.VAL}' and '{K.TEST}'. "
            "Run grn.pp.split_cells(mdata), or name another column with split=."
        )
        raise InputError(msg)
    if not (labels == K.TRAIN).any():
        msg = f"mdata.obs['{key}'] marks no cell as '{K.TRAIN}'. Run grn.pp.split_cells(mdata)."
        raise InputError(msg)
    return labels
