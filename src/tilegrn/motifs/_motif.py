"""A TF motif as HOMER writes it: a probability matrix and a log-odds threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Motif"]


@dataclass(frozen=True, eq=False)
class Motif:
    """One motif.

    Parameters
    ----------
    name
        Name as in the file, e.g. ``Sox2(HMG)/mES-Sox2-ChIP-Seq(GSE11431)/Homer``. Hits are summed by name.
    probabilities
        Positions x (A, C, G, T), float64; rows are used as given (HOMER does not normalise them).
    threshold
        Natural-log odds score from which on a position is a hit (``>=``).
    consensus
        Consensus from the header; may be empty.

    Examples
    --------
    >>> tata = grn.motifs.Motif("TATA", np.eye(4)[[3, 0, 3, 0]], threshold=5.0, consensus="TATA")
    >>> tata.length
    4
    """

    name: str
    probabilities: NDArray[np.float64] = field(repr=False)
    threshold: float
    consensus: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.probabilities)
        if len(shape) != 2 or shape[1] != 4 or shape[0] == 0:
            msg = f"Motif '{self.name}' has a matrix of shape {shape}; it needs positions x 4 (A, C, G, T)."
            raise InputError(msg)

    @property
    def length(self) -> int:
        """Number of positions."""
        return int(self.probabilities.shape[0])

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """Positions x 4: ln(max(p, 0.001) / 0.25), HOMER's scores (its source states the floor and the background)."""
        floored = np.maximum(np.asarray(self.probabilities, dtype=np.float64), 0.001) / 0.25
        # The logarithm of the C library, as in HOMER: numpy's vector version may differ in the last bit.
        return np.array([math.log(p) if p > 0 else math.nan for p in floored.flat]).reshape(floored.shape)
