"""What the system refuses while files and folders are written, and what killed runs leave: named, and mended."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from tilegrn._core import atomic
from tilegrn._core.atomic import (
    disk_errors,
    new_file,
    new_folder,
    new_text,
    read_json,
    real_target,
    sweep,
    write_bytes,
    write_text,
)
from tilegrn.errors import InputError, WriteError


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


def refused(error):
    def refuse(*_, **__):
        raise error

    return refuse


SAID = {
    "full": (errno.ENOSPC, "Make room, or choose another disk."),
    "quota": (errno.EDQUOT, "Make room, or choose another disk."),
    "too large": (errno.EFBIG, "Make room, or choose another disk."),
    "read-only": (errno.EROFS, "Try again, or choose another folder."),
    "failing": (errno.EIO, "Try again, or choose another folder."),
}


@pytest.mark.parametrize("case", SAID)
def test_errors_of_the_disk_are_told_in_any_block(tmp_path, case):
    number, mend = SAID[case]
    why = os.strerror(number)
    with pytest.raises(WriteError) as caught, new_folder(tmp_path / "x"):
        raise OSError(number, why)
    assert str(caught.value) == (
        f"'{tmp_path / 'x'}' could not be written: {why}. What was there before is unchanged. {mend}"
    )
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("first\nsecond"), "written: first. What"),
        (OSError(), "written: OSError. What"),
        (OSError(errno.EACCES, "Permission denied", "/y"), "written: Permission denied: '/y'. What"),
    ],
)
def test_every_refusal_of_the_system_is_told_once(tmp_path, error, said):
    with pytest.raises(WriteError) as caught, disk_errors(tmp_path / "x"), disk_errors(tmp_path / "outer"):
        raise error
    assert f"'{tmp_path / 'outer'}' could not be {said}" in str(caught.value)
    with pytest.raises(ValueError, match=r"^mine$"), disk_errors(tmp_path / "x"):
        raise ValueError("mine")


def test_parents_are_made_for_folders_or_refused(tmp_path):
    with new_folder(tmp_path / "a" / "b" / "x") as part:
        assert part.parent == tmp_path / "a" / "b"
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"x' could not be written: (File exists|Not a directory): '.*file'"):
        real_target(tmp_path / "file" / "x", parents=True)


def test_the_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert real_target("~/x") == tmp_path / "x"
    with pytest.raises(
        InputError, match=r"^Cannot write '~no-such-user/x': it leads nowhere \(.+\)\. Give another path"
    ):
        real_target("~no-such-user/x")


def test_a_circle_of_links_that_resolves_to_itself(tmp_path, monkeypatch):
    """As it does in Python 3.13."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setattr(Path, "resolve", lambda self: self)
    with pytest.raises(InputError, match=r"loop': it leads nowhere, in a circle of links\. Give another path\.$"):
        real_target(tmp_path / "loop")


def test_a_folder_with_links_in_it(tmp_path):
    """What a link names is not ours to bring to disk; it may not even be there."""
    with new_folder(tmp_path / "x") as part:
        (part / "link").symlink_to(tmp_path / "nowhere")
    assert (tmp_path / "x" / "link").is_symlink()


@pytest.mark.parametrize("free", [0, -1])
def test_room_to_the_byte(tmp_path, monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 5 + 2**20 + free))
    if free:
        with pytest.raises(
            InputError, match=rf"^'{tmp_path}' has 1,048,580 bytes free, but up to 1,048,581 are needed"
        ):
            write_bytes(tmp_path / "x", b"12345")
    else:
        write_bytes(tmp_path / "x", b"12345")


def test_any_refusal_inside_the_block_of_a_file_is_told(tmp_path):
    with pytest.raises(WriteError, match=r"x' could not be written: Permission denied\."), new_file(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(PermissionError) as caught, new_folder(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert not isinstance(caught.value, WriteError)


def test_without_a_size_no_room_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 0))
    for kind in (new_file, new_folder):
        with kind(tmp_path / kind.__name__) as part:
            part.write_text("") if kind is new_file else None
    assert names_in(tmp_path) == ["new_file", "new_folder"]


