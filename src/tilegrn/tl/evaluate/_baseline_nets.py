"""Neural baselines: a multilayer perceptron, and the same with a DeepSet over open windows. Torch, plain loops.

They have no attention, no distances and no binding, but share the loss (Poisson with the size factor as offset), the
optimiser and the masking of TF genes with the transformer, so that a difference in score is a difference in design.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilegrn._stats.metrics import expected_log1p, pearson
from tilegrn.model.data.sums import row_sums
from tilegrn.tl.evaluate._baseline_data import N_LOADINGS, N_MASKED_PASSES, judged_genes, lsi
from tilegrn.tl.evaluate._baselines import Fitted, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from tilegrn.model.config import TeacherConfig
    from tilegrn.model.fit.teacher import TeacherRates
    from tilegrn.tl.evaluate._baseline_data import BaselineInputs, Index

__all__ = ["fit_deepset", "fit_mlp"]


@dataclass(frozen=True)
class NetConfig:
    """Sizes and schedule; chosen on validation libraries of the mouse cortex."""

    hidden: int = 256
    rank: int = 32
    dropout: float = 0.3
    tf_dropout: float = 0.2
    epochs: int = 20
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    window_width: int = 32
    window_dropout: float = 0.5


class _Net(nn.Module):
    def __init__(self, config: NetConfig, n_tf: int, n_context: int, log_mean: Tensor, windows: Tensor | None) -> None:
        super().__init__()
        self.config = config
        width = n_tf + n_context
        if windows is not None:
            # Windows start at their ATAC loadings and move freely from there.
            self.project = nn.Linear(windows.shape[1], config.window_width)
            self.register_buffer("loadings", windows)
            self.free = nn.Parameter(torch.zeros(len(windows), config.window_width))
            self.set_norm = nn.Linear(config.window_width, config.window_width)
            width += config.window_width
        self.body = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.rank),
        )
        self.genes = nn.Linear(config.rank, len(log_mean))
        nn.init.normal_(self.genes.weight, std=0.02)
        nn.init.zeros_(self.genes.bias)
        self.register_buffer("log_mean", log_mean)

    def pooled(self, tokens: tuple[Tensor, Tensor]) -> Tensor:
        """Return what the open windows of cells say, cells x window width."""
        ids, offsets = tokens
        table = F.gelu(self.free + self.project(self.loadings))
        counts = torch.diff(offsets, append=offsets.new_tensor([len(ids)])).clamp(min=1)
        total = row_sums(table, ids, offsets, table.new_ones(len(ids)))
        return F.gelu(self.set_norm(total * (6.0 / (counts + 10.0))[:, None]))

    def hidden(self, tf: Tensor, context: Tensor, pooled: Tensor | None) -> Tensor:
        parts = [tf, context] if pooled is None else [tf, context, pooled]
        return cast("Tensor", self.body(torch.cat(parts, dim=1)))

    def forward(self, tf: Tensor, context: Tensor, tokens: tuple[Tensor, Tensor] | None) -> Tensor:
        hidden = self.hidden(tf, context, None if tokens is None else self.pooled(tokens))
        return cast("Tensor", cast("Tensor", self.log_mean) + self.genes(hidden))


def _tokens(
    matrix: sparse.csr_matrix, cells: Index, rng: np.random.Generator | None, drop: float
) -> tuple[Tensor, Tensor]:
    rows = matrix[cells]
    ids, n = rows.indices, np.diff(rows.indptr)
    if rng is not None:
        cell = np.repeat(np.arange(len(n)), n)
        keep = rng.random(len(ids), dtype=np.float32) >= rng.uniform(0.0, drop, len(n)).astype(np.float32)[cell]
        n = np.bincount(cell[keep], minlength=len(n))
        ids = ids[keep]
    offsets = np.concatenate([[0], np.cumsum(n)[:-1]])
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(offsets.astype(np.int64))


def _window_loadings(inputs: BaselineInputs, fit_on: Index) -> Tensor:
    known = np.array_equal(fit_on, inputs.train)
    loadings = inputs.loadings if known else lsi(inputs.accessible, fit_on, n_components=N_LOADINGS)[1]
    scale = np.sqrt(loadings.shape[0])
    return torch.from_numpy((loadings * scale).astype(np.float32))


def _teacher(inputs: BaselineInputs, fit_on: Index, seed: int) -> _Teacher | None:
    """Return the model's denoiser with the share that the model gives it at this depth; None where that is nothing."""
    from tilegrn.model.config import TeacherConfig, default_config

    depth = float(np.median(np.asarray(inputs.counts[fit_on].sum(axis=1))))
    usual = default_config(n_cells=len(fit_on), depth=depth).teacher
    return None if usual is None else _Teacher(inputs, fit_on, TeacherConfig(weight=usual.weight), seed)


