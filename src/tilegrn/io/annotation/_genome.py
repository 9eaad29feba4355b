"""Chromosome sizes: the shipped assemblies, files and mappings, and telling assemblies apart."""

from __future__ import annotations

import logging
import numbers
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._core.chroms import is_contig, is_mitochondrial
from tilegrn._core.text import data_lines, existing_file, read_text, split_tabs
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

__all__ = [
    "ASSEMBLIES",
    "assembly_name",
    "check_assembly",
    "identify_assembly",
    "read_chrom_sizes",
    "refuse_foreign",
    "with_chr",
]

logger = logging.getLogger(__name__)

ASSEMBLIES = ("mm10", "hg38", "hg19", "mm39", "mm9")
"""Assemblies whose chromosome sizes are shipped."""

_ALIASES = {"grcm38": "mm10", "grch38": "hg38", "grch37": "hg19", "grcm39": "mm39", "ncbim37": "mm9"}
_MAX_LENGTH = 10**11  # the longest chromosomes known hold a few 10^9 bp
_SIZES_BYTES = 64 * 2**20


def assembly_name(source: object) -> str:
    """Return the shipped assembly that a source names (``"GRCm38"`` is ``"mm10"``), or an empty string."""
    if not isinstance(source, str):
        return ""
    name = _ALIASES.get(source.lower(), source)
    return name if name in ASSEMBLIES else ""


@cache
def _shipped(name: str) -> tuple[tuple[str, int], ...]:
    text = resources.files("tilegrn").joinpath("data", f"{name}.chrom.sizes").read_text(encoding="utf-8")
    return tuple(_parse_sizes(text, f"{name}.chrom.sizes").items())


def read_chrom_sizes(source: str | Path | Mapping[str, int] | Any, *, main_only: bool = False) -> dict[str, int]:
    """Read the lengths of an assembly's chromosomes, in their order.

    Parameters
    ----------
    source
        The name of a shipped assembly (``"mm10"``, ``"hg38"``, ``"hg19"``, ``"mm39"``, ``"mm9"``; main chromosomes and
        chrM), the path of a two-column ``chrom.sizes`` or a ``.fai`` file (gzip, byte-order mark, CRLF and comment
        lines are read), or a mapping of names to lengths.
    main_only
        Leave out contigs, patches and alternative haplotypes (names with ``_`` or ``.``, ``chrUn...``, ``HLA-...``).

    Returns
    -------
    Chromosome name -> length in bp, in the order of the source.

    Raises
    ------
    InputError
        Unknown name or path; a duplicate name; a length that is zero, negative or no integer; a number of columns
        other than two (or the five of a ``.fai``); spaces in the place of tabs; nothing at all. Line and value are
        named.

    Examples
    --------
    >>> grn.io.read_chrom_sizes("mm10")["chr1"]
    195471971
    >>> grn.io.read_chrom_sizes("genome.chrom.sizes")
    {'chr1': 3000000, 'chr2': 3000000}
    """
    if isinstance(source, (Mapping, pd.Series)):
        sizes = _from_pairs([(str(k), v) for k, v in source.items()], "chrom_sizes")
    elif name := assembly_name(source):
        sizes = dict(_shipped(name))
    elif isinstance(source, (str, Path)):  # what users hand over may be anything, whatever the annotation says
        if isinstance(source, str) and re.fullmatch(r"\w+", source) and not Path(source).exists():
            msg = f"Unknown assembly '{source}'. Known are {', '.join(ASSEMBLIES)}; else give a chrom.sizes file."
            raise InputError(msg)
        path = existing_file(source, "The chromosome sizes file")
        sizes = _parse_sizes(read_text(path, max_bytes=_SIZES_BYTES), str(path))
    else:
        msg = f"Chromosome sizes must be a name, a path or a mapping, not {type(source).__name__}."
        raise InputError(msg)
    if main_only:
        sizes = {c: n for c, n in sizes.items() if not is_contig(c)}
    if not sizes:
        msg = f"'{source}' holds no chromosome sizes."
        raise InputError(msg)
    return sizes


def _parse_sizes(text: str, path: str) -> dict[str, int]:
    pairs: list[tuple[str, Any]] = []
    lines: list[int] = []
    for number, line in data_lines(text):
        fields = split_tabs(line, number, path, 2)
        is_fai = len(fields) == 5 and all(f.isdigit() for f in fields[1:])
        if len(fields) != 2 and not is_fai:
            msg = (
                f"'{path}', line {number}: {len(fields)} columns where 2 (name, length) or the 5 of a .fai are wanted: "
                f"'{line.strip()[:60]}'."
            )
            raise InputError(msg)
        pairs.append((fields[0], fields[1]))
        lines.append(number)
    return _from_pairs(pairs, f"'{path}'", lines)


def _from_pairs(pairs: list[tuple[str, Any]], where: str, lines: list[int] | None = None) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for i, (chrom, value) in enumerate(pairs):
        place = f"{where}, line {lines[i]}" if lines else f"{where}['{chrom}']"
        length = _length(value)
        if length is None:
            msg = f"{place}: the length of '{chrom}' is {value!r}; it must be a whole number of bp, digits only."
            raise InputError(msg)
        if not 0 < length < _MAX_LENGTH:
            kind = "zero" if length == 0 else "negative" if length < 0 else "impossibly large"
            msg = f"{place}: the length of '{chrom}' is {length}, which is {kind}; give its length in bp."
            raise InputError(msg)
        if not chrom:
            msg = f"{place}: a chromosome has no name."
            raise InputError(msg)
        if chrom in sizes:
            msg = f"{place}: chromosome '{chrom}' stands there twice ({sizes[chrom]} and {length} bp); keep one."
            raise InputError(msg)
        sizes[chrom] = length
    return sizes


