"""HOMER's hit outputs, read block by block into sparse counts."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn.errors import InputError
from tilegrn.io.homer._stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["HomerHits", "read_hits"]

_SITES = " Distance From Peak(sequence,strand,conservation)"
_SCORES = " Best Motif log-odds Score"
_FIND_COLUMNS = ("PositionID", "Offset", "Sequence", "Motif Name", "Strand", "MotifScore")
_BLOCK = 1 << 22
_AGAIN = "Run HOMER again (disk full? still running?)."


@dataclass(frozen=True)
class HomerHits:
    """Hits as HOMER counted them.

    Attributes
    ----------
    counts
        Peaks x motifs, CSC int32, without stored zeros.
    peaks
        Peak ids as HOMER printed them.
    motifs
        Motif names as HOMER printed them.
    where
        Chromosome, start (0-based) and end of each peak, if the output holds them.
    resized
        Whether HOMER was asked for another size of the peaks, so that ``where`` is not the peaks'.
    sequenced
        Whether HOMER had bases for each peak (it states their GC content), if the output tells; None with ``-mask``,
        where repeats have none either.
    """

    counts: sparse.csc_matrix
    peaks: list[str]
    motifs: list[str]
    where: tuple[list[str], NDArray[np.int64], NDArray[np.int64]] | None = None
    resized: bool = False
    sequenced: NDArray[np.bool_] | None = None


def read_hits(path: Path) -> HomerHits:
    """Read the counts of any of HOMER's hit outputs."""
    with TextStream(path) as stream:
        lines = stream.peek_lines()
        if not lines or not lines[0].strip():
            msg = (
                f"HOMER output '{path}' is empty: HOMER failed (it exits 0 on errors; see its messages) or is not done."
            )
            raise InputError(msg)
        header = lines[0].split("\t")
        if header[0].startswith("PeakID"):
            hits = _annotated(stream, header, lines[1:])
        elif {"Offset", "Sequence", "Motif Name"} <= set(header):
            hits = _found(stream, header, skip=1)
        elif len(header) == 6 and header[4] in ("+", "-"):
            hits = _found(stream, list(_FIND_COLUMNS), skip=0)
        else:
            msg = (
                f"'{path}' is no output that read_homer knows; it begins '{lines[0][:80]}'. Expected annotatePeaks.pl "
                "-m (its header begins 'PeakID'), findMotifsGenome.pl -find, or homer2 find."
            )
            raise InputError(msg)
        if stream.last != b"\n":
            msg = f"'{path}' is cut short: its last line has no end. {_AGAIN}"
            raise InputError(msg)
    return hits


