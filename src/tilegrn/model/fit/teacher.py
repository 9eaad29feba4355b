"""The teacher: a Poisson autoencoder of the training cells, fitted by count splitting.

Counts of a cell are split at random into two parts; one predicts the other (Neufeld et al. 2024), so that the code
holds what genes share and not the noise of single counts. Its rates are the targets of the transformer. It only ever
sees training cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from tilegrn._core.rows import column_sums
from tilegrn.model.fit.schedule import one_cycle
from tilegrn.model.net.loss import poisson_nll

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows
    from tilegrn.model.config import TeacherConfig

__all__ = ["TeacherRates", "fit_teacher"]


_BLOCK = 8192
"""Cells among which neighbours are looked for."""


class TeacherRates:
    """Smoothed rates of the training cells, kept as factors: cells x rank and rank x genes."""

    def __init__(self, code: Tensor, loadings: Tensor, offset: Tensor) -> None:
        self.code = code
        self.loadings = loadings
        self.offset = offset

    def to(self, device: torch.device) -> TeacherRates:
        """Move to a device."""
        return TeacherRates(self.code.to(device), self.loadings.to(device), self.offset.to(device))

    def rates(self, cells: Tensor) -> Tensor:
        """Return rates at size factor 1, cells x genes."""
        return torch.exp(torch.addmm(self.offset, self.code[cells], self.loadings))

    def alike(self, n: int, *, seed: int) -> NDArray[np.int64]:
        """Return for each cell the ``n`` others whose rates are most alike, nearest first; cells x n.

        Distances are those of log rates, each gene weighed by its mean (the Fisher information of a Poisson count).
        Looked for among :data:`_BLOCK` cells drawn at random, so that the cost is linear in cells.
        """
        from sklearn.neighbors import NearestNeighbors

        code, loadings = self.code.double().cpu().numpy(), self.loadings.double().cpu().numpy()
        metric = (loadings * np.exp(self.offset.double().cpu().numpy())) @ loadings.T
        value, vector = np.linalg.eigh(metric)
        place = (code @ vector * np.sqrt(np.maximum(value, 0.0))).astype(np.float32)
        cells = np.random.default_rng(seed).permutation(len(place))
        n = max(0, min(n, len(place) - 1))
        out = np.zeros((len(place), n), dtype=np.int64)
        if not n:
            return out
        for block in np.array_split(cells, max(1, len(cells) // _BLOCK)):
            found = NearestNeighbors(n_neighbors=n).fit(place[block]).kneighbors(return_distance=False)
            out[block] = block[found]
        return out


class _Dropout(nn.Module):
    """Dropout with 16 bits of numpy's generator a unit: torch's draws on the CPU took a third of the fit."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        super().__init__()
        self._least = round(rate * (1 << 16))
        self._rng = rng

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self._least:
            return x
        bits = self._rng.integers(0, 1 << 64, -(-x.numel() // 4), dtype=np.uint64).view(np.uint16)[: x.numel()]
        share = (bits >= self._least).astype(np.float32)
        share *= (1 << 16) / ((1 << 16) - self._least)
        return x * torch.from_numpy(share).view(x.shape)


class _AutoEncoder(nn.Module):
    def __init__(self, n_in: int, log_mean: Tensor, config: TeacherConfig, seed: int) -> None:
        super().__init__()
        n_genes = len(log_mean)
        rng = np.random.default_rng([seed, 8])
        self.encode = nn.Sequential(
            _Dropout(0.1, rng),
            nn.Linear(n_in, config.hidden),
            nn.GELU(),
            nn.LayerNorm(config.hidden),
            _Dropout(config.dropout, rng),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            _Dropout(config.dropout, rng),
            nn.Linear(config.hidden, config.rank),
        )
        self.loadings = nn.Parameter(torch.randn(config.rank, n_genes) * 0.05)
        self.offset = nn.Parameter(log_mean.clone())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.addmm(self.offset, self.encode(x), self.loadings)
        return out


def _unit(counts: Tensor) -> Tensor:
    """log1p of counts as a vector of fixed length, so that depth does not matter."""
    x = torch.log1p(counts)
    out: Tensor = x * (x.shape[1] ** 0.5 / x.norm(dim=1, keepdim=True).clamp_min(1e-6))
    return out


def fit_teacher(
    counts: Rows,
    size_factor: np.ndarray,
    context: np.ndarray,
    config: TeacherConfig,
    *,
    seed: int,
    progress: bool = False,
) -> TeacherRates:
    """Fit the teacher on training cells.

    Parameters
    ----------
    counts
        Training cells x genes.
    size_factor
        Per training cell.
    context
        Training cells x components (may have no columns): further inputs that are not split.
    """
    n, g = counts.shape
    size = np.asarray(size_factor, dtype=np.float32)
    mean = column_sums(counts) / max(float(size.sum()), 1e-8)
    log_mean = torch.from_numpy(np.log(np.maximum(mean, 1e-7)).astype(np.float32))
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        net = _AutoEncoder(g + context.shape[1], log_mean, config, seed)
        _fit(net, counts, size, context, config, seed=seed, progress=progress)
    finally:
        torch.set_rng_state(state)
    net.eval()
    codes = []
    with torch.no_grad():
        for i in range(0, n, 2048):
            x = _unit(torch.from_numpy(counts[np.arange(i, min(i + 2048, n))].toarray()))
            codes.append(net.encode(torch.cat([x, torch.from_numpy(context[i : i + 2048])], 1)))
    return TeacherRates(torch.cat(codes), net.loadings.detach(), net.offset.detach())


def _fit(
    net: _AutoEncoder,
    counts: Rows,
    size: np.ndarray,
    context: np.ndarray,
    config: TeacherConfig,
    *,
    seed: int,
    progress: bool,
) -> None:
    n = counts.shape[0]
    steps = max(1, -(-n // config.batch_size)) * config.max_epochs
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        fused=True,
    )
    schedule = one_cycle(optimiser, config.learning_rate, steps, 0.2)
    net.train()
    for epoch in tqdm(range(config.max_epochs), desc="Teacher", unit="epoch", disable=not progress):
        rng = np.random.default_rng([seed, 7, epoch])
        for rows in np.array_split(rng.permutation(n), max(1, -(-n // config.batch_size))):
            part = counts[rows]
            share = rng.uniform(0.4, 0.8, size=len(rows))
            taken = part.copy()
            taken.data = rng.binomial(
                np.rint(part.data).astype(np.int64), np.repeat(share, np.diff(part.indptr))
            ).astype(np.float32)
            whole, seen = torch.from_numpy(part.toarray()), torch.from_numpy(taken.toarray())
            x = torch.cat([_unit(seen), torch.from_numpy(context[rows])], 1)
            offset = torch.from_numpy(np.log(size[rows] * (1 - share)).astype(np.float32))
            loss = poisson_nll(net(x) + offset[:, None], whole - seen).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
