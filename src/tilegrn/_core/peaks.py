"""Peak names to intervals, and chromosome names to those of the assembly."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._core.chroms import is_contig, is_mitochondrial, other_name, pair_chroms
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["match_chroms", "parse_peaks"]

logger = logging.getLogger(__name__)

MAX_ABSENT = 0.05
"""Share of peaks on chromosomes unknown to the assembly beyond which it is taken for the wrong one."""

# From the right, because chromosome names may hold separators themselves (chr1_KI270706v1_random, HLA-A*01:01).
_PEAK = re.compile(r"^(.+)[:_-]([0-9][0-9,]{0,16})[-_]([0-9][0-9,]{0,16})$", re.MULTILINE)
_CANONICAL = re.compile(r"chr([0-9]{1,2}[LR]?|[IVX]+|[XYZWM]|MT|Un)")


def parse_peaks(names: Iterable[Any]) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64]]:
    """Split peak names into chromosome, start and end.

    ``chr1:3000-4000``, ``chr1-3000-4000`` and ``chr1_3000_4000`` are read, thousands separators too; the last two
    numbers are the interval and all before them is the chromosome, so ``chr1_KI270706v1_random_10_20`` is understood.
    The interval is 0-based and half-open, as in BED.

    Parameters
    ----------
    names
        Peak names, for instance ``atac.var_names``.

    Returns
    -------
    Chromosome names (object), starts and ends (int64), in the order of ``names``.

    Raises
    ------
    InputError
        For no names at all, names that hold no interval, the printed form of bytes (``b'chr1:1-2'``), positions that
        are negative or no integers, ``start >= end``, and intervals that stand there twice, also in two spellings. The
        message names values, their number, their places (counted from 0) and the mend.
    """
    values = [n if isinstance(n, str) else str(n) for n in names]
    if not values:
        msg = "There are no peaks: the list of peak names is empty."
        raise InputError(msg)
    found = _PEAK.findall("\n".join(values))
    if len(found) != len(values):
        _explain(values)
    chroms = [f[0] for f in found]
    bad = [i for i, c in enumerate(chroms) if c[-1] in ":_-"]
    if bad:
        msg = f"{_several(bad, values)} a negative position; peaks start at 0 or later. Correct or remove such peaks."
        raise InputError(msg)
    start, end = _numbers([f[1] for f in found]), _numbers([f[2] for f in found])
    empty = np.flatnonzero(start >= end)
    if len(empty):
        msg = (
            f"{_several(empty, values)} start >= end; a peak is a half-open interval with start < end. "
            "Correct or remove such peaks."
        )
        raise InputError(msg)
    chrom = np.array(chroms, dtype=object)
    _no_duplicates(chrom, start, end, values)
    return chrom, start, end


def _numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    joined = "\n".join(texts).replace(",", "")
    return np.array(joined.split("\n"), dtype="U18").astype(np.int64)


def _several(rows: Sequence[int] | NDArray[np.int64], values: Sequence[str]) -> str:
    shown = ", ".join(f"'{values[i]}' (number {i})" for i in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"{len(rows)} of {len(values)} peak names, {shown}{more}, " + ("has" if len(rows) == 1 else "have")


def _explain(values: list[str]) -> None:
    """Raise the error for names that hold no interval, saying what kind of name they are."""
    bad = [i for i, v in enumerate(values) if "\n" in v or _PEAK.fullmatch(v) is None]
    first = values[bad[0]]
    if re.match(r"b['\"]", first):
        kind = "the printed form of bytes. Decode them: atac.var_names = [n[2:-1] for n in atac.var_names]"
    elif re.search(r"[:_-]\s*-[0-9]", first):
        kind = "a negative position; peaks start at 0 or later. Correct or remove such peaks"
    elif re.search(r"[0-9][.eE][+0-9]", re.sub(r"^[^:]*:", "", first)):
        kind = "a position that is no whole number of bp. Write positions with digits only"
    elif re.match(r"\S+\s+[0-9]+\s+[0-9]+", first):
        kind = "blanks between its parts. Join them: chrom:start-end"
    else:
        kind = "no interval. Name peaks chrom:start-end, chrom-start-end or chrom_start_end (atac.var_names)"
    msg = f"{_several(bad, values)} {kind}."
    raise InputError(msg)


def _no_duplicates(
    chrom: NDArray[np.object_], start: NDArray[np.int64], end: NDArray[np.int64], values: Sequence[str]
) -> None:
    codes = pd.factorize(chrom)[0]
    order = np.lexsort((end, start, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(start[order]) == 0) & (np.diff(end[order]) == 0)
    if not same.any():
        return
    first = int(np.flatnonzero(same)[0])
    a, b = sorted((int(order[first]), int(order[first + 1])))
    msg = (
        f"{int(same.sum())} of {len(values)} peaks are duplicates: '{values[a]}' (number {a}) and '{values[b]}' "
        f"(number {b}) are the same interval. Keep one of each, or sum them, before going on."
    )
    raise InputError(msg)


def match_chroms(
    chroms: Iterable[str],
    sizes: Collection[str],
    *,
    what: str = "peak",
    max_absent: float | None = MAX_ABSENT,
    assembly: str = "",
) -> dict[str, str]:
    """Find the assembly's name of each chromosome name.

    Names that are there are kept. If no main chromosome is, but all of them are once ``chr`` is put before them or
    taken away, that mapping is taken and logged, whatever the contigs are called; ``chrM`` and ``MT`` are one. Rows on
    contigs, on the mitochondrial genome and on chromosomes that are absent are counted in a warning.

    Parameters
    ----------
    chroms
        The chromosome of each row (not only the distinct ones: rows are counted).
    sizes
        Chromosome lengths, or names, of the assembly.
    what
        What a row is, for the messages.
    max_absent
        Share of rows on absent chromosomes beyond which the assembly is taken for the wrong one. ``None``: no limit and
        no warnings, only a log line (for TSS tables, which are wider than the data), and ``chr`` is put or taken even
        if some chromosomes are absent then.
    assembly
        Name for the messages.

    Returns
    -------
    Name in ``chroms`` -> name in ``sizes``; chromosomes that are absent have no entry.

    Raises
    ------
    InputError
        For a misspelt chromosome (``Chr1``, with a suggestion), ``1`` mixed with ``chr1``, and more absent rows than
        ``max_absent``.
    """
    counts = pd.Series(list(chroms), dtype=object).value_counts(sort=False)
    names = [str(c) for c in counts.index]
    total = int(counts.sum())
    label = assembly or "the chromosome sizes"
    known = set(sizes)
    mapping = pair_chroms(names, known, what, total=max_absent is not None)
    renamed = [c for c in mapping if mapping[c] != c]
    if renamed:
        logger.info(
            "Chromosomes are named '%s' in the %ss and '%s' in %s; mapped.",
            renamed[0],
            what,
            mapping[renamed[0]],
            label,
        )
    absent = [c for c in names if c not in mapping]
    n_absent = sum(int(counts[c]) for c in absent)
    if max_absent is None:
        _refuse_misspelt([c for c in absent if other_name(c, known)], counts, known, what, label)
        if absent:
            logger.info(
                "%d of %d %s rows lie on %d chromosomes unknown to %s.", n_absent, total, what, len(absent), label
            )
        return mapping
    _refuse_misspelt(absent, counts, known, what, label)
    if absent:
        shown = _list(absent)
        msg = f"{n_absent} of {total} {what}s lie on chromosomes that are not in {label}: {shown}."
        if n_absent > max_absent * total:
            has = _list(sorted(known, key=lambda c: (len(c), c)))
            msg += (
                f" That is {n_absent / total:.1%}, more than {max_absent:.0%}: is this the right assembly? "
                f"It has {has}. Give the chromosome sizes of the data's assembly, or remove these {what}s."
            )
            raise InputError(msg)
        warnings.warn(f"{msg} They belong to no window and are left out.", UserWarning, stacklevel=4)
    _warn_odd([c for c in names if c in mapping], counts, what, total)
    return mapping


def _refuse_misspelt(absent: list[str], counts: Any, known: Collection[str], what: str, label: str) -> None:
    lower = {k.lower(): k for k in known}
    for chrom in absent:
        near = None if is_contig(chrom) else other_name(chrom, known)
        if near is None and (is_contig(chrom) or _CANONICAL.fullmatch(chrom)):
            continue
        near = near or lower.get(chrom.lower())
        if near is None:
            close = difflib.get_close_matches(chrom.lower(), lower, n=1, cutoff=0.6)
            near = lower[close[0]] if close else None
        if near is not None:
            msg = (
                f"Chromosome '{chrom}' of {int(counts[chrom])} {what}s is not in {label}; did you mean '{near}'? "
                f"Rename it in the {what} names so that all chromosomes are spelt as in {label}."
            )
            raise InputError(msg)


def _warn_odd(present: list[str], counts: Any, what: str, total: int) -> None:
    for kind, test in (("contigs or patches", is_contig), ("the mitochondrial genome", is_mitochondrial)):
        odd = [c for c in present if test(c)]
        if odd:
            n = sum(int(counts[c]) for c in odd)
            msg = f"{n} of {total} {what}s lie on {kind} ({_list(odd)}); such {what}s are usually removed beforehand."
            warnings.warn(msg, UserWarning, stacklevel=5)


def _list(names: Sequence[str], n: int = 6) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
