"""Names of cells: lists in files, and the ``sample#barcode`` of ArchR."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core.text import read_text
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["named", "read_barcodes"]

_HEADS = ("barcode", "barcodes", "cell", "cells", "cell_id", "cellnames", "x", "v1")


def read_barcodes(path: Path) -> list[str]:
    """Read one name of a cell a line, or the column of a table that holds them.

    Raises
    ------
    InputError
        If there is none.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    try:
        rows = [r for r in csv.reader(io.StringIO(text), delimiter="\t" if "\t" in first else ",") if any(r)]
    except csv.Error as err:
        msg = f"'{path}' cannot be read as a list of barcodes: {err}. Write one barcode a line."
        raise InputError(msg) from err
    head = [c.strip().lower() for c in rows[0]] if rows else []
    column = next((head.index(h) for h in _HEADS if h in head), None)
    if column is not None:
        rows = rows[1:]
    place = column or 0
    if not rows or any(len(r) <= place or not r[place].strip() for r in rows):
        msg = f"'{path}' names no cells, or has lines without a barcode. Write one barcode a line."
        raise InputError(msg)
    return [r[place].strip() for r in rows]


def named(cells: pd.Index, pattern: str, where: str) -> tuple[pd.Index, pd.Series | None]:
    """Name cells by a pattern of ``{cell}``, ``{sample}`` and ``{barcode}``; the sample, where names have one.

    Raises
    ------
    InputError
        On other fields, names without ``#`` where a part of them is asked for, and names that come out alike.
    """
    fields = set(re.findall(r"\{([^{}]*)\}", pattern))
    if not fields or fields - {"cell", "sample", "barcode"}:
        msg = f"cell_names='{pattern}': the fields are {{cell}}, {{sample}} and {{barcode}}."
        raise InputError(msg)
    names = cells.astype(str)
    parts = [n.split("#", 1) for n in names]
    split = np.array([len(p) == 2 for p in parts])
    if fields & {"sample", "barcode"} and not split.all():
        msg = f"cell_names='{pattern}', but cells of {where} are not named sample#barcode, e.g. '{names[~split][0]}'."
        raise InputError(msg)
    if pattern != "{cell}":
        words = re.split(r"\{(cell|sample|barcode)\}", pattern)  # text and fields by turns
        filled = []
        for cell, part in zip(names, parts, strict=True):
            values = {"cell": cell, "sample": part[0], "barcode": part[-1]}
            filled.append("".join(values[w] if i % 2 else w for i, w in enumerate(words)))
        names = pd.Index(filled)
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        msg = f"{len(twice)} cells of {where} share their names, e.g. '{twice[0]}'."
        several = split.all() and len({p[0] for p in parts}) > 1
        msg += " Samples share barcodes: keep the sample, e.g. cell_names='{barcode}-{sample}'." if several else ""
        raise InputError(msg)
    sample = pd.Series([p[0] for p in parts], index=names, dtype=object) if len(split) and split.all() else None
    return names, sample
