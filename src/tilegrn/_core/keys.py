"""Every slot name that tilegrn reads or writes in a MuData, in one place.

Columns of the window matrices are the windows of the whole assembly, in the order of :class:`tilegrn._core.grid.Grid`;
rows are always cells, peaks or genes, so that native subsetting keeps them right.
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 2
"""Number of the layout below; files of a newer layout are refused."""

UNS: Final = "tilegrn"
"""``mdata.uns`` key of all records: grid, TSS table, TF names, parameters, provenance."""

# atac
PEAK_WINDOWS: Final = "windows"
"""``atac.varm``: peaks x windows, one 1 per row, CSR float32."""
CELL_WINDOWS: Final = "windows"
"""``atac.obsm``: cells x windows accessibility, CSR float32; not of large data."""
WINDOW_TOTAL: Final = "window_total"
"""``atac.obs``: sum of a cell's accessibility over the windows, float64; only where ``obsm["windows"]`` is not kept."""
CELL_WINDOWS_SCALED: Final = "windows_scaled"
"""``atac.obsm``: cells x windows, log1p and min-max scaled on training cells, CSR float32."""
PEAK_BINDING: Final = "homer_binding"
"""``atac.varm``: peaks x TFs motif hit counts, CSR float32; TF names in the ``binding`` record."""
PEAK_BINDING_SCORE: Final = "homer_binding_score"
"""``atac.varm``: peaks x TFs, hits in the peak / hits of the TF over all peaks, CSR float32."""

# rna
TSS_DISTANCE: Final = "tss_distance"
"""``rna.varm``: genes x windows, bp to the nearest TSS plus one (0 = out of reach), CSR int32."""
WINDOW_BINDING: Final = "homer_binding"
"""``rna.varm``: genes x windows, TF rows hold the mean binding score of the window's peaks, CSR float32."""
IS_TF: Final = "is_tf"
"""``rna.var``: bool."""
SCALED: Final = "scaled"
"""``rna.layers``: cells x genes, TF columns log1p and min-max scaled on training cells, CSR float32."""
SCALE_MAX: Final = "scale_max"
"""``rna.var``: end of a TF's range in log1p counts over the training cells, float64; NaN where it is no TF."""
PREDICTED: Final = "predicted"
"""``rna.layers``: cells x genes, expected log1p(counts / size factor), float32, NaN where not predictable."""
PREDICTABLE: Final = "predictable"
"""``rna.var``: bool, whether the model could predict the gene."""

# cells
SPLIT: Final = "split"
"""``mdata.obs``: ``train``, ``val`` or ``test``."""
TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"

# records in uns
REC_GRID: Final = "grid"
REC_TSS: Final = "tss"
REC_BINDING: Final = "binding"
REC_SCALE: Final = "scale"
REC_SPLIT: Final = "split"
REC_TRAIN: Final = "train"
REC_PREDICT: Final = "predict"
REC_SCORECARD: Final = "scorecard"
REC_EDGES: Final = "edges"
