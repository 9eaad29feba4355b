"""Files and folders that are there whole or not at all; h5mu, zarr and the command line have tests of their own."""

from __future__ import annotations

import hashlib
import os

import pytest

from tilegrn._core import atomic
from tilegrn._core.atomic import new_file, new_folder, read_json, sha256, write_text
from tilegrn.errors import InputError


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
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="is not writable"):
        write_text(tmp_path / "x", "")
    assert names_in(tmp_path) == ["yes"]


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
