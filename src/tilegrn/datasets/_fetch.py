"""Public files by name: fetched once, checked by their hash, kept in a cache."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tilegrn._core.atomic import new_file, parsed_json
from tilegrn.errors import InputError, ToolError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["available", "fetch"]

logger = logging.getLogger(__name__)

CACHE = "TILEGRN_CACHE"
"""Environment variable that names the folder of the cache."""
_REGISTRY = "datasets.json"
_TRIES = 2
_TIMEOUT = (15, 60)
"""Seconds to connect, and to wait for the next bytes."""
_CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class _Entry:
    """A file that can be fetched."""

    file: str
    url: str
    hash: str
    bytes: int = 0
    content: str = ""
    reader: str = ""
    licence: str = ""
    citation: str = ""
    hash_source: str = ""


def available() -> pd.DataFrame:
    """List the public data sets that :func:`fetch` knows by name.

    Returns
    -------
    Table with a row per data set and the columns ``content, bytes, reader`` (the call that reads the file),
    ``licence, citation, url, hash, hash_source`` (who published the hash) and ``path`` (where the file is, or will be).

    Examples
    --------
    >>> list(grn.datasets.available().columns)[:4]
    ['content', 'bytes', 'reader', 'licence']
    """
    import pandas as pd

    folder = _folder(None)
    table = pd.DataFrame({name: asdict(entry) for name, entry in _registry().items()}).T
    table["bytes"] = table["bytes"].astype("int64")
    table["path"] = [str(folder / file) for file in table["file"]]
    columns = ["content", "bytes", "reader", "licence", "citation", "url", "hash", "hash_source", "path"]
    return table[columns].rename_axis("name")


def fetch(
    name: str,
    *,
    url: str | None = None,
    known_hash: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Path:
    """Fetch a public file, once: later calls find it in the cache and need no network.

    Nothing is kept whose hash is not the known one. What is in the cache is checked again at each call, at about a
    second a gigabyte.

    Parameters
    ----------
    name
        A data set of :func:`available`; or, with ``url``, the name of a file of your own choice.
    url
        Where the file is, ``https://`` or ``http://``. Not for data sets of :func:`available`.
    known_hash
        With ``url``: ``"sha256:..."`` or ``"md5:..."`` in hexadecimal; without a prefix SHA-256.
    folder
        Where to keep the file. By default the folder that the environment variable ``TILEGRN_CACHE`` names, else the
        cache folder of the system (``~/.cache/tilegrn`` on Linux, ``~/Library/Caches/tilegrn`` on macOS).
    progress
        Show a progress bar while downloading.

    Returns
    -------
    The path of the file, for :func:`tilegrn.io.read_10x`, :func:`tilegrn.io.read_h5mu` or another reader.

    Raises
    ------
    InputError
        Before anything is fetched: the name is not known or is no plain file name, ``url`` or ``known_hash`` is missing
        or no address or hash, or the folder cannot be written to or has too little room.
    ToolError
        The server does not answer, refuses or breaks off, or what came has another hash. The message says where to
        put the file by hand, and how to check it.
    WriteError
        If the system refuses to write.

    Examples
    --------
    What is in the folder with the right hash is not fetched again:

    >>> import hashlib, pathlib
    >>> known = hashlib.sha256(pathlib.Path("sample.h5mu").read_bytes()).hexdigest()
    >>> where = "https://data.example.org/sample.h5mu"
    >>> path = grn.datasets.fetch("sample.h5mu", url=where, known_hash=known, folder=".")
    >>> mdata = grn.io.read_h5mu(path)
    """
    entry = _wanted(name, url, known_hash)
    target = _folder(folder) / entry.file
    there = target.is_file()
    if there and _has_hash(target, entry.hash):
        return target
    if there:
        logger.warning("'%s' has not the hash %s; it is fetched anew", target, entry.hash)
    _make_folder(target.parent)
    for left in reversed(range(_TRIES)):
        problem = _download(entry, target, progress=progress)
        if not problem:
            logger.info("fetched %s (%d bytes)", target, target.stat().st_size)
            return target
        logger.warning("'%s': %s%s", entry.url, problem, "; trying again" if left else "")
    kind, digits = entry.hash.split(":")
    msg = (
        f"'{entry.url}' could not be fetched: {problem}. Nothing was kept"
        f"{' and the file in the cache, which has another hash, is as it was' if there else ''}. Without a network, "
        f"fetch it on another machine, put it at '{target}' and call again; {kind}sum prints {digits} for the right "
        f"file. To keep the cache elsewhere, set {CACHE} or give folder=."
    )
    raise ToolError(msg)


def _download(entry: _Entry, target: Path, *, progress: bool) -> str:
    """Put the file in its place if it can be had and has the right hash; else return what is wrong."""
    import pooch
    from requests import RequestException

    get = pooch.HTTPDownloader(progressbar=progress, chunk_size=_CHUNK, timeout=_TIMEOUT)
    try:
        with new_file(target, need=entry.bytes) as part:
            try:
                get(entry.url, str(part), None)
            # RequestException is an OSError, which here would read as one of the disk.
            except RequestException as error:
                raise _NotHadError(_short(error)) from error
            if not _has_hash(part, entry.hash):
                raise _NotHadError(_other_hash(part, entry))
    except _NotHadError as error:
        return str(error)
    return ""


class _NotHadError(Exception):
    """Leaves the block of a new file, so that what was written is removed."""


def _other_hash(part: Path, entry: _Entry) -> str:
    kind, digits = entry.hash.split(":")
    n, got = part.stat().st_size, _digest(part, kind)
    with part.open("rb") as handle:
        page = handle.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    length = f"{n:,} bytes" + (f" of {entry.bytes:,}" if entry.bytes else "")
    hint = " It is a web page: does a proxy or a log-in stand between?" if page else ""
    return f"what came ({length}) has the {kind} {got}, not {digits}.{hint}".rstrip(".")


def _short(error: Exception) -> str:
    """Say in one line what went wrong, down to the system's own words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


