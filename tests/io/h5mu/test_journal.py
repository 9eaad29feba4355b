"""A change inside a file is taken back from every moment at which its process could have been killed."""

from __future__ import annotations

import errno
import fcntl
import os
import threading

import h5py
import numpy as np
import pytest

from tilegrn.errors import InputError, WriteError
from tilegrn.io.h5mu import _guarded, _journal
from tilegrn.io.h5mu._guarded import GuardedFile, for_hdf5, guarded
from tilegrn.io.h5mu._journal import Changed, changing, journal_of, recover

PAGE = 4096
OLD = np.random.default_rng(0).bytes(3 * PAGE + 100)
CALLS = ("pwrite", "ftruncate", "fsync")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(OLD)
    return tmp_path / "x"


def change(path, check=lambda: None, then=lambda: None):
    """Write over the end of one page and the begin of the next, and behind the end."""
    with changing(path, check) as file:
        file.seek(PAGE - 10)
        file.write(b"x" * 20)
        file.seek(0, os.SEEK_END)
        file.write(b"new" * 2000)
        then()


NEW = OLD[: PAGE - 10] + b"x" * 20 + OLD[PAGE + 10 :] + b"new" * 2000


def held(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith("-tmp")}


@pytest.fixture
def moments(path, monkeypatch):
    """What lay on disk before each call of the system while a file was changed."""
    found = []

    def watched(call):
        def instead(*args):
            found.append(held(path.parent))
            return call(*args)

        return instead

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, watched(getattr(os, name)))
        change(path)
    found.append(held(path.parent))
    return found


def test_every_moment_is_taken_back_or_done(moments, tmp_path, caplog):
    results = set()
    for n, files in enumerate(moments):
        folder = tmp_path / str(n)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        before = held(folder)["x"]
        caplog.clear()
        found = recover(folder / "x")
        assert found == (len(files) == 2)
        assert bool(caplog.records) == found
        assert held(folder).keys() == {"x"}
        after = held(folder)["x"]
        assert after == OLD or (after == before == NEW and n == len(moments) - 1)
        results.add((found, before == OLD))
        assert not recover(folder / "x")
    assert moments[-1] == {"x": NEW}
    # before and after the change; within it with and without a byte of the file changed
    assert {(True, True), (True, False)} <= results
    assert any(m["x"][: len(OLD)] not in (OLD, NEW[: len(OLD)]) or len(m["x"]) > len(OLD) for m in moments)


@pytest.mark.parametrize("what", ["check", "block", "fsync", "interrupt"])
def test_what_fails_is_taken_back_at_once(path, monkeypatch, what):
    def fail(*_):
        raise {"interrupt": KeyboardInterrupt}.get(what, RuntimeError)("mine")

    def check():
        assert path.read_bytes() == NEW
        if what == "check":
            fail()

    sync, calls = os.fsync, []

    def failing(handle):
        calls.append(handle)
        if len(calls) == 3 and what == "fsync":  # of the journal and its folder; then of the file
            raise OSError(errno.EIO, "Input/output error")
        sync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    expected = {"fsync": OSError, "interrupt": KeyboardInterrupt}.get(what, RuntimeError)
    with pytest.raises(expected, match=r"mine|Input/output error"):
        change(path, check, fail if what in {"block", "interrupt"} else lambda: None)
    assert held(path.parent) == {"x": OLD}


def test_what_cannot_be_taken_back_now_is_taken_back_later(path, monkeypatch):
    truncate = os.ftruncate

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    def check():
        monkeypatch.setattr(os, "ftruncate", refuse)
        raise RuntimeError

    with pytest.raises(OSError, match="Input/output error"):
        change(path, check)
    assert journal_of(path).exists()
    assert len(path.read_bytes()) == len(NEW)
    monkeypatch.setattr(os, "ftruncate", truncate)
    change(path)  # recovers first
    assert held(path.parent) == {"x": NEW}


