"""Which cells train, tune and test: drawn by cells, or by whole groups of cells such as libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K
from tilegrn._core.check import by_name
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["default_fraction", "draw_split", "drawn_record", "split_from_groups"]

_ENOUGH = {K.TEST: (1000, 0.05, 0.2), K.VAL: (120, 0.01, 0.05)}
"""Cells that judge a model well enough, and the least and the largest share of all cells given away for it."""


def default_fraction(part: str, n_cells: int) -> float:
    """Return the share of cells held out by default for ``"test"`` or ``"val"``.

    Correlations over 1,000 cells are steady; every further cell serves training better. Validation cells choose between
    weights whose losses are compared cell by cell, for which a hundred do.
    """
    enough, least, most = _ENOUGH[part]
    return float(min(max(enough / max(n_cells, 1), least), most))


def _check_fractions(test: float, val: float) -> None:
    if not (0 < test < 1 and 0 <= val < 1 and test + val < 1):
        msg = f"test={test} and val={val} must be fractions whose sum is below 1, with test above 0."
        raise InputError(msg)


def draw_split(
    cells: Sequence[str], *, test: float | None = None, val: float | None = None, seed: int = 0
) -> NDArray[np.object_]:
    """Draw ``train``/``val``/``test`` for each cell at random; fractions by :func:`default_fraction` when None.

    The draw depends on the set of the cells' names, not on their order.

    Raises
    ------
    InputError
        If there are fewer than 3 cells, or the fractions leave a part empty.
    """
    n_cells = len(cells)
    test = default_fraction(K.TEST, n_cells) if test is None else test
    val = default_fraction(K.VAL, n_cells) if val is None else val
    _check_fractions(test, val)
    n_test = max(1, round(test * n_cells))
    n_val = max(1, round(val * n_cells)) if val > 0 else 0
    if n_cells - n_test - n_val < 1:
        msg = f"{n_cells} cells cannot be split into train, val and test cells; at least 3 are needed."
        raise InputError(msg)
    order = np.random.default_rng(seed).permutation(by_name(cells))
    labels = np.full(n_cells, K.TRAIN, dtype=object)
    labels[order[:n_test]] = K.TEST
    labels[order[n_test : n_test + n_val]] = K.VAL
    return labels


def drawn_record(labels: NDArray[np.object_], seed: int) -> dict[str, Any]:
    """Say how a split by cells was drawn, with the shares that were in fact held out."""
    return {"by": "", "seed": int(seed), **{part: float((labels == part).mean()) for part in (K.TEST, K.VAL)}}


def split_from_groups(
    groups: ArrayLike,
    cells: Sequence[str],
    *,
    test_groups: Sequence[str] | None = None,
    val_groups: Sequence[str] | None = None,
    test: float | None = None,
    val: float | None = None,
    seed: int = 0,
) -> NDArray[np.object_]:
    """Hold out whole groups (libraries, donors) for the test.

    Validation cells come from ``val_groups`` if given; else they are drawn at random from the cells that are left,
    because few data sets have a group to spare for tuning alone.

    Parameters
    ----------
    groups, cells
        Group and name of each cell; the draw does not depend on their order.
    test_groups
        Groups to hold out; when None, groups are drawn until at least the fraction ``test`` (0.2 when None) of all
        cells is held out.
    """
    labels_in = np.asarray(groups).astype(str)
    test = 0.2 if test is None else test  # whole groups differ: one of many says little
    val = default_fraction(K.VAL, len(labels_in)) if val is None else val
    _check_fractions(test, val)
    names, counts = np.unique(labels_in, return_counts=True)
    if len(names) < 2:
        msg = f"All {len(labels_in)} cells are in one group ('{names[0]}'); splitting by groups needs at least 2."
        raise InputError(msg)
    for given, what in ((test_groups, "test_groups"), (val_groups, "val_groups")):
        unknown = sorted(set(map(str, given or ())) - set(names))
        if unknown:
            msg = f"{what} names {unknown}, which no cell belongs to. Groups here: {list(names)}."
            raise InputError(msg)
    rng = np.random.default_rng(seed)
    if test_groups is None:
        spare = set(map(str, val_groups or ()))
        chosen: list[str] = []
        held = 0
        for i in rng.permutation(len(names)):
            if held >= test * len(labels_in) or len(chosen) + len(spare) >= len(names) - 1:
                break
            if names[i] not in spare:
                chosen.append(str(names[i]))
                held += int(counts[i])
    else:
        chosen = [str(g) for g in test_groups]
    is_test = np.isin(labels_in, chosen)
    labels = np.full(len(labels_in), K.TRAIN, dtype=object)
    labels[is_test] = K.TEST
    if val_groups is not None:
        labels[np.isin(labels_in, [str(g) for g in val_groups]) & ~is_test] = K.VAL
    elif val > 0:
        order = by_name(cells)
        rest = order[~is_test[order]]
        n_val = max(1, round(val * len(rest)))
        labels[rng.permutation(rest)[:n_val]] = K.VAL
    if not (labels == K.TRAIN).any():
        msg = "No cell is left to train on: hold out fewer groups."
        raise InputError(msg)
    return labels
