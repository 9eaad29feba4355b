"""How many processors this process may use."""

from __future__ import annotations

import os

__all__ = ["n_cores"]


def n_cores() -> int:
    """Return the number of processors, of those alone that a scheduler gave where that is known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
