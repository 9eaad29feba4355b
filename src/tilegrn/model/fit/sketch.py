"""A few numbers that tell prepared inputs apart, for processes and machines that are to train together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.data.batches import CellData
    from tilegrn.model.fit.teacher import TeacherRates

__all__ = ["alike", "sketch"]

_ALIKE = 1e-3
"""Largest difference between what two processes prepared, relative to its size."""
_CELLS = 4096


def sketch(data: CellData, teacher: TeacherRates | None) -> NDArray[np.float64]:
    """Return weighed sums over some training cells of their components and of the teacher's code."""
    wave = np.cos(np.arange(min(data.n_cells, _CELLS)))
    told = [wave @ np.asarray(data.components[: len(wave)], dtype=np.float64)]
    if teacher is not None:
        told.append(wave @ teacher.code[: len(wave)].double().cpu().numpy())
    return np.concatenate(told)


def alike(one: Any, other: Any) -> bool:
    """Whether two sketches (arrays or tensors) are the same but for rounding."""
    return bool(abs(one - other).max() <= _ALIKE * (1.0 + abs(other).max()))
