"""Compile loops with numba; imported only by what runs them, because numba takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compiled"]

F = TypeVar("F", bound="Callable[..., Any]")


def compiled(function: F) -> F:
    """Compile with numba, without the GIL, kept on disk where a folder for it can be written."""
    try:
        return cast("F", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # numba: no folder to keep compiled code in
        return cast("F", numba.njit(nogil=True)(function))
