"""What a MuData or a model was made from, in words: the records that each step has left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu
from tilegrn.model.checkpoint import read_folder

if TYPE_CHECKING:
    import os

    from mudata import MuData

__all__ = ["provenance"]

_SHOWN = 6
_WIDTH = 100


def provenance(source: MuData | str | os.PathLike[str]) -> str:
    """Tell what a MuData or a model was made from: parameters, seeds, versions, hashes.

    Parameters
    ----------
    source
        A MuData, the path of an h5mu file, or the folder of a model.

    Returns
    -------
    Text to print, the steps by name with their values. Lists of more than six values are given by their number and the
    first twelve digits of a SHA-256 of the values in their order.

    Raises
    ------
    InputError
        If there is nothing at the path, it cannot be read, or no step has left a record.

    Examples
    --------
    >>> print(grn.io.provenance(mdata).splitlines()[0])
    MuData
    >>> text = grn.io.provenance("model")  # or the path of an h5mu
    """
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        path = Path(source).expanduser()
        if path.is_dir():
            text, _ = read_folder(path)
            return "\n".join([f"{path}: model", *_lines(text, 1)])
        name, records = str(path), read_h5mu(path).uns.get(K.UNS)
    elif hasattr(source, "uns"):
        name, records = "MuData", source.uns.get(K.UNS)
    else:
        msg = f"source is a {type(source).__name__}; give a MuData, the path of an h5mu file, or the folder of a model."
        raise InputError(msg)
    if not isinstance(records, Mapping) or not records:
        msg = f"{name} holds no records of tilegrn (uns['{K.UNS}']); run a step first, e.g. grn.pp.bin_peaks(mdata)."
        raise InputError(msg)
    return "\n".join([name, *_lines(records, 1)])


def _lines(values: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key in sorted(values):
        value = _plain(values[key])
        if isinstance(value, Mapping) and value:
            lines += [f"{'  ' * depth}{key}:", *_lines(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{key}: {_shown(value)}")
    return lines


def _plain(value: Any) -> Any:
    """Return JSON in a text as what it holds, and arrays as lists."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) > _SHOWN:
        digest = hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()
        return f"{len(value)} values, sha256 {digest[:12]}"
    if hasattr(value, "columns"):
        return f"table of {len(value)} rows: {', '.join(map(str, value.columns))}"[:_WIDTH]
    if hasattr(value, "shape"):
        return f"matrix {' x '.join(map(str, value.shape))}"
    text = str(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
