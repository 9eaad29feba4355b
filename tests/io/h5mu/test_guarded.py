"""The file that HDF5 writes to, and the heaps that it would walk for ever."""

import errno
import os
import signal
import time

import h5py
import numpy as np
import pytest
from tests.io.h5mu._files import build

from tilegrn.errors import InputError
from tilegrn.io.h5mu import _guarded, _h5heaps
from tilegrn.io.h5mu._guarded import guarded
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu


def test_h5py_writes_to_it_as_to_a_path(tmp_path):
    path = tmp_path / "x.h5"
    with guarded(path) as file, h5py.File(file, "w", userblock_size=512) as h5:
        h5["x"] = np.arange(10)
    assert os.fspath(file) == str(path)
    with h5py.File(path) as h5:
        assert h5["x"][:].tolist() == list(range(10))


def test_the_first_error_comes_when_hdf5_is_done(tmp_path, monkeypatch):
    class Full(_guarded.io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "first")

    monkeypatch.setattr(_guarded.io, "FileIO", Full)
    done = []

    def write():
        with guarded(tmp_path / "x.h5") as file:
            with h5py.File(file, "w") as h5:
                h5["x"] = np.arange(10**5)
            done.append("closed")
            raise ValueError("what follows from it")

    with pytest.raises(OSError, match="first"):
        write()
    assert done == ["closed"]


def test_signals_wait_until_hdf5_is_done_with_a_piece(tmp_path, monkeypatch, request):
    was = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background are born deaf to it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, was))
    before = signal.getsignal(signal.SIGINT)
    passed = []

    class Interrupted(_guarded.io.FileIO):
        def write(self, data):
            n = super().write(data)
            signal.raise_signal(signal.SIGINT)
            return n

    monkeypatch.setattr(_guarded.io, "FileIO", Interrupted)
    # The frame of the subclass is not the file's own: what C's FileIO does in one step takes Python code here.
    monkeypatch.setattr(_guarded, "_INSIDE", _guarded._INSIDE | {Interrupted.write.__code__})

    def write():
        with guarded(tmp_path / "x") as file:
            assert file.write(b"abc") == 3
            passed.append("written")
            time.sleep(5)
            passed.append("never")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert passed == ["written"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("block", [1 << 24, 0, 3, 7, 8], ids=lambda n: f"block ends {n} bytes into the mark")
def test_a_heap_that_never_ends_is_refused(block, tmp_path, monkeypatch):
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    data = bytearray(path.read_bytes())
    at = data.find(b"GCOL")
    data[at + 16 : at + 32] = bytes(16)  # the first object: free, and of no length
    path.write_bytes(data)
    monkeypatch.setattr(_h5heaps, "_BLOCK", at + block)
    with pytest.raises(InputError, match=f"its heap at byte {at} never ends"):
        read_h5mu(path)
