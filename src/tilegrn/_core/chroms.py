"""Names of chromosomes: contigs, the mitochondrial genome, and two ways of naming one (``chr1`` and ``1``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["is_contig", "is_mitochondrial", "other_name", "pair_chroms"]

_CONTIG = re.compile(r"[_.]|^chrUn|^HLA-|^chrEBV$", re.IGNORECASE)
_MITO = frozenset({"chrm", "chrmt", "m", "mt"})


def is_contig(chrom: str) -> bool:
    """Tell whether a name is an unplaced contig, patch or alternative haplotype (``chr1_KI270706v1_random``)."""
    return _CONTIG.search(chrom) is not None


def is_mitochondrial(chrom: str) -> bool:
    """Tell whether a name is the mitochondrial genome (``chrM``, ``MT``)."""
    return chrom.lower() in _MITO


def other_name(chrom: str, known: Collection[str]) -> str | None:
    """Return what ``known`` calls a chromosome that it has with ``chr`` where this has none, or the other way round."""
    if is_mitochondrial(chrom):
        found = [k for k in ("chrM", "MT", "chrMT", "M") if k in known] or sorted(filter(is_mitochondrial, known))
        return found[0] if found else None
    toggled = chrom[3:] if chrom.startswith("chr") else f"chr{chrom}"
    return toggled if toggled in known else None


def pair_chroms(names: Iterable[str], known: Collection[str], what: str, *, total: bool = True) -> dict[str, str]:
    """Pair chromosome names with those of an assembly or a file.

    Main chromosomes decide: if one of them stands there under its own name, names are taken as they are; if none does,
    but all do once ``chr`` is put before them or taken away, that is done, and to contigs too where they need it.
    Contigs and the mitochondrial genome, whose names may agree by chance, have no say in it; the mitochondrial genome
    is found under any of its names.

    Parameters
    ----------
    names
        Distinct names.
    known
        Names to pair them with.
    what
        What is named, for the message.
    total
        Whether every main chromosome must be there for ``chr`` to be put or taken; else any one will do.

    Returns
    -------
    Name -> name in ``known``; what is not there has no entry.

    Raises
    ------
    InputError
        If two names are one chromosome (``1`` and ``chr1``, ``MT`` and ``chrM``).
    """
    every = list(names)
    mito = [c for c in every if is_mitochondrial(c)]
    main = [c for c in every if not is_mitochondrial(c) and not is_contig(c)]
    pairs = {c: c for c in every if c in known}
    pairs |= {c: k for c in mito if c not in pairs and (k := other_name(c, known)) is not None}
    turned = {c: k for c in every if c not in pairs and (k := other_name(c, known)) is not None}
    n_turned = sum(c in turned for c in main)
    # A main chromosome under its own name settles it, and then '1' beside 'chr1' is a fault to report, not to mend.
    if not any(c in pairs for c in main) and (n_turned == len(main) or (n_turned and not total)):
        pairs |= turned
    pairs = {c: pairs[c] for c in every if c in pairs}
    _refuse_twins(pairs, what)
    return pairs


def _refuse_twins(pairs: dict[str, str], what: str) -> None:
    first: dict[str, str] = {}
    for chrom, k in pairs.items():
        if k in first:
            msg = (
                f"The {what}s name one chromosome in two ways, '{first[k]}' and '{chrom}' ('{k}'). Rename one of them "
                f"in the {what} names."
            )
            raise InputError(msg)
        first[k] = chrom
