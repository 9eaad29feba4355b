"""Compile loops with numba; imported only by what runs them, because numba takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba, without the GIL, kept on disk where a folder for it can be written."""
    try:
        return cast("Callable[..., Any]", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # numba: no folder to keep compiled code in
        return cast("Callable[..., Any]", numba.njit(nogil=True)(function))
