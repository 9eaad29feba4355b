"""Motifs as the scanner wants them: exact scores, and byte tables that tell early where no hit can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tilegrn.motifs._motif import Motif

__all__ = ["Profile"]

_BIGGEST = 254
"""Losses are bytes that stop at 255, so the largest loss that may still be a hit is one less."""
_SLACK = 1e-6
"""Share of a step by which roundings may be off; far above the error of double sums, far below one step."""


@dataclass(frozen=True, eq=False)
class Profile:
    """A set of motifs, ready for the kernel.

    A hit must score at least ``threshold``, so it may lose at most ``best - threshold`` against the best score of the
    motif. The losses of every pair of neighbouring positions are rounded down to bytes (254 steps for what may be lost)
    and summed with saturation: a sum above the limit proves that there is no hit; anything else is scored exactly.
    """

    names: tuple[str, ...]
    """Distinct names in the order of their first motif: the columns of counts."""
    columns: NDArray[np.int64]
    """Column of every motif that is scanned: one whose best score is below its threshold is not."""
    lengths: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    limits: NDArray[np.uint8]
    scores: NDArray[np.float64]
    """Scores of all motif positions one below the other, A C G T."""
    score_start: NDArray[np.int64]
    tables: NDArray[np.uint8]
    """Per motif and pair of positions: 16 losses on ``+``, then 16 on ``-``."""
    table_start: NDArray[np.int64]

    @property
    def kernel_arguments(self) -> tuple[Any, ...]:
        """The arrays in the order of the kernel's last parameters."""
        return (
            self.lengths,
            self.thresholds,
            self.limits,
            self.scores,
            self.score_start,
            self.tables,
            self.table_start,
        )

    @classmethod
    def of(cls, motifs: Sequence[Motif]) -> Profile:
        """Build the tables.

        Raises
        ------
        InputError
            If there is no motif, or one has a probability or threshold that is no finite number.
        """
        if not motifs:
            msg = "There is no motif to scan with."
            raise InputError(msg)
        names = tuple(dict.fromkeys(m.name for m in motifs))
        column_of = {name: i for i, name in enumerate(names)}
        kept, scores, limits, tables = [], [], [], []
        for number, motif in enumerate(motifs):
            exact = _exact_scores(motif)
            limit, table = _losses(exact, float(motif.threshold))
            if limit >= 0:
                kept.append(number)
                scores.append(exact)
                limits.append(limit)
                tables.append(table)
        lengths = [len(s) for s in scores]
        return cls(
            names=names,
            columns=np.array([column_of[motifs[i].name] for i in kept], dtype=np.int64),
            lengths=np.array(lengths, dtype=np.int64),
            thresholds=np.array([motifs[i].threshold for i in kept], dtype=np.float64),
            limits=np.array(limits, dtype=np.uint8),
            scores=np.concatenate([*scores, np.empty((0, 4))]),
            score_start=np.cumsum([0, *lengths[:-1]], dtype=np.int64)[: len(kept)],
            tables=np.concatenate([*tables, np.empty(0, dtype=np.uint8)]),
            table_start=np.cumsum([0, *(t.size for t in tables[:-1])], dtype=np.int64)[: len(kept)],
        )


def _exact_scores(motif: Motif) -> NDArray[np.float64]:
    scores = np.ascontiguousarray(motif.log_odds, dtype=np.float64)
    if not (np.isfinite(scores).all() and math.isfinite(motif.threshold)):
        msg = f"Motif '{motif.name}' has a probability or a threshold that is no finite number."
        raise InputError(msg)
    return scores


def _losses(scores: NDArray[np.float64], threshold: float) -> tuple[int, NDArray[np.uint8]]:
    """Round what every pair of bases loses down to bytes; return the limit of their sum (-1: nothing can hit)."""
    best = scores.max(axis=1)
    gap = float(best.sum()) - threshold
    step = max(gap / _BIGGEST, 1e-6 * max(1.0, float(np.abs(scores).sum())))
    limit = math.floor(gap / step + _SLACK)
    lost = best[:, None] - scores
    tables = np.stack([_pair_table(lost, step), _pair_table(lost[::-1, ::-1], step)], axis=1)
    return min(limit, _BIGGEST), tables.ravel()


def _pair_table(lost: NDArray[np.float64], step: float) -> NDArray[np.uint8]:
    """Pairs x 16; entry ``4 * a + b`` is what bases a and b lose at the two positions of a pair."""
    if len(lost) % 2:
        lost = np.vstack([lost, np.zeros((1, 4))])
    pairs = (lost[0::2, :, None] + lost[1::2, None, :]).reshape(-1, 16)
    return np.clip(np.floor(pairs / step - _SLACK), 0, _BIGGEST + 1).astype(np.uint8)
