"""Simple predictors of expression that a model has to beat, each fitted on the training cells only.

All see the same features: expression of the TFs, ATAC components (tf-idf and truncated SVD learned on training cells,
then applied to the others), log size factor and log ATAC depth. A gene that is itself a TF is predicted without its own
column. What has to be chosen (penalty, rank, number of epochs) is chosen on the validation cells.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, sparse

from tilegrn._stats.metrics import expected_log1p, pearson
from tilegrn.errors import InputError
from tilegrn.tl.evaluate._baseline_data import N_MASKED_PASSES, judged_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.tl.evaluate._baseline_data import BaselineInputs

    Float32 = NDArray[np.float32]
    Float = NDArray[np.float64]
    Index = NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """Predictions for the test cells, factorised so that any genes can be had without the whole matrix.

    ``hidden[group[g]] @ coef[:, g] + intercept[g]`` is the expected log1p of gene g, or with ``log_rate`` the logarithm
    of its rate. Several parts are averaged. ``unit`` is, per gene, the log-normalised value that stands for a rate of 1
    (training mean of the one over training mean of the other), which turns least-squares predictions into rates.
    """

    parts: tuple[Part, ...]
    seconds: float
    unit: Float
    chosen: dict[str, float] = field(default_factory=dict)

    def predict(self, genes: Index, size_factor: Float) -> tuple[Float32, Float]:
        """Return expected log1p and mean counts of the test cells for some genes, each cells x genes."""
        linear = [p.linear(genes) for p in self.parts]
        if self.parts[0].log_rate:
            rates = [np.exp(np.minimum(v, 20.0)) for v in linear]
            rate = rates[0] if len(rates) == 1 else np.mean(rates, axis=0)
            return expected_log1p(rate, size_factor), rate * size_factor[:, None]
        value = np.mean(linear, axis=0)
        # A least-squares fit knows nothing of Poisson noise: its rate rises and falls with its log-normalised value.
        relative = np.maximum(value, 0.0) / self.unit[genes]
        return value.astype(np.float32), relative * size_factor[:, None]


@dataclass(frozen=True)
class Part:
    """One member of :class:`Fitted`."""

    hidden: tuple[Float32, ...]
    coef: Float32
    intercept: Float
    group: NDArray[np.int64] | None = None
    log_rate: bool = False

    def linear(self, genes: Index) -> Float:
        """Linear predictor of the test cells for some genes."""
        if self.group is None:
            out: Float = (self.hidden[0] @ self.coef[:, genes]).astype(np.float64)
        else:
            out = np.empty((len(self.hidden[0]), len(genes)))
            of = self.group[genes]
            for g in np.unique(of):
                cols = np.flatnonzero(of == g)
                out[:, cols] = self.hidden[g] @ self.coef[:, genes[cols]]
        out += self.intercept[genes]
        return out


def fit_mean(inputs: BaselineInputs, *, seed: int = 0) -> Fitted:
    """Predict each gene's mean of log1p(counts / size factor) over the training cells."""
    del seed
    mean = np.asarray(inputs.logged[inputs.train].mean(axis=0)).ravel()
    coef = np.zeros((1, inputs.n_genes), np.float32)
    return Fitted((Part((np.zeros((len(inputs.test), 1), np.float32),), coef, mean),), 0.0, inputs.unit)


@dataclass(frozen=True)
class _Ridge:
    """Eigen-decomposed least squares: any penalty costs one product."""

    x_mean: Float
    y_mean: Float
    values: Float
    vectors: Float
    projected: Float

    def coef(self, alpha: float, genes: Index | slice = slice(None)) -> Float:
        """Features x genes."""
        out: Float = self.vectors @ (self.projected[:, genes] / (self.values + alpha)[:, None])
        return out

    def gene_axes(self, alpha: float, genes: Index | slice = slice(None)) -> Float:
        """Leading directions of the fitted values over genes, axes x genes with orthonormal rows.

        With centred features X = U S V', the fitted values are U (S V' B); U drops out of their axes over genes.
        """
        scale = np.sqrt(self.values) / (self.values + alpha)
        small = scale[:, None] * self.projected[:, genes]
        rotation = linalg.eigh(small @ small.T)[1][:, ::-1]
        axes: Float = rotation.T @ small
        length = np.linalg.norm(axes, axis=1, keepdims=True)
        # Beyond the rank of the fit there are no directions, only rounding.
        real = length > 1e-6 * length.max(initial=0.0)
        axes = np.where(real, axes, 0.0) / np.where(real, length, 1.0)
        return axes

    def without_own(self, coef: Float, alpha: float, columns: Index, genes: Index) -> Float:
        """Coefficients of the fit in which gene ``genes[i]`` does not see feature ``columns[i]``.

        Removing one feature from a ridge fit is a rank-one change of the inverse: b - M[:, j] b[j] / M[j, j]. It holds
        for a fit of reduced rank too, because there the axes over genes multiply from the other side.
        """
        # The eigenvectors left out (eigenvalue 0) have weight 1 / alpha.
        inverse = (self.vectors * (1.0 / (self.values + alpha) - 1.0 / alpha)) @ self.vectors.T
        inverse[np.diag_indices_from(inverse)] += 1.0 / alpha
        out = coef.copy()
        own = coef[columns, genes] / inverse[columns, columns]
        out[:, genes] -= inverse[:, columns] * own
        out[columns, genes] = 0.0
        return out