@pytest.mark.parametrize("flag", [os.W_OK, os.X_OK])
def test_a_folder_must_be_writable_and_open_to_us(tmp_path, monkeypatch, flag):
    monkeypatch.setattr(os, "access", lambda _, asked: not asked & flag)
    with pytest.raises(
        InputError, match=rf"^The folder '{tmp_path}' is not writable; choose another, or change its perm"
    ):
        real_target(tmp_path / "x")


def test_files_that_were_opened_are_closed(tmp_path, monkeypatch):
    opened, open_, close = [], os.open, os.close

    def opening(*given):
        opened.append(open_(*given))
        return opened[-1]

    def closing(handle):
        opened.remove(handle)
        close(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opening)
        patch.setattr(os, "close", closing)
        write_text(tmp_path / "x", "old")
        write_text(tmp_path / "x", "new")
        patch.setattr(os, "fsync", refused(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(WriteError):
            write_text(tmp_path / "x", "newer")
    assert opened == []


def test_what_was_left_behind_is_swept_first(tmp_path):
    for name in ("file", "folder"):
        left_behind(tmp_path, name=name, age=1e6)
    write_text(tmp_path / "file", "")
    with new_folder(tmp_path / "folder"):
        pass
    assert names_in(tmp_path) == ["file", "folder"]


class Libc:
    """A system that knows the exchange of names but refuses it, as some network disks do."""

    def renameat2(self, *_):
        return -1


def test_a_folder_is_exchanged_in_one_step_where_the_system_can(tmp_path, monkeypatch):
    asked = []

    class Exchanging:
        def renameat2(self, *given):
            at, new, at_too, old, flags = given
            asked.append((at, at_too, flags))
            new, old = (Path(os.fsdecode(name)) for name in (new, old))
            old.rename(aside)
            new.rename(old)
            aside.rename(new)
            return 0

    aside = tmp_path / "aside"
    monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *_, **__: Exchanging())
    for name in ("old", "new"):
        with new_folder(tmp_path / "x") as part:
            (part / name).write_text("")
    assert asked == [(-100, -100, 2)]  # AT_FDCWD and RENAME_EXCHANGE of Linux
    assert names_in(tmp_path / "x") == ["new"]
    assert names_in(tmp_path) == ["x"]


@pytest.mark.parametrize("libc", [Libc, object])
def test_a_folder_that_cannot_be_put_in_place_leaves_the_older_one(tmp_path, monkeypatch, libc):
    target = tmp_path / "x"
    for name in ("old", "older"):
        with new_folder(target) as part:
            (part / name).write_text("")
    monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *_, **__: libc())
    with new_folder(target) as part:
        (part / "new").write_text("")
    assert names_in(target) == ["new"]
    rename = Path.rename

    def refusing(self, to):
        if str(self).endswith(".tilegrn-tmp"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(WriteError, match="Device or resource busy"), new_folder(target) as part:
        (part / "newer").write_text("")
    assert names_in(target) == ["new"]
    assert names_in(tmp_path) == ["x"]


def test_a_folder_keeps_its_mode_and_is_not_there_halfway(tmp_path, monkeypatch):
    target = tmp_path / "x"
    target.mkdir(0o700)
    target.chmod(0o751)
    seen = []
    exchange = atomic._exchange
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: (seen.append(a.stat().st_mode & 0o777), exchange(a, b)))
    with new_folder(target):
        pass
    assert seen == [0o751]


def test_a_name_that_cannot_be_brought_to_disk_is_a_warning(tmp_path, monkeypatch, caplog):
    sync = os.fsync

    def refusing(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", refusing)
    write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"
    assert "x' is written, but its folder could not be brought to disk (Invalid argument)" in caplog.text


def test_what_threads_still_write_is_removed_in_the_end(tmp_path, monkeypatch):
    remove, calls, slept = shutil.rmtree, [], []

    def late(path, *, ignore_errors):
        calls.append(ignore_errors)
        if len(calls) == 3:
            remove(path)

    monkeypatch.setattr(shutil, "rmtree", late)
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "x"):
        raise KeyboardInterrupt
    assert (calls, slept) == ([True] * 3, [0.02] * 2)
    assert names_in(tmp_path) == []
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: calls.append(0))
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "x"):
        raise KeyboardInterrupt
    assert calls.count(0) == 20  # then it stays, for the next sweep
    assert len(names_in(tmp_path)) == 1


