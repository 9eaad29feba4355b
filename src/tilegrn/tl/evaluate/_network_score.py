"""Hold a network against a known one, beside simple networks on the same candidates."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from tilegrn._core import check
from tilegrn._core import keys as K
from tilegrn._core.edges_table import as_edges
from tilegrn._core.symbols import find_symbols, warn_ambiguous
from tilegrn._stats.ranking import METRICS, interval_of_mean, rank_metrics
from tilegrn.errors import InputError
from tilegrn.tl.evaluate._link_score import LinkScore, evaluate_links, is_link_table
from tilegrn.tl.evaluate._network_rivals import BASELINES, baseline_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["NetworkScore", "evaluate_network"]

logger = logging.getLogger(__name__)

MODEL = "edges"
"""Name of the judged network in the tables."""


@dataclass(frozen=True, eq=False)
class NetworkScore:
    """What a network is worth against a known one.

    Attributes
    ----------
    table
        One row per network (``"edges"`` and the baselines): ``<metric>_pooled`` over all candidate pairs, and
        ``<metric>_macro`` with ``_low`` and ``_high``: mean over TFs and its 95 % bootstrap interval over TFs.
    per_tf
        One row per network and TF with enough true targets: ``network, source, n_true`` and the metrics.
    differences
        Per baseline: mean over TFs of the difference in AUROC and AUPRC ratio (edges - baseline), with intervals.
    signs
        Share of true edges with the right sign among the best ones (as many as there are true edges), the number it
        was counted on; NaN where the truth has no signs.
    n_candidates, n_true, n_sources, n_targets
        What was judged.

    Examples
    --------
    >>> truth = grn.io.read_network("known.csv")
    >>> score = grn.tl.evaluate_network(mdata, truth, baselines=["motif", "distance"], min_targets=2, n_boot=50)
    >>> score.n_true, score.n_candidates
    (83, 312)
    """

    table: pd.DataFrame
    per_tf: pd.DataFrame
    differences: pd.DataFrame
    signs: tuple[float, int]
    n_candidates: int
    n_true: int
    n_sources: int
    n_targets: int

    def __repr__(self) -> str:
        columns = ["auroc_pooled", "auprc_ratio_pooled", "auroc_macro", "auprc_ratio_macro", "early_precision_macro"]
        head = (
            f"{self.n_true} true of {self.n_candidates} candidate edges ({self.n_sources} TFs x {self.n_targets} genes)"
        )
        shown = self.table[[c for c in columns if c in self.table]]
        return f"{head}\n{shown.round(3).to_string()}"


def evaluate_network(
    edges: MuData | pd.DataFrame,
    truth: pd.DataFrame,
    *,
    mdata: MuData | None = None,
    baselines: Sequence[str] | None = None,
    group: str | None = None,
    targets: Literal["all", "truth"] = "all",
    candidates: pd.DataFrame | None = None,
    min_targets: int = 5,
    n_boot: int = 1000,
    max_cells: int = 2000,
    layer: str | None = None,
    seed: int = 0,
    rna: str = "rna",
    atac: str = "atac",
) -> NetworkScore | LinkScore:
    """Measure how well edges rank the edges of a known network, per TF and pooled, beside simple networks.

    Parameters
    ----------
    edges
        A table ``source, target, score`` (several rows of a pair: the largest counts), or a MuData after
        :func:`edges`. A pair that is not listed scores 0.
    truth
        ``source, target``, optionally ``sign``; from ``grn.io.read_network`` or any table. Or a table of tested
        element-gene pairs, ``chrom, start, end, gene, regulated`` (CRISPRi): then windows are ranked, not TFs.
    mdata
        The data, for baselines and for the candidates; taken from ``edges`` where that is a MuData.
    baselines
        Of ``"correlation", "trees", "motif", "distance", "potential"``; all that the data allow when None.
    group
        Group of cells whose network is judged; None takes the best score over groups.
    targets
        ``"all"``: every gene of the data may be a target; ``"truth"``: genes that are a target in the truth.
    candidates
        Judge these ``source, target`` pairs only.
    min_targets
        TFs with fewer true targets among the candidates get no figures of their own.
    n_boot, seed
        Bootstrap over TFs, or over tested pairs.
    max_cells, layer
        Of the baselines: cells drawn to fit them, and the layer of the RNA counts.
    rna, atac
        Names of the modalities.

    Returns
    -------
    :class:`NetworkScore`, or :class:`LinkScore` for tested element-gene pairs. Candidates are all
    TFs of the truth that are TFs of the data, with all target genes, without self-edges. Letter
    case does not matter where names stay unique.

    Raises
    ------
    InputError
        If truth and data share no edge, or a column is missing.

    Examples
    --------
    >>> truth = grn.io.read_network("known.csv")
    >>> score = grn.tl.evaluate_network(mdata, truth, baselines=["correlation", "distance"], min_targets=2, n_boot=50)
    >>> score.table.index.tolist()
    ['edges', 'correlation', 'distance']
    """
    data = mdata if mdata is not None else (None if isinstance(edges, pd.DataFrame) else edges)
    if is_link_table(truth):
        listed = edges if isinstance(edges, pd.DataFrame) else as_edges(edges, level="triplet")
        return evaluate_links(_of_group(listed, group), truth, mdata=data, rna=rna, atac=atac, n_boot=n_boot, seed=seed)
    table = _of_group(as_edges(edges), group)
    for name, frame in (("truth", truth), ("candidates", candidates)):
        missing = [] if frame is None else [c for c in ("source", "target") if c not in frame.columns]
        if frame is not None and missing:
            msg = f"{name} has no column {missing}; it has {list(map(str, frame.columns))}. See grn.io.read_network."
            raise InputError(msg)
    known = [] if data is None else list(check.modality(data, rna).var_names)
    table = _respelt(table, known, "the edges") if known else table
    own = pd.unique(pd.concat([table["source"].astype(str), table["target"].astype(str)]))
    known += list(own[~pd.Index(own).isin(known)])
    truth = _respelt(truth, known, "the truth")
    candidates = None if candidates is None else _respelt(candidates, known, "the candidates")
    sources, genes = _axes(table, truth, data, targets, rna)
    true = _matrix(truth, sources, genes, None) > 0
    allowed = np.ones(true.shape, dtype=bool) if candidates is None else _matrix(candidates, sources, genes, None) > 0
    itself = pd.Index(genes).get_indexer(pd.Index(sources))
    allowed[np.flatnonzero(itself >= 0), itself[itself >= 0]] = False
    true &= allowed
    if not true.any():
        msg = (
            "No edge of the truth lies among the candidates: check organism and gene names "
            f"(truth e.g. {truth['source'].iloc[0]} -> {truth['target'].iloc[0]}, data e.g. {list(genes[:2])})."
        )
        raise InputError(msg)
    scores = {MODEL: _matrix(table, sources, genes, "score")}
    if data is not None:
        chosen = list(BASELINES if baselines is None else baselines)
        if baselines is None and not _has_binding(data):
            chosen = ["correlation", "trees"]
        columns = data.mod[rna].var_names
        rows, cols = columns.get_indexer(pd.Index(sources)), columns.get_indexer(pd.Index(genes))
        if (rows >= 0).all() and (cols >= 0).all():
            for method in chosen:
                logger.info("Baseline network: %s", method)
                scores[method] = baseline_network(
                    data, method, rows, cols, max_cells=max_cells, seed=seed, layer=layer, rna=rna, atac=atac
                )
    elif baselines:
        msg = "Baselines are made from the data: give mdata=."
        raise InputError(msg)
    return _judge(
        scores, true, allowed, sources, _signs(table, truth, sources, genes, allowed), min_targets, n_boot, seed
    )


def _of_group(table: pd.DataFrame, group: str | None) -> pd.DataFrame:
    if group is None:
        return table
    if "group" not in table or not (table["group"] == group).any():
        msg = f"The edges have no group '{group}'."
        raise InputError(msg)
    return table[table["group"] == group]


def _respelt(table: pd.DataFrame, known: list[str], what: str) -> pd.DataFrame:
    """Spell sources and targets as ``known`` does.

    All that follows compares exactly: among some of the genes only, a name could pass for the other of two that differ
    by letter case.
    """
    names = pd.unique(pd.concat([table["source"].astype(str), table["target"].astype(str)]))
    found = find_symbols(names, known)
    warn_ambiguous(found, what, "the data", "They are left out; spell them as the data do.", stacklevel=3)
    spelt = {n: known[i] for n, i in zip(names, found.position, strict=True) if i >= 0 and known[i] != n}
    if not spelt:
        return table
    return table.assign(
        **{c: table[c].astype(str).map(lambda name: spelt.get(name, name)) for c in ("source", "target")}
    )


def _has_binding(mdata: MuData) -> bool:
    from tilegrn._core import store

    return store.has_record(mdata, K.REC_BINDING) and store.has_record(mdata, K.REC_TSS)


def _axes(
    table: pd.DataFrame, truth: pd.DataFrame, mdata: MuData | None, targets: str, rna: str
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Candidate TFs and target genes, in the spelling of the data."""
    if targets not in ("all", "truth"):
        msg = f"targets='{targets}' must be 'all' or 'truth'."
        raise InputError(msg)
    if mdata is not None:
        adata = check.modality(mdata, rna)
        genes = adata.var_names.to_numpy(dtype=object)
        tfs = genes[adata.var[K.IS_TF].to_numpy(dtype=bool)] if K.IS_TF in adata.var else pd.unique(table["source"])
    else:
        tfs = np.asarray(pd.unique(table["source"].astype(str)), dtype=object)
        genes = np.asarray(pd.unique(table["target"].astype(str)), dtype=object)
    # By name: trees and the bootstrap draw by position, and ties among signs are cut by it.
    tfs, genes = (np.asarray(names, dtype=object) for names in (tfs, genes))
    tfs, genes = tfs[check.by_name(tfs)], genes[check.by_name(genes)]
    sources = tfs[pd.Index(tfs).isin(truth["source"].astype(str))]
    if targets == "truth":
        genes = genes[pd.Index(genes).isin(truth["target"].astype(str))]
    if not len(sources) or not len(genes):
        msg = (
            f"Truth and data share {len(sources)} TFs and {len(genes)} targets: check organism and gene names (truth "
            f"e.g. {list(truth['source'].astype(str)[:2])}, TFs of the data e.g. {list(tfs[:2])})."
        )
        raise InputError(msg)
    return sources, genes


