"""Attention from a cell's latents to its tokens that keeps counts, and ordinary blocks between latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LatentBlock", "TokenAttention", "pool_tokens"]


def pool_tokens(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, *, softmax: bool, gain: float, offset: float
) -> Tensor:
    """Sum over tokens of sigmoid(q.k / sqrt(d)) v, times gain / (n + offset).

    Parameters
    ----------
    query
        Cells x heads x latents x d.
    key, value
        Cells x heads x tokens x d.
    present
        Cells x tokens, 1 for a token and 0 for padding; between them for a token that is partly there.
    softmax
        Average with softmax weights (times ``present``) instead; the number of tokens is lost.
    gain, offset
        Scale of the sum. It stays linear in the number of tokens while few, and bounded when many.

    Returns
    -------
    Tensor
        Cells x heads x latents x d.
    """
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if softmax:
        gone = present == 0
        share = present.masked_fill(gone, 1.0).log()[:, None, None, :]
        gone = gone[:, None, None, :]
        weights = torch.softmax((logits + share).masked_fill(gone, -1e9), dim=-1).masked_fill(gone, 0.0)
        return weights @ value
    weights = torch.sigmoid(logits) * present[:, None, None, :]
    return weights @ value * (gain / (present.sum(1) + offset))[:, None, None, None]


class TokenAttention(nn.Module):
    """Latents read a padded set of tokens; residual, with a feed-forward layer after it."""

    def __init__(
        self, width: int, n_heads: int, ffn_factor: int, dropout: float, *, softmax: bool, gain: float, offset: float
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.softmax = softmax
        self.gain = gain
        self.offset = offset
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed = _FeedForward(width, ffn_factor, dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, latents: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Read tokens.

        Parameters
        ----------
        latents
            Cells x latents x width.
        parts
            For consecutive groups of the cells: keys and values of their tokens as made by :attr:`key_value` (cells x
            tokens x 2 width), and how much each token is there (cells x tokens). Groups of cells with similar numbers
            of tokens waste little on padding.
        """
        cells, n, width = latents.shape
        query = self.query(self.norm(latents)).view(cells, n, self.n_heads, -1).transpose(1, 2)
        reads, first = [], 0
        for key_value, present in parts:
            size, tokens = present.shape
            k, v = key_value.view(size, tokens, 2, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            q = query[first : first + size]
            reads.append(pool_tokens(q, k, v, present, softmax=self.softmax, gain=self.gain, offset=self.offset))
            first += size
        read = torch.cat(reads).transpose(1, 2).reshape(cells, n, width)
        latents = latents + self.drop(self.out(read))
        fed: Tensor = self.feed(latents)
        return latents + fed


class LatentBlock(nn.Module):
    """Self-attention between the latents of a cell."""

    def __init__(self, width: int, n_heads: int, ffn_factor: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = _FeedForward(width, ffn_factor, dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, latents: Tensor) -> Tensor:
        """Mix latents, cells x latents x width."""
        cells, n, width = latents.shape
        q, k, v = self.query_key_value(self.norm(latents)).view(cells, n, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v
        latents = latents + self.drop(self.out(mixed.transpose(1, 2).reshape(cells, n, width)))
        fed: Tensor = self.feed(latents)
        return latents + fed


class _FeedForward(nn.Module):
    def __init__(self, width: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, factor * width)
        self.down = nn.Linear(factor * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.down(F.gelu(self.up(self.norm(x)))))
        return out