def left_behind(folder, *, pid=None, kind="tmp", name="x", age=0.0):
    entry = folder / f".{name}.{os.getpid() if pid is None else pid}-0123abcd.tilegrn-{kind}"
    entry.write_text("")
    os.utime(entry, (0, time.time() - age))
    return entry


@pytest.mark.parametrize(
    ("error", "age", "stays"),
    [
        (None, 0, True),
        (None, 24 * 3600 - 10, True),
        (None, 24 * 3600 + 10, False),
        (ProcessLookupError, 0, False),
        (PermissionError, 0, True),
        (OverflowError, 0, True),
        (PermissionError, 24 * 3600 + 10, False),
    ],
)
def test_only_what_dead_or_old_writers_left_is_swept(tmp_path, monkeypatch, error, age, stays):
    entry = left_behind(tmp_path, pid=12, age=age)
    asked = []
    monkeypatch.setattr(os, "kill", lambda *given: asked.append(given) if error is None else refused(error())())
    sweep(tmp_path / "x")
    assert entry.exists() == stays
    assert asked in ([], [(12, 0)])


def test_other_names_links_and_what_goes_meanwhile_are_left_alone(tmp_path, monkeypatch):
    kept = [left_behind(tmp_path, name=name, age=1e6) for name in ("y", "xx", "x.x")]
    for odd in (".x.1-0123abc.tilegrn-tmp", ".x.1-0123abcd.tilegrn-tmpx", ".x.a-0123abcd.tilegrn-tmp", "x"):
        kept.append(tmp_path / odd)
        kept[-1].write_text("")
        os.utime(kept[-1], (0, 0))
    link = tmp_path / ".x.1-0123abcd.tilegrn-tmp"
    link.symlink_to(tmp_path / "y")
    gone = left_behind(tmp_path, pid=2, age=1e6)
    look = Path.stat

    def finished(self, **given):
        if self.name == gone.name and given.get("follow_symlinks", True):
            gone.unlink(missing_ok=True)
        return look(self, **given)

    monkeypatch.setattr(Path, "stat", finished)
    sweep(tmp_path / "x")
    monkeypatch.undo()
    assert names_in(tmp_path) == sorted([link.name, *(k.name for k in kept)])


def test_a_file_that_was_set_aside_is_not_put_over_another(tmp_path, caplog):
    caplog.set_level("INFO", "tilegrn")
    (tmp_path / "x").write_text("new")
    left_behind(tmp_path, kind="old", age=1e6).write_text("old")
    os.utime(tmp_path / f".x.{os.getpid()}-0123abcd.tilegrn-old", (0, 0))
    sweep(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "new"
    assert names_in(tmp_path) == ["x"]
    assert "left behind by a run that was killed" in caplog.text


def test_json_that_nests_without_end_or_is_empty(tmp_path):
    for data in (b"[" * 200_000, b"", b"\xef\xbb\xbf{}"):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(InputError, match=r"x' is damaged, it is no valid JSON: .+\.$"):
            read_json(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"3")
    with pytest.raises(InputError, match=r"x' is damaged: it holds no table of names and values\.$"):
        read_json(tmp_path / "x")


def test_gzipped_text_is_the_same_bytes_each_time(tmp_path):
    for name in ("x.gz", "y.gz"):
        with new_text(tmp_path / name) as out:
            out.write("abc")
    assert (tmp_path / "x.gz").read_bytes() == (tmp_path / "y.gz").read_bytes()
    assert (tmp_path / "x.gz").read_bytes()[4:8] == bytes(4)  # the time of writing
