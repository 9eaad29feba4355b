"""The score a motif must reach for a given p-value, from the exact distribution of its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["score_threshold", "tail_probability"]

_TIE = 1e-9
"""Scores nearer than this are one score: sums of the same terms in another order differ by about 1e-15."""
_MAX_STATES = 1 << 21
_COARSE = 1e-4
_MAX_PAIRS = 50_000


def _half(columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All sums of one entry per position, ascending, and how many words have each.

    Equal sums are merged. Where more than two million could remain (only beyond 20 positions), sums are rounded up to a
    grid, so that a tail probability can only be overestimated.
    """
    sums, counts = np.zeros(1), np.ones(1)
    for column in columns:
        wide = (sums[:, None] + column[None, :]).ravel()
        many = np.repeat(counts, 4)
        step = _COARSE if len(wide) > _MAX_STATES else _TIE / 100
        keys = np.ceil(wide / step - 1e-3)
        order = np.argsort(keys, kind="stable")
        keys, wide, many = keys[order], wide[order], many[order]
        first = np.flatnonzero(np.diff(keys, prepend=np.nan) != 0)
        sums = keys[first] * step if step == _COARSE else wide[first]
        counts = np.add.reduceat(many, first)
    return sums, counts


class _Distribution:
    """Scores of all 4**L words as sums of a left and a right half, never listed."""

    def __init__(self, log_odds: NDArray[np.float64]) -> None:
        matrix = np.asarray(log_odds, dtype=np.float64)
        middle = len(matrix) // 2
        self.left, self.left_counts = _half(matrix[:middle])
        self.right, self.right_counts = _half(matrix[middle:])
        self.tail = np.concatenate([np.cumsum(self.right_counts[::-1])[::-1], [0.0]])

    def place(self, score: float) -> NDArray[np.int64]:
        """First right sum that reaches ``score``, for each left sum."""
        return np.searchsorted(self.right, score - self.left, side="left")

    def reaching(self, score: float) -> float:
        """Count the words that score at least ``score``."""
        return float(self.left_counts @ self.tail[self.place(score)])


def tail_probability(log_odds: NDArray[np.float64], score: float) -> float:
    """Probability that a random word (bases independent, 1/4 each) scores at least ``score``.

    Parameters
    ----------
    log_odds
        Positions x 4, natural-log odds.
    score
        The score to reach.

    Returns
    -------
    A probability.
    """
    return _Distribution(log_odds).reaching(score - _TIE / 2) / 4.0 ** len(log_odds)


def score_threshold(log_odds: NDArray[np.float64], pvalue: float) -> float:
    """Lowest score that a random word reaches with a probability of at most ``pvalue``.

    All 4**L words count, bases independent and 1/4 each: the word scores are split into the sums of two halves, which
    are listed and merged, and the tail is counted over pairs of sums. No score is binned up to 20 positions; in longer
    motifs with more than two million different half sums, these are rounded up by at most 1e-4 per position.

    Parameters
    ----------
    log_odds
        Positions x 4, natural-log odds.
    pvalue
        Between 0 and 1, exclusive.

    Returns
    -------
    The threshold, half a billionth below the lowest accepted score, so that the order of summing does not matter. If
    even the best word is likelier than ``pvalue`` (motif too short), the threshold just accepts the best word.
    """
    dist = _Distribution(log_odds)
    target = pvalue * 4.0 ** len(log_odds) * (1 + 1e-12)
    best = dist.left[-1] + dist.right[-1]
    low, high = dist.left[0] + dist.right[0] - 1.0, best + 1.0
    first, last = dist.place(low), dist.place(high)
    while int((last - first).sum()) > _MAX_PAIRS and high - low > _TIE:
        middle = 0.5 * (low + high)
        place = dist.place(middle)
        if float(dist.left_counts @ dist.tail[place]) > target:
            low, first = middle, place
        else:
            high, last = middle, place
    if high - low <= _TIE:
        return float(min(high, best - _TIE / 2))
    n_pairs = last - first
    rows = np.repeat(np.arange(len(dist.left)), n_pairs)
    offsets = np.arange(len(rows)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
    columns = np.repeat(first, n_pairs) + offsets
    scores = dist.left[rows] + dist.right[columns]
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    reached = dist.reaching(high) + np.cumsum((dist.left_counts[rows] * dist.right_counts[columns])[order])
    ends = np.append(scores[:-1] - scores[1:] > _TIE, True) if len(scores) else np.zeros(0, dtype=bool)
    accepted = np.flatnonzero(ends & (reached <= target))
    threshold = scores[accepted[-1]] if len(accepted) else high
    return float(min(threshold, best) - _TIE / 2)
