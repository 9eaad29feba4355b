"""Heaps of text in HDF5 files, walked before the library does, which would walk for ever."""

import struct

import pytest

from tilegrn.errors import InputError
from tilegrn.io.h5mu import _h5heaps


def heap(*objects, size=None):
    body = b"".join(struct.pack("<H6xQ", index, length) + bytes(rest) for index, length, rest in objects)
    return b"GCOL\x01\0\0\0" + struct.pack("<Q", 16 + len(body) if size is None else size) + body


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (heap((1, 3, 8), (0, 16, 0)), True),
        (heap((1, 0, 0), (1, 8, 8)), True),  # an object of no length has a head
        (heap((0, 15, 0)), False),
        (heap((0, 0, 0)), False),
        (heap((1, 9, 16), (0, 0, 0)), False),
        (heap((1, 9, 8), (0, 0, 0)), True),  # what lies inside an object is no head
        (heap((0, 0, 0), size=16), True),  # behind the end of the heap
        (heap((0, 0, 0), size=31), True),
        (heap((0, 0, 0), size=32), False),
        (heap((0, 0, 0), size=10**18), False),
        (heap((0, 0, 0), size=3), True),
        (b"GCOL\x01\0\0\0", True),
        (b"GCOL\x02\0\0\0" + bytes(40), True),
        (b"GCOL\x01\0\0" + heap((0, 0, 0)), False),
    ],
)
@pytest.mark.parametrize("before", [0, 5])
def test_heaps_are_walked_to_their_end(tmp_path, data, ends, before):
    path = tmp_path / "x"
    path.write_bytes(bytes(before) + data)
    if ends:
        _h5heaps.check_heaps(path)
    else:
        at = before + data.rfind(b"GCOL")
        with pytest.raises(
            InputError, match=rf"x' is damaged: its heap at byte {at} never ends\. Copy or write it again"
        ):
            _h5heaps.check_heaps(path)


def test_the_second_heap_is_found(tmp_path):
    (tmp_path / "x").write_bytes(heap((0, 16, 0)) + heap((0, 0, 0)))
    with pytest.raises(InputError, match="heap at byte 32 never ends"):
        _h5heaps.check_heaps(tmp_path / "x")
