"""Files and folders that are there whole or not at all; h5mu, zarr and the command line have tests of their own."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from tilegrn._core import atomic
from tilegrn._core.atomic import new_file, new_folder, new_text, read_json, sha256, sweep, write_text
from tilegrn.errors import InputError, WriteError


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


def half(kind, target):
    """Write half of something, then stop."""
    with kind(target) as part:
        (part / "half" if kind is new_folder else part).write_text("half")
        assert len(names_in(target.parent)) == 2
        raise KeyboardInterrupt


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "x.txt"
    write_text(target, "old\r\n\u00e9")
    assert target.read_bytes() == b"old\r\n\xc3\xa9"
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask()
    with pytest.raises(KeyboardInterrupt):
        half(new_file, target)
    assert target.read_bytes().startswith(b"old")
    assert names_in(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("exchanging", [True, False])
def test_an_older_folder_stays_until_the_new_one_is_whole(tmp_path, monkeypatch, exchanging):
    if not exchanging:
        monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *_, **__: object())
    target = tmp_path / "x"
    for name in ("old", "older"):
        with new_folder(target) as part:
            (part / name).write_text(name)
    assert names_in(target) == ["older"]
    with pytest.raises(KeyboardInterrupt):
        half(new_folder, target)
    assert names_in(target) == ["older"]
    assert names_in(tmp_path) == ["x"]


def test_all_is_on_disk_before_it_is_named(tmp_path, monkeypatch):
    done = []
    sync, exchange = atomic._sync, atomic._exchange
    monkeypatch.setattr(atomic, "_sync", lambda path: (sync(path), done.append(path.name))[0])
    monkeypatch.setattr(atomic, "_exchange", lambda *paths: (exchange(*paths), done.append("named"))[0])
    with new_folder(tmp_path / "x") as part:
        (part / "deep").mkdir()
        (part / "deep" / "file").write_text("")
    assert set(done[:3]) == {"deep", "file", part.name}
    assert done[3:] == ["named", tmp_path.name]


def test_where_nothing_can_be_written(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"Cannot write '.*x': the folder '.*no' does not exist; make it first"):
        write_text(tmp_path / "no" / "x", "")
    with new_folder(tmp_path / "yes" / "x"):
        pass
    with pytest.raises(InputError, match=r"yes' is a folder; give the path of a file"):
        write_text(tmp_path / "yes", "")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a device, a socket or a pipe"):
        write_text(tmp_path / "pipe", "")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="leads nowhere"):
        write_text(tmp_path / "loop", "")
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, _: path.is_dir())
    with pytest.raises(InputError, match=r"mine' is read-only, so it is not replaced"):
        write_text(tmp_path / "mine", "")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="is not writable"):
        write_text(tmp_path / "x", "")
    assert names_in(tmp_path) == ["loop", "mine", "pipe", "yes"]
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", [new_file, new_folder])
def test_modes_and_links_are_kept(tmp_path, kind):
    target, link = tmp_path / "x", tmp_path / "link"
    link.symlink_to(target)
    for mode in (0o700, 0o750):
        with kind(link) as part:
            if kind is new_file:
                assert not part.exists() or part.stat().st_mode & 0o777 == 0o700
                part.write_text("x")
        assert link.is_symlink()
        target.chmod(mode)
    with kind(link) as part:
        (part if kind is new_file else part / "y").write_text("y")
    assert target.stat().st_mode & 0o777 == 0o750
    assert names_in(tmp_path) == ["link", "x"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_system_that_refuses_is_named_and_the_old_file_stays(tmp_path, monkeypatch, failing):
    write_text(tmp_path / "x", "old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(WriteError, match=r"x' could not be written: No space.* unchanged\. Make room") as caught:
        write_text(tmp_path / "x", "new")
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, OSError)
    assert (tmp_path / "x").read_text() == "old"
    assert names_in(tmp_path) == ["x"]


def test_errors_about_files_that_are_read_keep_their_class_in_long_blocks(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "x"):
        (tmp_path / "no").read_text()
    with pytest.raises(WriteError, match="Make room"), new_folder(tmp_path / "x"):
        raise OSError(errno.EFBIG, "File too large")
    assert names_in(tmp_path) == []


def test_a_disk_without_room_is_noticed_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1_500_000))
    write_text(tmp_path / "x", "x")
    for kind in (new_file, new_folder):
        said = "has 1,500,000 bytes free, but up to 2,048,576 are needed"
        with pytest.raises(InputError, match=said), kind(tmp_path / "y", need=1_000_000):
            pytest.fail("started to write")


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_text_is_read_back_before_it_replaces_another(tmp_path, monkeypatch, name):
    target = tmp_path / name
    with new_text(target) as out:
        out.write("a\r\n\u00e9")
    data = target.read_bytes()
    assert (gzip.decompress(data) if name.endswith(".gz") else data) == b"a\r\n\xc3\xa9"
    monkeypatch.setattr(atomic, "sha256", lambda _: "another")
    for write in (lambda: write_text(target, "b"), lambda: half_text(target)):
        with pytest.raises(WriteError, match="does not read back the same"):
            write()
    assert target.read_bytes() == data


def half_text(target):
    with new_text(target) as out:
        out.write("b")


def test_a_folder_set_aside_by_a_killed_run_is_put_back(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in ("x", "y"):
        aside = tmp_path / f".{name}.{dead.pid}-0123abcd.tilegrn-old"
        aside.mkdir()
        (aside / "old").write_text("")
    (tmp_path / "y").mkdir()
    sweep(tmp_path / "x")
    sweep(tmp_path / "y")
    assert names_in(tmp_path) == ["x", "y"]
    assert names_in(tmp_path / "x") == ["old"]
    assert names_in(tmp_path / "y") == []


def test_json_and_hashes(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    assert sha256(path) == hashlib.sha256(b'{"a": 1}').hexdigest()
    for text in (b'{"a": ', b"[1]", b"\xff"):
        path.write_bytes(text)
        with pytest.raises(InputError, match=r"x\.json' is damaged"):
            read_json(path)


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
