"""Motif hits and their counts, to the bit as HOMER finds them.

Score: the sum over the positions, in the order of the motif and in double precision, of ln(max(p, 0.001) / 0.25). A
position is a hit if its score is not below the motif's threshold. Every position counts on both strands, overlapping
ones too, and a palindrome twice. Lower case is read as upper case; any other letter than A, C, G, T is N, and what
covers an N is no hit.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd

from tilegrn._core.cores import n_cores
from tilegrn.errors import InputError
from tilegrn.motifs._counts import CountRows, MotifCounts
from tilegrn.motifs._files import read_motifs
from tilegrn.motifs._intervals import Intervals, is_whole, read_intervals
from tilegrn.motifs._motif import Motif
from tilegrn.motifs._profile import Profile
from tilegrn.motifs.genome._fasta import open_sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tilegrn.motifs.genome._fasta import SequenceFile

__all__ = ["count_hits", "count_sequences", "find_hits", "scan_sequences"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_BLOCK_BASES = 1 << 18
"""Bases handed to a thread at once: enough to forget the cost of handing over, few enough to stay in the cache."""
_BLOCK_INTERVALS = 4096


def count_hits(
    fasta: str | Path,
    intervals: Any,
    motifs: str | Path | Sequence[Motif],
    *,
    size: int | Literal["given"] = "given",
    mask: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
) -> MotifCounts:
    """Count motif hits in intervals, as ``annotatePeaks.pl -nmotifs`` does.

    Sequences are read and scanned in blocks, so that little more memory is needed than for the counts.

    Parameters
    ----------
    fasta
        Genome: FASTA, plain or packed by bgzip, or 2bit. Nothing is written beside it; an index (``.fai``) that is
        missing or stale is made anew in memory.
    intervals
        DataFrame with the columns ``chrom, start, end`` (0-based, half-open) or a PyRanges. A column ``name`` or an
        index of names names the intervals.
    motifs
        Motifs, or the path of a HOMER motif file. Counts of motifs with one name are summed.
    size
        ``"given"``: the interval as it is. A number N: the N + 1 bp around its centre, as HOMER cuts them, without what
        lies beyond the chromosome.
    mask
        Take lower case for N (HOMER's ``-mask``).
    n_jobs
        Threads; None takes all processors, 1 uses none but the calling thread.
    progress
        Show a progress bar.

    Returns
    -------
    Counts, intervals x motif names.

    Raises
    ------
    InputError
        For intervals, motifs or a sequence file that cannot be used: each message names the value and the mend.

    Notes
    -----
    The rule was read from the source of HOMER (Heinz et al. 2010, Mol. Cell 38:576) and holds on its output without a
    difference.

    Examples
    --------
    >>> peaks = pd.read_table("peaks.bed", names=["chrom", "start", "end"])
    >>> counts = grn.motifs.count_hits("genome.fa", peaks, "motifs.motif")
    >>> counts.shape  # peaks, motifs
    (150, 8)
    """
    profile = Profile.of(_motifs(motifs))
    jobs = _n_jobs(n_jobs)
    table = read_intervals(intervals)
    alphabet = _alphabet(mask=mask)
    with closing(open_sequences(fasta)) as genome:
        windows = table.on(genome.lengths, str(fasta)).resized(size, genome.lengths)

        def count(rows: slice) -> Any:
            text, bounds = _fetch(genome, windows, rows)
            return _count(text, bounds, alphabet, profile)

        counts = CountRows((len(windows), len(profile.names)))
        blocks = list(_blocks(windows.end - windows.start))
        for part in _tracked(_in_order(count, blocks, jobs), windows, blocks, progress=progress):
            counts.add(*part)
    return MotifCounts(counts.finish(), table.names, profile.names)


def find_hits(
    fasta: str | Path,
    intervals: Any,
    motifs: str | Path | Sequence[Motif],
    *,
    size: int | Literal["given"] = "given",
    mask: bool = False,
    n_jobs: int | None = None,
    coordinates: Literal["genome", "homer2"] = "genome",
    progress: bool = False,
) -> Iterator[pd.DataFrame]:
    """List motif hits in intervals, block by block.

    Parameters
    ----------
    fasta, intervals, motifs, size, mask, n_jobs, progress
        As for :func:`count_hits`.
    coordinates
        ``"genome"``: ``position`` is the leftmost base of the hit on the chromosome, 0-based, whatever the strand.
        ``"homer2"``: as ``homer2 find -offset 0`` writes it, counted from the first base of the scanned interval: the
        leftmost base for ``+`` and the rightmost for ``-``.

    Yields
    ------
    Tables of hits: ``interval`` (name), ``chrom``, ``position`` (int64), ``strand`` (``+`` or ``-``), ``score``
    (float64), ``sequence`` (as on ``+`` whatever the strand, upper case: what HOMER prints) and ``motif``; ordered by
    interval, leftmost base, motif, strand. Intervals without hits leave no row.

    Raises
    ------
    InputError
        As for :func:`count_hits`; at the call, before anything is scanned.

    Examples
    --------
    >>> place = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [20_000]})
    >>> hits = pd.concat(grn.motifs.find_hits("genome.fa", place, "motifs.motif"))
    >>> hits.columns.tolist()
    ['interval', 'chrom', 'position', 'strand', 'score', 'sequence', 'motif']
    """
    if coordinates not in ("genome", "homer2"):
        msg = f"coordinates is {coordinates!r}; it must be 'genome' or 'homer2'."
        raise InputError(msg)
    profile = Profile.of(_motifs(motifs))
    jobs = _n_jobs(n_jobs)
    table = read_intervals(intervals)
    alphabet = _alphabet(mask=mask)
    genome = open_sequences(fasta)
    try:
        windows = table.on(genome.lengths, str(fasta)).resized(size, genome.lengths)
    except BaseException:
        genome.close()
        raise

    def find(rows: slice) -> pd.DataFrame:
        text, bounds = _fetch(genome, windows, rows)
        hits = _find(text, bounds, alphabet, profile)
        sequence = hits.pop("number").to_numpy() + rows.start
        if coordinates == "genome":
            hits["position"] += windows.start[sequence]
        else:
            hits["position"] += np.where(hits["strand"] == "-", hits["sequence"].str.len() - 1, 0)
        hits.insert(0, "chrom", windows.chrom[sequence])
        hits.insert(0, "interval", windows.names.to_numpy()[sequence])
        return hits

    def stream() -> Iterator[pd.DataFrame]:
        with closing(genome):
            blocks = list(_blocks(windows.end - windows.start))
            yield from _tracked(_in_order(find, blocks, jobs), windows, blocks, progress=progress)

    return stream()


def scan_sequences(sequences: Iterable[str | bytes], motifs: Sequence[Motif], *, mask: bool = False) -> pd.DataFrame:
    """List motif hits in sequences at hand.

    Parameters
    ----------
    sequences
        Sequences of any length, also none.
    motifs
        Motifs.
    mask
        Take lower case for N.

    Returns
    -------
    Hits: ``number`` of the sequence (from 0), ``position`` of the leftmost base (0-based), ``strand``, ``score``,
    ``sequence`` of the hit (as given, in upper case) and ``motif``; ordered by sequence, position, motif, strand.

    Examples
    --------
    >>> motif = grn.motifs.Motif("TATA", np.eye(4)[[3, 0, 3, 0]], threshold=5.0)
    >>> grn.motifs.scan_sequences(["GGTATAGG"], [motif])[["position", "strand"]].values.tolist()
    [[2, '+'], [2, '-']]
    """
    text, bounds = _joined([_as_bytes(s) for s in sequences])
    return _find(text, bounds, _alphabet(mask=mask), Profile.of(motifs))


def count_sequences(
    sequences: Iterable[str | bytes], motifs: Sequence[Motif], *, mask: bool = False, n_jobs: int | None = 1
) -> MotifCounts:
    """Count motif hits in sequences at hand.

    Parameters
    ----------
    sequences
        Sequences of any length, also none.
    motifs
        Motifs; counts of those with one name are summed.
    mask
        Take lower case for N.
    n_jobs
        Threads; None takes all processors, 1 uses none but the calling thread.

    Returns
    -------
    Counts, sequences x motif names; rows are numbered.

    Examples
    --------
    >>> motifs = grn.io.read_motifs("motifs.motif")
    >>> grn.motifs.count_sequences(["ACGT" * 20, "TTTT" * 20], motifs).counts.shape
    (2, 8)
    """
    profile = Profile.of(motifs)
    text, bounds = _joined([_as_bytes(s) for s in sequences])
    alphabet = _alphabet(mask=mask)

    def count(rows: slice) -> Any:
        part = bounds[rows.start : rows.stop + 1]
        return _count(text[part[0] : part[-1]], part - part[0], alphabet, profile)

    counts = CountRows((len(bounds) - 1, len(profile.names)))
    for part in _in_order(count, list(_blocks(np.diff(bounds))), _n_jobs(n_jobs)):
        counts.add(*part)
    return MotifCounts(counts.finish(), pd.RangeIndex(len(bounds) - 1), profile.names)


def _motifs(motifs: str | Path | Sequence[Motif]) -> list[Motif]:
    if isinstance(motifs, (str, Path)):
        return list(read_motifs(motifs))
    found: list[Any] = list(motifs)  # what users hand over may be anything
    for i, motif in enumerate(found):
        if not isinstance(motif, Motif):
            msg = f"motifs[{i}] is {type(motif).__name__}; give Motif objects (grn.io.read_motifs) or a path."
            raise InputError(msg)
    return found


def _n_jobs(n_jobs: int | None) -> int:
    if n_jobs is None:
        return n_cores()
    if not is_whole(n_jobs) or n_jobs < 1:
        msg = f"n_jobs is {n_jobs!r}; it must be a number of threads from 1 on, or None for all processors."
        raise InputError(msg)
    return int(n_jobs)


def _alphabet(*, mask: bool) -> NDArray[np.uint8]:
    """Code of every byte: bases 0-3, else 4."""
    codes = np.full(256, 4, dtype=np.uint8)
    codes[np.frombuffer(b"ACGT", dtype=np.uint8)] = range(4)
    if not mask:
        codes[np.frombuffer(b"acgt", dtype=np.uint8)] = range(4)
    return codes


def _as_bytes(sequence: str | bytes) -> bytes:
    # Letters beyond ASCII are no bases; each must stay one letter.
    return sequence if isinstance(sequence, bytes) else sequence.encode("ascii", "replace")


def _joined(sequences: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    bounds = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum([len(s) for s in sequences], out=bounds[1:])
    return np.frombuffer(b"".join(sequences), dtype=np.uint8), bounds


def _blocks(lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Cut the rows into blocks of a bounded number of bases (a longer interval is one block) and of intervals."""
    ends = np.cumsum(lengths)
    lo = 0
    while lo < len(lengths):
        before = ends[lo - 1] if lo else 0
        hi = int(np.searchsorted(ends, before + _BLOCK_BASES, side="right"))
        hi = min(max(hi, lo + 1), lo + _BLOCK_INTERVALS)
        yield slice(lo, hi)
        lo = hi


