"""The notebook's long table of motif hits, checked and laid out as matrices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.peaks import parse_peaks
from tilegrn.errors import InputError, TileGRNError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_table", "table_to_matrices"]

COLUMNS = ("source_id", "peak_id", "tf_motifs_in_peak")
SCORE = "homer_binding_score"


def _rows_of(peak_ids: NDArray[np.object_], peaks: pd.Index) -> NDArray[np.int64]:
    """Position of each table peak among the peaks: by name, else by the interval that the name spells."""
    rows = peaks.get_indexer(pd.Index(peak_ids))
    if (rows >= 0).any():
        return np.asarray(rows, dtype=np.int64)
    mine = pd.MultiIndex.from_arrays(parse_peaks(list(peaks)))
    try:
        chrom, start, end = parse_peaks(list(peak_ids))
    except TileGRNError as error:
        msg = (
            f"No peak_id of the binding table (e.g. {list(map(str, peak_ids[:3]))}) is a peak of the ATAC modality "
            f"(e.g. "
            f"{list(map(str, peaks[:3]))}). If the table came from HOMER with names of its own, read it with "
            "grn.io.read_homer(path, peak_id='coordinates')."
        )
        raise InputError(msg) from error
    rows = mine.get_indexer(pd.MultiIndex.from_arrays([chrom, start, end]))
    if (rows >= 0).any():
        return np.asarray(rows, dtype=np.int64)
    msg = (
        f"No peak_id of the binding table (e.g. {list(map(str, peak_ids[:3]))}) is a peak of the ATAC modality (e.g. "
        f"{list(map(str, peaks[:3]))})."
    )
    if (mine.get_indexer(pd.MultiIndex.from_arrays([chrom, start - 1, end])) >= 0).any():
        msg += " Its starts are 1-based, as HOMER prints them: subtract 1 from each start."
    raise InputError(msg)


def read_table(table: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Read a .parquet, .tsv or .csv file; a DataFrame is passed on."""
    if isinstance(table, pd.DataFrame):
        return table
    path = Path(table)
    if not path.is_file():
        msg = f"The binding table '{path}' does not exist."
        raise InputError(msg)
    name = path.name.removesuffix(".gz").lower()
    if name.endswith((".parquet", ".pq")):
        return pd.read_parquet(path)
    if not name.endswith((".tsv", ".txt", ".csv", ".tab")):
        msg = f"The binding table '{path}' must be .parquet, .tsv or .csv (also .gz)."
        raise InputError(msg)
    return pd.read_csv(path, sep="," if name.endswith(".csv") else "\t", encoding="utf-8-sig")


def table_to_matrices(
    table: pd.DataFrame, peaks: pd.Index
) -> tuple[sparse.csr_matrix, sparse.csr_matrix | None, list[str], int]:
    """Turn the notebook's long table into peaks x sources hits (and scores, if the table has them).

    Returns
    -------
    Hits and scores (all table peaks: those of ``peaks`` first, in order, then the table's others), the sources, and
    the number of table peaks that are not among ``peaks``.
    """
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        msg = (
            f"The binding table lacks the columns {missing}; it has {list(map(str, table.columns))}. Needed: "
            f"{list(COLUMNS)}."
        )
        raise InputError(msg)
    if table.empty:
        msg = "The binding table has no rows."
        raise InputError(msg)
    if table[list(COLUMNS)].isna().to_numpy().any():
        first = int(np.flatnonzero(table[list(COLUMNS)].isna().any(axis=1))[0])
        msg = f"The binding table has empty values, first in row {first}. Remove such rows."
        raise InputError(msg)
    hits = pd.to_numeric(table["tf_motifs_in_peak"], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(hits) | (hits < 0) | (hits != np.rint(hits)))
    if len(bad):
        value = table["tf_motifs_in_peak"].iloc[int(bad[0])]
        msg = f"tf_motifs_in_peak must be whole numbers of hits; row {int(bad[0])} of the binding table has {value}."
        raise InputError(msg)
    peak_code, peak_ids = pd.factorize(table["peak_id"].astype(str))
    source_code, sources = pd.factorize(table["source_id"].astype(str), sort=True)
    repeated = pd.MultiIndex.from_arrays([peak_code, source_code]).duplicated()
    if repeated.any():
        i = int(np.flatnonzero(repeated)[0])
        msg = (
            f"{int(repeated.sum())} (source_id, peak_id) pairs of the binding table occur twice, e.g. "
            f"('{table['source_id'].iloc[i]}', '{table['peak_id'].iloc[i]}'). Sum them first: "
            "table.groupby(['source_id', 'peak_id'], as_index=False)['tf_motifs_in_peak'].sum()."
        )
        raise InputError(msg)
    rows = _rows_of(np.asarray(peak_ids, dtype=object), peaks)
    outside = np.flatnonzero(rows < 0)
    rows[outside] = len(peaks) + np.arange(len(outside))
    shape = (len(peaks) + len(outside), len(sources))
    counts = sparse.csr_matrix((hits, (rows[peak_code], source_code)), shape=shape)
    score = None
    if SCORE in table.columns:
        given = pd.to_numeric(table[SCORE], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(given).all() or (given < 0).any():
            msg = f"{SCORE} must hold numbers of at least 0; drop the column to have the scores computed from the hits."
            raise InputError(msg)
        score = sparse.csr_matrix((given, (rows[peak_code], source_code)), shape=shape)
    return counts, score, [str(s) for s in sources], len(outside)