def _batches(
    stream: TextStream, columns: list[str], skip: int, keep: list[str], types: dict[str, Any]
) -> Iterator[Any]:
    """Yield record batches; faults of the text become InputErrors."""
    import pyarrow as pa
    from pyarrow import csv

    block = max(_BLOCK, 16 * max(map(len, stream.peek_lines())))  # a line must not outgrow a block
    try:
        with csv.open_csv(
            stream,
            read_options=csv.ReadOptions(column_names=columns, skip_rows=skip, block_size=block),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=keep, strings_can_be_null=False, null_values=[]
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as err:
        what = str(err).replace("CSV parse error: ", "").replace("CSV conversion error to ", "not of type ")[:200]
        msg = f"'{stream.path}' is cut short or damaged: {what} (line and column as named there). {_AGAIN}"
        raise InputError(msg) from err


def _annotated(stream: TextStream, header: list[str], sample: list[str]) -> HomerHits:
    """Read an ``annotatePeaks.pl`` table, with or without ``-nmotifs``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    command = header[0]
    motif_columns = [i for i, name in enumerate(header) if name.endswith(_SITES)]
    if any(name.endswith(_SCORES) for name in header) or re.search(r"\s-m(?:score|dist)\b", command):
        msg = f"'{stream.path}' was made with -mscore or -mdist, which print no counts. Use annotatePeaks.pl -nmotifs."
        raise InputError(msg)
    if not motif_columns:
        msg = f"'{stream.path}' has no motif columns. Run annotatePeaks.pl with -m <motif file> -nmotifs."
        raise InputError(msg)
    counted = _is_counted(command, motif_columns, sample)
    columns = [f"c{i}" for i in range(len(header))]
    fixed = {name: f"c{i}" for i, name in enumerate(header[:9]) if name in ("Chr", "Start", "End")}
    gc = next((f"c{i}" for i, name in enumerate(header) if name == "GC%"), None)
    types = {f"c{i}": pa.int32() if counted else pa.string() for i in motif_columns}
    types |= {"c0": pa.string(), **{c: pa.string() if n == "Chr" else pa.int64() for n, c in fixed.items()}}
    keep = ["c0", *fixed.values(), *(f"c{i}" for i in motif_columns)]
    if gc is not None:
        types[gc] = pa.string()
        keep.insert(1, gc)
    peaks: list[str] = []
    place: dict[str, list[Any]] = {name: [] for name in fixed}
    seen_gc: list[NDArray[np.bool_]] = []
    rows: list[list[NDArray[np.int32]]] = [[] for _ in motif_columns]
    values: list[list[NDArray[np.int32]]] = [[] for _ in motif_columns]
    for batch in _batches(stream, columns, 1, keep, types):
        offset = len(peaks)
        peaks.extend(batch.column("c0").to_pylist())
        for name, column in fixed.items():
            cells = batch.column(column)
            place[name].append(cells.to_pylist() if name == "Chr" else cells.to_numpy())
        if gc is not None:
            seen_gc.append(~pc.is_in(batch.column(gc), pa.array(["NA", ""])).to_numpy(zero_copy_only=False))
        for k, i in enumerate(motif_columns):
            cells = batch.column(f"c{i}")
            numbers = cells if counted else _listed(cells, stream.path)
            found = numbers.to_numpy()
            hit = np.flatnonzero(found)
            rows[k].append((hit + offset).astype(np.int32))
            values[k].append(found[hit].astype(np.int32))
    if not peaks:
        msg = (
            f"'{stream.path}' has a header but no peaks: HOMER found none of them (chromosome names? see its messages)."
        )
        raise InputError(msg)
    motifs = [header[i].removesuffix(_SITES) for i in motif_columns]
    counts = sparse.csc_matrix(
        (
            np.concatenate([np.concatenate(v) for v in values]),
            np.concatenate([np.concatenate(r) for r in rows]),
            np.cumsum([0, *(sum(map(len, r)) for r in rows)]),
        ),
        shape=(len(peaks), len(motifs)),
    )
    if counts.nnz and counts.data.min() < 0:
        msg = (
            f"'{stream.path}' holds negative values: are these distances (-mdist)? Run annotatePeaks.pl with -nmotifs."
        )
        raise InputError(msg)
    counts, motifs = _one_column_each(counts, motifs, stream.path)
    where = None
    if len(fixed) == 3:
        chroms = [c for part in place["Chr"] for c in part]
        where = (chroms, np.concatenate(place["Start"]) - 1, np.concatenate(place["End"]))
    resized = re.search(r"\s-size\s+(?!given\b)\S", command) is not None
    masked = re.search(r"\s-mask\b", command) is not None
    sequenced = np.concatenate(seen_gc) if seen_gc and not masked else None
    return HomerHits(counts, _unique(peaks, stream.path), motifs, where, resized, sequenced)


def _listed(cells: Any, path: Path) -> Any:
    """Count the sites that cells list as ``distance(sequence,strand,conservation)``."""
    import pyarrow.compute as pc

    numbers = pc.count_substring(cells, "(")
    odd = pc.and_(pc.equal(numbers, 0), pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(cells)), 0))
    if pc.any(odd).as_py():
        one = cells.filter(odd)[0].as_py()
        msg = (
            f"'{path}' holds '{one}' where a list of sites is expected: its header names no -nmotifs. Run "
            "annotatePeaks.pl with -nmotifs, or leave its first line as HOMER printed it."
        )
        raise InputError(msg)
    return numbers


def _is_counted(command: str, motif_columns: list[int], sample: list[str]) -> bool:
    """Tell counts (``-nmotifs``) from lists of sites, by the command in the header or by the first cells."""
    if "(cmd=" in command:
        return re.search(r"\s-nmotifs\b", command) is not None
    cells = [line.split("\t") for line in sample[:-1] or sample]
    return all(row[i].isdigit() for row in cells for i in motif_columns if i < len(row))


def _one_column_each(counts: sparse.csc_matrix, motifs: list[str], path: Path) -> tuple[sparse.csc_matrix, list[str]]:
    """Merge columns of one name: once if they are equal (HOMER's sum, printed twice), else summed."""
    codes, names = pd.factorize(np.asarray(motifs, dtype=object))
    if len(names) == len(motifs):
        return counts, motifs
    equal, differing = 0, 0
    keep = np.ones(len(motifs), dtype=bool)
    first: dict[int, int] = {}
    for j, code in enumerate(codes.tolist()):
        if code not in first:
            first[code] = j
        elif _equal_columns(counts, j, first[code]):
            keep[j] = False
            equal += 1
        else:
            differing += 1
    kept = np.flatnonzero(keep)
    merge = sparse.csc_matrix(
        (np.ones(len(kept), dtype=np.int32), (kept, codes[kept])), shape=(len(motifs), len(names))
    )
    msg = (
        f"'{path}': motif columns repeat a name; {equal} are equal to an earlier one and were taken once, {differing} "
        "differ and were summed."
    )
    warnings.warn(msg, UserWarning, stacklevel=5)  # who calls read_homer
    merged = sparse.csc_matrix(counts @ merge)
    merged.sort_indices()
    return merged, [str(n) for n in names]


def _equal_columns(counts: sparse.csc_matrix, a: int, b: int) -> bool:
    one, other = (slice(counts.indptr[j], counts.indptr[j + 1]) for j in (a, b))
    return all(np.array_equal(part[one], part[other]) for part in (counts.indices, counts.data))


def _found(stream: TextStream, header: list[str], skip: int) -> HomerHits:
    """Count a list of hits, one line each."""
    import pyarrow as pa

    columns = [f"c{i}" for i in range(len(header))]
    motif_column = f"c{header.index('Motif Name')}"
    text = pa.dictionary(pa.int32(), pa.string())
    ids: tuple[dict[str, int], dict[str, int]] = ({}, {})
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    types = {"c0": text, motif_column: text, f"c{header.index('Offset')}": pa.int64()}
    for batch in _batches(stream, columns, skip, list(types), types):
        codes = []
        for column, known in zip(("c0", motif_column), ids, strict=True):
            cells = batch.column(column)
            new = np.array(
                [known.setdefault(name, len(known)) for name in cells.dictionary.to_pylist()], dtype=np.int64
            )
            codes.append(new[cells.indices.to_numpy()])
        parts.append(np.unique((codes[1] << 32) | codes[0], return_counts=True))
    keys = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0, dtype=np.int64)
    n = np.concatenate([p[1] for p in parts]) if parts else np.zeros(0, dtype=np.int64)
    counts = sparse.coo_matrix(
        (n.astype(np.int32), ((keys & 0xFFFFFFFF).astype(np.int32), (keys >> 32).astype(np.int32))),
        shape=(len(ids[0]), len(ids[1])),
    ).tocsc()
    counts.sum_duplicates()
    return HomerHits(counts, list(ids[0]), list(ids[1]))


def _unique(peaks: list[str], path: Path) -> list[str]:
    index = pd.Index(peaks, dtype=object)
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        msg = f"'{path}' has {len(repeated)} peak ids more than once, e.g. {list(repeated[:3])}."
        raise InputError(msg)
    return peaks
