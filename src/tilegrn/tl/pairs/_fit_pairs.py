"""Fit the weights of pair scores on tested pairs, and say by cross-validation what they are worth."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._stats.ranking import METRICS, rank_metrics
from tilegrn.errors import InputError
from tilegrn.tl.pairs._data import read_pair_data
from tilegrn.tl.pairs._features import ACTIVITY, BASE, BREADTH, ELSEWHERE
from tilegrn.tl.pairs._score_pairs import check_pairs, one_group, pair_correlation, read_features, warn_unplaced
from tilegrn.tl.pairs._weights import EVIDENCE, PairWeights

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.tl.pairs._places import Floats

__all__ = ["auprc_table", "fit_pairs", "out_of_fold"]

PENALTY = 0.1
"""scikit-learn's C. AUPRC is flat from .03 to .3 on the pairs of the shipped weights."""


def fit_pairs(
    mdata: MuData,
    pairs: pd.DataFrame,
    *,
    regulated: str = "regulated",
    groupby: str | None = None,
    group: str | None = None,
    activity: str | os.PathLike[str] | None = None,
    breadth: str | None = None,
    tss: str | Path | pd.DataFrame | Any | None = None,
    origin: Mapping[str, str] | None = None,
    n_boot: int = 1000,
    seed: int = 0,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> PairWeights:
    """Fit the weights of :func:`score_pairs` on tested pairs, with cross-validation by chromosome beside distance.

    A logistic regression (L2 penalty, C = 0.1, features standardised) for each set of features that the data allow:
    with and without the other groups, activity and breadth. Each chromosome is predicted by weights fitted on the
    others, so that neither elements nor genes are shared.

    Parameters
    ----------
    mdata
        Multiome data of the tested cell type, after :func:`tilegrn.pp.tss_distance`; best with others in it.
    pairs
        ``chrom, start, end, gene`` and whether the pair is regulated, see :func:`tilegrn.io.read_crispri`. Pairs whose
        gene is not in the data or has no TSS on the element's chromosome are left out.
    regulated
        Column of ``pairs``: bool or 0/1.
    groupby, group, activity, breadth, tss, layer, rna, atac
        As in :func:`score_pairs`.
    origin
        Noted in the result: whatever should be known of the pairs.
    n_boot, seed
        Bootstrap over pairs, for the intervals.

    Returns
    -------
    :class:`PairWeights`; ``validation`` has a row for distance, for each set, and for each with the cells' evidence.

    Raises
    ------
    InputError
        If a column is missing, ``regulated`` is not 0/1, or fewer than two chromosomes hold pairs of both kinds.

    Examples
    --------
    >>> tested = grn.io.read_crispri("elements.csv")
    >>> weights = grn.tl.fit_pairs(mdata, tested, n_boot=20)
    >>> weights.save("weights.json")
    >>> scores = grn.tl.score_pairs(mdata, tested, weights=grn.tl.PairWeights.load("weights.json"))
    """
    table = check_pairs(pairs, (regulated,))
    truth = _truth(table[regulated], regulated)
    data = read_pair_data(mdata, groupby=groupby, tss=tss, layer=layer, rna=rna, atac=atac)
    name = one_group(data, groupby, group)
    features, places, gene = read_features(data, table, name, activity=activity, breadth=breadth)
    warn_unplaced(table, places)
    kept = places.placed & (gene < data.n_data)
    truth, chrom = truth[kept], table["chrom"].to_numpy(dtype=object)[kept]
    features = {f: v[kept] for f, v in features.items()}
    both = [c for c in np.unique(chrom) if 0 < truth[chrom == c].sum() < (chrom == c).sum()]
    if len(both) < 2:
        msg = (
            f"Only {len(both)} chromosomes hold regulated and other pairs of genes of the data, of {len(truth)} pairs "
            f"({int(truth.sum())} regulated): cross-validation by chromosome needs two. Give more pairs."
        )
        raise InputError(msg)
    r, axes = pair_correlation(data, table)
    added = EVIDENCE * axes * r[kept]
    scores: dict[str, Floats] = {"distance": -places.distance[kept].astype(np.float64)}
    rows: list[tuple[str, str, float, float, float]] = []
    for label, columns in _sets(features).items():
        x = np.column_stack([features[c] for c in columns])
        scores[label] = out_of_fold(x, truth, chrom)
        scores[f"{label} + evidence"] = scores[label] + added
        mean, sd, weight, intercept = _fit(x, truth)
        rows.append((label, "intercept", 0.0, 1.0, intercept))
        rows += [(label, c, float(m), float(s), float(w)) for c, m, s, w in zip(columns, mean, sd, weight, strict=True)]
    return PairWeights(
        pd.DataFrame(rows, columns=["set", "feature", "mean", "sd", "weight"]),
        EVIDENCE,
        {
            **({} if origin is None else origin),
            "pairs": f"{len(truth)}, of which {int(truth.sum())} regulated, on {len(np.unique(chrom))} chromosomes",
            "cells": f"{int(data.n_cells[data.groups.index(name)])} of group '{name}' among {int(data.n_cells.sum())}",
            "fitted": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        },
        auprc_table(scores, truth, against="distance", n_boot=n_boot, seed=seed),
    )


def _truth(values: pd.Series, name: str) -> NDArray[np.bool_]:
    number = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isin(number, (0.0, 1.0)))
    if len(bad):
        msg = f"'{name}' of row {bad[0]} is {values.iloc[bad[0]]!r}; write 0 or 1, or use grn.io.read_crispri."
        raise InputError(msg)
    return np.asarray(number == 1.0)


