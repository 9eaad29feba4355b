"""Simple predictors of expression that a model has to beat, each fitted on the training cells only.

All see the same features: expression of the TFs, ATAC components (tf-idf and truncated SVD learned on training cells, then
applied to the others), log size factor and log ATAC depth. A gene that is itself a TF is predicted without its own column.
What has to be chosen (penalty, rank, number of epochs) is chosen on the validation cells.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from scipy import linalg, sparse

from tilegrn._metrics import expected_log1p, normalised_log1p, pearson, size_factors
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float = NDArray[np.float64]
    Index = NDArray[np.int64]

logger = logging.getLogger(__name__)

N_MASKED_PASSES: Final = 5
"""Passes in which TF genes are predicted: each hides a fifth of the TFs and predicts those."""


@dataclass(frozen=True)
class BaselineInputs:
    """Features and targets of all cells, made from training statistics.

    Attributes
    ----------
    counts
        Cells x genes, raw counts, CSR.
    logged
        Cells x genes, ``log1p(counts / size factor)``, CSR.
    size_factor
        RNA depth over the median depth of the training cells, shape (cells,).
    tf_genes
        Columns of ``counts`` that are TFs, shape (TFs,).
    tf
        Cells x TFs, ``log1p(counts)`` scaled to unit variance over the training cells. (Raw counts did better than counts
        over size factor, and unit variance better than unit range, for every baseline on the mouse cortex.)
    context
        Cells x (components + 2): ATAC components, log size factor, log ATAC depth; standardised over the training cells.
    accessible
        Cells x peaks or windows, CSR, 1 where any fragment lies.
    train, val, test
        Row numbers.
    mean_rate
        Training counts per unit of size factor, shape (genes,), above 0.
    """

    counts: sparse.csr_matrix
    logged: sparse.csr_matrix
    size_factor: Float
    tf_genes: Index
    tf: Float32
    context: Float32
    accessible: sparse.csr_matrix
    train: Index
    val: Index
    test: Index
    mean_rate: Float

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.counts.shape[1])

    @property
    def unit(self) -> Float:
        """Log-normalised value per unit of rate, per gene: see :class:`Fitted`."""
        mean = np.asarray(self.logged[self.train].mean(axis=0)).ravel()
        return np.where(mean > 0, mean, 1.0) / self.mean_rate

    @property
    def pass_of_gene(self) -> Index:
        """Masked pass that predicts each gene: 0 (nothing hidden) for genes that are no TF, 1.. for TFs."""
        out = np.zeros(self.n_genes, dtype=np.int64)
        out[self.tf_genes] = 1 + np.arange(len(self.tf_genes)) % N_MASKED_PASSES
        return out

    def tf_in_pass(self, number: int) -> Float32:
        """TF features with those that a masked pass predicts set to 0."""
        if number == 0:
            return self.tf
        return np.where(self.pass_of_gene[self.tf_genes] == number, np.float32(0.0), self.tf)

    def tuning_cells(self, seed: int) -> tuple[Index, Index]:
        """Cells to fit on and cells to choose on: train and val, or nine tenths and a tenth of train when val is empty."""
        if len(self.val):
            return self.train, self.val
        mixed = np.random.default_rng(seed).permutation(self.train)
        n = max(1, len(mixed) // 10)
        return np.sort(mixed[n:]), np.sort(mixed[:n])


@dataclass(frozen=True)
class Fitted:
    """Predictions for the test cells, factorised so that any genes can be had without the whole matrix.

    ``hidden[group[g]] @ coef[:, g] + intercept[g]`` is the expected log1p of gene g, or with ``log_rate`` the logarithm of
    its rate. Several parts are averaged. ``unit`` is, per gene, the log-normalised value that stands for a rate of 1 (training
    mean of the one over training mean of the other), which turns least-squares predictions into rates.
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
            out = (self.hidden[0] @ self.coef[:, genes]).astype(np.float64)
        else:
            out = np.empty((len(self.hidden[0]), len(genes)))
            of = self.group[genes]
            for g in np.unique(of):
                cols = np.flatnonzero(of == g)
                out[:, cols] = self.hidden[g] @ self.coef[:, genes[cols]]
        return cast("Float", out + self.intercept[genes])


