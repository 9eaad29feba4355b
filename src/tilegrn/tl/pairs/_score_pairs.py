"""Score tested or proposed pairs of an element and a gene."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from tilegrn._core.peaks import match_chroms
from tilegrn._core.ranges import plain_table
from tilegrn._core.symbols import match_symbols
from tilegrn.errors import InputError
from tilegrn.io._activity import read_activity
from tilegrn.tl.pairs._data import ALL, PairData, read_pair_data
from tilegrn.tl.pairs._features import all_features
from tilegrn.tl.pairs._parts import UNPLACED, Elements, Evidence
from tilegrn.tl.pairs._weights import PairWeights

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.pairs._places import Floats, Ints, Places

__all__ = ["score_pairs"]

COLUMNS = ("chrom", "start", "end", "gene")


def score_pairs(
    mdata: MuData,
    pairs: pd.DataFrame,
    model: GRNModel | None = None,
    *,
    groupby: str | None = None,
    group: str | None = None,
    activity: str | os.PathLike[str] | None = None,
    breadth: str | None = None,
    weights: PairWeights | None = None,
    evidence: bool = True,
    tss: str | Path | pd.DataFrame | Any | None = None,
    return_features: bool = False,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> pd.Series | pd.DataFrame:
    r"""Score pairs of an element and a gene: how likely the element regulates the gene in a group of cells.

    The score is :math:`1 / (1 + e^{-s})`, with s a weighted sum of what is known of the pair before it is tested
    (distance, accessibility of element, neighbourhood and what lies between, genes in between and nearer, expression;
    here and in the other groups) plus, where the cells have something to say, the correlation of element and gene over
    all cells. Weights were fitted on published CRISPRi pairs of K562; ``print(grn.tl.PairWeights.shipped())`` shows
    them with their origin. The table of features stands in the documentation (links that beat distance).

    Parameters
    ----------
    mdata
        Multiome data after :func:`tilegrn.pp.tss_distance`.
    pairs
        ``chrom, start, end`` (bp, half-open) and ``gene``, any index, any further columns; or a PyRanges with ``gene``.
        Elements need not be peaks.
    model
        Changes nothing: it is not read, and a warning says so. What a trained model learned of pairs did not improve
        the score (AUPRC -.010, 95 % interval -.022 to .001, on the pairs of the shipped weights;
        ``benchmarks/pairs_with_model.py``).
    groupby, group
        Column of ``obs``, and the group to score for. Without them all cells are one group, and the features of other
        groups fall away (a set of weights of its own).
    activity
        Bulk chromatin accessibility of the cell type: a column of ``pairs`` (reads per million that fall into the
        element), a BED of peaks, or a bigWig of coverage (needs pyBigWig); see :func:`tilegrn.io.read_activity`. None:
        from the single cells alone.
    breadth
        A column of ``pairs``: whether the gene is expressed in (nearly) all cell types, bool, or the share of them.
    weights
        From :func:`fit_pairs` or :meth:`PairWeights.load`; those shipped by default.
    evidence
        Add the cells' own evidence: shrunken correlation x effective number of axes along which the cells differ x
        ``weights.evidence``. Four cell types have three axes and add little; a tissue of twelve states adds much.
    tss
        TSS table (see :func:`tilegrn.io.read_tss`) by which genes in between are counted, and which places genes that
        are not in the data. By default the shipped table of the assembly, or else the genes of the data alone. Genes of
        the data keep the TSSs that ``tss_distance`` was given.
    return_features
        Return the features beside the score.
    layer
        Layer of the RNA counts; None is X.
    rna, atac
        Names of the modalities.

    Returns
    -------
    Series ``score`` (float64, above 0 and below 1), one per row, with the index of ``pairs``. On pairs like those of
    the fit it is the share that is regulated; elsewhere trust its order. ``attrs`` holds ``features`` (which set of
    weights was used), ``group`` and ``effective_axes``. With ``return_features`` a DataFrame: ``score``, each feature
    (natural logarithms; NaN where unknown, which counts as the mean of the fitted pairs), ``correlation`` (shrunken)
    and ``evidence`` (what it adds to the log odds).

    A gene without a TSS on the element's chromosome is scored as if 1 Gb and all genes lay between, less 20 in the log
    odds: finite, below all others, with a warning. A gene that is not in the data has its TSS from the table and the
    mean expression of the fit.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.pp.tss_distance`.
    InputError
        If a column is missing, an interval is none, a value is no number, or a group is unknown.
    ToolError
        If a bigWig is given without pyBigWig.

    Notes
    -----
    Element-gene models of this kind: Fulco et al., Nat Genet 2019 (ABC); Gschwind et al., 2023 (ENCODE-rE2G); Sheth et
    al., 2024 (scE2G). Features and weights here are tilegrn's own.

    Examples
    --------
    >>> pairs = pd.DataFrame({"chrom": ["chr1"], "start": [40_000], "end": [40_500], "gene": ["Gene12"]})
    >>> scores = grn.tl.score_pairs(mdata, pairs, groupby="cell_type", group="type1")
    >>> bool(scores.between(0, 1).all())
    True
    """
    if model is not None:
        warn_model_unread(stacklevel=3)
    pairs = plain_table(pairs)
    table = check_pairs(pairs)
    used = PairWeights.shipped() if weights is None else weights
    data = read_pair_data(mdata, groupby=groupby, tss=tss, layer=layer, rna=rna, atac=atac)
    name = one_group(data, groupby, group)
    features, places, _ = read_features(data, table, name, activity=activity, breadth=breadth)
    warn_unplaced(table, places)
    chosen = used.choose(features)
    if activity is not None and "activity" not in used.sets[chosen]:
        msg = "These weights have no set with activity. Leave activity= out, or fit them with it: grn.tl.fit_pairs."
        raise InputError(msg)
    if breadth is not None and "breadth" not in used.sets[chosen]:
        msg = "These weights have no set with breadth. Leave breadth= out, or fit them with it: grn.tl.fit_pairs."
        raise InputError(msg)
    odds = used.of(chosen)[1] + used.part(chosen, features)
    r, axes = np.zeros(len(table)), 0.0
    if evidence:
        r, axes = pair_correlation(data, table)
    odds = odds + used.evidence * axes * r - np.where(places.placed, 0.0, UNPLACED)
    score = pd.Series(expit(odds), index=pairs.index, name="score")
    attrs = {"features": chosen, "group": name, "effective_axes": axes}
    if not return_features:
        score.attrs = attrs
        return score
    kept = {f: features[f] for f in used.sets[chosen]}
    out = pd.DataFrame(
        {"score": score.to_numpy(), **kept, "correlation": r, "evidence": used.evidence * axes * r}, index=pairs.index
    )
    out.attrs = attrs
    return out


def warn_model_unread(stacklevel: int) -> None:
    """Say that a model has no part in the score."""
    msg = "The model is not read: its weights of pairs add nothing to this score. Leave it out."
    warnings.warn(msg, UserWarning, stacklevel=stacklevel)


def check_pairs(pairs: pd.DataFrame, also: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the table with plain types and a fresh index, or say what is wrong with it."""
    pairs = plain_table(pairs)
    if not isinstance(pairs, pd.DataFrame):
        msg = f"Pairs must be a DataFrame with the columns {list(COLUMNS)}, not {type(pairs).__name__}."
        raise InputError(msg)
    missing = [c for c in (*COLUMNS, *also) if c not in pairs.columns]
    if missing:
        msg = f"The table of pairs has no column {missing}; it has {list(map(str, pairs.columns))}."
        raise InputError(msg)
    if not len(pairs):
        msg = "The table of pairs has no rows."
        raise InputError(msg)
    out = pairs.reset_index(drop=True)
    for column in ("start", "end"):
        value = pd.to_numeric(out[column], errors="coerce").to_numpy(np.float64)
        bad = np.flatnonzero(~np.isfinite(value) | (value != np.rint(value)) | (value < 0))
        if len(bad):
            msg = f"{column} of row {bad[0]} is {out[column].iloc[bad[0]]!r}; give whole bp from 0 ({len(bad)} rows)."
            raise InputError(msg)
        out[column] = value.astype(np.int64)
    empty = np.flatnonzero((out["start"] >= out["end"]).to_numpy())
    if len(empty):
        i = int(empty[0])
        msg = f"Row {i} starts at {out['start'][i]} and ends at {out['end'][i]}: an element is half-open, start < end."
        raise InputError(msg)
    for column in ("chrom", "gene"):
        nameless = np.flatnonzero(out[column].isna().to_numpy())
        if len(nameless):
            msg = f"{column} of row {nameless[0]} is missing ({len(nameless)} rows). Fill it in, or remove the rows."
            raise InputError(msg)
        out[column] = out[column].astype(str)
    return out


def one_group(data: PairData, groupby: str | None, group: str | None) -> str:
    """Name of the group to score for."""
    if groupby is None:
        if group is not None:
            msg = f"group='{group}' needs groupby=, the obs column that holds it."
            raise InputError(msg)
        return ALL
    if group is None and len(data.groups) == 1:
        return data.groups[0]
    if group is None or str(group) not in data.groups:
        said = "no group" if group is None else f"group='{group}'"
        msg = f"{said} of '{groupby}': name one of {data.groups} with group=."
        raise InputError(msg)
    return str(group)


def read_features(
    data: PairData, table: pd.DataFrame, group: str, *, activity: str | os.PathLike[str] | None, breadth: str | None
) -> tuple[dict[str, Floats], Places, Ints]:
    """Features of a checked table of pairs, where the genes lie, and the genes' numbers."""
    chrom = chrom_codes(data, table["chrom"])
    gene = match_symbols(table["gene"], data.genes)
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    features, places = all_features(data.landscape(group), chrom, start, end, gene)
    if activity is not None:
        features["activity"] = _activity(table, activity)
    if breadth is not None:
        features["breadth"] = _column(table, breadth, "breadth")
    return features, places, gene


def chrom_codes(data: PairData, chrom: pd.Series) -> Ints:
    """Chromosome codes of elements; -1 (with a warning) where the assembly has no such chromosome."""
    names = match_chroms(chrom, set(data.grid.chroms), what="element", max_absent=None, assembly=data.grid.assembly)
    code = data.grid.chrom_codes([names.get(c, "") for c in chrom])
    lost = np.flatnonzero(code < 0)
    if len(lost) == len(code):
        msg = (
            f"No element lies on a chromosome of {data.grid.assembly or 'the data'}: '{chrom.iloc[0]}' is none of "
            f"{list(data.grid.chroms)[:3]} ... Is it the right assembly?"
        )
        raise InputError(msg)
    if len(lost):
        msg = (
            f"{len(lost)} of {len(code)} elements lie on chromosomes that are not in {data.grid.assembly or 'the data'}"
            f", e.g. '{chrom.iloc[lost[0]]}': they are scored lowest."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)
    return code


def warn_unplaced(table: pd.DataFrame, places: Places) -> None:
    """Say which genes have no TSS on their element's chromosome."""
    lost = np.flatnonzero(~places.placed)
    if len(lost):
        some = list(table["gene"].iloc[lost].unique()[:3])
        msg = (
            f"{len(lost)} of {len(table)} pairs have a gene without a TSS on the element's chromosome, e.g. {some}: "
            "they are scored lowest. Give a TSS table that has them with tss=, or check names and assembly."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def pair_correlation(data: PairData, table: pd.DataFrame) -> tuple[Floats, float]:
    """Shrunken correlation of each pair over all cells, and the effective number of axes."""
    names = match_chroms(
        table["chrom"], set(data.grid.chroms), what="element", max_absent=None, assembly=data.grid.assembly
    )
    code = data.grid.chrom_codes([names.get(c, "") for c in table["chrom"]])
    elements = Elements(code, table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64))
    evidence = Evidence(data, elements, 1.0)
    return evidence.of(np.arange(len(table)), match_symbols(table["gene"], data.genes)), evidence.axes


def density(value: Floats, start: Ints, end: Ints) -> Floats:
    """Activity feature: ln(reads per million and kb + 1)."""
    return np.asarray(np.log(value / (end - start) * 1000.0 + 1.0))


def _activity(table: pd.DataFrame, activity: str | os.PathLike[str]) -> Floats:
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    if isinstance(activity, str) and activity in table.columns:
        value = _column(table, activity, "activity")
        if (value < 0).any():
            msg = f"'{activity}' holds negative values; activity is reads per million in the element."
            raise InputError(msg)
        return density(value, start, end)
    return density(read_activity(activity, table), start, end)


def _column(table: pd.DataFrame, name: str, what: str) -> NDArray[np.float64]:
    if name not in table.columns:
        msg = f"{what}='{name}' is no column of the pairs: {list(map(str, table.columns))}."
        raise InputError(msg)
    value = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(value))
    if len(bad):
        msg = f"'{name}' of row {bad[0]} is {table[name].iloc[bad[0]]!r}, not a number ({len(bad)} rows)."
        raise InputError(msg)
    return np.asarray(value)
