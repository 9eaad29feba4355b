"""Tested element-gene pairs (CRISPRi), and what links or edges are worth against them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.chroms import pair_chroms
from tilegrn._core.rows import column_sums
from tilegrn._core.symbols import find_symbols, match_symbols, warn_ambiguous
from tilegrn._stats.ranking import METRICS, rank_metrics
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid

__all__ = ["LinkScore", "evaluate_links", "is_link_table"]

_COLUMNS = ("chrom", "start", "end", "gene", "regulated")
_SPAN = r"^(.+?)[:\-](\d+)-(\d+)$"


@dataclass(frozen=True, eq=False)
class LinkScore:
    """What element-gene scores are worth against tested pairs.

    Attributes
    ----------
    table
        One row per method (``"edges"``, ``"distance"``, ``"distance x accessibility"``): AUROC, AUPRC, its ratio to
        chance, early precision; ``auprc_low`` and ``auprc_high``: 95 % bootstrap interval over pairs.
    pairs
        The tested pairs that were judged, with the score of each method.
    n_true
        How many of them are regulated.

    Examples
    --------
    >>> tested = grn.io.read_crispri("elements.csv")
    >>> score = grn.tl.evaluate_network(mdata, tested, group="all", n_boot=50)
    >>> score.table.index.tolist()
    ['edges', 'distance', 'distance x accessibility']
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    n_true: int

    def __repr__(self) -> str:
        return f"{self.n_true} regulated of {len(self.pairs)} tested pairs\n{self.table.round(3).to_string()}"


def is_link_table(truth: pd.DataFrame) -> bool:
    """Tell whether a truth lists element-gene pairs."""
    return {"chrom", "start", "end", "gene"} <= set(map(str, truth.columns))


def evaluate_links(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    mdata: MuData | None,
    rna: str = "rna",
    atac: str = "atac",
    n_boot: int = 500,
    seed: int = 0,
) -> LinkScore:
    """Rank tested element-gene pairs by the windows or peaks that an element touches.

    To score the pairs themselves, whether or not anything touches them, use :func:`tilegrn.tl.score_pairs`.

    Parameters
    ----------
    table
        ``cre`` (a window) or ``peak``, ``target, score``, and any number of sources: scores of a place and gene are
        added up.
    truth
        ``chrom, start, end`` (bp, half-open), ``gene``, ``regulated`` (bool or 0/1). Chromosomes may be called ``1`` or
        ``chr1``, whatever the data call them.
    mdata
        Data with ``bin_peaks`` and ``tss_distance``, for the baselines; without it there are none.

    Raises
    ------
    InputError
        If a column is missing, or no tested pair is in the data or on a chromosome of theirs.
    """
    missing = [c for c in _COLUMNS if c not in truth.columns]
    if missing:
        msg = f"The table of tested pairs has no column {missing}; it needs {list(_COLUMNS)}."
        raise InputError(msg)
    if not {"cre", "peak"} & set(table.columns) or "score" not in table:
        msg = "To rank elements the edges need the columns 'cre' and 'score': use the triplets, or grn.tl.links."
        raise InputError(msg)
    pairs = truth.reset_index(drop=True).copy()
    listed = pd.unique(table["target"].astype(str))
    known = listed
    if mdata is not None:
        placed = np.unique(np.asarray(store.get_record(mdata, K.REC_TSS)["gene"], dtype=object))
        known = pd.Index(placed).union(check.modality(mdata, rna).var_names, sort=False).to_numpy(dtype=object)
    found = find_symbols(pairs["gene"].astype(str), known)
    warn_ambiguous(found, "the tested pairs", "the data", "Spell them as the data do.", stacklevel=3)
    names = np.array([known[i] if i >= 0 else "" for i in found.position], dtype=object)
    spelt = {t: known[i] for t, i in zip(listed, match_symbols(listed, known), strict=True) if i >= 0 and known[i] != t}
    if spelt:
        table = table.assign(target=table["target"].astype(str).map(lambda name: spelt.get(name, name)))
    if mdata is not None:
        there = np.isin(names, placed)
        if not there.all():
            lost = int((~there).sum())
            msg = f"{lost} of {len(pairs)} tested pairs have a gene without a TSS in the data and are left out."
            warnings.warn(msg, UserWarning, stacklevel=3)
            pairs, names = pairs[there].reset_index(drop=True), names[there]
    if len(pairs):
        pairs, names, table = _on_chromosomes(pairs, names, table, None if mdata is None else store.get_grid(mdata))
    if not len(pairs):
        msg = "No tested pair is in the data: check organism, assembly and gene names."
        raise InputError(msg)
    pairs["edges"] = _best(table, pairs, names)
    methods = ["edges"]
    if mdata is not None:
        pairs["distance"], pairs["distance x accessibility"] = _baselines(mdata, pairs, names, atac)
        methods += ["distance", "distance x accessibility"]
    true = pairs["regulated"].to_numpy().astype(bool)
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(true), size=len(true)) for _ in range(n_boot)]
    rows = {}
    for method in methods:
        score = pairs[method].to_numpy(dtype=np.float64)
        row = dict(zip(METRICS, map(float, rank_metrics(score, true)), strict=True))
        again = np.array([rank_metrics(score[d], true[d])[METRICS.index("auprc")] for d in draws])
        again = again[np.isfinite(again)]
        if len(again):
            row["auprc_low"], row["auprc_high"] = (float(q) for q in np.quantile(again, [0.025, 0.975]))
        rows[method] = row
    return LinkScore(pd.DataFrame.from_dict(rows, orient="index"), pairs, int(true.sum()))