def _solve(x: Float32, y: sparse.csr_matrix) -> _Ridge:
    x64 = x.astype(np.float64)
    x_mean = x64.mean(axis=0)
    y_mean = np.asarray(y.mean(axis=0)).ravel()
    x64 -= x_mean
    values, vectors = linalg.eigh(x64.T @ x64)
    kept = values > 1e-9 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    cross = np.asarray((y.T @ x64).T)
    return _Ridge(x_mean, y_mean, values, vectors, vectors.T @ cross)


def _mean_pearson(observed: Float, predicted: NDArray[Any]) -> float:
    return float(pearson(observed, predicted).mean()) if observed.shape[1] else 0.0


def _linear(inputs: BaselineInputs, x: Float32, *, own: bool, ranks: tuple[int, ...] | None, seed: int) -> Fitted:
    start = time.perf_counter()
    fit_on, choose_on = inputs.tuning_cells(seed)
    solved = _solve(x[fit_on], inputs.logged[fit_on])
    genes = judged_genes(inputs, choose_on)
    xv = x[choose_on] - solved.x_mean
    # Features have unit variance, so n x number of features is the natural unit of the penalty.
    alphas = len(fit_on) * np.geomspace(1e-3, 300.0, 12)
    best, alpha, rank, stretch = -np.inf, float(alphas[0]), 0, 1.0
    observed = inputs.logged[choose_on][:, genes].toarray()
    centred = observed - solved.y_mean[genes]
    for a in map(float, alphas):
        tried = solved.coef(a, genes)
        options: list[tuple[int, Float | None]] = [(0, None)]
        if ranks is not None:
            all_axes = solved.gene_axes(a, genes)
            options = [(r, all_axes[:r]) for r in ranks if r <= len(all_axes)]
        for r, w in options:
            value = xv @ tried if w is None else (xv @ (tried @ w.T)) @ w
            score = _mean_pearson(observed, value)
            if score > best:
                best, alpha, rank = score, a, r
                # Correlation does not see that a penalty shrinks; least squares on the tuning cells gives back the
                # size.
                size = float((value * value).sum())
                stretch = max(float((centred * value).sum()) / size, 0.0) if size > 0 else 1.0
    coef = solved.coef(alpha)
    if rank:
        axes = solved.gene_axes(alpha)[:rank]
        coef = (coef @ axes.T) @ axes
    if own:
        coef = solved.without_own(coef, alpha, np.arange(len(inputs.tf_genes)), inputs.tf_genes)
    coef *= stretch
    hidden = (x[inputs.test] - solved.x_mean).astype(np.float32)
    chosen = {"alpha": alpha, "stretch": stretch, "tuning_pearson": best, **({"rank": float(rank)} if ranks else {})}
    part = Part((hidden,), coef.astype(np.float32), solved.y_mean)
    return Fitted((part,), time.perf_counter() - start, inputs.unit, chosen)


_COMPONENTS = (12, 20, 30, 50)
"""Numbers of ATAC components among which the plain ridge on them chooses."""


def fit_lsi(inputs: BaselineInputs, *, seed: int = 0) -> Fitted:
    """Ridge regression on the leading ATAC components and depths alone, their number chosen on the validation cells.

    In deep data the components tell the state of a cell, and little can be had beyond it.
    """
    widest = inputs.context.shape[1] - 2
    tried = {
        k: _linear(inputs, np.delete(inputs.context, np.s_[k:widest], axis=1), own=False, ranks=None, seed=seed)
        for k in sorted({min(k, widest) for k in _COMPONENTS})
    }
    k, best = max(tried.items(), key=lambda item: item[1].chosen["tuning_pearson"])
    seconds = sum(f.seconds for f in tried.values())
    return replace(best, seconds=seconds, chosen={**best.chosen, "components": float(k)})


def _poisson_on_depth(inputs: BaselineInputs, cells: Index, genes: Index, penalty: float) -> Float:
    """Poisson regression of each gene on the two depths by Newton's method; 3 x genes, the first the intercept."""
    x = np.column_stack([np.ones(len(cells)), inputs.context[cells, -2:]])
    pairs = np.column_stack([x[:, i] * x[:, j] for i in range(3) for j in range(3)])
    offset = np.log(inputs.size_factor[cells])[:, None] + np.log(inputs.mean_rate[genes])
    counted = np.asarray((inputs.counts[cells][:, genes].T @ x).T)
    prior = np.diag([1e-3, penalty, penalty])
    coef = np.zeros((3, len(genes)))
    for _ in range(6):
        mean = np.exp(np.minimum(offset + x @ coef, 20.0))
        gradient = counted - x.T @ mean - prior @ coef
        hessian = (pairs.T @ mean).T.reshape(-1, 3, 3) + prior
        step = np.linalg.solve(hessian, gradient.T[:, :, None])[:, :, 0].T
        coef += np.clip(step, -1.0, 1.0)
    return coef


