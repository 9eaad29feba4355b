"""Chance in training: what is hidden, dropped and swapped in a cell, by seed, epoch and cell alone.

Nothing depends on which cells share a batch or on which process makes it, so that k processes see at equal batch the
very same noise as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.mix import drawn, limit, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CellNoise"]

_TFS, _SHARE, _WINDOWS, _SWAP, _DONOR, _UNITS = range(6)
"""What a cell draws for; each has draws of its own."""


class CellNoise:
    """The draws of some cells in an epoch.

    Parameters
    ----------
    seed, epoch
        Of the training.
    cells
        Rows of the cells among the training cells.
    """

    def __init__(self, seed: int, epoch: int, cells: NDArray[np.int64]) -> None:
        key = drawn(drawn(seed, epoch), cells)
        self._keys = [drawn(key, what) for what in range(_UNITS + 1)]

    def hidden(self, n_tfs: int, share: float) -> NDArray[np.bool_]:
        """Draw which TFs are hidden, cells x TFs."""
        if share <= 0:
            return np.zeros((len(self._keys[_TFS]), n_tfs), dtype=bool)
        return drawn(self._keys[_TFS][:, None], np.arange(n_tfs)) < limit(share)

    def kept(self, row: NDArray[np.int64], window: NDArray[np.int64], largest: float) -> NDArray[np.bool_]:
        """Draw which open windows stay; the share that goes is drawn per cell, up to ``largest``.

        Parameters
        ----------
        row, window
            Cell (its place among these) and number of each open window.
        """
        if largest <= 0:
            return np.ones(len(row), dtype=bool)
        least = limit(uniform(self._keys[_SHARE]) * largest)
        kept: NDArray[np.bool_] = drawn(self._keys[_WINDOWS][row], window) >= least[row]
        return kept

    def swapped(self, share: float) -> NDArray[np.bool_]:
        """Draw which cells read the windows of another."""
        return self._keys[_SWAP] < limit(share)

    def donor(self, n: int) -> NDArray[np.int64]:
        """Draw which of ``n`` others it would be."""
        return np.floor(uniform(self._keys[_DONOR]) * n).astype(np.int64)

    def units(self) -> NDArray[np.int64]:
        """Seeds of the cells' dropout inside the network; the 64 bits as int64, which torch can calculate with."""
        return self._keys[_UNITS].view(np.int64)
