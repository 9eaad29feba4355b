"""The cis head: each gene reads the open windows within reach of its TSS.

``log rate[c, g] += sum over heads h and open windows w of gain[g, h] a[c, w] exp(-d / L[h]) sigmoid(q . k)``

where ``k`` holds the features of the window and the TFs that bind it in this cell, ``sum_t x[c, t] B[t, w] p[t]``
with p of low rank. This is the TF x window x TG score of the method, factorised; only pairs within reach of an open
window exist, as a list.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from tilegrn.model.batches import Batch
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.module import CellContext

__all__ = ["CisHead"]


class CisHead(nn.Module):
    """Attention of genes to windows with a learned reach per head."""

    first_length: Tensor
    bind_start: Tensor
    bind_tf: Tensor
    bind_score: Tensor

    def __init__(
        self,
        n_genes: int,
        n_tfs: int,
        n_features: int,
        binding: tuple[Tensor, Tensor, Tensor] | None,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.heads = len(config.head_lengths)
        self.width = config.cis_width
        self.use_distance = config.use_distance
        d = self.heads * self.width
        self.register_buffer("first_length", torch.tensor(config.head_lengths))
        # In units of 8 e-folds, because the steps of the optimiser are small beside the orders of magnitude to cross.
        self.length_change = nn.Parameter(torch.zeros(self.heads))
        self.query_known = nn.Linear(n_features, d)
        self.query_free = nn.Parameter(torch.zeros(n_genes, d))
        self.key = nn.Linear(config.width, d)
        self.gain_known = nn.Linear(n_features, self.heads)
        self.gain_free = nn.Parameter(torch.zeros(n_genes, self.heads))
        nn.init.zeros_(self.gain_known.weight)
        nn.init.constant_(self.gain_known.bias, 0.1)
        self.binding_width = config.cis_binding_rank if binding is not None and config.use_binding else 0
        if self.binding_width and binding is not None:
            start, tf, score = binding
            self.register_buffer("bind_start", start)
            self.register_buffer("bind_tf", tf)
            self.register_buffer("bind_score", score)
            self.tf_code = nn.Parameter(torch.randn(n_tfs, self.binding_width) * 0.1)
            self.bound_key = nn.Linear(self.binding_width, d, bias=False)

    @property
    def lengths(self) -> Tensor:
        """Reach of each head in bp."""
        return self.first_length * torch.exp(8.0 * self.length_change)

    def keys(self, batch: Batch, context: CellContext) -> Tensor:
        """Return keys of the open windows, open windows x heads x width."""
        used = batch.cis_used
        table = self.key(context.window_norm(context.window_table(used)))
        key = F.embedding(batch.cis_window, table)
        if self.binding_width:
            key = key + self.bound_key(self.bound(batch))
        return key.view(-1, self.heads, self.width)

    def bound(self, batch: Batch) -> Tensor:
        """Return what binds each open window: sum over TFs of expression x binding x code, open windows x rank."""
        window = batch.cis_used[batch.cis_window]
        n = self.bind_start[window + 1] - self.bind_start[window]
        position = torch.repeat_interleave(torch.arange(len(window), device=n.device), n)
        first = self.bind_start[window] - (n.cumsum(0) - n)
        entry = torch.repeat_interleave(first, n) + torch.arange(len(position), device=n.device)
        tf = self.bind_tf[entry]
        level = batch.tf_dense[batch.cis_cell[position], tf]
        expressed = level.nonzero().squeeze(1)  # few of the TFs that can bind a window are expressed in a cell
        position, tf = position[expressed], tf[expressed]
        level = level[expressed] * self.bind_score[entry[expressed]]
        out = torch.zeros(len(window), self.binding_width, device=level.device, dtype=level.dtype)
        return out.index_add(0, position, level[:, None] * F.embedding(tf, self.tf_code))

    def known_genes(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and gains of the training genes."""
        query, gain = self.unseen_genes(features)
        return query + self.query_free, gain + self.gain_free

    def unseen_genes(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and gains of genes known by their features alone."""
        return self.query_known(features), self.gain_known(features)

    def weights(self, batch: Batch, context: CellContext, query: Tensor) -> Tensor:
        """Return the weight of each pair and head, pairs x heads: exp(-d / L) sigmoid(q . k / sqrt(width))."""
        key = self.keys(batch, context)
        asked = F.embedding(batch.pair_gene, query).view(-1, self.heads, self.width)
        score = F.logsigmoid(
            (asked * F.embedding(batch.pair_open, key.flatten(1)).view_as(asked)).sum(-1) / math.sqrt(self.width)
        )
        if self.use_distance:
            score = score - batch.pair_distance[:, None] / self.lengths
        return score.exp()

    def forward(self, batch: Batch, context: CellContext, query: Tensor, gain: Tensor) -> Tensor:
        """Return additions to log rates, cells x genes.

        Parameters
        ----------
        batch
            Cells with their open windows and pairs.
        context
            Holds the vectors of windows.
        query, gain
            Of the genes that the batch's pairs number.
        """
        weight = self.weights(batch, context, query)
        each = (weight * F.embedding(batch.pair_gene, gain)).sum(-1) * batch.cis_value[batch.pair_open]
        cells, genes = len(batch.log_size), len(query)
        flat = batch.cis_cell[batch.pair_open] * genes + batch.pair_gene
        return (
            torch.zeros(cells * genes, device=each.device, dtype=each.dtype).index_add(0, flat, each).view(cells, genes)
        )
