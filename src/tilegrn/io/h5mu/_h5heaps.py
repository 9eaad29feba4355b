"""Heaps of text in HDF5 files: the library walks through a damaged one for ever, so they are walked here first."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_heaps"]

_MARK = b"GCOL\x01\0\0\0"
"""Begins a global heap collection; its size follows (8 bytes), then its objects."""
_HEAD = 16


def check_heaps(path: Path) -> None:
    """Raise if a global heap holds an object of no length, from which HDF5 never gets on.

    Costs one pass through the file, about a second per GB.
    """
    if path.stat().st_size <= _HEAD:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_MARK)
        while at >= 0:
            size = struct.unpack_from("<Q", data, at + 8)[0] if at + _HEAD <= len(data) else 0
            end = min(at + size, len(data))
            place = at + _HEAD
            while place + _HEAD <= end:
                index, length = struct.unpack_from("<H6xQ", data, place)
                # The rest that is free has number 0, and its length counts its head.
                step = length if index == 0 else _HEAD + -(-length // 8) * 8
                if step < _HEAD:
                    msg = f"'{path}' is damaged: its heap at byte {at} never ends. Copy or write it again."
                    raise InputError(msg)
                place += step
            at = data.find(_MARK, at + 8)
