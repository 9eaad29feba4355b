"""Barcodes that two modalities share, and why there may be none."""

from __future__ import annotations

import re

import pandas as pd

from tilegrn._core import check
from tilegrn.errors import InputError

__all__ = ["matched_cores", "shared_barcodes", "suggestion"]

_AROUND = r"^.*[#:]|[-_.]\d+$"
"""What samples and pipelines put around barcodes: ``sample#``, ``sample:``; ``-1``, ``_2``, ``.3``."""


def shared_barcodes(rna: pd.Index, atac: pd.Index) -> pd.Index:
    """Return the barcodes of both, in the order of ``rna``.

    Raises
    ------
    InputError
        On repeated barcodes, or when none is shared: then with examples of both, and the change that would match them.
    """
    mend = (
        "Barcodes must be unique: merge or rename the repeated cells (several samples? add the sample to the barcode)."
    )
    check.unique_names(rna, "RNA barcodes", mend)
    check.unique_names(atac, "ATAC barcodes", mend)
    shared = rna[rna.isin(atac)]
    if len(shared):
        return shared
    msg = (
        f"No barcode is in both modalities. RNA has e.g. {list(map(str, rna[:3]))}, ATAC has e.g. "
        f"{list(map(str, atac[:3]))}."
    )
    raise InputError(msg + suggestion(rna, atac))


def _core(names: pd.Index) -> pd.Index:
    """Barcodes without what is around them, as the recipe of :func:`suggestion` makes them."""
    return pd.Index([re.sub(_AROUND, "", n) for n in names], dtype=object)


def matched_cores(rna: pd.Index, atac: pd.Index) -> int:
    """Count the barcodes that match without prefixes and suffixes, if these are not needed to tell cells apart."""
    r, a = _core(rna.astype(str)), _core(atac.astype(str))
    return int(r.isin(a).sum()) if r.is_unique and a.is_unique else 0


def suggestion(rna: pd.Index, atac: pd.Index) -> str:
    n = matched_cores(rna, atac)
    if n:
        return (
            f" Without prefixes and suffixes such as '-1', {n} of them match. Cut these off and build the MuData anew: "
            "for a in mdata.mod.values(): "
            f"a.obs_names = a.obs_names.str.replace(r'{_AROUND}', '', regex=True); "
            "mdata = mudata.MuData(dict(mdata.mod))"
        )
    return " Check that both modalities are of the same experiment and that barcodes are spelt alike."
