"""The network: the state of a cell from its TFs and open windows, then rates of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tilegrn.model.attention import LatentBlock, TokenAttention, WindowPool
from tilegrn.model.cis import CisHead

if TYPE_CHECKING:
    from tilegrn.model.batches import Batch
    from tilegrn.model.config import ModelConfig

__all__ = ["CellContext", "GeneSide", "Network"]


class CellContext(nn.Module):
    """Latents of a cell that read its TF tokens, then all its open windows.

    Parameters
    ----------
    loadings
        Windows x features, standardised: what is known of each window before training.
    """

    loadings: Tensor

    def __init__(self, n_tfs: int, loadings: Tensor, n_components: int, config: ModelConfig) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.register_buffer("loadings", loadings)
        self.tf_there = nn.Parameter(torch.randn(n_tfs + 1, d) * 0.1)
        self.tf_level = nn.Parameter(torch.randn(n_tfs + 1, d) * 0.1)
        self.window_known = nn.Linear(loadings.shape[1], d)
        self.window_free = nn.Parameter(torch.zeros(loadings.shape[0], d))
        self.start = nn.Sequential(
            nn.Linear(n_tfs + n_components + 2, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.n_latents * d),
        )
        self.latent = nn.Parameter(torch.randn(config.n_latents, d) * 0.5)

        self.read_tfs = TokenAttention(
            d,
            config.n_heads,
            config.ffn_factor,
            config.dropout,
            softmax=config.attention == "softmax",
            gain=config.token_gain,
            offset=config.token_offset,
        )
        self.read_windows = WindowPool(
            d, config.pooled, config.ffn_factor, config.dropout, gain=config.token_gain, offset=config.token_offset
        )
        self.tf_norm = nn.LayerNorm(d)
        self.window_norm = nn.LayerNorm(d)
        self.blocks = nn.ModuleList(
            LatentBlock(d, config.n_heads, config.ffn_factor, config.dropout) for _ in range(config.n_blocks)
        )
        self.norm = nn.LayerNorm(d)
        self.line = nn.Linear(n_components + 2, config.rank)
        self.code = nn.Linear(config.n_latents * d, config.rank)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Return the code of each cell, cells x rank."""
        dense = torch.cat([batch.tf_dense * 3.0, batch.components, batch.depth], dim=1)
        latents = self.start(dense).view(len(dense), self.config.n_latents, -1) + self.latent
        if self.config.use_tfs:
            token = batch.tf_token
            tokens = self.tf_norm(
                F.embedding(token, self.tf_there) + 3.0 * batch.tf_value[..., None] * F.embedding(token, self.tf_level)
            )
            present = (token < self.tf_there.shape[0] - 1).to(dense.dtype)
            if batch.tf_present is not None:
                present = batch.tf_present
            latents = self.read_tfs(latents, tokens, present)
        if self.config.use_windows:
            table = self.window_norm(self.window_table(batch.used))
            latents = self.read_windows(latents, table, batch.open_window, batch.open_start, batch.open_there)
        for block in self.blocks:
            latents = block(latents)
        code: Tensor = self.line(dense[:, batch.tf_dense.shape[1] :]) + self.code(self.norm(latents).flatten(1))
        return code

    def window_table(self, windows: Tensor) -> Tensor:
        """Return the vectors of windows, windows x width."""
        known: Tensor = self.window_known(self.loadings[windows])
        return known + F.embedding(windows, self.window_free)


@dataclass(frozen=True, eq=False)
class GeneSide:
    """What the network needs of a set of genes: parameters of known ones, or predictions for unseen ones.

    Attributes
    ----------
    offset
        Genes: log rate of an average cell.
    loadings
        Genes x rank.
    query, gain
        Genes x heads * width and genes x heads of the cis head; None without one.
    """

    offset: Tensor
    loadings: Tensor
    query: Tensor | None = None
    gain: Tensor | None = None

    def take(self, genes: Tensor) -> GeneSide:
        """Return some genes."""
        return GeneSide(
            self.offset[genes],
            self.loadings[genes],
            None if self.query is None else self.query[genes],
            None if self.gain is None else self.gain[genes],
        )


class Network(nn.Module):
    """Log rates of genes at size factor 1.

    Parameters
    ----------
    n_tfs, n_components
        Numbers of TFs and of accessibility components.
    log_mean
        Genes: log mean rate over the training cells.
    loadings
        Windows x features, standardised.
    features
        Genes x features, standardised: pooled features of the windows around each gene.
    binding
        CSR over windows of the TFs that bind: start (windows + 1), TF numbers, scores; or None.
    config
        Choices.
    """

    log_mean: Tensor
    features: Tensor
    unseen_map: Tensor
    window_states: Tensor

    def __init__(
        self,
        *,
        n_tfs: int,
        n_components: int,
        log_mean: Tensor,
        loadings: Tensor,
        features: Tensor,
        binding: tuple[Tensor, Tensor, Tensor] | None,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.config = config
        self.context = CellContext(n_tfs, loadings, n_components, config)
        n_genes = len(log_mean)
        self.register_buffer("log_mean", log_mean)
        self.register_buffer("features", features)
        n_pooled = (config.rank + 1) * len(config.pooling_lengths)
        self.register_buffer("window_states", torch.zeros(loadings.shape[0], config.rank))
        self.register_buffer("unseen_map", torch.zeros(n_pooled + 1, config.rank + 1))
        self.gene_bias = nn.Parameter(torch.zeros(n_genes))
        self.gene_loadings = nn.Parameter(torch.randn(n_genes, config.rank) * 0.05)
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes)) if config.loss == "nb" else None
        self.cis = CisHead(n_genes, n_tfs, features.shape[1], binding, config) if config.use_cis else None

    def genes(self) -> GeneSide:
        """Return the genes that the network was trained on."""
        query, gain = (None, None) if self.cis is None else self.cis.known_genes(self.features)
        return GeneSide(self.log_mean + self.gene_bias, self.gene_loadings, query, gain)

    def unseen_genes(self, features: Tensor, pooled: Tensor) -> GeneSide:
        """Return genes known only by the windows around them.

        Parameters
        ----------
        features
            Genes x features, standardised as those of the training genes; for the cis head.
        pooled
            Genes x pooled states, see :mod:`tilegrn.model.unseen`; for the loadings.
        """
        made = torch.addmm(self.unseen_map[-1], pooled, self.unseen_map[:-1])
        query, gain = (None, None) if self.cis is None else self.cis.unseen_genes(features)
        return GeneSide(made[:, -1], made[:, :-1], query, gain)

    def forward(self, batch: Batch, genes: GeneSide | None = None) -> Tensor:
        """Return log rates, cells x genes.

        Parameters
        ----------
        batch
            Cells; its pairs number the genes of ``genes``.
        genes
            The genes to predict; those of the training by default.
        """
        side = self.genes() if genes is None else genes
        out = torch.addmm(side.offset, self.context(batch), side.loadings.T)
        if self.cis is not None and side.query is not None and side.gain is not None and len(batch.pair_gene):
            out = out + self.cis(batch, self.context, side.query, side.gain)
        return out
