"""Gene names of one table found among those of another."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Found", "find_symbols", "labelled", "listed", "match_symbols", "warn_ambiguous"]

_ENSEMBL = re.compile(r"^(ENS[A-Z]*[GT]\d{11})\.\d+(_PAR_Y)?$")


@dataclass(frozen=True, eq=False)
class Found:
    """Where names of one table stand in another, and how sure that is.

    Attributes
    ----------
    position
        Position of each name; -1 where there is none.
    folded
        Name -> the gene it was matched to although they differ by letter case.
    ambiguous
        Names and genes that differ by letter case only and that nothing pairs off: none of these names is matched.
    """

    position: NDArray[np.int64]
    folded: dict[str, str]
    ambiguous: list[tuple[tuple[str, ...], tuple[str, ...]]]


def _plain(name: str) -> str:
    """Cut an Ensembl version off; dots in symbols (``AC012345.1``, ``Gm1.2``) stay."""
    hit = _ENSEMBL.match(name)
    return hit.group(1) + (hit.group(2) or "") if hit else name


def _index(names: Sequence[str], what: str) -> dict[str, int]:
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        plain = _plain(name)
        if plain in seen:
            msg = (
                f"{what} '{names[seen[plain]]}' and '{name}' are one gene once the Ensembl version is cut off. Merge "
                f"them."
            )
            raise InputError(msg)
        seen[plain] = i
    return seen


def find_symbols(names: Iterable[str], genes: Iterable[str], *, distinct: bool = True) -> Found:
    """Find names among genes: exactly, else by letter case where only one pairing is possible.

    An exact match comes first (Ensembl versions cut off). A name without one is matched regardless of letter case if it
    is the only name of that spelling and the gene the only gene: ``SOX2`` finds ``Sox2``, but where either side knows
    both ``Dl`` and ``dl``, which are two genes, only exact matches count.

    Parameters
    ----------
    names
        Names to look for; one that is repeated is one name.
    genes
        Names to look among, without repeats.
    distinct
        Whether two names are two genes. If not (names of motifs, of which ``GLI3`` and ``Gli3`` are both in use for one
        TF), each name is looked up as if it were alone.

    Raises
    ------
    InputError
        If two genes become one when Ensembl versions are cut off.
    """
    targets = [str(g) for g in genes]
    exact = _index(targets, "Genes")
    code, wanted = pd.factorize(np.asarray([_plain(str(n)) for n in names], dtype=object))
    at = {name: exact.get(name, -1) for name in wanted}
    alike: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in at:
        alike[name.casefold()][0].append(name)
    for name in exact:
        if (key := name.casefold()) in alike:
            alike[key][1].append(name)
    folded: dict[str, str] = {}
    ambiguous = []
    for mine, theirs in alike.values():
        free = [n for n in mine if at[n] < 0]
        left = [t for t in theirs if t not in at] if distinct else theirs
        if not free or not left:
            continue
        if len(theirs) == 1 and (len(mine) == 1 or not distinct):
            for name in free:
                at[name] = exact[theirs[0]]
                folded[name] = targets[at[name]]
        else:
            ambiguous.append((tuple(free), tuple(targets[exact[t]] for t in theirs)))
    place = np.asarray([at[name] for name in wanted], dtype=np.int64)
    return Found(place[code] if len(place) else np.zeros(0, dtype=np.int64), folded, ambiguous)


def match_symbols(names: Iterable[str], genes: Iterable[str]) -> NDArray[np.int64]:
    """Position in ``genes`` of each name, as :func:`find_symbols` finds it; -1 where there is none or no sure one."""
    return find_symbols(names, genes).position


def listed(names: Iterable[str], n: int = 5) -> str:
    """Quote the first names, and say how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(f"'{name}'" for name in every[:n]) + (f" and {len(every) - n} more" if len(every) > n else "")


def warn_ambiguous(found: Found, mine: str, theirs: str, outcome: str, *, stacklevel: int) -> None:
    """Warn of names that differ from several by letter case only, naming them on both sides.

    Parameters
    ----------
    found
        What :func:`find_symbols` returned.
    mine, theirs
        What the names and the genes are, for instance ``"the TSS table"``.
    outcome
        What follows, and the mend.
    stacklevel
        As in :func:`warnings.warn`, counted from the caller.
    """
    if not found.ambiguous:
        return
    groups = [f"{listed(names)} of {mine} for {listed(genes)} of {theirs}" for names, genes in found.ambiguous]
    more = f"; and {len(groups) - 10} more" if len(groups) > 10 else ""
    n = sum(len(names) for names, _ in found.ambiguous)
    warnings.warn(
        f"{n} names differ by letter case only from more than one gene, or several of them from one, and are matched "
        f"to none: {'; '.join(groups[:10])}{more}. {outcome}",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def labelled(codes: ArrayLike, names: Iterable[str]) -> pd.Categorical:
    """Turn positions into names, as a categorical: a few bytes a row however long the names."""
    categories: pd.Index = pd.Index([str(n) for n in names], dtype=object)
    return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), categories=categories)