def _fetch(genome: SequenceFile, windows: Intervals, rows: slice) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the sequences of some rows, in the order of the file."""
    chrom, start, end = windows.chrom[rows], windows.start[rows].tolist(), windows.end[rows].tolist()
    pieces: list[bytes] = [b""] * len(start)
    for i in sorted(range(len(start)), key=lambda i: (chrom[i], start[i])):
        pieces[i] = genome.fetch(chrom[i], start[i], end[i])
    return _joined(pieces)


def _in_order(work: Callable[[T], R], items: Sequence[T], n_jobs: int) -> Iterator[R]:
    """Results in the order of the items; no more of them in flight than the threads need."""
    if n_jobs == 1 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(min(n_jobs, len(items)), thread_name_prefix="tilegrn-scan")
    try:
        waiting = deque(pool.submit(work, item) for item in items[: 2 * n_jobs])
        for item in items[2 * n_jobs :]:
            done = waiting.popleft().result()
            waiting.append(pool.submit(work, item))
            yield done
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _tracked(results: Iterator[R], windows: Intervals, blocks: list[slice], *, progress: bool) -> Iterator[R]:
    from tqdm.auto import tqdm

    with tqdm(total=len(windows), desc="Scanning", unit="interval", disable=not progress) as bar:
        for rows, result in zip(blocks, results, strict=True):
            yield result
            bar.update(rows.stop - rows.start)


def _count(text: NDArray[np.uint8], bounds: NDArray[np.int64], alphabet: NDArray[np.uint8], profile: Profile) -> Any:
    """Count: row ends, columns and values of a CSR matrix."""
    from tilegrn.motifs._kernel import count_text  # compiled on first use

    return count_text(text, bounds, alphabet, profile.columns, len(profile.names), *profile.kernel_arguments)


def _find(
    text: NDArray[np.uint8], bounds: NDArray[np.int64], alphabet: NDArray[np.uint8], profile: Profile
) -> pd.DataFrame:
    from tilegrn.motifs._kernel import find_text

    found = find_text(text, bounds, alphabet, *profile.kernel_arguments)
    order = np.lexsort((found[1], found[2] >> 1, found[0]))
    number, motif, place = (a[order].astype(np.int64) for a in found[:3])
    position, strand = place >> 1, place & 1
    return pd.DataFrame(
        {
            "number": number,
            "position": position,
            "strand": pd.Categorical.from_codes(strand, categories=pd.Index(["+", "-"])),
            "score": found[3][order],
            "sequence": _words(text, bounds[number] + position, profile.lengths[motif]),
            "motif": pd.Categorical.from_codes(profile.columns[motif], categories=pd.Index(profile.names)),
        }
    )


def _words(text: NDArray[np.uint8], start: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.object_]:
    """Cut the hits out of the text, in upper case; one motif length after the other."""
    words = np.empty(len(start), dtype=object)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        letters = text[start[rows, None] + np.arange(length)].tobytes().upper()
        words[rows] = np.frombuffer(letters, dtype=f"S{length}").astype(str)
    return words