def lsi(
    accessible: sparse.csr_matrix, train: Index, *, n_components: int = 50, seed: int = 0
) -> tuple[Float32, Float32]:
    """ATAC components: tf-idf and truncated SVD fitted on the training cells, applied to all.

    tf-idf as muon's default: ``log1p(1e4 * open / open in the cell) * log1p(training cells / training cells open)``. Rows are
    scaled to unit length before the SVD, so that depth does not make the first component.

    Parameters
    ----------
    accessible
        Cells x peaks or windows, CSR of 0 and 1.
    train
        Rows the statistics come from.
    n_components
        At most this many; fewer for very small data.
    seed
        Of the randomised SVD.

    Returns
    -------
    Cells x components, and peaks x components (the loadings), float32.
    """
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415

    x = sparse.csr_matrix(accessible, dtype=np.float32, copy=True)
    fitted = x[train]
    idf = np.log1p(len(train) / np.maximum(np.asarray(fitted.sum(axis=0)).ravel(), 1.0))
    # A peak closed in every training cell has no loading; leave it out of the row lengths too.
    idf[np.asarray(fitted.sum(axis=0)).ravel() == 0] = 0.0
    per_row = np.maximum(np.diff(x.indptr), 1)
    x.data = np.log1p(1e4 / np.repeat(per_row, np.diff(x.indptr))).astype(np.float32) * idf[x.indices].astype(np.float32)
    length = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    x = sparse.csr_matrix(sparse.diags(1.0 / np.maximum(length, 1e-12)).astype(np.float32) @ x)
    k = min(n_components, len(train) - 1, x.shape[1] - 1)
    if k < 1:
        return np.zeros((x.shape[0], 0), np.float32), np.zeros((x.shape[1], 0), np.float32)
    _, _, vt = randomized_svd(x[train], n_components=k, n_iter=4, random_state=seed)
    loadings = np.ascontiguousarray(vt.T, dtype=np.float32)
    return np.asarray(x @ loadings, dtype=np.float32), loadings