@pytest.fixture
def events(path, monkeypatch):
    """Calls of the system on the file itself, and the removal of its journal."""
    found, number = [], path.stat().st_ino

    def watched(name, call):
        def instead(handle, *args):
            if name == "unlink" and str(handle) == str(journal_of(path)):
                found.append("unlink")
            elif name != "unlink" and os.fstat(handle).st_ino == number:
                found.append(name)
            return call(handle, *args)

        return instead

    for name in (*CALLS, "unlink"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return found


def test_the_file_is_on_disk_before_its_journal_goes(path, events):
    change(path)
    assert events[-3:] == ["pwrite", "fsync", "unlink"]
    assert events.count("fsync") == 2  # what is behind the old end, before the journal holds what is to be written over
    events.clear()

    def check():
        raise RuntimeError

    path.write_bytes(OLD)
    with pytest.raises(RuntimeError):
        change(path, check)
    assert events[-4:] == ["pwrite", "ftruncate", "fsync", "unlink"]
    events.clear()
    journal_of(path).write_bytes(_journal._packed(len(OLD), {0: OLD[:5]}))
    recover(path)
    assert events == ["pwrite", "fsync", "unlink"]


@pytest.mark.parametrize("kind", [Changed, GuardedFile])
def test_signals_wait_in_every_function_that_hdf5_calls(kind):
    for name in ("read", "readinto", "write", "seek", "tell", "flush", "truncate"):
        assert getattr(kind, name).__code__ in _guarded._INSIDE


def test_no_journal_and_a_link_are_left_alone(path, tmp_path):
    assert recover(path) is False
    (tmp_path / "other").write_bytes(b"mine")
    journal_of(path).symlink_to(tmp_path / "other")
    assert recover(path) is False
    journal_of(path).unlink()
    journal_of(path).mkdir()
    assert recover(path) is False
    assert path.read_bytes() == OLD


def test_the_journal_of_a_link_is_that_of_its_file(moments, tmp_path, path):
    with_journal = [m for m in moments if len(m) == 2][-1]
    for name, data in with_journal.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(path)
    assert recover(tmp_path / "deep" / "link") is True
    assert path.read_bytes() == OLD


def test_a_process_that_has_just_finished(path, monkeypatch):
    journal_of(path).write_bytes(b"")

    def finished(handle, how):
        if how & fcntl.LOCK_EX:
            journal_of(path).unlink()

    monkeypatch.setattr(fcntl, "flock", finished)
    assert recover(path) is False
    assert path.read_bytes() == OLD


def test_a_file_that_was_replaced_by_a_shorter_one(path):
    journal_of(path).write_bytes(_journal._packed(len(OLD), {}))
    path.write_bytes(OLD[:-1])
    said = (
        rf"^'{path}' is shorter than before the change that its journal '.*' tells of; .* If so, remove the journal\.$"
    )
    with pytest.raises(InputError, match=said):
        recover(path)
    assert path.read_bytes() == OLD[:-1]
    path.write_bytes(OLD)  # as long as before: nothing was written yet
    assert recover(path)
    assert held(path.parent) == {"x": OLD}


def damaged(n, value=None):
    def make(data):
        return data[:n] if value is None else data[:n] + value + data[n + len(value) :]

    return make


@pytest.mark.parametrize("make", [damaged(3), damaged(-1), damaged(0, b"T"), damaged(20, b"\0\0"), damaged(60, b"??")])
def test_a_damaged_journal_changes_nothing(path, make):
    data = make(_journal._packed(50, {0: b"abc"}))
    journal_of(path).write_bytes(data)
    said = rf"^'{journal_of(path)}' is damaged\. If the file beside it reads as it should, remove this journal\.$"
    with pytest.raises(InputError, match=said):
        recover(path)
    assert held(path.parent) == {"x": OLD, journal_of(path).name: data}


def test_what_is_packed_is_read(tmp_path):
    pages = {8192: b"b" * PAGE, 0: b"a", 4096: b""}
    (tmp_path / "j").write_bytes(_journal._packed(7, pages))
    assert _journal._read(tmp_path / "j") == (7, pages)


def test_a_file_that_is_open_elsewhere_is_left_alone(path):
    data = _journal._packed(10, {})
    with path.open("rb") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_SH)
        said = (
            rf"^'{path}' is open elsewhere, perhaps by read_h5mu\(\.\.\., backed=True\)\. Close it \(mdata\.file\.close"
        )
        with pytest.raises(InputError, match=said):
            change(path)
        journal_of(path).write_bytes(data)
        with pytest.raises(InputError, match=said):
            recover(path)
    assert held(path.parent) == {"x": OLD, journal_of(path).name: data}
    assert recover(path)


