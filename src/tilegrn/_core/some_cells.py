"""How many cells statistics are fitted to where there are many, and which: sums over cells are made of all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.check import by_name

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows

__all__ = ["MOST_CELLS", "MOST_VALUES", "drawn_by_name", "values_in_cell"]

logger = logging.getLogger(__name__)

MOST_CELLS = 20_000
MOST_VALUES = 60_000_000
"""Most cells, and open windows or peaks in them, that memory is meant for."""
_LEAST = 1000
_LOOKED_AT = 256


def values_in_cell(x: Rows, rows: NDArray[np.int64] | None = None) -> float:
    """Return about how many values one of some cells has, all by default."""
    n = x.shape[0] if rows is None else len(rows)
    some = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.int64))
    return float(x[some if rows is None else rows[some]].nnz / max(len(some), 1))


def drawn_by_name(names: Any, *, what: str, each: float = 0.0) -> NDArray[np.int64] | None:
    """Draw cells, in a way that does not depend on their order.

    Parameters
    ----------
    names
        Barcodes.
    what
        What is fitted to them, for the log.
    each
        Values read of each cell.

    Returns
    -------
    Their rows, increasing; None where all are few enough.
    """
    n = len(names)
    most = int(min(MOST_CELLS, max(MOST_VALUES / max(each, 1.0), _LEAST)))
    if n <= most:
        return None
    logger.info("%s are fitted to %d of %d cells.", what, most, n)
    return np.sort(by_name(names)[np.random.default_rng(0).choice(n, most, replace=False)])