def _sets(features: Mapping[str, Floats]) -> dict[str, list[str]]:
    """Name the sets of features that can be fitted: the base, and every choice of what may be added to it.

    Bulk activity takes the place of the single cells' accessibility of the element: beside it the latter's weight is
    small and negative, and AUPRC does not change without it.
    """
    more = {"other groups": ELSEWHERE, "activity": ACTIVITY, "breadth": BREADTH}
    out = {"base": list(BASE)}
    for label, columns in more.items():
        if set(columns) <= set(features):
            gone = {"accessibility"} if label == "activity" else set()
            out |= {f"{k} + {label}": [*(f for f in v if f not in gone), *columns] for k, v in out.items()}
    return out


def _fit(x: Floats, truth: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, float]:
    from sklearn.linear_model import LogisticRegression

    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    fit = LogisticRegression(C=PENALTY, max_iter=1000).fit((x - mean) / sd, truth)
    return mean, sd, fit.coef_[0], float(fit.intercept_[0])


def out_of_fold(x: Floats, truth: NDArray[np.bool_], chrom: NDArray[Any]) -> Floats:
    """Log odds of each pair by the weights of all other chromosomes."""
    out = np.zeros(len(truth))
    for c in np.unique(chrom):
        held = chrom == c
        mean, sd, weight, intercept = _fit(x[~held], truth[~held])
        out[held] = (x[held] - mean) / sd @ weight + intercept
    return out


def auprc_table(
    scores: Mapping[str, Floats], truth: NDArray[np.bool_], *, against: str, n_boot: int, seed: int
) -> pd.DataFrame:
    """AUPRC of each score and its gain over one of them, with 95 % bootstrap intervals over pairs.

    The same pairs are drawn for all scores, so that the interval of a gain is that of a paired difference.
    """
    at = METRICS.index("auprc")
    rng = np.random.default_rng(seed)
    point = {k: float(rank_metrics(v, truth)[at]) for k, v in scores.items()}
    drawn: dict[str, list[float]] = {k: [] for k in scores}
    for _ in range(n_boot):
        rows = rng.integers(len(truth), size=len(truth))
        if 0 < truth[rows].sum() < len(rows):
            for k, v in scores.items():
                drawn[k].append(float(rank_metrics(v[rows], truth[rows])[at]))
    base = np.asarray(drawn[against])
    out = []
    for k in scores:
        again = np.asarray(drawn[k])
        low, high = np.quantile(again, [0.025, 0.975]) if len(again) else (np.nan, np.nan)
        gain_low, gain_high = np.quantile(again - base, [0.025, 0.975]) if len(again) else (np.nan, np.nan)
        out.append(
            {
                "score": k,
                "auprc": point[k],
                "auprc_low": float(low),
                "auprc_high": float(high),
                "gain": point[k] - point[against],
                "gain_low": float(gain_low),
                "gain_high": float(gain_high),
            }
        )
    return pd.DataFrame(out)