def fit_depth(inputs: BaselineInputs, *, seed: int = 0) -> Fitted:
    """Poisson regression on log size factor and log ATAC depth alone: what library size explains.

    A rate that does not depend on the cell at all is part of it: its expected log1p(count / size factor) still bends
    with the size factor.
    """
    start = time.perf_counter()
    fit_on, choose_on = inputs.tuning_cells(seed)
    judged = judged_genes(inputs, choose_on)
    observed = inputs.logged[choose_on][:, judged].toarray()
    shown = np.column_stack([np.ones(len(choose_on)), inputs.context[choose_on, -2:]])
    best, penalty = -np.inf, 0.0
    for tried in (1.0, 10.0, 100.0, 1000.0):
        coef = _poisson_on_depth(inputs, fit_on, judged, tried)
        rate = np.exp(np.minimum(shown @ coef, 20.0)) * inputs.mean_rate[judged]
        score = _mean_pearson(observed, expected_log1p(rate, inputs.size_factor[choose_on]))
        if score > best:
            best, penalty = score, tried
    coef = np.concatenate(
        [
            _poisson_on_depth(inputs, fit_on, genes, penalty)
            for genes in np.array_split(np.arange(inputs.n_genes), -(-inputs.n_genes // 1024))
        ],
        axis=1,
    )
    part = Part(
        (inputs.context[inputs.test, -2:],),
        coef[1:].astype(np.float32),
        coef[0] + np.log(inputs.mean_rate),
        log_rate=True,
    )
    chosen = {"penalty": penalty, "tuning_pearson": best}
    return Fitted((part,), time.perf_counter() - start, inputs.unit, chosen)


def fit_ridge(inputs: BaselineInputs, *, seed: int = 0) -> Fitted:
    """Ridge on TFs, ATAC components and depths; one penalty for all genes."""
    return _linear(inputs, np.hstack([inputs.tf, inputs.context]), own=True, ranks=None, seed=seed)


def fit_low_rank(inputs: BaselineInputs, *, seed: int = 0) -> Fitted:
    """Ridge whose fitted values are cut to their leading axes over genes; penalty and rank chosen together."""
    x = np.hstack([inputs.tf, inputs.context])
    return _linear(inputs, x, own=True, ranks=(2, 4, 6, 8, 12, 16, 24, 32, 48), seed=seed)


def fit_lightgbm(
    inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1, n_axes: int = 20, n_trees: int = 300
) -> Fitted:
    """Boosted trees that predict the leading axes of the RNA from TFs, ATAC components and depths.

    TF genes are predicted in passes that hide the TFs in question. ``n_models`` seeds are averaged.

    Raises
    ------
    InputError
        If lightgbm is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        msg = "The baseline 'lightgbm' needs LightGBM: pip install 'tilegrn[lightgbm]'."
        raise InputError(msg) from error
    from sklearn.utils.extmath import randomized_svd

    start = time.perf_counter()
    fit_on, choose_on = inputs.tuning_cells(seed)
    y = inputs.logged[fit_on]
    mean = np.asarray(y.mean(axis=0)).ravel()
    k = min(n_axes, len(fit_on) - 1, inputs.n_genes - 1)
    # Only the training cells' own mean is removed after the projection: the axes come from uncentred data, one more
    # than asked for so that the first may be the mean.
    _, _, axes = randomized_svd(y, n_components=k + 1, random_state=seed)
    offset = mean @ axes.T
    target = np.asarray(y @ axes.T) - offset
    tuning = np.asarray(inputs.logged[choose_on] @ axes.T) - offset
    x = np.hstack([inputs.tf, inputs.context])
    options = {
        "objective": "regression", "learning_rate": 0.04, "num_leaves": 15, "min_data_in_leaf": 40,
        "feature_fraction": 0.4, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63,
        "verbosity": -1, "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    parts = []
    for model in range(n_models):
        hidden = np.zeros((N_MASKED_PASSES + 1, len(inputs.test), axes.shape[0]), np.float32)
        for j in range(axes.shape[0]):
            data = lightgbm.Dataset(x[fit_on], target[:, j])
            trees = lightgbm.train(
                {**options, "seed": seed + model},
                data,
                n_trees,
                valid_sets=[lightgbm.Dataset(x[choose_on], tuning[:, j], reference=data)],
                callbacks=[lightgbm.early_stopping(25, verbose=False)],
            )
            for number in range(N_MASKED_PASSES + 1):
                shown = np.hstack([inputs.tf_in_pass(number)[inputs.test], inputs.context[inputs.test]])
                hidden[number, :, j] = trees.predict(shown)
        parts.append(Part(tuple(hidden), axes.astype(np.float32), mean, inputs.pass_of_gene))
    return Fitted(tuple(parts), time.perf_counter() - start, inputs.unit, {"axes": float(axes.shape[0])})
