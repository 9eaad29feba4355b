"""Read known networks (TRRUST, CollecTRI, BEELINE, CRISPRi tables) and write found ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import numpy as np
import pandas as pd

from tilegrn._core.atomic import new_file, new_text
from tilegrn._core.edge_formats import FORMATS
from tilegrn._core.text import existing_file, read_text
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import os

    from tilegrn._core.edge_formats import NetworkFormat

__all__ = ["read_crispri", "read_network", "write_network"]

Format = Literal["auto", "table", "trrust", "beeline", "collectri"]

_MODES = {"activation": 1, "repression": -1, "unknown": 0}
_SOURCE = ("source", "tf", "gene1", "regulator")
_TARGET = ("target", "tg", "gene2", "gene")
_SIGN = ("sign", "weight", "mode", "mor")


def read_network(path: str | os.PathLike[str], *, format: Format = "auto") -> pd.DataFrame:
    """Read a known TF -> TG network.

    Parameters
    ----------
    path
        CSV or TSV, plain or gzipped.
    format
        ``"trrust"``: TF, target, mode, references without a header; ``"beeline"``: ``Gene1,Gene2`` (ChIP-seq lists
        too); ``"collectri"``: ``source,target,weight``; ``"table"``: a header with source and target under any of
        these names, and perhaps ``sign``, ``weight`` or ``mode``; ``"auto"`` looks at the first line.

    Returns
    -------
    DataFrame ``source, target, sign`` (int8: 1, -1, or 0 where unknown or contradictory), each pair once, sorted.

    Raises
    ------
    InputError
        If the file has no such columns or no rows.

    Examples
    --------
    >>> grn.io.read_network("known.csv").columns.tolist()
    ['source', 'target', 'sign']
    """
    where = Path(path)
    if format not in ("auto", "table", "trrust", "beeline", "collectri"):
        msg = f"format='{format}' is unknown; there are 'auto', 'table', 'trrust', 'beeline' and 'collectri'."
        raise InputError(msg)
    first = _frame(where, header=None, nrows=1)
    words = [str(w).strip().lower() for w in first.iloc[0]] if len(first) else []
    headed = any(w in _SOURCE for w in words) and any(w in _TARGET for w in words)
    if format == "trrust" or (format == "auto" and not headed):
        raw = _frame(where, header=None)
        if raw.shape[1] < 3 or not raw[2].astype(str).str.lower().isin(_MODES).all():
            msg = (
                f"'{where}' has no header with source and target, and is not TRRUST's (TF, target, "
                "Activation/Repression/Unknown, references)."
            )
            raise InputError(msg)
        table = pd.DataFrame({"source": raw[0], "target": raw[1], "sign": raw[2].astype(str).str.lower().map(_MODES)})
    else:
        if not headed:
            msg = f"'{where}' has no columns for source and target in its first line: {words[:6]}."
            raise InputError(msg)
        raw = _frame(where, header=0)
        names = {str(c).strip().lower(): c for c in raw.columns}
        source = next(names[k] for k in _SOURCE if k in names)
        target = next(names[k] for k in _TARGET if k in names)
        sign = next((names[k] for k in _SIGN if k in names), None)
        table = pd.DataFrame(
            {"source": raw[source], "target": raw[target], "sign": 0 if sign is None else _sign(raw[sign])}
        )
    table = table.dropna(subset=["source", "target"])
    if not len(table):
        msg = f"'{where}' lists no edge."
        raise InputError(msg)
    table["source"], table["target"] = table["source"].astype(str).str.strip(), table["target"].astype(str).str.strip()
    known = table.groupby(["source", "target"], as_index=False)["sign"].agg(["min", "max"])
    table = known if "source" in known else known.reset_index()
    contrary = (table["min"] < 0) & (table["max"] > 0)
    sign_of = np.where(table["max"] > 0, 1, np.where(table["min"] < 0, -1, 0))
    return pd.DataFrame(
        {
            "source": table["source"],
            "target": table["target"],
            "sign": np.where(contrary, 0, sign_of).astype(np.int8),
        }
    )


def read_crispri(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read tested element-gene pairs: ``chrom, start, end, gene, regulated``.

    Parameters
    ----------
    path
        CSV or TSV with a header, plain or gzipped. ``regulated`` holds 0/1, true/false or yes/no. Names as in the
        ENCODE and EPCrisprBenchmark tables (``chromStart, chromEnd, measuredGeneSymbol, Regulated``) are known.

    Returns
    -------
    DataFrame with ``chrom``, ``start``, ``end`` (bp, half-open), ``gene`` and ``regulated`` (bool).

    Raises
    ------
    InputError
        If a column is missing or a value cannot be read; the message names it.

    Examples
    --------
    >>> grn.io.read_crispri("elements.csv").columns.tolist()
    ['chrom', 'start', 'end', 'gene', 'regulated']
    """
    raw = _frame(Path(path), header=0)
    names = {str(c).strip().lower(): c for c in raw.columns}
    other = {
        "chrom": ("chrom", "chr", "chromosome"),
        "start": ("start", "chromstart"),
        "end": ("end", "chromend"),
        "gene": ("gene", "measuredgenesymbol", "genesymbol", "target"),
        "regulated": ("regulated", "significant"),
    }
    out = {}
    for column, spelled in other.items():
        found = next((names[s] for s in spelled if s in names), None)
        if found is None:
            msg = f"'{path}' has no column '{column}'; it has {list(map(str, raw.columns))}."
            raise InputError(msg)
        out[column] = raw[found]
    table = pd.DataFrame(out)
    for column in ("start", "end"):
        number = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
        wrong = np.flatnonzero(~(np.isfinite(number) & (number == np.floor(number)) & (number >= 0)))
        if len(wrong):
            value = table[column].iloc[wrong[0]]
            msg = f"'{path}': {column} of row {wrong[0] + 1} is '{value}', not a whole number of bp from 0 on."
            raise InputError(msg)
        table[column] = number.astype(np.int64)
    for column in ("chrom", "gene"):
        nameless = np.flatnonzero(table[column].isna())
        if len(nameless):
            msg = f"'{path}': row {nameless[0] + 1} has no {column}. Fill it in, or remove the row."
            raise InputError(msg)
    if (table["start"] >= table["end"]).any():
        row = int(np.flatnonzero(table["start"] >= table["end"])[0])
        msg = f"'{path}': row {row + 1} starts at {table['start'].iloc[row]} and ends at {table['end'].iloc[row]}."
        raise InputError(msg)
    word = table["regulated"].astype(str).str.strip().str.lower()
    yes, no = word.isin(["1", "1.0", "true", "yes"]), word.isin(["0", "0.0", "false", "no"])
    if not (yes | no).all():
        row = int(np.flatnonzero(~(yes | no))[0])
        msg = f"'{path}': regulated of row {row + 1} is '{table['regulated'].iloc[row]}'; write 0 or 1."
        raise InputError(msg)
    table["regulated"] = yes.to_numpy()
    table["chrom"], table["gene"] = table["chrom"].astype(str), table["gene"].astype(str)
    return table


