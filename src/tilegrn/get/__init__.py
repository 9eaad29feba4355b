"""Labelled tables and potentials of what the slots hold."""

from __future__ import annotations

from tilegrn._core.edges_table import edges
from tilegrn.get._potentials import Tensor, tensor
from tilegrn.get._ranges import ranges
from tilegrn.get._tables import binding, peak_tg, window_tg, windows

__all__ = ["Tensor", "binding", "edges", "peak_tg", "ranges", "tensor", "window_tg", "windows"]
