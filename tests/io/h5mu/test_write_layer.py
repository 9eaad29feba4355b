"""A layer is added to an h5mu in place: whole, or the file is as it was, whenever the process is killed."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.io.h5mu._files import build

from tilegrn.errors import InputError, WriteError
from tilegrn.io import read_h5mu, write_h5mu, write_layer
from tilegrn.io.h5mu import _guarded, _journal, _write_layer


def hashed(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def file(tmp_path):
    write_h5mu(tmp_path / "x.h5mu", build())
    return tmp_path / "x.h5mu"


@pytest.fixture
def data():
    mdata = build()
    rna = mdata["rna"]
    rna.layers["predicted"] = np.random.default_rng(0).random(rna.shape).astype(np.float32)
    rna.layers["few"] = sparse.csr_matrix(rna.layers["predicted"] * (rna.layers["predicted"] > 0.8))
    return mdata


@pytest.mark.parametrize("layer", ["predicted", "few"])
def test_a_layer_is_added_and_all_else_stays(layer, file, data):
    before = read_h5mu(file)
    write_layer(file, data, layer, key_added="new")
    after = read_h5mu(file)
    got, want = after["rna"].layers["new"], data["rna"].layers[layer]
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(*(x.toarray() if sparse.issparse(x) else x for x in (got, want)))
    del after["rna"].layers["new"]
    for name in before.mod:
        assert (before[name].X != after[name].X).nnz == 0
        assert before[name].obs.equals(after[name].obs)
        assert list(before[name].layers) == list(after[name].layers)
    assert not _journal.journal_of(file).exists()


def test_cells_and_genes_are_matched_by_name(file, data):
    rng = np.random.default_rng(1)
    rna = data["rna"]
    data.mod["rna"] = rna[rng.permutation(rna.n_obs), rng.permutation(rna.n_vars)].copy()
    write_layer(file, data)
    np.testing.assert_array_equal(read_h5mu(file)["rna"].layers["predicted"], rna.layers["predicted"])


def test_replacing_is_asked_for(file, data):
    write_layer(file, data)
    before = hashed(file)
    with pytest.raises(InputError, match="overwrite=True"):
        write_layer(file, data)
    assert hashed(file) == before
    data["rna"].layers["predicted"] = data["rna"].layers["predicted"] + 1
    write_layer(file, data, overwrite=True)
    np.testing.assert_array_equal(read_h5mu(file)["rna"].layers["predicted"], data["rna"].layers["predicted"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["rna"].layers.pop("predicted"), "has no layer 'predicted'"),
        (lambda m: m.mod.__setitem__("rna", m["rna"][1:].copy()), "cells of the file"),
        (lambda m: m.mod.__setitem__("rna", m["rna"][:, 1:].copy()), "features of the file"),
        (lambda m: m.mod.__setitem__("other", m["rna"].copy()), "no modality 'other'"),
    ],
)
def test_refused_and_the_file_stays(change, message, file, data):
    before = hashed(file)
    change(data)
    with pytest.raises(InputError, match=message):
        write_layer(file, data, modality="other" if "other" in message else "rna")
    assert hashed(file) == before


def test_keys_that_hdf5_would_take_for_paths(file, data):
    with pytest.raises(InputError, match="cannot be called"):
        write_layer(file, data, key_added="a/b")


def test_open_files_are_left_alone(file, data):
    held = read_h5mu(file, backed=True)
    before = hashed(file)
    with pytest.raises(InputError, match="open elsewhere"):
        write_layer(file, data)
    held.file.close()
    assert hashed(file) == before
    write_layer(file, data)


def test_a_full_disk_changes_nothing(file, data, monkeypatch):
    before = hashed(file)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_journal.os, "pwrite", full)
    with pytest.raises(WriteError, match="No space left"):
        write_layer(file, data)
    monkeypatch.undo()
    assert hashed(file) == before
    assert not _journal.journal_of(file).exists()


def test_what_does_not_read_back_is_taken_back(file, data, monkeypatch):
    before = hashed(file)
    put = _write_layer._put
    monkeypatch.setattr(_write_layer, "_put", lambda group, values, key: put(group, values + 1, key))
    with pytest.raises(WriteError, match="does not read back"):
        write_layer(file, data)
    assert hashed(file) == before


def test_ctrl_c_waits_until_hdf5_is_done_with_a_piece(file, data, monkeypatch, request):
    """An exception inside a function of the file would be an error of writing to HDF5."""
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, was))
    before, put, pressed = hashed(file), _journal.Changed._put, []

    def interrupted(self, view):
        pressed.append(1)
        if len(pressed) == 1:
            signal.raise_signal(signal.SIGINT)
        put(self, view)

    monkeypatch.setattr(_journal.Changed, "_put", interrupted)
    monkeypatch.setattr(_guarded, "_INSIDE", _guarded._INSIDE | {interrupted.__code__})
    write = _write_layer._put
    monkeypatch.setattr(_write_layer, "_put", lambda *args: (write(*args), time.sleep(5)))
    with pytest.raises(KeyboardInterrupt):
        write_layer(file, data)
    assert hashed(file) == before
    assert not _journal.journal_of(file).exists()


def test_a_damaged_journal_is_named(file):
    _journal.journal_of(file).write_bytes(b"tilegrn journal 1\n" + bytes(64))
    with pytest.raises(InputError, match="is damaged"):
        read_h5mu(file)


@pytest.mark.slow
def test_killed_at_any_call_of_the_system(file, data, tmp_path):
    """Die before the n-th write, cut or sync, for every n, as a kill would: nothing of Python's ends in order."""
    write_h5mu(tmp_path / "data.h5mu", data)
    before, outcomes = file.read_bytes(), set()
    script = textwrap.dedent("""
        import os, sys
        from tilegrn.io import read_h5mu, write_layer
        path, data = sys.argv[1], read_h5mu(sys.argv[2])
        left = [0]
        def dying(call):
            def instead(*args):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return call(*args)
            return instead
        for name in ("pwrite", "ftruncate", "fsync", "unlink"):
            setattr(os, name, dying(getattr(os, name)))
        for n in sys.stdin:  # forked, so that the packages are loaded once
            pid = os.fork()
            if not pid:
                left[0] = int(n)
                write_layer(path, data)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    """)
    command = [sys.executable, "-c", script, str(file), str(tmp_path / "data.h5mu")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        for n in range(100):
            file.write_bytes(before)
            parent.stdin.write(f"{n}\n")
            parent.stdin.flush()
            code = int(parent.stdout.readline())
            assert code in {0, 9}
            found = read_h5mu(file)
            has = "predicted" in found["rna"].layers
            outcomes.add(has)
            if has:
                np.testing.assert_array_equal(found["rna"].layers["predicted"], data["rna"].layers["predicted"])
            else:
                assert file.read_bytes() == before
            assert not _journal.journal_of(file).exists()
            if not code:
                assert has
                break
        parent.stdin.close()
    assert outcomes == {True, False}
    assert n > 8


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wrt"), st.integers(0, 20_000), st.binary(max_size=9000)), max_size=12))
def test_pages_are_a_file(tmp_path_factory, steps):
    """Reads and writes give what they give on a plain file; taken back, the old bytes are there."""
    folder = tmp_path_factory.mktemp("pages")
    old = np.random.default_rng(0).bytes(9001)
    plain, path = bytearray(old), folder / "f"
    path.write_bytes(old)
    with path.open("r+b", buffering=0) as raw:
        changed = _journal.Changed(raw)
        for kind, at, data in steps:
            changed.seek(at)
            if kind == "w":
                changed.write(data)
                if data:
                    plain.extend(bytes(max(at + len(data) - len(plain), 0)))
                    plain[at : at + len(data)] = data
            elif kind == "r":
                want = bytes(plain[at : at + len(data)])
                assert changed.read(len(data)) == want + bytes(len(data) - len(want))
        assert path.read_bytes()[: len(old)] == old
        changed.apply()
        assert path.read_bytes() == bytes(plain)
        changed.take_back()
    assert path.read_bytes() == old
