"""How the latents of a cell read its TFs and its open windows, and ordinary blocks between latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tilegrn.model.data.sums import row_sums
from tilegrn.model.net.drop import CellDropout

__all__ = ["LatentBlock", "TokenAttention", "WindowPool", "gated_linear", "pool_tokens"]


GAIN, OFFSET = 6.0, 10.0
"""A sum over n tokens is scaled by gain / (n + offset): linear in their number while few, and bounded when many."""
_ROWS = 1024
"""Windows at a time, whose numbers fit a cache."""


def pool_tokens(query: Tensor, key: Tensor, value: Tensor, present: Tensor) -> Tensor:
    """Sum over tokens of sigmoid(q.k / sqrt(d)) v, scaled. Softmax attention would forget how many there were.

    Parameters
    ----------
    query
        Cells x heads x latents x d.
    key, value
        Cells x heads x tokens x d.
    present
        Cells x tokens, 1 for a token and 0 for padding; between them for a token that is partly there.

    Returns
    -------
    Tensor
        Cells x heads x latents x d.
    """
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    weights = torch.sigmoid(logits) * present[:, None, None, :]
    return weights @ value * (GAIN / (present.sum(1) + OFFSET))[:, None, None, None]


class TokenAttention(nn.Module):
    """Latents read a padded set of tokens; residual, with a feed-forward layer after it."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed = _FeedForward(width, dropout)
        self.drop = CellDropout(dropout)

    def forward(self, latents: Tensor, tokens: Tensor, present: Tensor, noise: Tensor | None = None) -> Tensor:
        """Read tokens.

        Parameters
        ----------
        latents
            Cells x latents x width.
        tokens
            Cells x tokens x width.
        present
            Cells x tokens: how much each token is there.
        noise
            Cells: seeds of their dropout, see :class:`tilegrn.model.net.drop.CellDropout`.
        """
        cells, n, width = latents.shape
        query = self.query(self.norm(latents)).view(cells, n, self.n_heads, -1).transpose(1, 2)
        k, v = self.key_value(tokens).view(cells, tokens.shape[1], 2, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        read = pool_tokens(query, k, v, present)
        latents = latents + self.drop(self.out(read.transpose(1, 2).reshape(cells, n, width)), noise)
        fed: Tensor = self.feed(latents, noise)
        return latents + fed


class WindowPool(nn.Module):
    """Latents read all open windows of their cell.

    What a window says does not depend on the cell, so that one sum over the open windows serves all latents: a table of
    windows times the list of open ones, exact at any number of them. Each latent then picks from the sum by gates of
    its own. The sum is scaled as in :func:`pool_tokens`.
    """

    def __init__(self, width: int, pooled: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.said = nn.Linear(width, 2 * pooled)
        self.pick = nn.Linear(width, pooled)
        self.out = nn.Linear(pooled, width)
        self.feed = _FeedForward(width, dropout)
        self.drop = CellDropout(dropout)

    def sums(self, table: Tensor, window: Tensor, start: Tensor, there: Tensor) -> Tensor:
        """Return what the open windows of each cell say, cells x numbers; the TFs have no part in it.

        Parameters
        ----------
        table
            Windows x width.
        window, there
            Row of ``table``, and how much the window is there, of every open window, cell after cell.
        start
            Where each cell's open windows begin.
        """
        said = gated_linear(table, self.said).to(there.dtype)  # sums of thousands, also where bfloat16 is trained
        total = row_sums(said, window, start, there)
        n = F.embedding_bag(window, said.new_ones(len(said), 1), start, mode="sum", per_sample_weights=there)
        return total * (GAIN / (n + OFFSET))

    def forward(self, latents: Tensor, pooled: Tensor, noise: Tensor | None = None) -> Tensor:
        """Read windows.

        Parameters
        ----------
        latents
            Cells x latents x width.
        pooled
            From :meth:`sums`.
        noise
            Cells: seeds of their dropout.
        """
        picked = torch.sigmoid(self.pick(self.norm(latents))) * pooled[:, None]
        latents = latents + self.drop(self.out(picked), noise)
        fed: Tensor = self.feed(latents, noise)
        return latents + fed


class LatentBlock(nn.Module):
    """Self-attention between the latents of a cell."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = _FeedForward(width, dropout)
        self.drop = CellDropout(dropout)

    def forward(self, latents: Tensor, noise: Tensor | None = None) -> Tensor:
        """Mix latents, cells x latents x width; ``noise`` are the seeds of the cells' dropout."""
        cells, n, width = latents.shape
        q, k, v = self.query_key_value(self.norm(latents)).view(cells, n, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v
        latents = latents + self.drop(self.out(mixed.transpose(1, 2).reshape(cells, n, width)), noise)
        fed: Tensor = self.feed(latents, noise)
        return latents + fed


def gated_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """Return ``F.glu(layer(x))``, rows x half of what the layer returns.

    On the CPU some rows at a time, and once more on the way back: what the layer returns of all windows, 100 MB for a
    whole genome, then never leaves the cache.
    """
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or layer.bias is None:
        return F.glu(layer(x), dim=1)
    out: Tensor = _GatedLinear.apply(x, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return out


class _GatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        out = x.new_empty(len(x), len(weight) // 2)
        for i in range(0, len(x), _ROWS):
            out[i : i + _ROWS] = F.glu(torch.addmm(bias, x[i : i + _ROWS], weight.T), dim=1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, bias = ctx.saved_tensors
        to_x, to_weight, to_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
        for i in range(0, len(x), _ROWS):
            rows = x[i : i + _ROWS]
            inner = torch.ops.aten.glu_backward(grad[i : i + _ROWS], torch.addmm(bias, rows, weight.T), 1)
            to_bias += inner.sum(0)
            to_weight.addmm_(inner.T, rows)
            torch.mm(inner, weight, out=to_x[i : i + _ROWS])
        return to_x, to_weight, to_bias


class _FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.drop = CellDropout(dropout)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        out: Tensor = self.drop(self.down(F.gelu(self.up(self.norm(x)))), noise)
        return out