def _matrix(
    table: pd.DataFrame, sources: NDArray[np.object_], genes: NDArray[np.object_], column: str | None
) -> NDArray[np.float32]:
    """Return sources x genes of the largest value of a column (1 without one, or where the table has none)."""
    out = np.zeros((len(sources), len(genes)), dtype=np.float32)
    row_code, row_names = pd.factorize(table["source"].astype(str))
    col_code, col_names = pd.factorize(table["target"].astype(str))
    row, col = pd.Index(sources).get_indexer(row_names)[row_code], pd.Index(genes).get_indexer(col_names)[col_code]
    value = (
        np.abs(table[column].to_numpy(dtype=np.float32))
        if column is not None and column in table
        else np.ones(len(table), dtype=np.float32)
    )
    keep = (row >= 0) & (col >= 0)
    np.maximum.at(out, (row[keep], col[keep]), value[keep])
    return out


def _signs(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    sources: NDArray[np.object_],
    genes: NDArray[np.object_],
    allowed: NDArray[np.bool_],
) -> tuple[float, int]:
    """Share of right signs among true edges that are among the best, as many as there are true ones."""
    if "sign" not in table or "sign" not in truth:
        return float("nan"), 0
    known = truth[truth["sign"].to_numpy() != 0]
    real = _matrix(known[known["sign"] > 0], sources, genes, None) - _matrix(
        known[known["sign"] < 0], sources, genes, None
    )
    up = _matrix(table[table["sign"] > 0], sources, genes, "score")
    down = _matrix(table[table["sign"] < 0], sources, genes, "score")
    score = np.where(allowed, np.maximum(up, down), 0)
    n_true = int(((real != 0) & allowed).sum())
    if n_true == 0:
        return float("nan"), 0
    best = np.argsort(-score, axis=None, kind="stable")[:n_true]
    best = best[(score.ravel()[best] > 0) & (real.ravel()[best] != 0)]
    right = np.sign(up - down).ravel()[best] == np.sign(real).ravel()[best]
    return (float(right.mean()) if len(best) else float("nan")), len(best)