def _wanted(name: str, url: str | None, known_hash: str | None) -> _Entry:
    registry = _registry()
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        msg = f"{name!r} is no name of a file. Take letters, digits, '.', '_' and '-', such as 'pbmc.h5'."
        raise InputError(msg)
    if name in registry:
        if url is not None or known_hash is not None:
            msg = f"'{name}' is in grn.datasets.available(), with its url and hash; give your file another name."
            raise InputError(msg)
        return registry[name]
    if url is None:
        msg = (
            f"'{name}' is none of {', '.join(sorted(registry))} (grn.datasets.available()). For a file of your own, "
            "give url= and known_hash=."
        )
        raise InputError(msg)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        msg = f"url is {url!r}; it must begin with https:// or http://."
        raise InputError(msg)
    return _Entry(file=name, url=url, hash=_full_hash(known_hash))


def _full_hash(known_hash: str | None) -> str:
    """Return a hash as ``kind:digits``, lower case."""
    if known_hash is None:
        msg = (
            "known_hash is missing: a file is kept only if its hash is known, e.g. 'sha256:' and what sha256sum prints."
        )
        raise InputError(msg)
    kind, _, digits = known_hash.strip().lower().rpartition(":")
    kind = kind or "sha256"
    if kind not in _DIGITS or not re.fullmatch(rf"[0-9a-f]{{{_DIGITS[kind]}}}", digits):
        msg = f"known_hash is {known_hash!r}; it must be 'sha256:' and 64 or 'md5:' and 32 hexadecimal digits."
        raise InputError(msg)
    return f"{kind}:{digits}"


def _registry() -> dict[str, _Entry]:
    file = resources.files("tilegrn").joinpath("data", _REGISTRY)
    return {name: _Entry(**entry) for name, entry in parsed_json(file.read_bytes(), Path(_REGISTRY)).items()}


def _folder(folder: str | os.PathLike[str] | None) -> Path:
    if folder is not None:
        return Path(folder).expanduser().resolve()
    named = os.environ.get(CACHE)
    if named:
        return Path(named).expanduser().resolve()
    import pooch

    return Path(pooch.os_cache("tilegrn"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The folder '{folder}' cannot be made ({error.strerror}). Set {CACHE} or give folder=."
        raise InputError(msg) from error


def _has_hash(path: Path, wanted: str) -> bool:
    kind, digits = wanted.split(":")
    return _digest(path, kind) == digits


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
