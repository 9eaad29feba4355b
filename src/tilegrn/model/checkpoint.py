"""A model on disk: safetensors and JSON with a manifest of SHA-256 sums; the folder appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn._core.atomic import new_folder, read_json, sha256
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORMAT", "read_folder", "write_folder"]

FORMAT = 3
"""Number of the layout; files of another one are refused."""

_TEXT, _ARRAYS, _MANIFEST = "model.json", "arrays.safetensors", "manifest.json"


def write_folder(folder: str | Path, text: dict[str, Any], arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write a model folder.

    Parameters
    ----------
    folder
        Made with its parents. A model that is already there is replaced; anything else there is an error.

    Raises
    ------
    InputError
        If the folder holds something other than a model.
    """
    from safetensors.numpy import save_file

    target = Path(folder)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / _MANIFEST).exists())):
        msg = f"'{target}' exists and is no tilegrn model; name another folder."
        raise InputError(msg)
    with new_folder(target) as made:
        save_file({k: v.copy(order="C") for k, v in arrays.items()}, made / _ARRAYS)
        (made / _ARRAYS).chmod(0o644)  # safetensors makes files that nobody else may read
        (made / _TEXT).write_text(json.dumps({"format": FORMAT, **text}, indent=1), encoding="utf-8")
        sums = {name: sha256(made / name) for name in (_TEXT, _ARRAYS)}
        (made / _MANIFEST).write_text(json.dumps({"format": FORMAT, "sha256": sums}, indent=1), encoding="utf-8")


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Read a model folder after checking its sums.

    Raises
    ------
    InputError
        If the folder is no model, is incomplete, was changed, or is of a newer format.
    """
    from safetensors.numpy import load_file

    source = Path(folder)
    manifest = source / _MANIFEST
    if not manifest.is_file():
        msg = f"'{source}' holds no {_MANIFEST}: it is no tilegrn model, or was not written to its end."
        raise InputError(msg)
    listed = read_json(manifest)
    if int(listed.get("format", 0)) > FORMAT:
        msg = f"'{source}' has model format {listed['format']}, newer than {FORMAT}; upgrade tilegrn to read it."
        raise InputError(msg)
    if int(listed.get("format", 0)) < FORMAT:
        msg = f"'{source}' was saved by an earlier tilegrn (model format {listed.get('format')}); train it again."
        raise InputError(msg)
    sums = listed.get("sha256", {})
    for name in (_TEXT, _ARRAYS):
        path = source / name
        if not path.is_file():
            msg = f"'{source}' lacks {name}: the model is incomplete. Copy or save it again."
            raise InputError(msg)
        if sums.get(name) != sha256(path):
            msg = f"'{path}' does not match its SHA-256 sum: it is truncated or was changed. Copy or save it again."
            raise InputError(msg)
    return read_json(source / _TEXT), load_file(source / _ARRAYS)
