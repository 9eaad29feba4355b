"""Where the cis head starts: the law of distance and the gains that the training counts find most likely.

Given the rates that the state of each cell tells, the derivative of the Poisson likelihood in a gene's gain is the sum
over cells of the log ratio z times what the counts exceed the rates by, and its information the sum of rate times z
squared, both with the gene's offset taken out. Sums over cells are all that is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tilegrn.model.net.cis import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tilegrn.model.data.batches import BatchMaker
    from tilegrn.model.net.cis import CisHead

__all__ = ["gains", "laws", "ratio_sums"]

_LAWS = ((5e3, 1.0), (2e4, 1.0), (2e4, 2.0), (1e5, 2.0), (4e5, 4.0))
"""d0 in bp and exponent, from a law like that of contacts to one that reaches as far as the cut-off."""
_PRIORS = (0.25, 1.0, 4.0, 16.0)
_MOST_PRODUCTS = 1e7
_COMPARED = 1000
"""Open window-gene pairs, and cells, that laws are compared on."""
_LOOKED_AT = 256
_MOST_CELLS = 3000
_BATCH = 128


def laws(
    head: CisHead, maker: BatchMaker, rates: Callable[[torch.Tensor], torch.Tensor], length: float | None
) -> tuple[float, float, float]:
    """Return d0, exponent and strength of the prior that explain most of what the rates leave.

    Judged by the gain in likelihood with one gain for all genes per part, on some training cells. With a known decay
    length the law is (1 + d / 4 L)^-4, nearly exponential.
    """
    n = maker.data.n_cells
    reached = np.diff(head.start.numpy())
    looked_at = maker.data.windows[np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.int64))]
    each = float(reached[looked_at.indices].sum()) / max(looked_at.shape[0], 1)
    some = int(min(n, _COMPARED, max(64.0, _MOST_PRODUCTS / max(each, 1.0))))
    tried = _LAWS if length is None else ((4 * length, 4.0),)
    if not head.use_distance:
        tried = ((1.0, 1.0),)
    best, most = (*tried[0], 4.0), -1.0
    for floor, exponent in tried:
        head.settle(floor, exponent)
        sums = ratio_sums(head, maker, rates, n_cells=some, strengths=_PRIORS)
        for prior, (slope, information) in zip(_PRIORS, sums, strict=True):
            found = float((np.square(slope.sum(0)) / np.maximum(information.sum(0), 1e-12)).sum())
            if found > most:
                best, most = (floor, exponent, prior), found
    return best


def ratio_sums(
    head: CisHead,
    maker: BatchMaker,
    rates: Callable[[torch.Tensor], torch.Tensor],
    *,
    n_cells: int = _MOST_CELLS,
    strengths: Sequence[float] | None = None,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return derivative and information of each gene's gains at 0, genes x parts; by strength of the prior.

    Parameters
    ----------
    strengths
        Of the prior; that of the head by default. They share the sums over windows, which take the time.
    """
    data = maker.data
    rows = np.unique(np.linspace(0, data.n_cells - 1, min(n_cells, data.n_cells)).round().astype(np.int64))
    own = head.known_genes(torch.zeros(head.pairs.n_genes, head.gain_known.in_features))
    sides = [own] if strengths is None else [replace(own, prior=head.strengthened(k)) for k in strengths]
    n = head.pairs.n_genes
    gathered = [torch.zeros(3, n, PARTS, dtype=torch.float64) for _ in sides]
    total, rest = torch.zeros(n, 1, dtype=torch.float64), torch.zeros(n, 1, dtype=torch.float64)
    for part in np.array_split(rows, max(1, -(-len(rows) // _BATCH))):
        batch = maker.evaluate(part)
        if batch.counts is None:
            msg = "Gains start from training cells with their counts."
            raise ValueError(msg)
        expected = rates(batch.cells) * torch.exp(batch.log_size)[:, None]
        excess = (batch.counts - expected)[..., None]
        found = head.sums(batch, own)
        for side, sums in zip(sides, gathered, strict=True):
            z = head.ratios(batch, found.clone(), side).view(len(part), -1, PARTS)
            weighed = expected[..., None] * z
            sums[0] += (excess * z).sum(0)
            sums[1] += weighed.sum(0)
            sums[2] += (weighed * z).sum(0)
        total += expected.sum(0)[:, None]
        rest += excess.sum(0)
    total = total.clamp_min(1e-12)
    out = []
    for excesses, means, squares in gathered:
        slope = excesses - means / total * rest
        information = (squares - means.square() / total).clamp_min(0.0)
        out.append((slope.numpy(), information.numpy()))
    return out


def gains(
    slope: NDArray[np.float64], information: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean gain of each part, and each gene's, shrunk to it by empirical Bayes; float32.

    The variance of gains between genes is estimated by moments (DerSimonian and Laird 1986), so that where genes differ
    by no more than chance all have the mean.
    """
    mean, out = np.zeros(slope.shape[1]), np.zeros(slope.shape)
    for k in range(slope.shape[1]):
        told = information[:, k] > 1e-9 * max(float(information[:, k].max()), 1e-30)
        weight = information[told, k]
        if not len(weight):
            continue
        each = slope[told, k] / weight
        mean[k] = (weight * each).sum() / weight.sum()
        off = (weight * np.square(each - mean[k])).sum() - (len(weight) - 1)
        between = max(0.0, off / max(weight.sum() - np.square(weight).sum() / weight.sum(), 1e-30))
        out[:, k] = mean[k]
        out[told, k] += between * weight * (each - mean[k]) / (between * weight + 1.0)
    return mean.astype(np.float32), out.astype(np.float32)