def test_a_disk_that_knows_no_locks_is_not_said_to_be_open_elsewhere(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    journal_of(path).write_bytes(_journal._packed(10, {}))
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(WriteError, match=r"x' could not be written: No locks available"):
        recover(path)
    assert journal_of(path).exists()


# The files that HDF5 is given


def test_places_and_lengths(path):
    with path.open("r+b", buffering=0) as raw:
        file = Changed(raw)
        assert file.tell() == 0
        assert file.seek(5) == file.tell() == 5
        assert file.seek(-3, os.SEEK_CUR) == 2
        assert file.seek(-100, os.SEEK_END) == len(OLD) - 100
        assert file.read() == OLD[-100:]
        assert file.read() == b""
        assert file.tell() == len(OLD)
        assert file.write(b"more") == 4
        assert file.tell() == len(OLD) + 4
        assert file.seek(0, os.SEEK_END) == len(OLD) + 4
        assert file.truncate(len(OLD) + 2) == len(OLD) + 2
        assert file.seek(0, os.SEEK_END) == len(OLD) + 2
        file.seek(len(OLD) + 9)
        assert file.truncate() == len(OLD) + 9
        file.seek(len(OLD))
        assert file.read(20) == b"mo" + bytes(18)
        assert file.truncate(10) == len(OLD)  # the old part stays
        file.flush()
        assert file.seek(0, os.SEEK_END) == len(OLD)
        file.take_back()
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("make", [Changed, GuardedFile])
def test_errors_are_kept_and_nothing_follows_them(make, path, monkeypatch):
    with path.open("r+b", buffering=0) as raw:
        file = make(raw) if make is Changed else make(path.with_name("y"))
        size = len(OLD) if make is Changed else 0

        def refuse(*_):
            raise OSError(errno.ENOSPC, "first")

        with monkeypatch.context() as patch:
            if make is Changed:
                patch.setattr(os, "ftruncate", refuse)
            else:
                kept, file._file = file._file, type("Full", (), {"truncate": refuse})()
            assert file.truncate(size + 7) == size + 7
            assert file.truncate() == size  # nothing is tried again
        if make is GuardedFile:
            file._file = kept
        assert str(file.error) == "[Errno 28] first"
        assert file.seek(size) == size
        assert file.write(b"abc") == 3
        file.seek(size)
        assert file.read(3) == (bytes(3) if make is Changed else b"")
        if make is GuardedFile:
            file.__exit__()


def test_a_guarded_file_is_a_file(tmp_path):
    with guarded(tmp_path / "x") as file:
        assert file.write(memoryview(np.arange(4, dtype="<u2"))) == 8
        assert file.tell() == 8
        assert file.seek(-2, os.SEEK_END) == 6
        assert file.read() == b"\3\0"
        assert file.seek(2) == 2
        assert file.read(2) == b"\1\0"
        buffer = bytearray(b"?" * 8)
        assert file.readinto(buffer) == 8
        assert bytes(buffer) == b"\2\0\3\0" + bytes(4)
        assert file.truncate(3) == 3
        file.flush()
    assert (tmp_path / "x").read_bytes() == b"\0\0\1"


def test_what_is_written_in_pieces_is_written_whole(tmp_path, monkeypatch):
    class Slow(_guarded.io.FileIO):
        def write(self, data):
            return super().write(bytes(data)[:3])

        def readinto(self, buffer):
            return super().readinto(buffer[:2])

    monkeypatch.setattr(_guarded.io, "FileIO", Slow)
    with guarded(tmp_path / "x") as file:
        assert file.write(b"abcdefgh") == 8
        file.seek(0)
        buffer = bytearray(9)
        assert file.readinto(buffer) == 9
        assert bytes(buffer) == b"abcdefgh\0"


def test_errors_of_the_block_are_its_own_unless_the_file_had_one():
    class File:
        error = None

    with pytest.raises(ValueError, match="mine"), for_hdf5(File()):
        raise ValueError("mine")
    file, first = File(), OSError("first")
    file.error = first
    with pytest.raises(OSError, match="first"), for_hdf5(file):
        pass
    with pytest.raises(OSError, match="first") as caught, for_hdf5(file):
        raise ValueError("what follows from it")
    assert caught.value is first
    assert isinstance(first.__cause__, ValueError)


def test_other_threads_write_without_touching_handlers_of_signals(tmp_path):
    """Python lets the main thread alone set them."""
    errors = []

    def write():
        try:
            with guarded(tmp_path / "x") as file, h5py.File(file, "w") as h5:
                h5["x"] = np.arange(3)
        except BaseException as error:  # noqa: BLE001 - told below, by the test's own thread
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert errors == []
    with h5py.File(tmp_path / "x") as h5:
        assert h5["x"][:].tolist() == [0, 1, 2]
