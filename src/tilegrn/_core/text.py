"""Lines of small annotation files, whatever wrote them: gzip, byte-order mark, CRLF, comments."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 8 * 2**30
"""Uncompressed size beyond which a file is no annotation; a gzip bomb stops here."""

_CHUNK = 1 << 20
_BOMB_BYTES = 1 << 27
_BOMB_RATIO = 300
"""Annotation shrinks some 30-fold, tables that are nearly all zeros 100-fold; gzip's limit is 1032."""
_SKIP = re.compile(r"#|track(\s|$)|browser(\s|$)")


def existing_file(source: str | Path, what: str) -> Path:
    """Return the path of a file that is there.

    Raises
    ------
    InputError
        If there is no such file, or it is a folder.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        msg = f"{what} '{source}' {kind}."
        raise InputError(msg)
    return path


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file, gzipped or not (told by its first bytes, not its name), without its byte-order mark.

    Raises
    ------
    InputError
        If the file is no text, its gzip stream is damaged, it unpacks to more than ``max_bytes`` or to more than text
        can, or there is not enough memory for it.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    size = path.stat().st_size
    parts: list[bytes] = []
    total = 0
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                total += len(chunk)
                if total > max_bytes:
                    msg = f"'{path}' holds more than {max_bytes:,} bytes of text; this is no annotation file."
                    raise InputError(msg)
                if zipped and total > _BOMB_BYTES and total > _BOMB_RATIO * size:
                    msg = (
                        f"'{path}' unpacks to more than {_BOMB_RATIO} times its size; that is no text. Unpack it first."
                    )
                    raise InputError(msg)
                zero = chunk.find(b"\0")
                if zero >= 0:
                    msg = (
                        f"'{path}' is no plain text (byte {total - len(chunk) + zero} is zero). Save it as UTF-8 text."
                    )
                    raise InputError(msg)
                parts.append(chunk)
        return b"".join(parts).decode("utf-8-sig")
    except MemoryError as err:
        msg = f"'{path}' is too large for the memory that is left. Give a smaller file, or use a larger machine."
        raise InputError(msg) from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        msg = f"'{path}' is damaged: its gzip stream cannot be unpacked ({err}). Copy or download it again."
        raise InputError(msg) from err
    except UnicodeDecodeError as err:
        msg = f"'{path}' is no plain text (byte {err.start} is not UTF-8). Give a text file, or its gzip."
        raise InputError(msg) from err


def data_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of the lines that hold data, without comments, track and browser lines."""
    # Not splitlines(), which also breaks at form feeds and other marks that descriptions may hold.
    for number, ended in enumerate(io.StringIO(text, newline=None), start=1):
        line = ended.rstrip("\n")
        if line.strip() and not _SKIP.match(line):
            yield number, line


def split_tabs(line: str, number: int, path: Path | str, n_min: int) -> list[str]:
    """Split a line at its tabs; spaces in their place are an error that names the line."""
    fields = [f.strip() for f in line.split("\t")]
    if len(fields) < n_min and len(line.split()) >= n_min:
        msg = f"'{path}', line {number}: columns are separated by spaces, not tabs: '{line.strip()[:60]}'. Use tabs."
        raise InputError(msg)
    return fields
