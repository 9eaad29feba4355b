r"""The cis head: each gene reads all open windows within reach of its TSS, as one exact sum.

.. math:: \log \mathrm{rate}_{cg} \mathrel{+}= \sum_h \alpha_{gh}
   \log \frac{A_{cgh} + \kappa_{gh}}{s_c E_{gh} + \kappa_{gh}}, \quad
   A_{cgh} = \sum_{w \in h(g)} a_{cw} (1 + \tanh \textstyle\sum_t x_{ct} B_{tw} p_t) (1 + d_{gw} / d_0)^{-\gamma}

Part h is the promoter or all beyond it; E is what A is on average, s the cell's accessibility over the average cell's.
A is set against what is expected of it, so that neither density nor depth can change its scale: the ratio is 1 in an
average cell, and its logarithm is bounded by :math:`\kappa`, the strength of a Gamma prior of the fold on a sum of
Poisson-like numbers. Distance and accessibility weigh pairs alike for all genes; what a gene makes of it,
:math:`\alpha`, and which TFs raise the windows that they bind, p, are learned. TF x window x TG stays factorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tilegrn.model.data.sums import Lists, open_sums, pair_sums

if TYPE_CHECKING:
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import Batch
    from tilegrn.model.data.pairs import PairLists

__all__ = ["PARTS", "CisHead", "CisSide", "WindowMoments"]

PARTS = 2
"""The promoter, and all beyond it."""


@dataclass(frozen=True, eq=False)
class WindowMoments:
    """Mean, and mean square, of each window's scaled accessibility over the training cells; float32."""

    mean: Tensor
    square: Tensor


