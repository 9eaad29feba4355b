"""Data sets: a real sample that is part of the package, public sets by name, simulated cells of a known network."""

from __future__ import annotations

from tilegrn.datasets._cortex import mouse_cortex
from tilegrn.datasets._fetch import available, fetch
from tilegrn.datasets._simulate import simulate

__all__ = ["available", "fetch", "mouse_cortex", "simulate"]
