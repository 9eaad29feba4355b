"""Log odds of many pairs in parts: what depends on the element, on the gene, and on both.

Millions of pairs share their elements and genes, so what a group's cells tell is computed once for each of these and
looked up. The sum is that of :func:`tilegrn.tl.score_pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn.tl.pairs._evidence import correlation, shrunken
from tilegrn.tl.pairs._features import (
    AROUND,
    Landscape,
    accessibility_between,
    element_features,
    gene_features,
    pair_features,
)
from tilegrn.tl.pairs._places import on_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.tl.pairs._data import PairData
    from tilegrn.tl.pairs._places import Floats, Ints, Places
    from tilegrn.tl.pairs._weights import PairWeights

__all__ = ["UNPLACED", "Elements", "Evidence", "GroupPart", "geometry"]

UNPLACED = 20.0
"""Log odds taken from a pair whose gene has no TSS on the element's chromosome: more than features can give back."""
_GEOMETRY = ("distance", "genes_between", "nearer_genes", "gene_density")


@dataclass(frozen=True, eq=False)
class Elements:
    """Half-open intervals in bp, on chromosomes by their code."""

    chrom: Ints
    start: Ints
    end: Ints

    @property
    def middle(self) -> Ints:
        """What distances are measured from."""
        return (self.start + self.end) // 2


@dataclass(frozen=True, eq=False)
class GroupPart:
    """What a group's cells add to the log odds: per element, per gene, and by the running sum over peaks in between.

    Attributes
    ----------
    chosen
        The set of weights.
    constant
        Its intercept.
    element, gene
        Added by each element, and by each gene of the data; the last entry, 0, is for a gene that is not in the data.
    running
        See :meth:`tilegrn.tl.pairs._places.PeakSums.running`.
    accessibility
        Fragments per million of the group in peaks within 250 bp of each element.
    """

    chosen: str
    constant: float
    element: Floats
    gene: Floats
    running: Floats
    accessibility: Floats
    _weights: PairWeights

    @classmethod
    def of(
        cls, land: Landscape, elements: Elements, weights: PairWeights, *, activity: Floats | None = None
    ) -> GroupPart:
        """Compute the parts of a group; ``activity`` is the feature of that name, per element."""
        element = element_features(land, elements.chrom, elements.start, elements.end)
        if activity is not None:
            element["activity"] = activity
        gene = gene_features(land)
        none = np.zeros(0)
        chosen = weights.choose({**dict.fromkeys((*_GEOMETRY, "accessibility_between"), none), **element, **gene})
        return cls(
            chosen,
            weights.of(chosen)[1],
            weights.part(chosen, element),
            np.append(weights.part(chosen, gene), 0.0),
            land.sums.running(land.opened),
            np.maximum(np.exp(element["accessibility"]) - 3.0, 0.0),
            weights,
        )

    def odds(
        self, element: Ints, gene: Ints, first: NDArray[np.integer[Any]], last: NDArray[np.integer[Any]]
    ) -> Floats:
        """Log odds of pairs without their geometry and evidence; ``gene`` is -1 for one that is not in the data."""
        between = accessibility_between(self.running, first, last)
        odds = self.constant + self.element[element] + self.gene[gene]
        return np.asarray(odds + self._weights.part(self.chosen, {"accessibility_between": between}))


def geometry(weights: PairWeights, chosen: str, places: Places) -> Floats:
    """Return what the places of pairs add to the log odds."""
    return weights.part(chosen, pair_features(places)) - np.where(places.placed, 0.0, UNPLACED)


class Evidence:
    """Correlations of elements and genes over all cells.

    Attributes
    ----------
    axes
        Effective number of axes along which genes differ.
    weight
        Log odds for a correlation of 1.
    """

    def __init__(self, data: PairData, elements: Elements, weight: float) -> None:
        profiles = data.profiles()
        # An element has the profile of all peaks within 250 bp.
        low = on_line(elements.chrom, elements.start - AROUND)
        high = on_line(elements.chrom, elements.end + AROUND)
        counts = data.sums.touched(low, high, profiles.peak_counts)
        total = data.sums.touched(low, high, profiles.peak_sum)
        total[counts < 0.5] = 0.0  # what rounding leaves of a difference of running sums
        self.axes = profiles.n_effective
        self.weight = weight * self.axes
        self._element: NDArray[np.float32] = shrunken(total, counts)
        self._gene: NDArray[np.float32] = shrunken(profiles.gene_sum, profiles.gene_counts)

    def of(self, element: Ints, gene: Ints) -> Floats:
        """Shrunken correlations of pairs; 0 for a gene that is not in the data."""
        return correlation(self._element, self._gene, element, gene) if self.axes else np.zeros(len(element))
