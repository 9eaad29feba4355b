"""Predictions of several methods judged on the same held-out cells, and the report of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd

from tilegrn._core.cores import n_cores
from tilegrn._stats import metrics as M

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from os import PathLike

    from numpy.typing import NDArray
    from scipy import sparse

    Float = NDArray[np.float64]
    Index = NDArray[np.int64]
    Predict = Callable[[Index], tuple[NDArray[np.floating[Any]], Float]]

__all__ = ["HeldOut", "Scorecard", "judge", "label_of"]

MODEL: Final = "model"
"""Row of the scorecard that holds the predictions in the layer."""
RATE_FLOOR: Final = 0.1
"""Smallest rate of a prediction in the deviance, as a share of the gene's training mean; the same for all methods."""
_CHUNK: Final = 256
_MIN_METACELLS: Final = 10


@dataclass(frozen=True)
class HeldOut:
    """What was measured in the held-out cells, and the training statistics that judging needs.

    Attributes
    ----------
    counts, logged
        Cells x genes, CSC: counts, and log1p(counts / size factor).
    size_factor
        Per cell, above 0.
    genes
        Columns that can be predicted and are seen in enough held-out cells.
    is_tf
        Per gene (all columns).
    train_logged
        Mean of ``logged`` over the training cells, per gene.
    train_rate
        Training counts per unit of size factor, per gene, above 0.
    groups
        Group of each cell; empty strings for cells of no group.
    metacells
        Metacell of each cell, 0-based.
    """

    counts: sparse.csc_matrix
    logged: sparse.csc_matrix
    size_factor: Float
    genes: Index
    is_tf: NDArray[np.bool_]
    train_logged: Float
    train_rate: Float
    groups: Mapping[str, Index]
    metacells: Index
    min_positive: int = 5


