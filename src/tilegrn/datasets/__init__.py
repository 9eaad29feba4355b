"""Data sets: simulated cells whose true network is known."""

from __future__ import annotations

from tilegrn.datasets._simulate import simulate

__all__ = ["simulate"]
