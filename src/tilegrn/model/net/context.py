"""The state of a cell: what it reads of its TFs, then of all its open windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tilegrn.model.net.attention import LatentBlock, TokenAttention, WindowPool
from tilegrn.model.net.drop import CellDropout, number_dropouts

if TYPE_CHECKING:
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import Batch

__all__ = ["CellContext"]


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
            CellDropout(config.dropout),
            nn.Linear(config.hidden, config.n_latents * d),
        )
        self.latent = nn.Parameter(torch.randn(config.n_latents, d) * 0.5)

        self.read_tfs = TokenAttention(d, config.n_heads, config.dropout)
        self.read_windows = WindowPool(d, config.pooled, config.dropout)
        self.tf_norm = nn.LayerNorm(d)
        self.window_norm = nn.LayerNorm(d)
        self.blocks = nn.ModuleList(LatentBlock(d, config.n_heads, config.dropout) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(d)
        self.line = nn.Linear(n_components + 2, config.rank)
        self.code = nn.Linear(config.n_latents * d, config.rank)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)
        number_dropouts(self)

    def read_sums(self, batch: Batch) -> Tensor | None:
        """Return what the open windows of each cell say, whatever its TFs; None where windows are not read."""
        if not self.config.use_windows:
            return None
        table = self.window_norm(self.window_table(batch.used))
        return self.read_windows.sums(table, batch.open_window, batch.open_start, batch.open_there)

    def forward(self, batch: Batch, sums: Tensor | None = None) -> Tensor:
        """Return the code of each cell, cells x rank; with ``sums`` of :meth:`read_sums` where they are known."""
        dense = torch.cat([batch.tf_dense * 3.0, batch.components, batch.depth], dim=1)
        noise = batch.noise
        begun = dense
        for layer in self.start:
            begun = layer(begun, noise) if isinstance(layer, CellDropout) else layer(begun)
        latents = begun.view(len(dense), self.config.n_latents, -1) + self.latent
        if self.config.use_tfs:
            token = batch.tf_token
            tokens = self.tf_norm(
                F.embedding(token, self.tf_there) + 3.0 * batch.tf_value[..., None] * F.embedding(token, self.tf_level)
            )
            present = (token < self.tf_there.shape[0] - 1).to(dense.dtype)
            if batch.tf_present is not None:
                present = batch.tf_present
            latents = self.read_tfs(latents, tokens, present, noise)
        sums = self.read_sums(batch) if sums is None else sums
        if sums is not None:
            latents = self.read_windows(latents, sums, noise)
        for block in self.blocks:
            latents = block(latents, noise)
        code: Tensor = self.line(dense[:, batch.tf_dense.shape[1] :]) + self.code(self.norm(latents).flatten(1))
        return code

    def window_table(self, windows: Tensor) -> Tensor:
        """Return the vectors of windows, windows x width."""
        known: Tensor = self.window_known(self.loadings[windows])
        return known + F.embedding(windows, self.window_free)
