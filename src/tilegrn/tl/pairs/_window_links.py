"""The pair score of windows and genes: what :func:`tilegrn.tl.score_pairs` says of a window as an element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from tilegrn._core import check
from tilegrn._core.symbols import match_symbols
from tilegrn.tl.pairs._data import PairData, grouped_pair_data
from tilegrn.tl.pairs._features import BASE, ELSEWHERE
from tilegrn.tl.pairs._parts import Elements, Evidence, GroupPart, geometry
from tilegrn.tl.pairs._weights import PairWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mudata import MuData
    from numpy.typing import NDArray
    from scipy import sparse

    from tilegrn.tl.pairs._places import Floats, Ints

__all__ = ["WindowLinks", "window_links"]

_BLOCK = 1 << 18
"""Pairs looked at at a time (about 400 bytes each)."""


class WindowLinks:
    """Scores of pairs of a window and a gene; what does not depend on the cells' groups is computed once.

    Parameters
    ----------
    data
        Cells, peaks and TSSs.
    windows
        Numbers of windows on the grid of ``data``.
    genes
        Names; one that is not in the data is scored as :func:`tilegrn.tl.score_pairs` does.
    pairs
        Genes x windows, CSR: its entries are the pairs, whatever their values.
    weights
        Those shipped by default.
    """

    def __init__(
        self,
        data: PairData,
        windows: Ints,
        genes: Sequence[str],
        pairs: sparse.csr_matrix,
        *,
        weights: PairWeights | None = None,
    ) -> None:
        self._data = data
        self._weights = PairWeights.shipped() if weights is None else weights
        grid = data.grid
        chrom = np.asarray(grid.chrom_of(windows), dtype=np.int64)
        self._windows = Elements(chrom, grid.starts(windows), grid.ends(windows))
        self._start, self._window = pairs.indptr.astype(np.int64), pairs.indices
        number = np.asarray(match_symbols(pd.Series(list(genes), dtype=object), data.genes), dtype=np.int64)
        self._number = np.where(number < data.n_data, number, -1)
        evidence = Evidence(data, self._windows, self._weights.evidence)
        middle = self._windows.middle
        self._first, self._last = (np.empty(len(self._window), dtype=np.int32) for _ in range(2))
        # What the place of a pair tells weighs differently where there are other groups to compare with.
        sets = [BASE, (*BASE, *ELSEWHERE)] if data.grouped else [BASE]
        kinds = {self._weights.choose(dict.fromkeys(s, np.zeros(0))) for s in sets}
        self._fixed: dict[str, Floats] = {kind: np.empty(len(self._window)) for kind in kinds}
        for at, gene, window in self._blocks():
            places = data.sites.place(number[gene], chrom[window], middle[window])
            self._first[at], self._last[at] = data.sums.places_between(places.low, places.high)
            said = evidence.weight * evidence.of(window, self._number[gene])
            for kind, values in self._fixed.items():
                values[at] = geometry(self._weights, kind, places) + said
        self._everyone: NDArray[np.float32] | None = None

    def of(self, group: str | None) -> NDArray[np.float32]:
        """Score all pairs in a group, above 0 and below 1, in the order of the entries of ``pairs``.

        A group that was not read (None), or of fewer than ten cells, in which accessibility is chance, has the scores
        of all cells.
        """
        if group in self._data.groups and not self._data.says_little(group):
            return self._scores(GroupPart.of(self._data.landscape(group), self._windows, self._weights))
        if self._everyone is None:
            self._everyone = self._scores(GroupPart.of(self._data.everyone(), self._windows, self._weights))
        return self._everyone

    def _scores(self, part: GroupPart) -> NDArray[np.float32]:
        out = np.empty(len(self._window), dtype=np.float32)
        fixed = self._fixed[part.chosen]
        for at, gene, window in self._blocks():
            odds: Floats = part.odds(window, self._number[gene], self._first[at], self._last[at])
            odds += fixed[at]
            out[at] = expit(odds)
        return out

    def _blocks(self) -> Iterator[tuple[slice, Ints, Ints]]:
        """Yield some pairs at a time: where they stand, their genes and windows."""
        n = len(self._window)
        for first in range(0, n, _BLOCK):
            last = min(first + _BLOCK, n)
            gene = np.searchsorted(self._start, np.arange(first, last), side="right") - 1
            yield slice(first, last), gene, self._window[first:last].astype(np.int64)


def window_links(
    mdata: MuData,
    windows: Ints,
    genes: Sequence[str],
    pairs: sparse.csr_matrix,
    *,
    groups: Mapping[str, Ints],
    layer: str | None,
    rna: str,
    atac: str,
) -> WindowLinks:
    """Read what the scores of windows and genes need, for groups of cells.

    Parameters
    ----------
    mdata
        Multiome data after :func:`tilegrn.pp.tss_distance`.
    windows, genes, pairs
        See :class:`WindowLinks`.
    groups
        Rows of the cells of each group. Groups compare with each other; cells of none only add to the correlation.
    layer, rna, atac
        As for :func:`tilegrn.tl.score_pairs`.

    Raises
    ------
    MissingStepError, InputError
        As :func:`tilegrn.tl.score_pairs`; and if a group of ten or more cells has no fragments or no RNA counts.
    """
    member = np.full(check.paired(mdata, rna, atac)[0].n_obs, -1, dtype=np.int64)
    for number, rows in enumerate(groups.values()):
        member[rows] = number
    data = grouped_pair_data(mdata, list(groups), member, tss=None, layer=layer, rna=rna, atac=atac)
    data.require_counts()
    return WindowLinks(data, windows, genes, pairs)
