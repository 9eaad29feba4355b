"""Chance that depends on what it is for and on nothing else: random bits by the finaliser of splitmix64.

A generator gives numbers in the order in which they are asked for, so what a cell draws would depend on the cells
before it. Here every draw is a hash of a key and a number, in any order, on any machine, in any share of the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GOLDEN", "drawn", "limit", "mix", "uniform"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step of splitmix64 between numbers that follow each other."""


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014): spreads every input bit over the output."""
    z = np.array(x, dtype=np.uint64)
    with np.errstate(over="ignore"):  # in place: these arrays are long, and memory is what takes the time
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z


def drawn(key: NDArray[np.uint64] | np.uint64 | int, number: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """64 random bits for each key and number (broadcast): the number-th draw of splitmix64 with that seed."""
    with np.errstate(over="ignore"):
        step = (np.asarray(number).astype(np.uint64) + np.uint64(1)) * GOLDEN
        return mix(np.asarray(key, dtype=np.uint64) + step)


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Bits as numbers in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def limit(share: NDArray[np.float64] | float) -> NDArray[np.uint64]:
    """Bits below which a share of all draws lies (to 2^-53); a share of 1 leaves out the largest."""
    return np.floor(np.clip(np.asarray(share, dtype=np.float64), 0.0, 1.0 - 2.0**-53) * float(1 << 53)).astype(
        np.uint64
    ) << np.uint64(11)
