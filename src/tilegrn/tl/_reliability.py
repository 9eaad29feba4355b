"""Whether the spread over networks tells the size of the error: predicted against observed, on held-out cells."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from tilegrn import _check, _store
from tilegrn import _keys as K
from tilegrn import _metrics as M
from tilegrn._poisson import excess_share, variance_log1p
from tilegrn.errors import InputError, MissingStepError, StaleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray
    from scipy import sparse

    Float = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Reliability", "reliability"]

logger = logging.getLogger(__name__)

_PAIRS: Final = 1 << 20
"""Gene-cell pairs worked on at once, and the most that are ranked."""
_STRATA: Final = 50
"""Classes of about equal mean count within which larger and smaller spread are compared."""


@dataclass
class Reliability:
    """How the predicted error compares with the observed one.

    Attributes
    ----------
    table
        One row per bin of predicted spread, smallest first; means over its gene-cell pairs, in squared log1p units:
        ``n_pairs``; ``spread_variance`` of the prediction (the squared layer); ``poisson_variance`` of the observation;
        ``expected_excess``, what ``spread_variance`` should add to squared errors; ``squared_error``; ``excess``
        (``squared_error`` minus ``poisson_variance``); roots ``predicted_rms`` (of Poisson variance plus expected
        excess), ``poisson_rms``, ``observed_rms``. ``squared_error``, ``excess`` and ``observed_rms`` have 95 %
        intervals over cells in ``*_low`` and ``*_high``.
    sentence
        The result in words.
    parameters
        Arguments and numbers over all pairs: ``calibrated``, ``spread_factor``, ``rms_ratio`` (predicted over observed
        RMS error) and ``rms_ratio_poisson``; ``accounted`` (expected over observed excess); ``excess_upper`` and
        ``excess_lower`` (excess error per Poisson variance of the half of pairs with larger and with smaller spread for
        their Poisson variance, at equal mean counts) and ``excess_gap``, their difference, with its interval;
        ``spearman_spread``, ``spearman_poisson`` with the squared Pearson residual.
    """

    table: pd.DataFrame
    sentence: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_csv(self, path: str | PathLike[str], *, index: bool = False) -> None:
        """Write the table as CSV."""
        self.table.to_csv(path, index=index)

    def __repr__(self) -> str:
        with pd.option_context("display.width", 200, "display.max_columns", None):
            return f"{self.sentence}\n\n{self.table.T.to_string(float_format='{:.3g}'.format)}"

    def to_record(self) -> dict[str, Any]:
        """Return flat arrays, strings and numbers, as ``mdata.uns`` keeps them."""
        columns = {f"table:{c}": self.table[c].to_numpy() for c in self.table}
        return {"sentence": self.sentence, "columns": ",".join(self.table), **self.parameters, **columns}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Reliability:
        """Rebuild what :meth:`to_record` made."""
        names = str(record["columns"]).split(",")
        table = pd.DataFrame({c: np.asarray(record[f"table:{c}"]) for c in names})
        known = {"sentence", "columns", *(f"table:{c}" for c in names)}
        return cls(table, str(record["sentence"]), {k: v for k, v in record.items() if k not in known})


def reliability(
    mdata: MuData,
    *,
    rna: str = "rna",
    layer: str | None = None,
    predicted: str = K.PREDICTED,
    split: str = K.SPLIT,
    cells: str = K.TEST,
    n_bins: int = 10,
    n_bootstrap: int = 500,
    seed: int = 0,
    key_added: str = K.REC_RELIABILITY,
) -> Reliability:
    """Hold the predicted spread against the errors that held-out cells show.

    Gene-cell pairs of genes that are no TFs are sorted by predicted spread into bins of equal size. A squared error
    consists of counting noise, which the predicted mean fixes, and of the error of the prediction, which the spread
    should tell. On the log scale the second shows by less than its variance where counts are few; the expected excess
    allows for it.

    Parameters
    ----------
    mdata
        With predictions of a model of several networks, and a split.
    rna
        Name of the modality.
    layer
        Layer of the raw counts; X when None.
    predicted
        Layer of the predictions; their spread is in ``<predicted>_sd``.
    split
        Column of ``mdata.obs`` with ``train``, ``val``, ``test``.
    cells
        Which part to judge. The factor of the spread was fitted on ``val``.
    n_bins
        Bins of predicted spread; pairs of equal spread stay together.
    n_bootstrap
        Resamplings of the cells behind the 95 % intervals; 0 for none.
    seed
        Of the resampling, and of the pairs that are ranked where there are more than a million.
    key_added
        Record of ``mdata.uns["tilegrn"]`` to write.

    Returns
    -------
    A :class:`Reliability`: ``table``, ``sentence``, ``parameters``, ``to_csv``. The same is kept in
    ``mdata.uns["tilegrn"][key_added]``, where :func:`tilegrn.pl.reliability` finds it.

    Raises
    ------
    MissingStepError
        Without predictions, their spread, a split, or marked TFs.
    StaleError
        If there are cells that were not there when predictions were made.
    InputError
        If no gene or too few cells can be judged, or arguments are out of range.

    Warns
    -----
    UserWarning
        When the spread is not calibrated; when judged cells without RNA are left out.
    """
    if n_bins < 1 or n_bootstrap < 0:
        msg = f"n_bins={n_bins} must be at least 1, and n_bootstrap={n_bootstrap} at least 0."
        raise InputError(msg)
    adata = _check.modality(mdata, rna)
    record = _layers(mdata, adata, rna, predicted)
    labels = _store.split_labels(mdata, adata.obs_names, split)
    if labels is None:
        msg = f"mdata.obs['{split}'] is missing. Run {_store.CALLS[K.REC_SPLIT]} first."
        raise MissingStepError(msg)
    counts = _check.counts(adata, rna, layer, integer=False, warn_empty=False)
    order = _check.by_name(adata.obs_names)
    rows = order[labels[order] == cells]
    has_rna = np.diff(counts.indptr)[rows] > 0
    if not has_rna.all():
        msg = f"{int((~has_rna).sum())} judged cells have no RNA counts and are left out."
        warnings.warn(msg, UserWarning, stacklevel=2)
        rows = rows[has_rna]
    if len(rows) < 3:
        msg = (
            f"mdata.obs['{split}'] marks {len(rows)} cells with RNA as '{cells}'; at least 3 are needed. "
            f"Run {_store.CALLS[K.REC_SPLIT]}, or choose other cells=."
        )
        raise InputError(msg)
    size = _size_factors(record, adata)[rows]
    p, sd = adata.layers[predicted], adata.layers[f"{predicted}_sd"]
    usable = np.isfinite(np.asarray(p[rows])).all(axis=0) & np.isfinite(np.asarray(sd[rows])).all(axis=0)
    genes = _check.by_name(adata.var_names)  # pairs are drawn where there are many
    genes = genes[(usable & ~adata.var[K.IS_TF].to_numpy(dtype=bool))[genes]]
    if not len(genes):
        msg = f"No gene that is no TF is predicted in all of the {len(rows)} judged cells."
        raise InputError(msg)
    calibrated = bool(record.get("calibrated", False))
    if not calibrated:
        warnings.warn(
            "The spread is not calibrated: the model was trained without validation cells, by an older tilegrn, or "
            "those cells showed no error beyond counting noise. Train with a split that has 'val' cells, then predict.",
            UserWarning,
            stacklevel=2,
        )
    spread = np.asarray(sd[rows][:, genes], dtype=np.float32)
    parts = _variances(counts[rows][:, genes], np.asarray(p[rows][:, genes]), spread, size)
    table, values = _summarise(spread, *parts, n_bins=n_bins, n_bootstrap=n_bootstrap, seed=seed)
    values |= {
        "layer": predicted,
        "cells": cells,
        "split": split,
        "n_cells": len(rows),
        "n_genes": len(genes),
        "n_networks": int(record.get("n_networks", 0)),
        "calibrated": calibrated,
        "spread_factor": float(record.get("spread_factor", 1.0)),
        "n_bootstrap": n_bootstrap,
        "seed": seed,
    }
    result = Reliability(table, _in_words(table, values), values)
    _store.put_record(mdata, key_added, result.to_record())
    logger.info(result.sentence)
    return result


def _layers(mdata: MuData, adata: AnnData, rna: str, predicted: str) -> dict[str, Any]:
    """Check what must be there and return the record of the predictions."""
    if predicted not in adata.layers:
        msg = f"{rna}.layers['{predicted}'] is missing. Run {_store.CALLS[K.REC_PREDICT]} first."
        raise MissingStepError(msg)
    if f"{predicted}_sd" not in adata.layers:
        msg = (
            f"{rna}.layers['{predicted}_sd'] is missing: a model of one network has no spread. Run "
            f"grn.tl.train(mdata, n_models=5), then {_store.CALLS[K.REC_PREDICT]}."
        )
        raise MissingStepError(msg)
    if K.IS_TF not in adata.var:
        call = _store.CALLS[K.REC_BINDING]
        msg = f"{rna}.var['{K.IS_TF}'] is missing. Run {call}, or grn.pp.mark_tfs(mdata, tfs), first."
        raise MissingStepError(msg)
    return _store.get_record(mdata, K.REC_PREDICT)


def _size_factors(record: Mapping[str, Any], adata: AnnData) -> Float:
    """Size factors that the predictions were made with, brought to the cells of now by name."""
    size = np.asarray(record["size_factor"], dtype=np.float64)
    if "cells" in record:
        names = pd.Index(np.asarray(record["cells"]).astype(str))
        at = names.get_indexer(adata.obs_names.astype(str))
        size = size[at]
        lost = int((at < 0).sum())
    else:
        lost = abs(len(size) - adata.n_obs)
    if lost:
        msg = f"{lost} cells have no size factor from the predictions. Run {_store.CALLS[K.REC_PREDICT]} again."
        raise StaleError(msg)
    return size


def _variances(
    counts: sparse.csr_matrix, p: NDArray[Any], sd: NDArray[np.float32], size: Float
) -> tuple[NDArray[np.float32], ...]:
    """Mean count, Poisson variance, expected excess and squared error of each pair, float32, some cells at a time."""
    out = tuple(np.empty(p.shape, dtype=np.float32) for _ in range(4))
    step = max(1, _PAIRS // p.shape[1])
    for first in range(0, len(size), step):
        part = slice(first, first + step)
        out[0][part] = M.implied_mean(p[part], size[part])
        rate = out[0][part] / size[part, None]
        observed = M.normalised_log1p(counts[part], size[part]).toarray()
        out[1][part] = variance_log1p(rate, size[part])
        out[2][part] = excess_share(rate, size[part]) * sd[part].astype(np.float64) ** 2
        out[3][part] = (observed - p[part]) ** 2
    return out


def _cell_sums(group: NDArray[Any], n_groups: int, values: NDArray[np.float32]) -> Float:
    """Return sums per cell and group of values given for each cell and gene."""
    n_cells, n_genes = values.shape
    out = np.empty((n_cells, n_groups))
    step = max(1, _PAIRS // n_genes)
    for first in range(0, n_cells, step):
        part = group[first : first + step].astype(np.int64)
        part = part + n_groups * np.arange(len(part))[:, None]
        sums = np.bincount(part.ravel(), values[first : first + step].ravel(), minlength=n_groups * len(part))
        out[first : first + step] = sums.reshape(len(part), n_groups)
    return out


def _halves(spread: NDArray[np.float32], mean: NDArray[np.float32], poisson: NDArray[np.float32]) -> NDArray[np.int8]:
    """Mark with 1 the pairs whose spread, for their Poisson variance, is above the median at their mean count.

    Seen against the Poisson standard deviation, spread no longer depends on the size factor through the logarithm.
    """
    out = np.zeros(spread.size, dtype=np.int8)
    flat = (spread / np.sqrt(np.maximum(poisson, 1e-30))).ravel()
    for stratum in np.array_split(np.argsort(mean, axis=None, kind="stable"), _STRATA):
        if len(stratum):
            out[stratum] = flat[stratum] > np.median(flat[stratum])
    return out.reshape(spread.shape)


def _summarise(
    spread: NDArray[np.float32],
    mean: NDArray[np.float32],
    poisson: NDArray[np.float32],
    expected: NDArray[np.float32],
    error: NDArray[np.float32],
    *,
    n_bins: int,
    n_bootstrap: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Table of bins, and numbers over all pairs; arrays are cells x genes."""
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(spread, np.arange(1, n_bins) / n_bins))
    bins = np.searchsorted(edges, spread, side="right").astype(np.int16)
    n_bins = len(edges) + 1
    ones = np.ones_like(spread)
    n, v, s, x, e = (_cell_sums(bins, n_bins, a) for a in (ones, poisson, spread**2, expected, error))
    halves = _halves(spread, mean, poisson)
    half_v, half_e = _cell_sums(halves, 2, poisson), _cell_sums(halves, 2, error)
    n_cells = len(spread)
    draws = rng.multinomial(n_cells, np.full(n_cells, 1.0 / n_cells), size=n_bootstrap).astype(np.float64)

    used = n.sum(axis=0) > 0
    table: dict[str, NDArray[Any]] = {"n_pairs": n.sum(axis=0)[used].astype(np.int64)}
    sums = {"spread_variance": s, "poisson_variance": v, "expected_excess": x, "squared_error": e, "excess": e - v}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, each in sums.items():
            table[name] = (each.sum(axis=0) / n.sum(axis=0))[used]
            if name in ("squared_error", "excess"):
                drawn = ((draws @ each) / (draws @ n))[:, used]
                ends = [_interval(d, m) for d, m in zip(drawn.T, table[name], strict=True)]
                table[f"{name}_low"], table[f"{name}_high"] = np.array(ends).T
    table["predicted_rms"] = np.sqrt(np.maximum(table["poisson_variance"] + table["expected_excess"], 0.0))
    table["poisson_rms"] = np.sqrt(table["poisson_variance"])
    table["observed_rms"] = np.sqrt(table["squared_error"])
    for end in ("low", "high"):
        table[f"observed_rms_{end}"] = np.sqrt(np.maximum(table[f"squared_error_{end}"], 0.0))

    ratio, low, high = np.full(2, np.nan), np.nan, np.nan
    if (half_v > 0).any(axis=0).all():  # not where the spread is the same everywhere
        ratio = half_e.sum(axis=0) / half_v.sum(axis=0) - 1.0
        drawn = (draws @ half_e) / np.maximum(draws @ half_v, 1e-300)
        low, high = _interval(drawn[:, 1] - drawn[:, 0], float(ratio[1] - ratio[0]))
    pick = rng.choice(spread.size, _PAIRS, replace=False) if spread.size > _PAIRS else slice(None)
    residual = (error.ravel()[pick] / np.maximum(poisson.ravel()[pick], 1e-30))[:, None]
    total_v, total_x, total_e = float(v.sum()), float(x.sum()), float(e.sum())
    values = {
        "rms_ratio": float(np.sqrt(max(total_v + total_x, 0.0) / total_e)),
        "rms_ratio_poisson": float(np.sqrt(total_v / total_e)),
        "accounted": total_x / (total_e - total_v) if total_e > total_v else float("nan"),
        "excess_upper": float(ratio[1]),
        "excess_lower": float(ratio[0]),
        "excess_gap": float(ratio[1] - ratio[0]),
        "excess_gap_low": low,
        "excess_gap_high": high,
        "spearman_spread": float(M.spearman(residual, spread.ravel()[pick][:, None])[0]),
        "spearman_poisson": float(M.spearman(residual, poisson.ravel()[pick][:, None])[0]),
    }
    return pd.DataFrame(table), values


