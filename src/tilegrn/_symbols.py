"""Gene names of one table found among those of another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["labelled", "match_symbols"]

_ENSEMBL = re.compile(r"^(ENS[A-Z]*[GT]\d{11})\.\d+(_PAR_Y)?$")


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


def match_symbols(names: Iterable[str], genes: Iterable[str]) -> NDArray[np.int64]:
    """Position in ``genes`` of each name; -1 where there is none.

    An exact match comes first (Ensembl versions cut off); then a match regardless of letter case, where it is unique,
    so that ``SOX2`` finds ``Sox2``.

    Raises
    ------
    InputError
        If two genes become one when Ensembl versions are cut off.
    """
    targets = [str(g) for g in genes]
    exact = _index(targets, "Genes")
    folded: dict[str, int] = {}
    for name, i in exact.items():
        key = name.upper()
        folded[key] = -1 if key in folded else i
    out = []
    for name in names:
        plain = _plain(str(name))
        i = exact.get(plain, -1)
        out.append(i if i >= 0 else folded.get(plain.upper(), -1))
    return np.asarray(out, dtype=np.int64)


def labelled(codes: ArrayLike, names: Iterable[str]) -> pd.Categorical:
    """Turn positions into names, as a categorical: a few bytes a row however long the names."""
    categories: pd.Index = pd.Index([str(n) for n in names], dtype=object)
    return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), categories=categories)
