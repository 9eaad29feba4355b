"""Which cells and genes a training takes, and in which ranges it reads them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.rows import blocks
from tilegrn._core.splits import draw_split
from tilegrn.errors import InputError, StaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.tl.training._source import Source

__all__ = ["labels_of", "ranges_of", "samples_of", "targets_of", "typical_open"]

logger = logging.getLogger(__name__)


def typical_open(source: Source, rows: NDArray[np.int64]) -> float:
    """Median number of open windows of the cells."""
    if not len(rows):
        return 0.0
    return float(np.median(np.concatenate([np.diff(part.indptr) for _, part in blocks(source.open, rows)])))


def labels_of(mdata: MuData, rna: str, atac: str, split: str | None, seed: int) -> tuple[NDArray[np.object_], bool]:
    """Label of each cell, ``train``, ``val`` or ``test``, and whether it was drawn here."""
    cells = check.paired(mdata, rna, atac)[0].obs_names
    if split is None:
        return np.full(len(cells), K.TRAIN, dtype=object), False
    labels = store.split_labels(mdata, cells, split)
    if labels is not None:
        return labels, False
    return draw_split(cells, seed=seed), True


def samples_of(many: list[MuData], *, rna: str, atac: str, sample: str | None) -> NDArray[np.int64]:
    """Give a number to the sample of each of all cells."""
    out = []
    for i, m in enumerate(many):
        cells = check.paired(m, rna, atac)[0].obs_names
        if sample is None:
            out.append(np.full(len(cells), str(i), dtype=object))
        else:
            out.append(np.array([f"{i}:{v}" for v in check.cell_labels(m, sample, rna, atac)], dtype=object))
    return np.unique(np.concatenate(out), return_inverse=True)[1]


def targets_of(many: list[MuData], source: Source, exclude: Sequence[str]) -> NDArray[np.int64]:
    """Genes to train on: those that no sample's TSS table puts on an excluded chromosome."""
    if not exclude:
        return np.arange(len(source.genes))
    chroms = {str(c) for c in source.grid.chroms}
    unknown = sorted(set(map(str, exclude)) - chroms)
    if unknown:
        msg = f"exclude_chromosomes names {unknown}, which the assembly does not have."
        raise InputError(msg)
    tables = [store.get_record(m, K.REC_TSS) for m in many]
    held = {str(g) for t in tables for g, c in zip(t["gene"], t["chrom"], strict=True) if str(c) in set(exclude)}
    targets = np.flatnonzero([g not in held for g in source.genes])
    if not len(targets):
        msg = f"No gene is left outside {list(exclude)}."
        raise InputError(msg)
    return targets


def ranges_of(
    many: list[MuData], source: Source, train: NDArray[np.int64], *, layer: str | None, rna: str
) -> tuple[pd.Series, NDArray[np.float64]] | None:
    """Ranges that :func:`tilegrn.pp.scale` fitted, if these are the cells, counts and TFs that it fitted them on.

    None where it was not run, and for samples that were each scaled by themselves: they need ranges of all together.
    """
    scaled = [store.has_record(m, K.REC_SCALE) for m in many]
    if not any(scaled):
        return None
    records = [store.get_record(m, K.REC_SCALE) for m, done in zip(many, scaled, strict=True) if done]
    first = many[scaled.index(True)]
    if len(many) > 1 and (not all(scaled) or len({str(r.get("cells")) for r in records}) > 1):
        logger.info("The samples were not scaled alike: ranges are fitted on the training cells of all.")
        return None
    tf_max, window_max = store.scale_ranges(first, rna)
    record = records[0]
    call = f"Run {store.CALLS[K.REC_SCALE]} again"
    if str(record["layer"]) != (layer or ""):
        msg = f"The data were scaled by the layer '{record['layer'] or 'X'}', not by '{layer or 'X'}'. {call}."
        raise StaleError(msg)
    if len(many) == 1 and record["own"] and record["cells"] != store.names_fingerprint(source.cells[train]):
        msg = f"The data were scaled on other training cells than those of the split now. {call}."
        raise StaleError(msg)
    lost = source.genes[source.is_tf & tf_max.reindex(source.genes).isna().to_numpy()]
    if len(lost):
        msg = f"{len(lost)} TFs were marked after the data were scaled, e.g. '{lost[0]}'. {call}."
        raise StaleError(msg)
    return tf_max, window_max
