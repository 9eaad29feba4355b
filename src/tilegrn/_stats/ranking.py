"""How well scores rank true edges: AUROC, AUPRC, early precision, per row and pooled. Only numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["METRICS", "interval_of_mean", "rank_metrics"]

METRICS = ("auroc", "auprc", "auprc_ratio", "early_precision", "early_precision_ratio")
"""Columns that :func:`rank_metrics` returns, in order."""


def rank_metrics(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return :data:`METRICS` of one ranking; NaN where truth has no or only positives.

    Ties share their place: AUROC counts them half, AUPRC (average precision) takes them as one threshold, early
    precision (share of true ones among as many best scores as there are true ones) expects a random order.
    """
    n, positives = len(truth), int(truth.sum())
    if positives == 0 or positives == n:
        return np.full(len(METRICS), np.nan)
    order = np.argsort(-score, kind="stable")
    ranked, hit = score[order], truth[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    true_at = np.cumsum(hit)[last].astype(np.float64)
    all_at = (last + 1).astype(np.float64)
    d_true, d_all = np.diff(np.r_[0.0, true_at]), np.diff(np.r_[0.0, all_at])
    d_false = d_all - d_true
    # Each false one is beaten by the true ones before it, and half of those tied with it.
    auroc = float((d_false * (true_at - d_true / 2)).sum() / (positives * (n - positives)))
    auprc = float((d_true * true_at / all_at).sum() / positives)
    k = positives
    at = int(np.searchsorted(all_at, k))
    before_true, before_all = (true_at[at - 1], all_at[at - 1]) if at else (0.0, 0.0)
    early = float((before_true + (k - before_all) * d_true[at] / d_all[at]) / k)
    chance = positives / n
    return np.array([auroc, auprc, auprc / chance, early, early / chance])


def interval_of_mean(
    values: NDArray[np.float64], *, n_boot: int, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over rows (TFs) and its percentile bootstrap interval; NaN rows are left out."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return float("nan"), float("nan"), float("nan")
    if n_boot < 1 or len(kept) < 2:
        return float(kept.mean()), float("nan"), float("nan")
    draw = np.random.default_rng(seed).integers(len(kept), size=(n_boot, len(kept)))
    means = kept[draw].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(kept.mean()), float(low), float(high)