def write_network(
    path: str | os.PathLike[str],
    edges: pd.DataFrame,
    *,
    format: Literal["auto", "csv", "graphml"] | NetworkFormat = "auto",
) -> None:
    """Write edges for other tools.

    Parameters
    ----------
    path
        Replaced if there; whole or not at all. ``.gz`` compresses, ``.parquet`` writes Parquet (of tables), ``.tsv``
        separates columns by tabs.
    edges
        From ``grn.get.edges(mdata)``: ``source, target`` and any further columns.
    format
        ``"csv"``: the table as it is, which Cytoscape reads; ``"graphml"``: a directed graph with the columns as
        attributes of the edges; ``"decoupler"``, ``"gretapy"``, ``"celloracle"`` (a base GRN) or ``"scenicplus"``
        (eRegulons): the columns of these tools, as :func:`tilegrn.get.edges` describes them. ``"auto"`` takes GraphML
        for ``.graphml`` and else the table as it is. SCENIC+ reads its table by tabs (name it ``.tsv``), CellOracle
        its own as Parquet.

    Raises
    ------
    InputError
        If columns are missing, or GraphML is asked for edges of several groups or triplets (a pair may occur once).

    Examples
    --------
    >>> edges = grn.get.edges(mdata, group="all", n=100)
    >>> grn.io.write_network("edges.csv", edges)
    >>> grn.io.write_network("edges.graphml", edges)
    """
    where = Path(path)
    missing = [c for c in ("source", "target") if c not in edges.columns]
    if missing:
        msg = f"The table of edges has no column {missing}; it has {list(map(str, edges.columns))}."
        raise InputError(msg)
    kind = format if format != "auto" else ("graphml" if where.suffix == ".graphml" else "csv")
    if kind not in ("csv", "graphml", *FORMATS):
        msg = f"format='{format}' is unknown; there are 'auto', 'csv', 'graphml', {', '.join(map(repr, FORMATS))}."
        raise InputError(msg)
    if kind == "graphml":
        with new_text(where) as out:
            _graphml(out, edges)
        return
    table = edges if kind == "csv" else FORMATS[kind](edges)
    if where.suffix == ".parquet":
        with new_file(where) as temporary:
            table.to_parquet(temporary, index=False)
        return
    separator = "\t" if ".tsv" in where.suffixes else ","
    with new_text(where) as out:
        table.to_csv(out, sep=separator, index=False, lineterminator="\n")