def _on_chromosomes(
    pairs: pd.DataFrame, names: NDArray[np.object_], table: pd.DataFrame, grid: Grid | None
) -> tuple[pd.DataFrame, NDArray[np.object_], pd.DataFrame]:
    """Name chromosomes of pairs and windows as the data do (``1`` as ``chr1``); leave out pairs on none of theirs.

    Without data the windows of the edges say what chromosomes are called, but not which there are.
    """
    column = "cre" if "cre" in table else "peak"
    cre = table[column].astype(str)
    listed = pd.unique(cre)
    span = pd.Series(listed).str.extract(_SPAN)[0].to_numpy(dtype=object)
    own = [str(c) for c in pd.unique(span[~pd.isna(span)])]
    known = own if grid is None else [str(c) for c in grid.chroms]
    called = pair_chroms(own, known, "window", total=False)
    if own and not called:
        msg = f"No window of the edges is on a chromosome of the data: '{listed[0]}', there are e.g. {known[:3]}."
        raise InputError(msg)
    if any(c != k for c, k in called.items()):
        heads = zip(listed, span, strict=True)
        renamed = {w: f"{called[c]}{w[len(c) :]}" for w, c in heads if c in called}
        table = table.assign(**{column: cre.map(lambda w: renamed.get(w, w)).to_numpy()})
    chrom = pairs["chrom"].astype(str)
    called = pair_chroms(pd.unique(chrom), known, "tested pair", total=False)
    there = chrom.isin(list(called)).to_numpy()
    if not there.any():
        msg = (
            f"No tested pair is on a chromosome of the {'edges' if grid is None else 'data'}: pairs on e.g. "
            f"'{chrom.iloc[0]}', there are e.g. {known[:3]}. Check the assembly."
        )
        raise InputError(msg)
    if grid is None:
        return pairs.assign(chrom=chrom.map(lambda c: called.get(c, c))), names, table
    if not there.all():
        msg = (
            f"{int((~there).sum())} of {len(pairs)} tested pairs are on chromosomes that the data do not have, e.g. "
            f"'{chrom[~there].iloc[0]}', and are left out."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)
    pairs = pairs.assign(chrom=chrom.map(called))
    return pairs[there].reset_index(drop=True), names[there], table


def _best(table: pd.DataFrame, pairs: pd.DataFrame, names: NDArray[np.object_]) -> NDArray[np.float64]:
    """Largest score over windows or peaks that each tested element touches; ``names``: genes of the pairs."""
    plain = pd.DataFrame(
        {
            "cre": table["cre" if "cre" in table else "peak"].astype(str).to_numpy(),
            "gene": table["target"].astype(str).to_numpy(),
            "score": np.abs(table["score"].to_numpy(dtype=np.float64)),
        }
    )
    plain = plain[plain["gene"].isin(names)]
    total = plain.groupby(["cre", "gene"], as_index=False, observed=True)["score"].sum()
    span = total["cre"].str.extract(_SPAN)
    total = total[span.notna().all(axis=1)]
    span = span.loc[total.index]
    total = total.assign(chrom=span[0], start=span[1].astype(np.int64), end=span[2].astype(np.int64))
    groups = dict(iter(total.groupby(["chrom", "gene"], sort=False)))
    out = np.zeros(len(pairs))
    tested = zip(pairs["chrom"].astype(str), names, pairs["start"], pairs["end"], strict=True)
    for i, (chrom, gene, start, end) in enumerate(tested):
        rows = groups.get((chrom, gene))
        if rows is not None:
            touch = (rows["start"].to_numpy() < end) & (rows["end"].to_numpy() > start)
            out[i] = rows["score"].to_numpy()[touch].max(initial=0.0)
    return out


def _baselines(
    mdata: MuData, pairs: pd.DataFrame, names: NDArray[np.object_], atac: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """exp(-d / decay) to the nearest TSS of the gene, and the same times the element's mean accessibility."""
    record = store.get_record(mdata, K.REC_TSS)
    grid = store.get_grid(mdata)
    sites = pd.DataFrame(
        {"gene": np.asarray(record["gene"], dtype=object), "chrom": np.asarray(record["chrom"], dtype=object)}
    )
    sites["pos"] = np.asarray(record["pos"], dtype=np.int64)
    by_gene = {key: rows["pos"].to_numpy() for key, rows in sites.groupby(["chrom", "gene"], sort=False)}
    used = np.unique(store.peak_windows(mdata, atac).indices).astype(np.int64)
    mean = column_sums(store.window_rows(mdata, atac, used)) / mdata.mod[atac].n_obs
    offsets = grid.offsets
    near, both = np.zeros(len(pairs)), np.zeros(len(pairs))
    decay = float(record["decay"])
    chroms = pairs["chrom"].astype(str)
    codes = grid.chrom_codes(chroms)
    tested = zip(chroms, names, pairs["start"], pairs["end"], strict=True)
    for i, (chrom, gene, start, end) in enumerate(tested):
        pos = by_gene.get((chrom, gene))
        if pos is None or codes[i] < 0:
            continue
        d = np.maximum(np.maximum(start - pos, pos - (end - 1)), 0).min()
        near[i] = np.exp(-d / decay)
        low = offsets[codes[i]] + start // grid.window_size
        high = offsets[codes[i]] + (end - 1) // grid.window_size
        a, b = np.searchsorted(used, [low, high + 1])
        both[i] = near[i] * mean[a:b].sum()
    return near, both
