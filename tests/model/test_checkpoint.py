"""Folders of text and arrays: read back as written, replaced whole, and refused where a byte is not what it was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest

from tilegrn._core import atomic
from tilegrn.errors import InputError, WriteError
from tilegrn.io import load_model
from tilegrn.model import checkpoint
from tilegrn.model.checkpoint import Kind, is_first_process, read_folder, write_folder

STEP = Kind("step", 2, "Remove it.", "start anew")
TEXT = {"width": 8, "names": ["a", "é"]}
ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in the order of C
    "n": np.array([1, -2], dtype=np.int64),
    "none": np.zeros((0, 3), dtype=np.uint8),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "step"
    write_folder(folder, TEXT, ARRAYS, kind=STEP)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "step")


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_folder_comes_back(folder):
    assert STEP.files == ("step.json", "arrays.safetensors", "manifest.json")
    assert sorted(content(folder)) == sorted(STEP.files)
    text, arrays = read_folder(folder, kind=STEP)
    assert text == {"format": 2, **TEXT}
    assert arrays.keys() == ARRAYS.keys()
    for name, want in ARRAYS.items():
        assert arrays[name].dtype == want.dtype
        np.testing.assert_array_equal(arrays[name], want)
    sums = json.loads((folder / "manifest.json").read_text())["sha256"]
    assert sums == {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in STEP.files[:2]}


def test_models_are_the_kind_by_default_and_the_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder("~/deep/m", TEXT, ARRAYS)
    assert sorted(content(tmp_path / "deep" / "m")) == ["arrays.safetensors", "manifest.json", "model.json"]
    assert read_folder("~/deep/m")[0]["format"] == checkpoint.FORMAT == 3


def test_an_older_one_is_replaced_and_so_is_an_empty_folder(folder, tmp_path):
    (folder / ".DS_Store").write_text("")
    write_folder(folder, {"new": 1}, {}, kind=STEP)
    assert read_folder(folder, kind=STEP) == ({"format": 2, "new": 1}, {})
    assert ".DS_Store" not in content(folder)
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", TEXT, ARRAYS, kind=STEP)
    assert read_folder(tmp_path / "empty", kind=STEP)[0]["width"] == 8


def test_other_things_are_not_replaced(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for path in (mine, tmp_path / "file"):
        with pytest.raises(
            InputError, match=rf"^'.*{path.name}' exists and is no tilegrn step; name another folder\.$"
        ):
            write_folder(path, TEXT, ARRAYS, kind=STEP)
    for name in "dbca":
        (folder / name).write_text("x")
    before = content(folder)
    with pytest.raises(InputError, match=r"^'.*step' holds more than a step \(a, b, c\); move that away, or name"):
        write_folder(folder, TEXT, ARRAYS, kind=STEP)
    assert content(folder) == before


@pytest.mark.parametrize("spare", [0, -1])
def test_the_room_that_is_needed_counts_arrays_and_text(tmp_path, monkeypatch, spare):
    need = sum(a.nbytes for a in ARRAYS.values()) + len(json.dumps({"format": 2, **TEXT})) + atomic._SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, need + spare))
    if spare:
        with pytest.raises(InputError, match=f"but up to {need:,} are needed"):
            write_folder(tmp_path / "x", TEXT, ARRAYS, kind=STEP)
        assert not list(tmp_path.iterdir())
    else:
        write_folder(tmp_path / "x", TEXT, ARRAYS, kind=STEP)


OTHER = {
    "text": ({"format": 2}, ARRAYS),
    "names": ({"format": 2, **TEXT}, {k: ARRAYS[k] for k in ("x", "n")}),
    "type": ({"format": 2, **TEXT}, {**ARRAYS, "n": ARRAYS["n"].astype(np.uint64)}),
    "value": ({"format": 2, **TEXT}, {**ARRAYS, "n": ARRAYS["n"] + 1}),
}


@pytest.mark.parametrize("case", OTHER)
def test_what_does_not_read_back_replaces_nothing(folder, monkeypatch, case):
    before = content(folder)
    monkeypatch.setattr(checkpoint, "read_folder", lambda *_, **__: OTHER[case])
    said = r"^What was written to '.*' does not read back the same; is the disk sound\? Nothing was replaced\.$"
    with pytest.raises(WriteError, match=said):
        write_folder(folder, TEXT, ARRAYS, kind=STEP)
    assert content(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["step"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_keeps_the_older_one(folder, monkeypatch, error):
    before = content(folder)

    def refuse(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=rf"step' could not be written: {os.strerror(error)}"):
        write_folder(folder, {"new": 1}, {}, kind=STEP)
    monkeypatch.undo()
    assert content(folder) == before


# Damage


def manifest(folder, change):
    path = folder / "manifest.json"
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


def resum(folder):
    """Make the sums those of the files, as who forges a folder would."""
    manifest(
        folder,
        lambda m: m.update(sha256={n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in STEP.files[:2]}),
    )


def with_format(value):
    return lambda folder: manifest(folder, lambda m: m.update(format=value))


def forged(name, data):
    def change(folder):
        (folder / name).write_bytes(data)
        resum(folder)

    return change


def gone(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1])


def linked(name):
    def change(folder):
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return change


def pipe(folder):
    (folder / "step.json").unlink()
    os.mkfifo(folder / "step.json")


BAD_HEADER = (8).to_bytes(8, "little") + b"no json!"
DAMAGE = {
    "no manifest": (gone("manifest.json"), r"step' holds no manifest\.json: it is no tilegrn step, or was not written"),
    "no text": (gone("step.json"), r"step' lacks step\.json: the step is incomplete\. Remove it\.$"),
    "no arrays": (
        gone("arrays.safetensors"),
        r"step' lacks arrays\.safetensors: the step is incomplete\. Remove it\.$",
    ),
    "text cut": (
        cut("step.json"),
        r"step\.json' does not match its SHA-256 sum: it is truncated or was changed\. Remove",
    ),
    "arrays cut": (cut("arrays.safetensors"), r"arrays\.safetensors' does not match its SHA-256 sum"),
    "manifest cut": (cut("manifest.json"), r"manifest\.json' is damaged, it is no valid JSON"),
    "no format": (with_format(None), r"manifest\.json' is damaged: it lacks the number of the format\. Remove it\.$"),
    "a format that is true": (with_format(True), "it lacks the number of the format"),
    "newer": (with_format(3), r"^'.*step' has step format 3, newer than 2; upgrade tilegrn to read it\.$"),
    "older": (with_format(1), r"^'.*step' was saved by an earlier tilegrn \(step format 1\); start anew\.$"),
    "no sums": (lambda f: manifest(f, lambda m: m.pop("sha256")), r"it lacks the SHA-256 sums\. Remove it\.$"),
    "one sum": (
        lambda f: manifest(f, lambda m: m["sha256"].pop("step.json")),
        r"step\.json' does not match its SHA-256",
    ),
    "other format in the text": (forged("step.json", b'{"format": 1}'), r"' are of different formats\. Remove it\.$"),
    "forged text": (forged("step.json", b"[]"), r"step\.json' is damaged: it holds no table"),
    "forged arrays": (
        forged("arrays.safetensors", BAD_HEADER),
        r"' is damaged: it is no valid safetensors file \(.+\)\. R",
    ),
    "empty arrays": (forged("arrays.safetensors", b""), "it is no valid safetensors file"),
    "a link": (
        linked("step.json"),
        r"step\.json' is a link or no file, which no saved step holds\. Copy the step itself",
    ),
    "a linked manifest": (linked("manifest.json"), r"manifest\.json' is a link or no file"),
    "a pipe": (pipe, r"step\.json' is a link or no file"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(folder, case):
    change, message = DAMAGE[case]
    change(folder)
    with pytest.raises(InputError, match=message):
        read_folder(folder, kind=STEP)


def test_what_the_system_does_not_let_read(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(folder), "read_bytes", refuse)
    with pytest.raises(
        InputError, match=r"manifest\.json' cannot be read \(Permission denied\)\. Check the path and its p"
    ):
        read_folder(folder, kind=STEP)

    def without_a_word(*_):
        raise OSError("odd")

    monkeypatch.setattr(type(folder), "read_bytes", without_a_word)
    with pytest.raises(InputError, match=r"manifest\.json' cannot be read \(odd\)"):
        read_folder(folder, kind=STEP)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match=r"manifest\.json' cannot be read \(Not a directory\)"):
        read_folder(tmp_path / "x")


def test_no_model_is_said_by_the_public_call(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(
        InputError, match=r"holds no manifest\.json: it is no tilegrn model, or was not written to its end"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("available", "initialized", "rank", "first"),
    [(False, True, 1, True), (True, False, 1, True), (True, True, 0, True), (True, True, 1, False)],
)
def test_of_processes_that_train_together_the_first_writes(monkeypatch, available, initialized, rank, first):
    several = ModuleType("torch.distributed")
    several.is_available, several.is_initialized = (lambda: available), (lambda: initialized)
    several.get_rank = lambda: rank
    torch = ModuleType("torch")
    torch.distributed = several
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch.distributed", several)
    assert is_first_process() is first
