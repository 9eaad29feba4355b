"""Preprocessing: from counts to windows, distances, binding and scaled inputs."""

from __future__ import annotations

from tilegrn.pp._binding import add_binding, mark_tfs
from tilegrn.pp._cells import intersect_cells, split_cells
from tilegrn.pp._distance import tss_distance
from tilegrn.pp._homer_binding import homer_binding
from tilegrn.pp._scale import scale
from tilegrn.pp._windows import bin_peaks

__all__ = [
    "add_binding",
    "bin_peaks",
    "homer_binding",
    "intersect_cells",
    "mark_tfs",
    "scale",
    "split_cells",
    "tss_distance",
]
