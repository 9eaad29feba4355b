"""The scorecard: the predicted layer against simple baselines, on cells that no step has seen."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.rows import in_memory
from tilegrn._core.some_cells import values_in_cell
from tilegrn._core.torch_there import needs_torch
from tilegrn._stats import metrics as M
from tilegrn.errors import InputError, MissingStepError
from tilegrn.tl.evaluate import _baselines as B
from tilegrn.tl.evaluate._baseline_data import make_inputs
from tilegrn.tl.evaluate._judged import drawn_cells, predicted_values
from tilegrn.tl.evaluate._report import MODEL, HeldOut, Scorecard, in_words, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows
    from tilegrn.tl.evaluate._baseline_data import BaselineInputs

    Index = NDArray[np.int64]

__all__ = ["BASELINES", "scorecard"]

logger = logging.getLogger(__name__)

BASELINES: Final = (
    "mean",
    "depth",
    "lsi",
    "ridge",
    "low_rank",
    "lightgbm",
    "mlp",
    "deepset",
    "mlp_teacher",
    "deepset_teacher",
)
"""Baselines that :func:`scorecard` can fit."""
USUAL: Final = ("mean", "depth", "lsi", "ridge", "low_rank", "mlp", "deepset_teacher")
"""Those fitted by default, and LightGBM where it is installed."""
_DEPTH_SHARE: Final = 0.8
_MIN_POSITIVE: Final = 5
_MIN_IDENTICAL: Final = 10


def _fit_baseline(name: str, inputs: BaselineInputs, seed: int, n_models: int) -> B.Fitted:
    plain: dict[str, Callable[..., B.Fitted]] = {
        "mean": B.fit_mean,
        "depth": B.fit_depth,
        "lsi": B.fit_lsi,
        "ridge": B.fit_ridge,
        "low_rank": B.fit_low_rank,
    }
    if name in plain:
        return plain[name](inputs, seed=seed)
    if name == "lightgbm":
        return B.fit_lightgbm(inputs, seed=seed, n_models=n_models)
    needs_torch(f"The baseline '{name}'")
    from tilegrn.tl.evaluate import _baseline_nets as nets

    kind, _, teacher = name.partition("_")
    fit = nets.fit_mlp if kind == "mlp" else nets.fit_deepset
    return fit(inputs, seed=seed, n_models=n_models, teacher=bool(teacher))


def identical_cells(counts: sparse.csr_matrix, atac: sparse.csr_matrix, a: Index, b: Index) -> list[tuple[int, int]]:
    """Pairs of rows, one of ``a`` and one of ``b``, whose profiles are the same to the last count.

    Rows with fewer than 10 detected features are left out: two of them may be equal by chance.
    """
    rng = np.random.default_rng(0)
    # Sums of products with integers are exact in float64, so equal rows give equal keys.
    keys = np.column_stack(
        [m.astype(np.float64) @ rng.integers(1, 1 << 31, m.shape[1]).astype(np.float64) for m in (counts, atac, counts)]
    )
    rich = np.diff(counts.indptr) + np.diff(atac.indptr) >= _MIN_IDENTICAL
    first = {tuple(keys[i]): int(i) for i in a if rich[i]}
    return [(first[key], int(j)) for j in b if rich[j] and (key := tuple(keys[j])) in first]


def _warn_leaks(
    counts: sparse.csr_matrix, atac: sparse.csr_matrix, fitted_on: Index, judged: Index, names: pd.Index, split: str
) -> None:
    pairs = identical_cells(counts, atac, fitted_on, judged)
    if pairs:
        i, j = pairs[0]
        warnings.warn(
            f"The split leaks: {len(pairs)} held-out cells have the very counts of a training cell, e.g. '{names[j]}' "
            f"and '{names[i]}' ({split}). Remove the copies, or split by the column that tells them apart.",
            UserWarning,
            stacklevel=3,
        )
    fractional = int((counts.data != np.rint(counts.data)).sum())
    if fractional:
        warnings.warn(
            f"{fractional} RNA values are not whole numbers: they look smoothed or normalised. Smoothing before the "
            "split mixes held-out cells into training cells, and the Poisson metrics need counts: name their layer "
            "with layer=.",
            UserWarning,
            stacklevel=3,
        )


def _warn_depth(table: pd.DataFrame) -> None:
    scores = table.set_index("method")
    model, depth = scores.loc[MODEL, "pearson"], scores.loc["depth", "pearson"]
    low = scores.loc["depth", "difference_low"]
    if depth > 0 and (depth >= _DEPTH_SHARE * model or low <= 0):
        warnings.warn(
            f"Depth alone explains the score: size factor and ATAC depth reach a mean r of {depth:.3f}, the model "
            f"{model:.3f}. The predictions may say how deeply a cell was sequenced and little else.",
            UserWarning,
            stacklevel=3,
        )


def _groups(
    mdata: MuData, groupby: str | None, rna: str, atac: str, names: pd.Index, cells: Index, smallest: int
) -> dict[str, Index]:
    """Judged cells of each group, as positions in ``cells``; a cell without a label is in none."""
    if groupby is None:
        return {}
    labels = check.cell_labels(mdata, groupby, rna, atac, cells=names, missing=True)[cells]
    names, counts = np.unique([v for v in labels if v is not None], return_counts=True)
    return {str(n): np.flatnonzero(labels == n) for n, c in zip(names, counts, strict=True) if c >= smallest}


def _cells_of(labels: NDArray[Any], wanted: str, split: str) -> Index:
    rows = np.flatnonzero(labels == wanted)
    if len(rows) < 3:
        msg = (
            f"mdata.obs['{split}'] marks {len(rows)} cells as '{wanted}'; at least 3 are needed to correlate over. "
            f"Run {store.CALLS[K.REC_SPLIT]}, or choose other cells=."
        )
        raise InputError(msg)
    return rows


def scorecard(
    mdata: MuData,
    *,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
    predicted: str | AnnData = K.PREDICTED,
    split: str = K.SPLIT,
    cells: str = K.TEST,
    baselines: Sequence[str] | None = None,
    groupby: str | None = None,
    min_group_cells: int = 200,
    metacell_size: int = 50,
    n_models: int | None = None,
    max_cells: int = 5000,
    n_bootstrap: int = 1000,
    resample: str = "cells",
    seed: int = 0,
) -> Scorecard:
    """Judge the predicted layer on held-out cells, beside baselines fitted here on the training cells.

    Correlations are per gene across cells, because over cells and genes together the gene means decide. All methods are
    judged on the same cells and genes: genes that the model predicts and that at least five of the judged cells
    express. A correlation that does not exist (constant prediction) counts as 0.

    Parameters
    ----------
    mdata
        Multiome data with a predicted layer and a split into train, val and test cells.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers of the raw counts; X when None.
    predicted
        Layer of the RNA with the expected log1p(counts / size factor), or what :func:`predict_file` wrote, opened.
    split
        Column of ``mdata.obs`` with ``train``, ``val``, ``test``.
    cells
        Which part to judge.
    baselines
        Any of ``"mean"`` (the gene's training mean), ``"depth"`` (size factor and ATAC depth), ``"lsi"`` (ridge on 12
        to 50 ATAC components and depths), ``"ridge"`` (TFs, 50 ATAC components, depths), ``"low_rank"`` (the same of
        reduced rank), ``"lightgbm"``, ``"mlp"``, ``"deepset"`` (a perceptron that sums over open windows), and
        ``"mlp_teacher"``, ``"deepset_teacher"`` (trained on targets that are softened as the model's are: in deep cells
        not at all). They are fitted on the training cells and tuned on the validation cells. By default
        ``mean``, ``depth``, ``lsi``, ``ridge``, ``low_rank``, ``mlp``, ``deepset_teacher``, and ``lightgbm`` if it is
        installed. ``"depth"`` is always added.
    groupby
        Column of ``obs`` (cell type) within whose groups to correlate as well.
    min_group_cells
        Smallest group of judged cells used by ``groupby``.
    metacell_size
        Judged cells per metacell; these are grouped by their ATAC alone, so that RNA noise does not choose them.
    n_models
        Seeds averaged in the trained baselines; as many as the model has when None.
    max_cells
        Judged cells: of more, so many are drawn (the sentence and ``parameters["n_cells"]`` tell how many). Baselines
        are fitted on at most four times as many training cells, and on fewer of everything where cells have very many
        open peaks.
    n_bootstrap
        Resamplings behind the 95 % intervals of the model's lead; 0 for none.
    resample
        ``"cells"``: the interval is about other cells like these (the question that held-out cells answer).
        ``"genes"``: about other genes, given these cells. Cells of one library are not independent; when few libraries
        are held out, compare them.
    seed
        Of the baselines and the resampling.

    Returns
    -------
    A :class:`Scorecard`: ``table``, ``per_gene``, ``per_group``, ``sentence``, ``to_csv``. The same is kept in
    ``mdata.uns["tilegrn"]["scorecard"]``, where :func:`tilegrn.pl.scorecard` finds it.

    Raises
    ------
    MissingStepError
        Without a predicted layer, a split, or marked TFs.
    StaleError
        If peaks changed since ``bin_peaks`` (baselines read the windows).
    InputError
        On unknown baselines or columns, or when no gene or too few cells can be judged.
    ToolError
        If a baseline needs torch, which is not installed.

    Warns
    -----
    UserWarning
        When depth alone explains the score; when a held-out cell has a twin among the training cells; when RNA values
        are not whole numbers; when judged cells without RNA are left out.

    Examples
    --------
    >>> card = grn.tl.scorecard(mdata, baselines=["mean", "lsi", "ridge"], n_bootstrap=100)
    >>> card.best_baseline
    'ridge'
    >>> worst = card.per_gene.sort_values("pearson_model").head()
    """
    if baselines is None:
        baselines = (*USUAL, *(["lightgbm"] if find_spec("lightgbm") else []))
    unknown = [b for b in baselines if b not in BASELINES]
    if unknown or resample not in ("cells", "genes"):
        msg = (
            f"baselines={unknown} are unknown; there are {list(BASELINES)}."
            if unknown
            else f"resample='{resample}' must be 'cells' or 'genes'."
        )
        raise InputError(msg)
    adata, other = check.paired(mdata, rna, atac)
    values = predicted_values(adata, rna, predicted)
    if K.IS_TF not in adata.var:
        call = store.CALLS[K.REC_BINDING]
        msg = f"{rna}.var['{K.IS_TF}'] is missing. Run {call}, or grn.pp.mark_tfs(mdata, tfs), first."
        raise MissingStepError(msg)
    # By name, so that no draw depends on the order of cells and genes.
    by_cell, by_gene = check.by_name(adata.obs_names), check.by_name(adata.var_names)
    labels = store.split_labels(mdata, adata.obs_names[by_cell], split)
    if labels is None:
        msg = f"mdata.obs['{split}'] is missing. Run {store.CALLS[K.REC_SPLIT]} first."
        raise MissingStepError(msg)
    _cells_of(labels, cells, split)
    access_rows = check.count_rows(other, atac, atac_layer, integer=False, look=False)
    some = drawn_cells(labels, cells, values_in_cell(access_rows), max_cells, seed)
    by_cell, labels = by_cell[some], labels[some]
    names = adata.obs_names[by_cell]
    judged = _cells_of(labels, cells, split)
    counts = in_memory(check.count_rows(adata, rna, layer, integer=False, look=False), by_cell)[:, by_gene]
    access = in_memory(access_rows, by_cell)[:, check.by_name(other.var_names)]
    has_rna = np.asarray(counts.sum(axis=1)).ravel() > 0
    if not has_rna[judged].all():
        n = int((~has_rna[judged]).sum())
        warnings.warn(f"{n} judged cells have no RNA counts and are left out.", UserWarning, stacklevel=2)
        judged = judged[has_rna[judged]]
    train, val = (np.flatnonzero((labels == part) & has_rna) for part in (K.TRAIN, K.VAL))
    layer_values = values.of(by_cell[judged])[:, by_gene]
    groups = _groups(mdata, groupby, rna, atac, names, judged, min_group_cells)
    n_positive = np.asarray((counts[judged] > 0).sum(axis=0)).ravel()
    genes = np.flatnonzero((n_positive >= _MIN_POSITIVE) & ~np.isnan(layer_values[0]))
    is_tf = adata.var[K.IS_TF].to_numpy(dtype=bool)[by_gene]
    if not (~is_tf[genes]).any():
        msg = f"No predicted non-TF gene is expressed in at least {_MIN_POSITIVE} of the {len(judged)} judged cells."
        raise InputError(msg)
    _warn_leaks(counts, access, np.setdiff1d(np.concatenate([train, val]), judged), judged, names, split)

    fit_record = store.get_record(mdata, K.REC_TRAIN) if store.has_record(mdata, K.REC_TRAIN) else {}
    predict_record = store.get_record(mdata, K.REC_PREDICT) if store.has_record(mdata, K.REC_PREDICT) else {}
    if n_models is None:
        n_models = int(fit_record.get("n_models", 1))
    reference = predict_record.get("median_depth") if values.median_depth is None else values.median_depth
    windows = _window_access(mdata, atac)
    inputs = make_inputs(
        counts,
        access if windows is None else in_memory(windows, by_cell),
        is_tf,
        (train, val, judged),
        reference_depth=None if reference is None else float(reference),
    )
    sf = inputs.size_factor[judged]
    held = HeldOut(
        counts=sparse.csc_matrix(counts[judged]),
        logged=sparse.csc_matrix(inputs.logged[judged]),
        size_factor=sf,
        genes=genes,
        is_tf=is_tf,
        train_logged=np.asarray(inputs.logged[train].mean(axis=0)).ravel(),
        train_rate=inputs.mean_rate,
        groups=groups,
        metacells=M.balanced_groups(inputs.context[judged, :-2], metacell_size),
        min_positive=_MIN_POSITIVE,
    )

    def from_layer(columns: Index) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        values = layer_values[:, columns]
        return values, M.implied_mean(values, sf)

    fitted: dict[str, B.Fitted] = {}
    for name in dict.fromkeys([*baselines, "depth"]):
        fitted[name] = _fit_baseline(name, inputs, seed, n_models)
        logger.info("Baseline %s: %.1f s", name, fitted[name].seconds)
        chosen = ", ".join(f"{what} {value:.3g}" for what, value in fitted[name].chosen.items())
        logger.debug("Baseline %s chose %s", name, chosen or "nothing")
    methods = {MODEL: from_layer}
    for name, fit in fitted.items():
        methods[name] = cast("Any", lambda columns, fit=fit: fit.predict(columns, sf))
    table, per_gene, per_group = judge(held, methods, n_bootstrap=n_bootstrap, resample=resample, seed=seed)
    table["seconds"] = [float(fit_record.get("seconds", np.nan)), *(f.seconds for f in fitted.values())]

    n_plain = int((~is_tf[genes]).sum())
    held_out = {K.TEST: "held-out", K.VAL: "validation", K.TRAIN: "TRAINING"}[cells]
    card = Scorecard(
        table=table,
        per_gene=_gene_table(adata.var_names[by_gene], is_tf, n_positive, genes, list(methods), per_gene).iloc[
            np.argsort(by_gene)
        ],
        per_group=per_group,
        sentence=in_words(table, n_cells=len(judged), n_genes=n_plain, held_out=held_out),
        parameters={
            "layer": values.name,
            "cells": cells,
            "split": split,
            "groupby": groupby or "",
            "n_cells": len(judged),
            "n_train": len(train),
            "n_val": len(val),
            "n_genes": n_plain,
            "n_tfs": int(is_tf[genes].sum()),
            "n_unpredictable": int(np.isnan(layer_values[0]).sum()),
            "min_positive": _MIN_POSITIVE,
            "n_models": n_models,
            "n_bootstrap": n_bootstrap,
            "resample": resample,
            "seed": seed,
            **{f"{name}_{k}": v for name, f in fitted.items() for k, v in f.chosen.items()},
        },
    )
    store.put_record(mdata, K.REC_SCORECARD, card.to_record())
    logger.info(card.sentence)
    _warn_depth(table)
    return card


def _window_access(mdata: MuData, atac: str) -> Rows | None:
    """Cells x occupied windows when they are there and fit the peaks; the peaks do as well."""
    if not store.has_record(mdata, K.REC_GRID):
        return None
    return store.window_rows(mdata, atac, np.unique(store.peak_windows(mdata, atac).indices).astype(np.int64))


def _gene_table(
    names: pd.Index,
    is_tf: NDArray[np.bool_],
    n_positive: NDArray[Any],
    genes: Index,
    methods: list[str],
    scores: dict[str, NDArray[Any]],
) -> pd.DataFrame:
    scored = np.zeros(len(names), dtype=bool)
    scored[genes] = True
    columns = {f"{kind}_{m}": scores[kind][i] for i, m in enumerate(methods) for kind in ("pearson", "spearman")}
    frame = {"is_tf": is_tf, "n_positive": n_positive.astype(np.int64), "scored": scored, **columns}
    return pd.DataFrame(frame, index=pd.Index(names.astype(str), name="gene"))