def _judge(
    scores: dict[str, NDArray[np.float32]],
    true: NDArray[np.bool_],
    allowed: NDArray[np.bool_],
    sources: NDArray[np.object_],
    signs: tuple[float, int],
    min_targets: int,
    n_boot: int,
    seed: int,
) -> NetworkScore:
    enough = np.flatnonzero(true.sum(1) >= min_targets)
    rows, per_tf = {}, []
    by_name = {}
    for name, score in scores.items():
        pooled = rank_metrics(score[allowed], true[allowed])
        each = np.array([rank_metrics(score[i][allowed[i]], true[i][allowed[i]]) for i in enough])
        each = each.reshape(len(enough), len(METRICS))
        by_name[name] = each
        row = {f"{m}_pooled": float(v) for m, v in zip(METRICS, pooled, strict=True)}
        for k, m in enumerate(METRICS):
            row[f"{m}_macro"], row[f"{m}_low"], row[f"{m}_high"] = interval_of_mean(
                each[:, k], n_boot=n_boot, seed=seed
            )
        rows[name] = row
        part = pd.DataFrame(each, columns=list(METRICS))
        part.insert(0, "n_true", true.sum(1)[enough])
        part.insert(0, "source", sources[enough])
        part.insert(0, "network", name)
        per_tf.append(part)
    gaps = {}
    for name, each in by_name.items():
        if name == MODEL:
            continue
        row = {}
        for m in ("auroc", "auprc_ratio"):
            k = METRICS.index(m)
            row[m], row[f"{m}_low"], row[f"{m}_high"] = interval_of_mean(
                by_name[MODEL][:, k] - each[:, k], n_boot=n_boot, seed=seed
            )
        gaps[name] = row
    return NetworkScore(
        pd.DataFrame.from_dict(rows, orient="index"),
        pd.concat(per_tf, ignore_index=True),
        pd.DataFrame.from_dict(gaps, orient="index"),
        signs,
        int(allowed.sum()),
        int(true.sum()),
        int(true.shape[0]),
        int(true.shape[1]),
    )