class _Teacher:
    """Training targets part counts, part rates of the model's own denoiser fitted on the same training cells."""

    def __init__(self, inputs: BaselineInputs, fit_on: Index, config: TeacherConfig, seed: int) -> None:
        from tilegrn.model.fit.teacher import fit_teacher

        context = inputs.context[fit_on][:, :-2] if config.use_windows else np.zeros((len(fit_on), 0), np.float32)
        self.weight = config.weight
        self.size_factor = torch.from_numpy(inputs.size_factor.astype(np.float32))
        self.row = np.full(inputs.counts.shape[0], -1)
        self.row[fit_on] = np.arange(len(fit_on))
        self.rates: TeacherRates = fit_teacher(
            inputs.counts[fit_on], inputs.size_factor[fit_on], context, config, seed=seed
        )

    def soften(self, counts: Tensor, cells: Index) -> Tensor:
        """Return the targets of some training cells."""
        rates = self.rates.rates(torch.from_numpy(self.row[cells])) * self.size_factor[cells, None]
        return (1.0 - self.weight) * counts + self.weight * rates


class _Member:
    """One network being fitted: data as tensors, evaluation on any cells."""

    def __init__(
        self,
        inputs: BaselineInputs,
        config: NetConfig,
        *,
        windows: bool,
        seed: int,
        tuning_seed: int,
        teacher: _Teacher | None,
    ) -> None:
        self.teacher = teacher
        self.inputs = inputs
        self.config = config
        self.seed = seed
        self.fit_on, self.choose_on = inputs.tuning_cells(tuning_seed)
        self.tf = torch.from_numpy(inputs.tf)
        self.context = torch.from_numpy(inputs.context)
        self.windows = windows
        loadings = _window_loadings(inputs, self.fit_on) if windows else None
        log_mean = torch.from_numpy(np.log(inputs.mean_rate).astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = _Net(config, inputs.tf.shape[1], inputs.context.shape[1], log_mean, loadings)

    def hidden(self, cells: Index, n_groups: int) -> tuple[NDArray[np.float32], ...]:
        """Last hidden layer, once for each masked pass (the first hides no TF); windows are the same in all."""
        self.net.eval()
        shown = [torch.from_numpy(self.inputs.tf_in_pass(g)) for g in range(n_groups)]
        out = np.zeros((n_groups, len(cells), self.config.rank), np.float32)
        with torch.no_grad():
            for i in range(0, len(cells), 1024):
                rows = cells[i : i + 1024]
                pooled = self.net.pooled(_tokens(self.inputs.accessible, rows, None, 0.0)) if self.windows else None
                for g, tf in enumerate(shown):
                    out[g, i : i + 1024] = self.net.hidden(tf[rows], self.context[rows], pooled).numpy()
        return tuple(out)

    def readout(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Coefficients (rank x genes) and intercept of the log rate."""
        weight = self.net.genes.weight.detach().numpy().T.copy()
        bias = (cast("Tensor", self.net.log_mean) + self.net.genes.bias).detach().numpy().astype(np.float64)
        return weight, bias

    def fit(self) -> int:
        """Train with early choice of the best epoch on the tuning cells; returns that epoch."""
        cfg, inputs = self.config, self.inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1)
            return self._fit(cfg, inputs)

    def _fit(self, cfg: NetConfig, inputs: BaselineInputs) -> int:
        rng = np.random.default_rng(self.seed)
        n = len(self.fit_on)
        batch = max(1, min(cfg.batch, n // 4))
        steps = max(1, n // batch)
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=cfg.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, cfg.learning_rate, total_steps=cfg.epochs * steps, pct_start=0.2
        )
        tf_genes = torch.from_numpy(inputs.tf_genes)
        log_sf = torch.from_numpy(np.log(np.where(inputs.size_factor > 0, inputs.size_factor, 1.0)).astype(np.float32))
        judged = judged_genes(inputs, self.choose_on)
        observed = np.asarray(inputs.logged[self.choose_on][:, judged].todense())
        best, best_epoch, state = -np.inf, 0, None
        for epoch in range(cfg.epochs):
            self.net.train()
            order = rng.permutation(self.fit_on)
            for b in range(steps):
                rows = order[b * batch : (b + 1) * batch]
                counts = torch.from_numpy(inputs.counts[rows].toarray())
                if self.teacher is not None:
                    counts = self.teacher.soften(counts, rows)
                masked = torch.rand(len(rows), len(tf_genes)) < cfg.tf_dropout
                tf = self.tf[rows].masked_fill(masked, 0.0)
                tokens = _tokens(inputs.accessible, rows, rng, cfg.window_dropout) if self.windows else None
                log_mean = self.net(tf, self.context[rows], tokens) + log_sf[rows, None]
                loss = log_mean.exp() - counts * log_mean
                # A TF gene counts only where its own expression was hidden.
                total = loss.sum() - (loss[:, tf_genes] * ~masked).sum()
                optimiser.zero_grad()
                (total / len(rows) / np.sqrt(inputs.n_genes)).backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            if epoch + 1 < cfg.epochs // 2 and epoch % 2:
                continue
            coef, bias = self.readout()
            rate = np.exp(self.hidden(self.choose_on, 1)[0] @ coef[:, judged] + bias[judged])
            score = float(pearson(observed, expected_log1p(rate, inputs.size_factor[self.choose_on])).mean())
            if score > best:
                best, best_epoch = score, epoch + 1
                state = {k: v.clone() for k, v in self.net.state_dict().items()}
        if state is not None:
            self.net.load_state_dict(state)
        self.score = best
        return best_epoch

    def part(self) -> Part:
        """Predictions of the test cells."""
        coef, bias = self.readout()
        hidden = self.hidden(self.inputs.test, N_MASKED_PASSES + 1)
        return Part(hidden, coef, bias, self.inputs.pass_of_gene, log_rate=True)


def _fit(
    inputs: BaselineInputs, config: NetConfig, *, windows: bool, seed: int, n_models: int, teacher: bool
) -> Fitted:
    start = time.perf_counter()
    softener = _teacher(inputs, inputs.tuning_cells(seed)[0], seed) if teacher else None
    parts, epochs, scores = [], [], []
    for i in range(n_models):
        # The tuning cells stay those of the first seed, which the teacher has not seen.
        member = _Member(inputs, config, windows=windows, seed=seed + i, tuning_seed=seed, teacher=softener)
        epochs.append(member.fit())
        scores.append(member.score)
        parts.append(member.part())
    chosen = {"epoch": float(np.mean(epochs)), "tuning_pearson": float(np.mean(scores))}
    if teacher:
        chosen["teacher_weight"] = 0.0 if softener is None else softener.weight
    return Fitted(tuple(parts), time.perf_counter() - start, inputs.unit, chosen)


def fit_mlp(
    inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1, teacher: bool = False, config: NetConfig | None = None
) -> Fitted:
    """Perceptron on TFs, ATAC components and depths with a Poisson loss; ``n_models`` seeds averaged.

    With ``teacher``, its targets are softened by the same denoiser as the transformer's and as much: not at all where
    cells are deep.
    """
    return _fit(inputs, config or NetConfig(), windows=False, seed=seed, n_models=n_models, teacher=teacher)


def fit_deepset(
    inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1, teacher: bool = False, config: NetConfig | None = None
) -> Fitted:
    """Perceptron that also sees a sum over the cell's open windows of learned embeddings."""
    return _fit(inputs, config or NetConfig(), windows=True, seed=seed, n_models=n_models, teacher=teacher)
