"""Window-gene pairs: which genes each window can reach, as lists, never as genes x windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OpenPairs", "Pairs", "no_pairs", "read_pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which genes each window can reach, as CSR over windows.

    Attributes
    ----------
    start
        Int64, windows + 1.
    gene
        Int64 per pair: gene number.
    distance
        Float32 per pair, bp.
    """

    start: NDArray[np.int64]
    gene: NDArray[np.int64]
    distance: NDArray[np.float32]

    @classmethod
    def from_matrix(cls, distance_plus_one: sparse.csr_matrix) -> Pairs:
        """Build from genes x windows of distance + 1 (so that 0 bp is stored)."""
        by_window = sparse.csr_matrix(distance_plus_one.T)
        by_window.sort_indices()
        return cls(
            by_window.indptr.astype(np.int64),
            by_window.indices.astype(np.int64),
            (by_window.data - 1).astype(np.float32),
        )

    @property
    def n_pairs(self) -> int:
        """Number of window-gene pairs."""
        return len(self.gene)

    def expand(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """List the pairs of windows that may repeat: position in ``windows`` and number of the pair."""
        n = self.start[windows + 1] - self.start[windows]
        position = np.repeat(np.arange(len(windows)), n)
        first = np.repeat(self.start[windows] - np.concatenate([[0], np.cumsum(n)[:-1]]), n)
        return position, first + np.arange(len(position))

    def split(self, distance: float) -> tuple[Pairs, Pairs]:
        """Return the pairs up to a distance in bp, and those beyond."""
        near = self.distance <= distance
        return self._some(near), self._some(~near)

    def _some(self, keep: NDArray[np.bool_]) -> Pairs:
        return Pairs(np.concatenate([[0], np.cumsum(keep)])[self.start], self.gene[keep], self.distance[keep])


@dataclass(frozen=True, eq=False)
class OpenPairs:
    """Pairs of the open windows of some cells.

    Attributes
    ----------
    cell, window, value
        Per open window: cell, number of the window, accessibility (weighed up where windows were left out).
    open, gene, distance
        Per pair: position among the open windows, gene, bp.
    """

    cell: NDArray[np.int64]
    window: NDArray[np.int64]
    value: NDArray[np.float32]
    open: NDArray[np.int64]
    gene: NDArray[np.int64]
    distance: NDArray[np.float32]


def no_pairs() -> OpenPairs:
    """Return an empty list."""
    n, x = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    return OpenPairs(n, n, x, n, n, x)


def read_pairs(
    cell: NDArray[np.int64],
    window: NDArray[np.int64],
    value: NDArray[np.float32],
    pairs: Pairs,
    parts: tuple[Pairs, Pairs] | None,
    limit: int,
    rng: np.random.Generator | None,
) -> OpenPairs:
    """List the pairs of open windows.

    Parameters
    ----------
    cell, window, value
        The open windows.
    parts
        Near and far pairs, from :meth:`Pairs.split`.
    limit
        At most about this many pairs, two thirds of them near ones: beyond, windows are drawn and weighed up, so that
        every sum keeps its expectation.
    rng
        Source of chance, in training. None for all pairs.
    """
    n = int((pairs.start[window + 1] - pairs.start[window]).sum())
    if rng is None or n <= limit or parts is None:
        return _list(cell, window, value, pairs)
    near, far = (
        _draw(cell, window, value, part, most, rng)
        for part, most in zip(parts, (limit * 2 // 3, limit // 3), strict=True)
    )
    return OpenPairs(
        np.concatenate([near.cell, far.cell]),
        np.concatenate([near.window, far.window]),
        np.concatenate([near.value, far.value]),
        np.concatenate([near.open, far.open + len(near.cell)]),
        np.concatenate([near.gene, far.gene]),
        np.concatenate([near.distance, far.distance]),
    )


def _draw(
    cell: NDArray[np.int64],
    window: NDArray[np.int64],
    value: NDArray[np.float32],
    pairs: Pairs,
    limit: int,
    rng: np.random.Generator,
) -> OpenPairs:
    n = int((pairs.start[window + 1] - pairs.start[window]).sum())
    share = min(1.0, limit / max(n, 1))
    if share < 1:
        keep = rng.random(len(cell)) < share
        cell, window, value = cell[keep], window[keep], value[keep] / np.float32(share)
    return _list(cell, window, value, pairs)


def _list(cell: NDArray[np.int64], window: NDArray[np.int64], value: NDArray[np.float32], pairs: Pairs) -> OpenPairs:
    reach = pairs.start[window + 1] > pairs.start[window]
    cell, window, value = cell[reach], window[reach], value[reach]
    position, pair = pairs.expand(window)
    return OpenPairs(cell, window, value, position, pairs.gene[pair], pairs.distance[pair])
