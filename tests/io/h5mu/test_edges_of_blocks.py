"""What begins before the end of a block, a page or a look, and ends behind it."""

import hashlib
import resource

import h5py
import numpy as np
import pytest

from tilegrn._core.atomic import _Hashed
from tilegrn.errors import InputError, WriteError
from tilegrn.io.h5mu import _h5heaps, _write_layer
from tilegrn.io.h5mu._journal import changing

PAGE = 4096


@pytest.mark.parametrize("at", range(55, 75))
def test_a_heap_across_blocks_is_found(tmp_path, monkeypatch, at):
    monkeypatch.setattr(_h5heaps, "_BLOCK", 64)
    endless = b"GCOL\x01\0\0\0" + (32).to_bytes(8, "little") + bytes(16)
    (tmp_path / "x").write_bytes(b"." * at + endless)
    with pytest.raises(InputError, match=f"its heap at byte {at} never ends"):
        _h5heaps.check_heaps(tmp_path / "x")


def test_pages_that_were_changed_before(tmp_path):
    """A write over two pages after one over the second, and one over all after that."""
    old = np.random.default_rng(0).bytes(3 * PAGE)
    (tmp_path / "x").write_bytes(old)
    expected = bytearray(old)
    with changing(tmp_path / "x", lambda: None) as file:
        for at, data in ((PAGE, b"b" * 8), (PAGE - 6, b"a" * 12), (2 * PAGE - 1, b"cd"), (PAGE + 2, b"e" * 2 * PAGE)):
            file.seek(at)
            file.write(data)
            expected[at : at + len(data)] = data
            file.seek(0)
            assert file.read(len(expected)) == bytes(expected)
    assert (tmp_path / "x").read_bytes() == bytes(expected)


def test_of_a_write_that_was_cut_short_only_what_was_written_is_hashed(tmp_path):
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with _Hashed(tmp_path / "x") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
        try:
            assert file.write(b"a" * 100) == 60
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "x").stat().st_size == 60
    assert file.sum.digest() == hashlib.sha256(b"a" * 60).digest()


@pytest.mark.parametrize("row", range(5))
def test_any_row_that_does_not_read_back_is_noticed(tmp_path, monkeypatch, row):
    monkeypatch.setattr(_write_layer, "_ROWS", 2)
    values = np.arange(15.0).reshape(5, 3)
    with h5py.File(tmp_path / "x.h5", "w") as handle:
        handle["x"] = values
    _write_layer._check_written(tmp_path / "x.h5", "x", values)
    values[row, 1] += 1
    with pytest.raises(WriteError, match="does not read back the same"):
        _write_layer._check_written(tmp_path / "x.h5", "x", values)
