"""Heaps of text in HDF5 files: the library walks through a damaged one for ever, so they are walked here first."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["check_heaps"]

_MARK = b"GCOL\x01\0\0\0"
"""Begins a global heap collection; its size follows (8 bytes), then its objects."""
_HEAD = 16
_BLOCK = 1 << 24


def check_heaps(path: Path) -> None:
    """Raise if a global heap holds an object of no length, from which HDF5 never gets on.

    Costs one pass through the file, about a second per GB.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for at in _marks(file, size):
            file.seek(at)
            head = file.read(_HEAD)
            length = struct.unpack_from("<Q", head, 8)[0] if len(head) == _HEAD else 0
            # A heap that claims more than is left is cut off there; HDF5 says so itself.
            if not _ends(file.read(max(min(length, size - at) - _HEAD, 0))):
                msg = f"'{path}' is damaged: its heap at byte {at} never ends. Copy or write it again."
                raise InputError(msg)


def _marks(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where heaps begin. Read, not mapped: a map of a large file counts as memory of the process."""
    for first in range(0, size, _BLOCK):
        file.seek(first)
        block = file.read(_BLOCK + len(_MARK) - 1)
        at = block.find(_MARK)
        while at >= 0:
            yield first + at
            at = block.find(_MARK, at + 1)


def _ends(objects: bytes) -> bool:
    """Walk through the objects of a heap."""
    place = 0
    while place + _HEAD <= len(objects):
        index, length = struct.unpack_from("<H6xQ", objects, place)
        # The rest that is free has number 0, and its length counts its head.
        step = length if index == 0 else _HEAD + -(-length // 8) * 8
        if step < _HEAD:
            return False
        place += step
    return True