@dataclass
class Scorecard:
    """How well each method predicts expression in held-out cells.

    Attributes
    ----------
    table
        One row per method, the model first. Columns: ``method``; ``pearson``, ``pearson_median``, ``pearson_above_0.1``
        (share of genes), ``spearman`` over genes that are no TFs; ``pearson_tf``, ``spearman_tf`` over TFs;
        ``per_cell``; ``deviance_explained``; ``within`` (mean over cell groups); ``metacell``; ``difference`` (model
        minus method, in ``pearson``) with ``difference_low`` and ``difference_high``; ``genes_better`` (share of genes
        in which the model is better); ``seconds`` of fitting.
    per_gene
        One row per gene: ``is_tf``, ``n_positive`` held-out cells, ``scored``, then ``pearson_*`` and ``spearman_*`` of
        each method (NaN where not scored).
    per_group
        One row per group of cells: ``group``, ``n_cells``, ``n_genes`` and the mean Pearson correlation of each method.
    sentence
        The result in words.
    parameters
        Numbers of cells and genes, arguments, what the baselines chose.

    Examples
    --------
    >>> card = grn.tl.scorecard(mdata, baselines=["mean", "ridge"], n_bootstrap=100)
    >>> card.methods
    ['model', 'mean', 'ridge', 'depth']
    >>> card.to_csv("scorecard.csv")
    """

    table: pd.DataFrame
    per_gene: pd.DataFrame
    per_group: pd.DataFrame
    sentence: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, the model first."""
        return [str(m) for m in self.table["method"]]

    @property
    def best_baseline(self) -> str | None:
        """Baseline with the highest mean correlation, or None without baselines."""
        others = self.table[self.table["method"] != MODEL]
        return None if others.empty else str(others.loc[others["pearson"].idxmax(), "method"])

    def to_csv(self, path: str | PathLike[str], *, index: bool = False) -> None:
        """Write the table as CSV."""
        self.table.to_csv(path, index=index)

    def __repr__(self) -> str:
        with pd.option_context("display.width", 200, "display.max_columns", None):
            return f"{self.sentence}\n\n{self.table.set_index('method').T.round(3).to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{self.sentence}</p>{self.table.round(3).to_html(index=False)}"

    def to_record(self) -> dict[str, Any]:
        """Return flat arrays, strings and numbers, as ``mdata.uns`` keeps them."""
        record: dict[str, Any] = {"sentence": self.sentence, **self.parameters}
        for name, frame in (("table", self.table), ("gene", self.per_gene.reset_index()), ("group", self.per_group)):
            for column in frame:
                values = frame[column].to_numpy()
                record[f"{name}:{column}"] = values.astype(object) if values.dtype.kind in "OUT" else values
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Scorecard:
        """Rebuild what :meth:`to_record` made."""
        frames: dict[str, dict[str, Any]] = {"table": {}, "gene": {}, "group": {}}
        parameters = {}
        for key, value in record.items():
            frame, colon, column = key.partition(":")
            if colon and frame in frames:
                values = np.asarray(value)
                frames[frame][column] = values.astype(str) if values.dtype.kind in "OSUT" else values
            elif key != "sentence":
                parameters[key] = value
        tables = {}
        for name, columns in frames.items():
            order = {
                "table": _TABLE,
                "gene": ["gene", "is_tf", "n_positive", "scored"],
                "group": ["group", "n_cells", "n_genes"],
            }
            first = [c for c in order[name] if c in columns]
            rest = [c for c in columns if c not in first]
            tables[name] = pd.DataFrame({c: columns[c] for c in first + rest})
        genes = tables["gene"].set_index("gene") if len(tables["gene"].columns) else tables["gene"]
        methods = [str(m) for m in tables["table"]["method"]]
        wanted = [f"{kind}_{m}" for m in methods for kind in ("pearson", "spearman")]
        genes = genes[[c for c in genes if c not in wanted] + [c for c in wanted if c in genes]]
        groups = tables["group"]
        groups = groups[[c for c in groups if c not in methods] + [c for c in methods if c in groups]]
        return cls(tables["table"], genes, groups, str(record["sentence"]), parameters)


_TABLE: Final = [
    "method",
    "pearson",
    "pearson_median",
    "pearson_above_0.1",
    "spearman",
    "pearson_tf",
    "spearman_tf",
    "per_cell",
    "deviance_explained",
    "within",
    "metacell",
    "difference",
    "difference_low",
    "difference_high",
    "genes_better",
    "seconds",
]


class _Sums:
    """What is gathered while the genes go by in chunks."""

    def __init__(self, held: HeldOut, n_methods: int, n_bootstrap: int) -> None:
        n_genes = held.logged.shape[1]
        self.pearson = np.full((n_methods, n_genes), np.nan)
        self.spearman = np.full((n_methods, n_genes), np.nan)
        self.deviance = np.zeros(n_methods)
        self.null_deviance = 0.0
        self.cells = [M.CellCorrelation(held.logged.shape[0]) for _ in range(n_methods)]
        self.group_sum = np.zeros((n_methods, len(held.groups)))
        self.group_n = np.zeros(len(held.groups), dtype=np.int64)
        self.metacell_sum = np.zeros(n_methods)
        self.metacell_n = 0
        self.bootstrap = np.zeros((n_bootstrap, n_methods))


def _by_metacell(held: HeldOut, values: Float) -> Float:
    out = np.zeros((int(held.metacells.max()) + 1, values.shape[1]))
    np.add.at(out, held.metacells, values)
    return out


def _add_chunk(
    sums: _Sums, held: HeldOut, methods: Mapping[str, Predict], genes: Index, draws: NDArray[Any], pool: Executor
) -> None:
    """Score some genes, methods side by side; those that are no TFs also enter the sums."""
    y = held.logged[:, genes].toarray()
    k = held.counts[:, genes].toarray().astype(np.float64)
    plain = ~held.is_tf[genes]
    null = held.train_rate[genes] * held.size_factor[:, None]
    floor = RATE_FLOOR * null
    centre = held.train_logged[genes]
    sums.null_deviance += M.poisson_deviance(k[:, plain], null[:, plain], floor[:, plain]).sum()
    enough = [((k[rows] > 0).sum(axis=0) >= held.min_positive) & plain for rows in held.groups.values()]
    sums.group_n += np.array([e.sum() for e in enough], dtype=np.int64)  # also where there are no groups
    big_sf = _by_metacell(held, held.size_factor[:, None])
    big_y = np.log1p(_by_metacell(held, k[:, plain]) / big_sf)
    sums.metacell_n += int(plain.sum())
    unit, ranked = M.standardised(y), M.standardised(M.ranks(y))  # the same for all methods

    def add(m: int, predict: Predict) -> Float:
        """Score one method, whose numbers no other touches."""
        p, mean = predict(genes)
        p = np.asarray(p, dtype=np.float64)
        sums.pearson[m, genes] = np.einsum("ij,ij->j", unit, M.standardised(p))
        rank = M.standardised(M.ranks(p.astype(np.float32)))  # what a float32 layer cannot tell apart is a tie
        sums.spearman[m, genes] = np.einsum("ij,ij->j", ranked, rank)
        sums.deviance[m] += M.poisson_deviance(k[:, plain], mean[:, plain], floor[:, plain]).sum()
        deviation = p - centre
        deviation[np.abs(deviation) < 1e-6 * np.abs(centre)] = 0.0  # what float32 leaves of a mean
        sums.cells[m].add((y - centre)[:, plain], deviation[:, plain])
        for g, rows in enumerate(held.groups.values()):
            sums.group_sum[m, g] += M.pearson(y[np.ix_(rows, enough[g])], p[np.ix_(rows, enough[g])]).sum()
        sums.metacell_sum[m] += M.pearson(big_y, np.log1p(_by_metacell(held, mean[:, plain]) / big_sf)).sum()
        return cast("Float", p[:, plain])

    kept = list(pool.map(add, range(len(methods)), methods.values()))
    if len(draws):
        sums.bootstrap += M.bootstrap_pearson(y[:, plain], kept, draws)


def judge(
    held: HeldOut,
    methods: Mapping[str, Predict],
    *,
    n_bootstrap: int = 1000,
    resample: str = "cells",
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, NDArray[Any]], pd.DataFrame]:
    """Score methods on held-out cells, a few hundred genes at a time.

    Parameters
    ----------
    held
        What was measured.
    methods
        For each method a function from gene columns to expected log1p and mean counts (both cells x genes); the first
        is the one whose difference from the others is wanted.
    n_bootstrap
        Resamplings behind the intervals; 0 leaves them NaN.
    resample
        ``"cells"`` or ``"genes"``.
    seed
        Of the resampling.

    Returns
    -------
    The table of :class:`Scorecard`, per-gene arrays (methods x all genes) and the table per group.
    """
    rng = np.random.default_rng(seed)
    n_cells = held.logged.shape[0]
    n_cell_draws = n_bootstrap if resample == "cells" else 0
    draws = rng.multinomial(n_cells, np.full(n_cells, 1.0 / n_cells), size=n_cell_draws)
    sums = _Sums(held, len(methods), n_cell_draws)
    with ThreadPoolExecutor(min(len(methods), n_cores())) as pool:
        for start in range(0, len(held.genes), _CHUNK):
            _add_chunk(sums, held, methods, held.genes[start : start + _CHUNK], draws, pool)

    plain = held.genes[~held.is_tf[held.genes]]
    tfs = held.genes[held.is_tf[held.genes]]
    r = sums.pearson[:, plain]
    if resample == "genes" and n_bootstrap and len(plain):
        picks = rng.multinomial(len(plain), np.full(len(plain), 1.0 / len(plain)), size=n_bootstrap)
        samples = picks @ r.T / len(plain)
    else:
        samples = sums.bootstrap / max(len(plain), 1)
    n_metacells = int(held.metacells.max()) + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        per_group = sums.group_sum / sums.group_n
    rows = []
    for m, name in enumerate(methods):
        gap = _mean(r[0] - r[m]) if m else np.nan
        low, high = M.interval(samples[:, 0] - samples[:, m], gap) if m and len(samples) else (np.nan, np.nan)
        rows.append(
            {
                "method": name,
                "pearson": _mean(r[m]),
                "pearson_median": float(np.median(r[m])) if len(plain) else np.nan,
                "pearson_above_0.1": _mean(r[m] > 0.1),
                "spearman": _mean(sums.spearman[m, plain]),
                "pearson_tf": _mean(sums.pearson[m, tfs]),
                "spearman_tf": _mean(sums.spearman[m, tfs]),
                "per_cell": _mean(sums.cells[m].result()),
                "deviance_explained": 1.0 - sums.deviance[m] / sums.null_deviance if sums.null_deviance > 0 else np.nan,
                "within": _mean(per_group[m][sums.group_n > 0]),
                "metacell": sums.metacell_sum[m] / sums.metacell_n
                if n_metacells >= _MIN_METACELLS and sums.metacell_n
                else np.nan,
                "difference": gap,
                "difference_low": low,
                "difference_high": high,
                "genes_better": _mean(r[0] > r[m]) if m else np.nan,
            }
        )
    groups = pd.DataFrame(
        {
            "group": np.array(list(held.groups), dtype=object),
            "n_cells": np.array([len(rows) for rows in held.groups.values()], dtype=np.int64),
            "n_genes": sums.group_n,
            **{name: per_group[m] for m, name in enumerate(methods)},
        }
    )
    return pd.DataFrame(rows), {"pearson": sums.pearson, "spearman": sums.spearman}, groups


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


_NAMES = {
    "model": "tilegrn",
    "mean": "gene mean",
    "depth": "depth only",
    "ridge": "ridge",
    "lsi": "ridge on ATAC components",
    "low_rank": "reduced-rank ridge",
    "lightgbm": "LightGBM",
    "mlp": "MLP",
    "deepset": "DeepSet",
    "mlp_teacher": "MLP + teacher",
    "deepset_teacher": "DeepSet + teacher",
}


def label_of(method: str) -> str:
    """Name of a method as sentences, figures and reports write it."""
    return _NAMES.get(str(method), str(method).replace("_", " "))


def in_words(table: pd.DataFrame, *, n_cells: int, n_genes: int, held_out: str) -> str:
    """Say in one sentence how the model compares with the best baseline."""
    model = table.iloc[0]
    text = (
        f"Across {n_cells:,} {held_out} cells, the model's predictions correlate with {n_genes:,} non-TF genes "
        f"at a mean Pearson r of {model['pearson']:.3f}"
    )
    others = table.iloc[1:]
    if others.empty:
        return f"{text}; no baseline was fitted."
    best = others.loc[others["pearson"].idxmax()]
    gap, low, high = best["difference"], best["difference_low"], best["difference_high"]
    name = str(best["method"])
    against = f"the best baseline, {label_of(name)}, at {best['pearson']:.3f}"
    if not np.isfinite(low):
        side = "above" if gap > 0 else "below"
        return f"{text}, {abs(gap):.3f} {side} {against} (no interval: n_bootstrap=0)."
    span = f"(95% interval of the difference {low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"{text}, {gap:.3f} above {against} {span}."
    plain = _as_good(others, name)
    if high < 0:
        return f"{text}, {-gap:.3f} BELOW {against} {span}: prefer the baseline.{plain}"
    return f"{text}, which cannot be told apart from {against} {span}.{plain}"


def _as_good(others: pd.DataFrame, best: str) -> str:
    """Say so if the plainest baseline, a ridge on ATAC components, does as well as the model."""
    row = others[others["method"] == "lsi"]
    if not len(row) or best == "lsi" or row["difference_low"].iloc[0] > 0:
        return ""
    return f" A ridge regression on ATAC components alone is as good, at {row['pearson'].iloc[0]:.3f}."