def _unit_variance(x: Float, train: Index, *, centre: bool) -> Float32:
    mean = x[train].mean(axis=0) if centre else 0.0
    std = x[train].std(axis=0)
    return ((x - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)


def make_inputs(
    counts: sparse.csr_matrix,
    accessibility: sparse.csr_matrix,
    is_tf: NDArray[np.bool_],
    splits: tuple[Index, Index, Index],
    *,
    reference_depth: float | None = None,
    n_components: int = 50,
    seed: int = 0,
) -> BaselineInputs:
    """Compute the features that all baselines share, every statistic from the training cells.

    Parameters
    ----------
    counts
        Cells x genes, raw counts.
    accessibility
        Cells x peaks (or windows), raw counts.
    is_tf
        Which genes are TFs, shape (genes,).
    splits
        Rows of the training, validation and test cells; all must have RNA counts.
    reference_depth
        RNA depth at size factor 1; the median of the training cells when None.
    n_components
        ATAC components.
    seed
        Of the randomised SVD.
    """
    train, val, test = splits
    if len(train) < 2:
        msg = f"Baselines need at least 2 training cells, there are {len(train)}. Run grn.pp.split_cells(mdata) again."
        raise InputError(msg)
    counts = sparse.csr_matrix(counts, dtype=np.float32)
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    sf = size_factors(depth, depth[train]) if reference_depth is None else depth / reference_depth
    safe = np.where(sf > 0, sf, 1.0)
    logged = normalised_log1p(counts, safe)
    accessible = sparse.csr_matrix(accessibility, dtype=np.float32, copy=True)
    atac_depth = np.asarray(accessible.sum(axis=1), dtype=np.float64).ravel()
    accessible.eliminate_zeros()
    accessible.data[:] = 1.0
    used = np.flatnonzero(np.asarray(accessible.sum(axis=0)).ravel() > 0)
    accessible = sparse.csr_matrix(accessible[:, used])
    components, _ = lsi(accessible, train, n_components=n_components, seed=seed)
    context = np.column_stack([components, np.log(safe), np.log1p(atac_depth)])
    tf_genes = np.flatnonzero(is_tf)
    total = float(sf[train].sum())
    train_counts = np.asarray(counts[train].sum(axis=0), dtype=np.float64).ravel()
    return BaselineInputs(
        counts=counts,
        logged=logged,
        size_factor=sf,
        tf_genes=tf_genes,
        tf=_unit_variance(np.log1p(np.asarray(counts[:, tf_genes].todense(), dtype=np.float64)), train, centre=False),
        context=_unit_variance(context, train, centre=True),
        accessible=accessible,
        train=train,
        val=val,
        test=test,
        mean_rate=np.maximum(train_counts, 0.5) / total,
    )


def fit_mean(inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1) -> Fitted:
    """Predict each gene's mean of log1p(counts / size factor) over the training cells."""
    del seed, n_models
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

    def coef(self, alpha: float) -> Float:
        return cast("Float", self.vectors @ (self.projected / (self.values + alpha)[:, None]))

    def without_own(self, coef: Float, alpha: float, columns: Index, genes: Index) -> Float:
        """Coefficients of the fit in which gene ``genes[i]`` does not see feature ``columns[i]``.

        Removing one feature from a ridge fit is a rank-one change of the inverse: b - M[:, j] b[j] / M[j, j].
        """
        inverse = (self.vectors / (self.values + alpha)) @ self.vectors.T
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
    cross = np.asarray((y.T @ x64).T)
    return _Ridge(x_mean, y_mean, np.maximum(values, 0.0), vectors, vectors.T @ cross)


def _mean_pearson(inputs: BaselineInputs, cells: Index, genes: Index, hidden: Float, coef: Float) -> float:
    total = 0.0
    for start in range(0, len(genes), 512):
        cols = genes[start : start + 512]
        y = np.asarray(inputs.logged[cells][:, cols].todense())
        total += float(pearson(y, hidden @ coef[:, cols]).sum())
    return total / max(len(genes), 1)


def _stretch(inputs: BaselineInputs, cells: Index, genes: Index, hidden: Float, coef: Float, y_mean: Float) -> float:
    """Factor on the deviations from the mean that fits the tuning cells best in squares.

    The penalty is chosen by correlation, which does not see that it shrinks all predictions; this gives them back their
    size, for the metrics that care.
    """
    over = under = 0.0
    for start in range(0, len(genes), 512):
        cols = genes[start : start + 512]
        p = hidden @ coef[:, cols]
        y = inputs.logged[cells][:, cols].toarray() - y_mean[cols]
        over += float((y * p).sum())
        under += float((p * p).sum())
    return max(over / under, 0.0) if under > 0 else 1.0


def judged_genes(inputs: BaselineInputs, cells: Index, *, most: int = 2000) -> Index:
    """Genes worth tuning on: those seen in enough of the tuning cells, the most seen first, TFs left out."""
    seen = np.asarray((inputs.counts[cells] > 0).sum(axis=0)).ravel()
    seen[inputs.tf_genes] = 0
    order = np.argsort(-seen, kind="stable")[:most]
    enough = order[seen[order] >= 5]
    return enough if len(enough) else order


def _linear(inputs: BaselineInputs, x: Float32, *, own: bool, ranks: tuple[int, ...] | None, seed: int) -> Fitted:
    start = time.perf_counter()
    fit_on, choose_on = inputs.tuning_cells(seed)
    solved = _solve(x[fit_on], inputs.logged[fit_on])
    genes = judged_genes(inputs, choose_on)
    xv = x[choose_on] - solved.x_mean
    # Features have unit variance, so n x number of features is the natural unit of the penalty.
    alphas = len(fit_on) * np.geomspace(1e-3, 300.0, 12)
    best, alpha, rank, axes = -np.inf, float(alphas[0]), 0, None
    for a in alphas:
        coef = solved.coef(float(a))
        if ranks is None:
            score = _mean_pearson(inputs, choose_on, genes, xv, coef)
            if score > best:
                best, alpha = score, float(a)
            continue
        # Leading axes of the fitted values: of S V' B, with X = U S V' and X'X = V S^2 V'.
        small = np.sqrt(solved.values)[:, None] * (solved.vectors.T @ coef)
        gene_axes = linalg.eigh(small @ small.T)[1][:, ::-1].T @ small
        gene_axes /= np.maximum(np.linalg.norm(gene_axes, axis=1, keepdims=True), 1e-12)
        for r in ranks:
            if r > len(gene_axes):
                continue
            w = gene_axes[:r]
            score = _mean_pearson(inputs, choose_on, genes, xv @ (coef @ w.T), w)
            if score > best:
                best, alpha, rank, axes = score, float(a), r, w
    coef = solved.coef(alpha)
    if axes is not None:
        coef = (coef @ axes.T) @ axes
    if own:
        # Before stretching: the identity of leaving a feature out holds for the fit as it is.
        masked = solved.without_own(coef, alpha, np.arange(len(inputs.tf_genes)), inputs.tf_genes)
    else:
        masked = coef
    stretch = _stretch(inputs, choose_on, genes, xv, coef, solved.y_mean)
    coef = stretch * masked
    hidden = (x[inputs.test] - solved.x_mean).astype(np.float32)
    chosen = {"alpha": alpha, "stretch": stretch, "tuning_pearson": best, **({"rank": float(rank)} if ranks else {})}
    part = Part((hidden,), coef.astype(np.float32), solved.y_mean)
    return Fitted((part,), time.perf_counter() - start, inputs.unit, chosen)


def fit_depth(inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1) -> Fitted:
    """Ridge on log size factor and log ATAC depth alone: what library size explains."""
    del n_models
    return _linear(inputs, inputs.context[:, -2:], own=False, ranks=None, seed=seed)


def fit_ridge(inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1) -> Fitted:
    """Ridge on TFs, ATAC components and depths; one penalty for all genes."""
    del n_models
    return _linear(inputs, np.hstack([inputs.tf, inputs.context]), own=True, ranks=None, seed=seed)


def fit_low_rank(inputs: BaselineInputs, *, seed: int = 0, n_models: int = 1) -> Fitted:
    """Ridge whose fitted values are cut to their leading axes over genes; penalty and rank chosen together."""
    del n_models
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
        import lightgbm  # noqa: PLC0415
    except ImportError as error:
        msg = "The baseline 'lightgbm' needs LightGBM: pip install 'tilegrn[lightgbm]'."
        raise InputError(msg) from error
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415

    start = time.perf_counter()
    fit_on, choose_on = inputs.tuning_cells(seed)
    y = inputs.logged[fit_on]
    mean = np.asarray(y.mean(axis=0)).ravel()
    k = min(n_axes, len(fit_on) - 1, inputs.n_genes - 1)
    # Only the training cells' own mean is removed after the projection: the axes come from uncentred data, one more than
    # asked for so that the first may be the mean.
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