def _length(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None
    return int(value) if isinstance(value, numbers.Integral) else None


def identify_assembly(sizes: Mapping[str, int]) -> str:
    """Return the shipped assembly whose lengths these are, or an empty string.

    Every main chromosome named in both must have the same length, and there must be one; ``1`` counts as ``chr1``.
    The mitochondrial genome is left aside, as assemblies share it.
    """
    given = {with_chr(c): int(n) for c, n in sizes.items() if not is_mitochondrial(c)}
    for name in ASSEMBLIES:
        known = dict(_shipped(name))
        shared = [c for c in given if c in known]
        if shared and all(given[c] == known[c] for c in shared):
            return name
    return ""


def with_chr(chrom: str) -> str:
    """Return the name as UCSC's assemblies have it: ``1`` is ``chr1``."""
    return chrom if chrom.lower().startswith("chr") else f"chr{chrom}"


def check_assembly(
    chrom: Iterable[str],
    start: ArrayLike,
    end: ArrayLike,
    sizes: Mapping[str, int],
    assembly: str = "",
    *,
    what: str = "peak",
) -> None:
    """Raise if an interval lies past the end of its chromosome.

    Parameters
    ----------
    chrom, start, end
        Intervals, half-open, with chromosome names as in ``sizes``; those on absent chromosomes are passed over.
    sizes
        Chromosome lengths.
    assembly
        Name for the message; found from ``sizes`` if empty.
    what
        The thing checked, for the message: ``"peak"`` or ``"TSS"``.

    Raises
    ------
    InputError
        Naming the interval that reaches farthest past its chromosome, the excess, the count, and the shipped assemblies
        into which all of them fit.
    """
    codes, names = pd.factorize(np.asarray(chrom, dtype=object))
    starts, ends = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
    beyond = _excess(codes, names, ends, sizes)
    n_past = int((beyond > 0).sum())
    if not n_past:
        return
    i = int(beyond.argmax())
    name = names[codes[i]]
    label = assembly or identify_assembly(sizes) or "the given sizes"
    fits = [a for a in ASSEMBLIES if a != label and _fits(a, codes, names, ends)]
    fits = [a for a in fits if a[:2] == label[:2]] or fits  # of the same species, if any is
    hint = (
        f"All of them fit {', '.join(fits)}: is that the assembly of this data?"
        if fits
        else "They fit no assembly that is shipped: give the chromosome sizes that the data were aligned to."
    )
    msg = (
        f"{n_past} of {len(ends)} {what}s lie past the end of their chromosome: {what} {name}:{starts[i]}-{ends[i]} "
        f"ends {int(beyond[i])} bp past {name} ({int(sizes[name])} bp in {label}). {hint}"
    )
    raise InputError(msg)


def refuse_foreign(chrom: Iterable[str], end: ArrayLike, sizes: Mapping[str, int], *, what: str = "peak") -> None:
    """Raise if intervals lie on chromosomes that their assembly lacks and another one has, into which all of them fit.

    One is enough: what was aligned to a mouse genome lies on no ``chr20``.

    Parameters
    ----------
    chrom, end
        Chromosome, with or without ``chr``, and end of each interval.
    sizes
        Chromosome lengths; nothing is told unless they are those of a shipped assembly.
    what
        The thing checked, for the message.

    Raises
    ------
    InputError
        Naming the chromosomes and the other assembly.
    """
    label = identify_assembly(sizes)
    if not label:
        return
    codes, names = pd.factorize(np.asarray(chrom, dtype=object))
    ends = np.asarray(end, dtype=np.int64)
    own = {**dict(_shipped(label)), **sizes}
    foreign = [str(c) for c in names if not is_mitochondrial(str(c)) and with_chr(str(c)) not in own and c not in own]
    for other in ASSEMBLIES:
        strange = list(_alike(other, foreign))
        if strange and _fits(other, codes, names, ends):
            n = int(np.isin(np.asarray(names, dtype=object)[codes], strange).sum())
            msg = (
                f"{n} of {len(ends)} {what}s lie on {', '.join(strange)}, which {label} does not have; {other} does, "
                f"and all {what}s fit into it: is that the assembly of this data? Then give '{other}'; else remove "
                f"these {what}s."
            )
            raise InputError(msg)


def _fits(assembly: str, codes: np.ndarray, names: Any, ends: np.ndarray) -> bool:
    known = _alike(assembly, names)
    placed = all(str(c) in known or is_contig(str(c)) or is_mitochondrial(str(c)) for c in names)
    return bool(known) and placed and not (_excess(codes, names, ends, known) > 0).any()


def _excess(codes: np.ndarray, names: Any, ends: np.ndarray, sizes: Mapping[str, int]) -> np.ndarray:
    unbounded = np.iinfo(np.int64).max
    lengths = np.array([int(sizes.get(str(c), unbounded)) for c in names], dtype=np.int64)
    return np.where(codes >= 0, ends - lengths[codes], -1) if len(lengths) else np.zeros(0, dtype=np.int64)


def _alike(assembly: str, names: Iterable[Any]) -> dict[str, int]:
    """Sizes of a shipped assembly under the names used here (with or without ``chr``)."""
    known = dict(_shipped(assembly))
    return {str(c): known[with_chr(str(c))] for c in names if with_chr(str(c)) in known}
