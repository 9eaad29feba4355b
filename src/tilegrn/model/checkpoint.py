"""Numbers and words on disk: safetensors and JSON with a manifest of SHA-256 sums, in a folder.

The folder appears whole or not at all. Models are kept so, and the checkpoints of a training.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn._core.atomic import new_folder, parsed_json, sha256
from tilegrn.errors import InputError, WriteError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORMAT", "MODEL", "Kind", "is_first_process", "read_folder", "write_folder"]

FORMAT = 3
"""Number of the layout of models; files of another one are refused."""

_ARRAYS, _MANIFEST = "arrays.safetensors", "manifest.json"


@dataclass(frozen=True)
class Kind:
    """What a folder holds.

    Attributes
    ----------
    name
        Of the thing, for messages; ``<name>.json`` is its text.
    format
        Number of its layout.
    mend
        What to do about a damaged one.
    older
        What to do about one of an earlier layout.
    """

    name: str
    format: int
    mend: str
    older: str

    @property
    def text(self) -> str:
        """Name of the file with the text."""
        return f"{self.name}.json"

    @property
    def files(self) -> tuple[str, str, str]:
        """Names of all files."""
        return self.text, _ARRAYS, _MANIFEST


MODEL = Kind("model", FORMAT, "Copy or save it again.", "train it again")


def is_first_process() -> bool:
    """Whether this is the process that writes, of those that train together."""
    import torch.distributed as several

    return not (several.is_available() and several.is_initialized() and several.get_rank())


def write_folder(
    folder: str | Path, text: dict[str, Any], arrays: dict[str, NDArray[np.generic]], *, kind: Kind = MODEL
) -> None:
    """Write a folder of text and arrays.

    Parameters
    ----------
    folder
        Made with its parents. One of the kind that is already there is replaced; anything else there is an error.

    Raises
    ------
    InputError
        If the folder holds something else.
    """
    from safetensors.numpy import save

    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / _MANIFEST).exists())):
        msg = f"'{target}' exists and is no tilegrn {kind.name}; name another folder."
        raise InputError(msg)
    foreign = (
        sorted(p.name for p in target.iterdir() if p.name not in (*kind.files, ".DS_Store")) if target.is_dir() else []
    )
    if foreign:
        more = ", ".join(foreign[:3])
        msg = f"'{target}' holds more than a {kind.name} ({more}); move that away, or name another folder."
        raise InputError(msg)
    text = {"format": kind.format, **text}
    with new_folder(target, need=sum(a.nbytes for a in arrays.values()) + len(json.dumps(text))) as made:
        # Through Python, whose errors say what the system refused.
        (made / _ARRAYS).write_bytes(save({k: v.copy(order="C") for k, v in arrays.items()}))
        (made / kind.text).write_text(json.dumps(text, indent=1), encoding="utf-8")
        sums = {name: sha256(made / name) for name in (kind.text, _ARRAYS)}
        (made / _MANIFEST).write_text(json.dumps({"format": kind.format, "sha256": sums}, indent=1), encoding="utf-8")
        _check_written(made, text, arrays, kind)


def _check_written(made: Path, text: dict[str, Any], arrays: dict[str, NDArray[np.generic]], kind: Kind) -> None:
    """Read what was written, before an older one gives way to it."""
    text_there, arrays_there = read_folder(made, kind=kind)
    same = json.dumps(text_there) == json.dumps(text) and arrays_there.keys() == arrays.keys()
    if not same or any(
        a.dtype != arrays_there[k].dtype or a.tobytes() != arrays_there[k].tobytes() for k, a in arrays.items()
    ):
        msg = (
            f"What was written to '{made.parent}' does not read back the same; is the disk sound? Nothing was replaced."
        )
        raise WriteError(msg)


def read_folder(folder: str | Path, *, kind: Kind = MODEL) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Read a folder of text and arrays after checking its sums.

    Raises
    ------
    InputError
        If the folder is none of the kind, is incomplete, was changed, or is of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    source = Path(folder).expanduser()
    listed = parsed_json(_file(source, _MANIFEST, kind), source / _MANIFEST)
    number, sums = listed.get("format"), listed.get("sha256")
    if not isinstance(number, int) or isinstance(number, bool):
        msg = f"'{source / _MANIFEST}' is damaged: it lacks the number of the format. {kind.mend}"
        raise InputError(msg)
    if number > kind.format:
        msg = f"'{source}' has {kind.name} format {number}, newer than {kind.format}; upgrade tilegrn to read it."
        raise InputError(msg)
    if number < kind.format:
        msg = f"'{source}' was saved by an earlier tilegrn ({kind.name} format {number}); {kind.older}."
        raise InputError(msg)
    if not isinstance(sums, dict):
        msg = f"'{source / _MANIFEST}' is damaged: it lacks the SHA-256 sums. {kind.mend}"
        raise InputError(msg)
    held = {name: _file(source, name, kind) for name in (kind.text, _ARRAYS)}
    for name in held:
        if sums.get(name) != hashlib.sha256(held[name]).hexdigest():
            msg = f"'{source / name}' does not match its SHA-256 sum: it is truncated or was changed. {kind.mend}"
            raise InputError(msg)
    # From the very bytes that were summed: a file that changes in between is not read twice.
    text = parsed_json(held[kind.text], source / kind.text)
    if text.get("format") != number:
        msg = f"'{source / kind.text}' and '{source / _MANIFEST}' are of different formats. {kind.mend}"
        raise InputError(msg)
    try:
        arrays = load(held[_ARRAYS])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        msg = f"'{source / _ARRAYS}' is damaged: it is no valid safetensors file ({error}). {kind.mend}"
        raise InputError(msg) from error
    return text, arrays


def _file(source: Path, name: str, kind: Kind) -> bytes:
    path = source / name
    try:
        # A link could name any file of the reader's; what is no file (a pipe) could keep the reader waiting.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            msg = f"'{path}' is a link or no file, which no saved {kind.name} holds. Copy the {kind.name} itself."
            raise InputError(msg)
        return path.read_bytes()
    except FileNotFoundError as error:
        if name == _MANIFEST:
            msg = f"'{source}' holds no {_MANIFEST}: it is no tilegrn {kind.name}, or was not written to its end."
        else:
            msg = f"'{source}' lacks {name}: the {kind.name} is incomplete. {kind.mend}"
        raise InputError(msg) from error
    except OSError as error:
        msg = f"'{path}' cannot be read ({error.strerror or error}). Check the path and its permissions."
        raise InputError(msg) from error
