"""A model on disk: safetensors and JSON with a manifest of SHA-256 sums; the folder appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn._core.atomic import new_folder, parsed_json, sha256
from tilegrn.errors import InputError, WriteError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORMAT", "read_folder", "write_folder"]

FORMAT = 3
"""Number of the layout; files of another one are refused."""

_FILES = _TEXT, _ARRAYS, _MANIFEST = "model.json", "arrays.safetensors", "manifest.json"


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
    from safetensors.numpy import save

    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / _MANIFEST).exists())):
        msg = f"'{target}' exists and is no tilegrn model; name another folder."
        raise InputError(msg)
    foreign = (
        sorted(p.name for p in target.iterdir() if p.name not in (*_FILES, ".DS_Store")) if target.is_dir() else []
    )
    if foreign:
        msg = f"'{target}' holds more than a model ({', '.join(foreign[:3])}); move that away, or name another folder."
        raise InputError(msg)
    with new_folder(target, need=sum(a.nbytes for a in arrays.values()) + len(json.dumps(text))) as made:
        # Through Python, whose errors say what the system refused.
        (made / _ARRAYS).write_bytes(save({k: v.copy(order="C") for k, v in arrays.items()}))
        (made / _TEXT).write_text(json.dumps({"format": FORMAT, **text}, indent=1), encoding="utf-8")
        sums = {name: sha256(made / name) for name in (_TEXT, _ARRAYS)}
        (made / _MANIFEST).write_text(json.dumps({"format": FORMAT, "sha256": sums}, indent=1), encoding="utf-8")
        _check_written(made, text, arrays)


def _check_written(made: Path, text: dict[str, Any], arrays: dict[str, NDArray[np.generic]]) -> None:
    """Read what was written, before an older model gives way to it."""
    text_there, arrays_there = read_folder(made)
    same = json.dumps(text_there) == json.dumps({"format": FORMAT, **text}) and arrays_there.keys() == arrays.keys()
    if not same or any(
        a.dtype != arrays_there[k].dtype or a.tobytes() != arrays_there[k].tobytes() for k, a in arrays.items()
    ):
        msg = (
            f"What was written to '{made.parent}' does not read back the same; is the disk sound? Nothing was replaced."
        )
        raise WriteError(msg)


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Read a model folder after checking its sums.

    Raises
    ------
    InputError
        If the folder is no model, is incomplete, was changed, or is of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    source = Path(folder).expanduser()
    listed = parsed_json(_file(source, _MANIFEST), source / _MANIFEST)
    number, sums = listed.get("format"), listed.get("sha256")
    if not isinstance(number, int) or isinstance(number, bool):
        msg = f"'{source / _MANIFEST}' is damaged: it lacks the number of the format. Copy or save the model again."
        raise InputError(msg)
    if number > FORMAT:
        msg = f"'{source}' has model format {number}, newer than {FORMAT}; upgrade tilegrn to read it."
        raise InputError(msg)
    if number < FORMAT:
        msg = f"'{source}' was saved by an earlier tilegrn (model format {number}); train it again."
        raise InputError(msg)
    if not isinstance(sums, dict):
        msg = f"'{source / _MANIFEST}' is damaged: it lacks the SHA-256 sums. Copy or save the model again."
        raise InputError(msg)
    held = {name: _file(source, name) for name in (_TEXT, _ARRAYS)}
    for name in held:
        if sums.get(name) != hashlib.sha256(held[name]).hexdigest():
            msg = (
                f"'{source / name}' does not match its SHA-256 sum: it is truncated or was changed. Copy or save it "
                "again."
            )
            raise InputError(msg)
    # From the very bytes that were summed: a file that changes in between is not read twice.
    text = parsed_json(held[_TEXT], source / _TEXT)
    if text.get("format") != number:
        msg = f"'{source / _TEXT}' and '{source / _MANIFEST}' are of different formats. Copy or save the model again."
        raise InputError(msg)
    try:
        arrays = load(held[_ARRAYS])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        msg = f"'{source / _ARRAYS}' is damaged: it is no valid safetensors file ({error}). Copy or save it again."
        raise InputError(msg) from error
    return text, arrays


def _file(source: Path, name: str) -> bytes:
    path = source / name
    try:
        # A link could name any file of the reader's; what is no file (a pipe) could keep the reader waiting.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            msg = f"'{path}' is a link or no file, which no saved model holds. Copy the model itself."
            raise InputError(msg)
        return path.read_bytes()
    except FileNotFoundError as error:
        if name == _MANIFEST:
            msg = f"'{source}' holds no {_MANIFEST}: it is no tilegrn model, or was not written to its end."
        else:
            msg = f"'{source}' lacks {name}: the model is incomplete. Copy or save it again."
        raise InputError(msg) from error
    except OSError as error:
        msg = f"'{path}' cannot be read ({error.strerror or error}). Check the path and its permissions."
        raise InputError(msg) from error