def _graphml(out: TextIO, edges: pd.DataFrame) -> None:
    """Write GraphML 1.0, streamed and escaped; networkx takes 2.5 kB of memory an edge and 4 times as long."""
    from xml.sax.saxutils import escape, quoteattr

    if edges.duplicated(["source", "target"]).any():
        msg = "A pair occurs more than once: write one group at a time (grn.get.edges(mdata, group=...)), not triplets."
        raise InputError(msg)
    columns = [c for c in edges.columns if c not in ("source", "target")]
    kinds = {
        c: ("double" if edges[c].dtype.kind == "f" else "long" if edges[c].dtype.kind in "iu" else "string")
        for c in columns
    }
    nodes = sorted(set(edges["source"].astype(str)) | set(edges["target"].astype(str)))
    tfs = set(edges["source"].astype(str))
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
    out.write('<key id="is_tf" for="node" attr.name="is_tf" attr.type="boolean"/>\n')
    for i, c in enumerate(columns):
        out.write(f'<key id="e{i}" for="edge" attr.name={quoteattr(str(c))} attr.type="{kinds[c]}"/>\n')
    out.write('<graph edgedefault="directed">\n')
    for n in nodes:
        out.write(f'<node id={quoteattr(n)}><data key="is_tf">{str(n in tfs).lower()}</data></node>\n')
    values = [edges[c].astype(object).to_numpy() for c in columns]
    for k, (s, t) in enumerate(zip(edges["source"].astype(str), edges["target"].astype(str), strict=True)):
        data = "".join(
            f'<data key="e{i}">{escape(str(v[k]))}</data>' for i, v in enumerate(values) if not pd.isna(v[k])
        )
        out.write(f"<edge source={quoteattr(s)} target={quoteattr(t)}>{data}</edge>\n")
    out.write("</graph>\n</graphml>\n")


def _sign(values: pd.Series) -> pd.Series:
    number = pd.to_numeric(values, errors="coerce")
    words = values.astype(str).str.lower().map(_MODES)
    return np.sign(number.fillna(words).fillna(0)).astype(np.int64)


def _frame(path: Path, *, header: int | None, nrows: int | None = None) -> pd.DataFrame:
    """Read a table of any of the usual separators, gzipped or not."""
    text = read_text(existing_file(path, "The table"))
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    try:
        return pd.read_csv(
            io.StringIO(text), sep=separator, header=header, nrows=nrows, comment="#", skip_blank_lines=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        msg = f"'{path}' cannot be read as a table: {error}"
        raise InputError(msg) from error
