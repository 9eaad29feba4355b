"""What is known of an element and a gene before any of their pairs was tested: the features of pair scores.

Arrays in, arrays out. Natural logarithms with pseudocounts per million, so that neither depth nor the number of cells
or groups enters. The features are of the kind that ABC (Fulco et al., Nat Genet 2019) and scE2G (Sheth et al., 2024)
use: distance, accessibility, genes in between and housekeeping expression; definitions and weights are tilegrn's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn.tl.pairs._places import PeakSums, Places, Sites, on_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.tl.pairs._places import Floats, Ints

__all__ = [
    "ACTIVITY",
    "BASE",
    "BREADTH",
    "ELSEWHERE",
    "Landscape",
    "accessibility_between",
    "all_features",
    "element_features",
    "gene_features",
    "pair_features",
]

BASE = (
    "distance",
    "accessibility",
    "neighbourhood",
    "genes_between",
    "nearer_genes",
    "accessibility_between",
    "expression",
    "gene_density",
)
ELSEWHERE = ("accessibility_elsewhere", "neighbourhood_elsewhere", "expression_elsewhere")
ACTIVITY = ("activity",)
BREADTH = ("breadth",)

AROUND = 250
"""bp by which an element is widened to find its peaks: tested elements and called peaks rarely share their edges."""
NEIGHBOURHOOD = 50_000


@dataclass(frozen=True, eq=False)
class Landscape:
    """Peaks, genes and TSSs, with what the cells of a group and of the others show.

    Attributes
    ----------
    sums
        Of the peaks.
    sites
        TSSs; gene numbers point into ``expression``, and beyond it for genes that are not in the data.
    opened
        Fragments in each peak per million of the group's.
    opened_elsewhere
        The same for each other group; may be empty.
    expression
        Counts of each gene per million of the group's; NaN where the gene is not in the data.
    expression_elsewhere
        The same for each other group.
    """

    sums: PeakSums
    sites: Sites
    opened: Floats
    opened_elsewhere: list[Floats]
    expression: Floats
    expression_elsewhere: list[Floats]


def element_features(land: Landscape, chrom: Ints, start: Ints, end: Ints) -> dict[str, Floats]:
    """Features of elements alone (chromosome code, half-open bp): natural logarithms of fragments per million."""
    low, high = on_line(chrom, start - AROUND), on_line(chrom, end + AROUND)
    middle = on_line(chrom, (start + end) // 2)

    def here(values: Floats) -> Floats:
        return np.log(np.maximum(land.sums.touched(low, high, values), 0.0) + 3.0)

    def around(values: Floats) -> Floats:
        total = land.sums.touched(middle - NEIGHBOURHOOD, middle + NEIGHBOURHOOD, values)
        return np.log(np.maximum(total, 0.0) + 30.0)

    out = {"accessibility": here(land.opened), "neighbourhood": around(land.opened)}
    if land.opened_elsewhere:
        # The mean of logarithms over groups: no group counts more for being larger, and more groups change nothing.
        out["accessibility_elsewhere"] = np.mean([here(v) for v in land.opened_elsewhere], axis=0)
        out["neighbourhood_elsewhere"] = np.mean([around(v) for v in land.opened_elsewhere], axis=0)
    return out


def gene_features(land: Landscape) -> dict[str, Floats]:
    """Features of genes alone, one value per gene number; NaN where the gene is not in the data."""
    out = {"expression": np.log(land.expression + 3.0)}
    if land.expression_elsewhere:
        out["expression_elsewhere"] = np.mean([np.log(v + 3.0) for v in land.expression_elsewhere], axis=0)
    return out


def pair_features(places: Places) -> dict[str, Floats]:
    """Features of where the gene lies as seen from the element; no cells are needed."""
    return {
        "distance": np.log(places.distance + 5000.0),
        "genes_between": np.log1p(places.between),
        "nearer_genes": np.log1p(places.nearer),
        "gene_density": np.log1p(places.density),
    }


def accessibility_between(running: Floats, first: NDArray[np.integer[Any]], last: NDArray[np.integer[Any]]) -> Floats:
    """Logarithm of the group's fragments per million in all peaks between element and TSS."""
    total: Floats = running[last] - running[first]
    return np.log(np.maximum(total, 0.0) + 30.0)


def all_features(land: Landscape, chrom: Ints, start: Ints, end: Ints, gene: Ints) -> tuple[dict[str, Floats], Places]:
    """Every feature that the cells and the TSSs tell of pairs of elements and genes (number, -1 if unknown)."""
    places = land.sites.place(gene, chrom, (start + end) // 2)
    out = pair_features(places) | element_features(land, chrom, start, end)
    first, last = land.sums.places_between(places.low, places.high)
    out["accessibility_between"] = accessibility_between(land.sums.running(land.opened), first, last)
    for name, values in gene_features(land).items():
        known: NDArray[np.bool_] = (gene >= 0) & (gene < len(values))
        out[name] = np.where(known, values[np.where(known, gene, 0)], np.nan)
    return out, places