@dataclass(frozen=True, eq=False)
class CisSide:
    """What the head needs of some genes; a column is a gene and a part.

    Attributes
    ----------
    lists
        Column of each pair.
    weight
        Per pair: of its distance.
    expected, prior
        Per column: sum in the average cell, and the strength of the prior in the same unit.
    gain
        Genes x parts.
    """

    lists: Lists
    weight: Tensor
    expected: Tensor
    prior: Tensor
    gain: Tensor

    def take(self, genes: Tensor) -> CisSide:
        """Return some genes, numbered by their place in ``genes``."""
        n = len(self.gain)
        place = torch.full((n,), -1, dtype=torch.int64, device=genes.device)
        place[genes] = torch.arange(len(genes), device=genes.device)
        new = place[self.lists.column // PARTS]
        keep = new >= 0
        before = torch.cat([keep.new_zeros(1, dtype=torch.int64), keep.cumsum(0)])
        column = new[keep] * PARTS + self.lists.column[keep] % PARTS
        columns = (genes[:, None] * PARTS + torch.arange(PARTS, device=genes.device)).flatten()
        return CisSide(
            Lists(before[self.lists.start], column),
            self.weight[keep],
            self.expected[columns],
            self.prior[columns],
            self.gain[genes],
        )


class CisHead(nn.Module):
    """Log ratios of local accessibility to what is expected of it, times a gain per gene."""

    law: Tensor
    mean: Tensor
    square: Tensor
    start: Tensor
    column: Tensor
    weight: Tensor
    expected: Tensor
    prior: Tensor
    bind_start: Tensor
    bind_tf: Tensor
    bind_score: Tensor

    def __init__(
        self,
        n_tfs: int,
        n_features: int,
        pairs: PairLists,
        moments: WindowMoments,
        binding: tuple[Tensor, Tensor, Tensor] | None,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.use_distance = config.use_distance
        self.promoter = 1500.0 if config.promoter is None else config.promoter
        self.register_buffer("law", torch.tensor([5000.0, 1.0, 4.0]))
        self.register_buffer("mean", moments.mean)
        self.register_buffer("square", moments.square)
        self.pairs = pairs
        for name in ("start", "column", "weight", "expected", "prior"):
            self.register_buffer(name, torch.zeros(0), persistent=False)
        self.gain_known = nn.Linear(n_features, PARTS)
        self.gain_free = nn.Parameter(torch.zeros(pairs.n_genes, PARTS))
        nn.init.zeros_(self.gain_known.weight)
        nn.init.zeros_(self.gain_known.bias)
        self.reads_binding = binding is not None and config.use_binding
        if self.reads_binding and binding is not None:
            start, tf, score = binding
            self.register_buffer("bind_start", start)
            self.register_buffer("bind_tf", tf)
            self.register_buffer("bind_score", score)
            self.tf_effect = nn.Parameter(torch.zeros(n_tfs))
        self.settle()

    def settle(self, floor: float | None = None, exponent: float | None = None, prior: float | None = None) -> None:
        """Set d0 in bp, gamma and the prior's strength (all kept by default), and weigh the pairs by them."""
        with torch.no_grad():
            for i, value in enumerate((floor, exponent, prior)):
                if value is not None:
                    self.law[i] = value
            side = self.side(self.pairs, self.gain_free)
        self.start, self.column, self.weight = side.lists.start, side.lists.column, side.weight
        self.expected, self.prior = side.expected, side.prior

    def strengthened(self, prior: float) -> Tensor:
        """Return the priors of the columns at another strength, which leaves the weights of pairs as they are."""
        return torch.where(self.expected > 0, self.prior * (prior / self.law[2]), self.prior)

    def side(self, pairs: PairLists, gain: Tensor) -> CisSide:
        """Weigh pairs by distance, and sum up what is expected of each gene."""
        device = self.mean.device
        lists, bp = pairs.lists, pairs.distance.to(device)
        gene, window = lists.column.to(device), lists.window.to(device)
        floor, exponent, strength = self.law
        column = gene * PARTS + (bp > self.promoter if self.use_distance else torch.zeros_like(gene))
        weight = (1.0 + bp / floor) ** -exponent if self.use_distance else torch.ones_like(bp)
        zero = torch.zeros(pairs.n_genes * PARTS, dtype=torch.float64, device=device)
        expected = zero.index_add(0, column, (weight * self.mean[window]).double())
        spread = zero.index_add(0, column, (weight * weight * self.square[window]).double())
        prior = torch.where(expected > 0, strength * spread / expected.clamp_min(1e-30), 1.0)
        return CisSide(
            Lists(lists.start.to(device), column), weight, expected.to(weight.dtype), prior.to(weight.dtype), gain
        )

    def known_genes(self, features: Tensor) -> CisSide:
        """Return the training genes."""
        gain = self.gain_known(features) + self.gain_free
        return CisSide(Lists(self.start, self.column), self.weight, self.expected, self.prior, gain)

    def unseen_genes(self, features: Tensor, pairs: PairLists) -> CisSide:
        """Return genes known by their features and distances alone."""
        return self.side(pairs, self.gain_known(features))

    def tf_input(self, batch: Batch) -> Tensor | None:
        """Return what the TFs that bind each open window add up to; None without binding."""
        if not self.reads_binding:
            return None
        lists = Lists(self.bind_start, self.bind_tf)
        return open_sums(batch.own, batch.tf_dense * self.tf_effect, lists, self.bind_score)

    def values(self, batch: Batch) -> Tensor:
        """Return the accessibility of each open window as its TFs gate it."""
        push = self.tf_input(batch)
        return batch.own_value if push is None else batch.own_value * (1.0 + torch.tanh(push))

    def size(self, batch: Batch) -> Tensor:
        """Return each cell's accessibility over that of the average training cell."""
        return batch.own_total / self.mean.sum().clamp_min(1e-12)

    def folds(self, batch: Batch, side: CisSide) -> Tensor:
        """Return the log ratios, cells x columns."""
        return self.ratios(batch, self.sums(batch, side), side)

    def sums(self, batch: Batch, side: CisSide) -> Tensor:
        """Return the accessibility around each gene as its pairs weigh it, cells x columns."""
        return pair_sums(batch.own, self.values(batch), side.lists, side.weight, len(side.expected))

    def ratios(self, batch: Batch, found: Tensor, side: CisSide) -> Tensor:
        """Return the logarithms of sums over what is expected; in place of the sums where no gradient is wanted."""
        average = torch.addcmul(side.prior, self.size(batch)[:, None], side.expected)
        if torch.is_grad_enabled() and found.requires_grad:
            return torch.log((found + side.prior) / average)
        return found.add_(side.prior).div_(average).log_()  # cells x columns are large beside all else: one suffices

    def forward(self, batch: Batch, side: CisSide) -> Tensor:
        """Return additions to log rates, cells x genes."""
        return (self.folds(batch, side).view(len(batch.own_total), -1, PARTS) * side.gain).sum(-1)