def _interval(drawn: Float, estimate: float) -> tuple[float, float]:
    return M.interval(drawn, estimate) if len(drawn) else (float("nan"), float("nan"))


def _in_words(table: pd.DataFrame, values: Mapping[str, Any]) -> str:
    part = {K.TEST: "held-out", K.VAL: "validation", K.TRAIN: "TRAINING"}.get(str(values["cells"]), "")
    each = table["predicted_rms"] / table["observed_rms"]
    kind = "calibrated" if values["calibrated"] else "UNCALIBRATED"
    text = (
        f"Across {values['n_cells']:,} {part} cells and {values['n_genes']:,} non-TF genes, counting noise and the "
        f"{kind} spread predict {values['rms_ratio']:.3f} times the observed RMS error "
        f"({each.min():.3f} to {each.max():.3f} over {len(table)} bins; "
        f"counting noise alone {values['rms_ratio_poisson']:.3f})"
    )
    if np.isfinite(values["accounted"]):
        text += f", {values['accounted']:.2f} times the error beyond counting noise"
    low, high = values["excess_gap_low"], values["excess_gap_high"]
    halves = f"{values['excess_upper']:+.3f} against {values['excess_lower']:+.3f} of the counting variance"
    if not np.isfinite(values["excess_gap"]):
        finding = "the spread is the same everywhere"
    elif not np.isfinite(low):
        finding = f"at equal mean counts, larger spread goes with an excess error of {halves} (no interval)"
    elif low > 0:
        finding = f"at equal mean counts, larger spread goes with larger error ({halves})"
    elif high < 0:
        finding = f"at equal mean counts, larger spread goes with SMALLER error ({halves}): do not rank by it"
    else:
        finding = f"at equal mean counts, larger spread cannot be shown to go with larger error ({halves})"
    return (
        f"{text}; {finding}; with the squared Pearson residual the spread ranks at Spearman "
        f"{values['spearman_spread']:.2f}, the Poisson variance alone at {values['spearman_poisson']:.2f}."
    )
