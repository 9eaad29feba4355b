"""The network that :func:`tilegrn.tl.edges` stored, as a tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.edge_formats import in_format
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData

    from tilegrn._core.edge_formats import NetworkFormat

__all__ = ["as_edges", "edges"]


def edges(
    mdata: MuData,
    *,
    level: Literal["edge", "triplet"] = "edge",
    group: str | None = None,
    sources: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    n: int | None = None,
    format: NetworkFormat | None = None,
) -> pd.DataFrame:
    """List the edges of the network, best first.

    Parameters
    ----------
    mdata
        After :func:`tilegrn.tl.edges`.
    level
        ``"edge"``: one row per TF -> TG; ``"triplet"``: one row per TF -> window -> TG.
    group
        Group of cells; all groups when None.
    sources, targets
        Keep these TFs and TGs only.
    n
        Keep the best ``n`` rows of each group.
    format
        Columns as another tool takes them; :func:`tilegrn.io.write_network` writes the same. Of rows that several
        groups share the strongest stays: take one ``group`` for its own network.

        ``"decoupler"``
            ``source, target, weight``, with weight = score x sign.
        ``"gretapy"``
            ``source, cre, target, score``, with windows as ``chr1-3000-4000`` and score x sign. Edges without a window
            are left out, as are contigs, with a warning.
        ``"celloracle"``
            The base GRN of CellOracle (``Oracle.import_TF_data``): a row per window and TG with ``peak_id``
            (``chr1_3000_4000``), ``gene_short_name`` and, for each TF, a column that is 1 where the TF has that edge
            (int8). Scores and signs have no place in it.
        ``"scenicplus"``
            The table of eRegulons of SCENIC+ 1.0: a row per TF, ``Region`` and ``Gene``, best first
            (``triplet_rank`` from 0). ``importance_TF2G`` and ``importance_R2G`` are the sums of scores of a TF and TG
            over its windows, and of a window and TG over its TFs; ``regulation`` is the sign, and signs name the
            regulons (``Sox9_direct_+/+``; a window counts for its TG always). Correlations (``rho``) are not
            computed here and are NaN.

        The last two need the windows of every edge: ``level="triplet"``.

    Returns
    -------
    DataFrame with at least ``source, target, cre, score, sign, stability`` and ``group``, or the columns of ``format``.
    Triplets also have ``link``, what :func:`tilegrn.tl.score_pairs` says of the window and the TG in the group, unless
    they were stored before there was one.

    Raises
    ------
    MissingStepError
        Before :func:`tilegrn.tl.edges`.
    InputError
        If a name is not in the network, or no edge has the window that a format needs.

    Examples
    --------
    >>> table = grn.get.edges(mdata, group="all", n=20)
    >>> windows = grn.get.edges(mdata, level="triplet", group="all", targets="Gene12")
    """
    record = store.get_record(mdata, K.REC_EDGES)
    if level not in ("edge", "triplet"):
        msg = f"level='{level}' must be 'edge' or 'triplet'."
        raise InputError(msg)
    table: pd.DataFrame = record["network" if level == "edge" else "triplets"]
    keep = pd.Series(data=True, index=table.index)
    for column, wanted in (("group", group), ("source", sources), ("target", targets)):
        if wanted is None:
            continue
        names = [wanted] if isinstance(wanted, str) else [str(w) for w in wanted]
        have = set(record["network"][column].astype(str).unique())
        unknown = [w for w in names if w not in have]
        if unknown:
            msg = f"The network has no {column} {unknown[:3]}; it has {len(have)}, e.g. {sorted(have)[:3]}."
            raise InputError(msg)
        keep &= table[column].isin(names)
    out = table[keep].sort_values(["group", "score"], ascending=[True, False], kind="stable")
    if n is not None:
        out = out.groupby("group", observed=True, sort=False).head(n)
    out = out.reset_index(drop=True)
    return out if format is None else in_format(out, format)


def as_edges(network: MuData | pd.DataFrame, *, level: Literal["edge", "triplet"] = "edge") -> pd.DataFrame:
    """Take a table of edges, or the one that a MuData holds, and check its columns.

    Raises
    ------
    InputError
        If ``source`` or ``target`` is missing.
    """
    if not isinstance(network, pd.DataFrame):
        return edges(network, level=level)
    missing = [c for c in ("source", "target") if c not in network.columns]
    if missing:
        msg = f"The table of edges has no column {missing}; it has {list(map(str, network.columns))}."
        raise InputError(msg)
    return network
