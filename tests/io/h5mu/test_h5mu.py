import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from tests.io.h5mu._files import build, names_in, same

from tilegrn._core import atomic
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_round_trip(tmp_path, compression):
    mdata = build()
    write_h5mu(tmp_path / "x.h5mu", mdata, compression=compression)
    back = read_h5mu(tmp_path / "x.h5mu")
    same(mdata, back)
    assert list(back.uns["tilegrn"]["grid"]["chroms"]) == ["chr1", "chr2"]
    write_h5mu(tmp_path / "x.h5mu", back)  # over an older file
    same(mdata, read_h5mu(tmp_path / "x.h5mu"))
    same(mdata, read_h5mu(tmp_path / "x.h5mu", safe=False))
    assert names_in(tmp_path) == ["x.h5mu"]


def test_views_are_written_and_left_alone(tmp_path):
    mdata = build()
    with no_pull():
        view = mdata[:7]
    write_h5mu(tmp_path / "x.h5mu", view)
    assert view.is_view
    assert read_h5mu(tmp_path / "x.h5mu").n_obs == 7
    assert mdata.n_obs == 30


def test_backed_is_written_whole_also_onto_itself(tmp_path):
    mdata = build()
    path = tmp_path / "x.h5mu"
    write_h5mu(path, mdata)
    with no_pull():
        backed = mudata.read_h5mu(path, backed="r")
    write_h5mu(tmp_path / "y.h5mu", backed)
    same(mdata, read_h5mu(tmp_path / "y.h5mu"))
    write_h5mu(path, backed)
    same(mdata, read_h5mu(path))
    backed.file.close()


def test_through_a_symbolic_link_the_file_itself_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    write_h5mu(tmp_path / "real" / "x.h5mu", build())
    (tmp_path / "link.h5mu").symlink_to(tmp_path / "real" / "x.h5mu")
    write_h5mu(tmp_path / "link.h5mu", build(n=10))
    assert (tmp_path / "link.h5mu").is_symlink()
    assert read_h5mu(tmp_path / "real" / "x.h5mu").n_obs == 10


def set_uns(key, value):
    def change(mdata):
        mdata.uns[key] = value

    return change


def set_slot(slot, key, value):
    def change(mdata):
        getattr(mdata["rna"], slot)[key] = value

    return change


def set_deep(mdata):
    mdata.uns["a"] = {"b": {"c": object()}}


def set_names(names_axis, n):
    def change(mdata):
        with no_pull():
            names = [f"x{i}" for i in range(n)]
            names[3] = names[1]
            setattr(mdata["rna"], names_axis, names)

    return change


UNWRITABLE = [
    (set_uns("x", object()), r"uns\['x'\] holds a object that cannot be written"),
    (set_deep, r"uns\['a'\]\['b'\]\['c'\] holds a object"),
    (set_uns("x", {1, 2}), r"uns\['x'\] holds a set"),
    (set_uns("x", np.array(["a", 1, None], dtype=object)), r"uns\['x'\] holds a ndarray"),
    (set_uns("x", {3: 1}), r"uns\['x'\] has the key 3 \(int\)"),
    (set_uns("Sox2/Homer", 1), r"uns has the key 'Sox2/Homer'"),
    (set_uns("tilegrn", {"a/b": 1}), r"uns\['tilegrn'\] has the key 'a/b'"),
    (set_slot("layers", "Sox2(HMG)/Homer", np.zeros((30, 5))), r"mod\['rna'\]\.layers has the key 'Sox2\(HMG\)/Homer'"),
    (set_slot("varm", "a/b", np.zeros((5, 2))), r"mod\['rna'\]\.varm has the key 'a/b'"),
    (set_slot("obsm", "", np.zeros((30, 2))), r"mod\['rna'\]\.obsm has the key ''"),
    (set_slot("obs", "odd", [{"a": 1}] * 30), r"mod\['rna'\]\.obs\['odd'\] holds"),
    (set_slot("obs", "a/b", 1), r"mod\['rna'\]\.obs\.columns has the key 'a/b'"),
    (set_slot("uns", "x", object()), r"mod\['rna'\]\.uns\['x'\] holds"),
    (set_slot("varm", "wide", pd.DataFrame(np.zeros((5, 5000)), index=[f"g{i}" for i in range(5)]).rename(columns=str)),
     r"mod\['rna'\]\.varm\['wide'\] holds a DataFrame that cannot be written"),
    (set_names("obs_names", 30), r"mod\['rna'\]\.obs_names holds 1 names more than once \(x1\)"),
    (set_names("var_names", 5), r"mod\['rna'\]\.var_names holds 1 names more than once \(x1\)"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning")
@pytest.mark.parametrize(("change", "message"), UNWRITABLE)
def test_what_cannot_be_written_is_named_and_the_old_file_stays(tmp_path, change, message):
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    before = path.read_bytes()
    mdata = build()
    change(mdata)
    with pytest.raises(InputError, match=message):
        write_h5mu(path, mdata)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["x.h5mu"]


def test_a_failure_while_writing_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    before = path.read_bytes()

    def half(temporary, mdata):
        Path(temporary).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mudata, "write_h5mu", half)
    with pytest.raises(OSError, match="No space"):
        write_h5mu(path, build())
    monkeypatch.setattr(mudata, "write_h5mu", lambda temporary, mdata: Path(temporary).write_bytes(b"half"))
    with pytest.raises(InputError, match="no readable HDF5"):
        write_h5mu(path, build())
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["x.h5mu"]


def test_a_write_that_loses_a_slot_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "x.h5mu"
    whole = mudata.write_h5mu

    def lossy(temporary, mdata):
        whole(temporary, mdata)
        with h5py.File(Path(temporary), "r+") as file:
            del file["mod/rna/layers/counts"]

    monkeypatch.setattr(mudata, "write_h5mu", lossy)
    with pytest.raises(InputError, match=r"mod\['rna'\]\.layers\['counts'\] is missing"):
        write_h5mu(path, build())
    assert not path.exists()


def test_places_that_cannot_take_a_file(tmp_path, monkeypatch):
    mdata = build()
    with pytest.raises(InputError, match="does not exist; make it first"):
        write_h5mu(tmp_path / "no" / "x.h5mu", mdata)
    with pytest.raises(InputError, match="is a folder"):
        write_h5mu(tmp_path, mdata)
    (tmp_path / "there.h5mu").write_text("")
    with pytest.raises(InputError, match="is there already"):
        write_h5mu(tmp_path / "there.h5mu", mdata, overwrite=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="is not writable"):
        write_h5mu(tmp_path / "x.h5mu", mdata)


def test_a_full_disk_is_noticed_before_the_start(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(mudata, "write_h5mu", lambda *_: pytest.fail("started to write"))
    with pytest.raises(InputError, match=r"has 1,000 bytes free, but up to [0-9,]+ are needed"):
        write_h5mu(tmp_path / "x.h5mu", build())


def test_temporaries_of_dead_writers_are_swept_and_no_others(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = {
        "dead": f".x.h5mu.{dead.pid}-0123abcd.tilegrn-tmp",
        "alive": f".x.h5mu.{os.getpid()}-0123abcd.tilegrn-tmp",
        "old": f".x.h5mu.{os.getpid()}-ffffffff.tilegrn-tmp",
        "other": f".y.h5mu.{dead.pid}-0123abcd.tilegrn-tmp",
        "user's": ".x.h5mu.tmp",
    }
    for name in left.values():
        (tmp_path / name).write_text("")
    os.utime(tmp_path / left["old"], (0, time.time() - 2 * 86400))
    write_h5mu(tmp_path / "x.h5mu", build())
    assert names_in(tmp_path) == sorted(["x.h5mu", left["alive"], left["other"], left["user's"]])


@pytest.mark.slow
def test_killed_writers_leave_a_whole_file(tmp_path):
    # One Python forks the writers, so that the packages are loaded once.
    script = textwrap.dedent("""
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from tests.io.h5mu._files import build
        from tilegrn.io.h5mu._h5mu import write_h5mu
        sizes = {n: build(n=n, n_genes=400, n_peaks=2000) for n in (30, 60)}
        for _ in sys.stdin:
            pid = os.fork()
            while not pid:
                for mdata in sizes.values():
                    write_h5mu(sys.argv[1], mdata)
            print(pid, flush=True)
            os.waitpid(pid, 0)
    """)
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build(n_genes=400, n_peaks=2000))
    rng = np.random.default_rng(1)
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parents[3])]
    left = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        for round_ in range(12):
            parent.stdin.write("\n")
            parent.stdin.flush()
            writer = int(parent.stdout.readline())
            until = time.monotonic() + 20
            while round_ % 2 and len(names_in(tmp_path)) == 1 and time.monotonic() < until:
                time.sleep(0.001)  # on a busy machine few moments chosen blindly lie within a write
            time.sleep(rng.uniform(0, 0.02) if round_ % 2 else rng.uniform(0.02, 0.4))
            os.kill(writer, signal.SIGKILL)
            left += len(names_in(tmp_path)) > 1
            assert read_h5mu(path).n_obs in {30, 60}
        parent.stdin.close()
    assert left, "no writer was killed while it wrote"
    write_h5mu(path, build())
    assert names_in(tmp_path) == ["x.h5mu"]


# zarr


def test_zarr_round_trip_also_over_an_older_folder(tmp_path):
    path = tmp_path / "x.zarr"
    write_zarr(path, build(n=10))
    mdata = build()
    write_zarr(path, mdata)
    with no_pull():
        same(mdata, mudata.read_zarr(str(path)))
    assert names_in(tmp_path) == ["x.zarr"]


def test_what_was_read_from_h5mu_goes_to_zarr(tmp_path):
    """Its axis is a number of numpy's, which zarr's JSON does not take."""
    write_h5mu(tmp_path / "x.h5mu", build())
    mdata = read_h5mu(tmp_path / "x.h5mu")
    write_zarr(tmp_path / "x.zarr", mdata)
    with no_pull():
        same(mdata, mudata.read_zarr(str(tmp_path / "x.zarr")))


def test_zarr_folders_are_replaced_whole_or_kept(tmp_path, monkeypatch):
    path = tmp_path / "x.zarr"
    write_zarr(path, build())
    mdata = build(n=10)
    mdata.uns["x"] = object()
    with pytest.raises(InputError, match=r"uns\['x'\] holds"):
        write_zarr(path, mdata)
    del mdata.uns["x"]
    monkeypatch.setattr(mudata, "write_zarr", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_zarr(path, mdata)
    with no_pull():
        same(build(), mudata.read_zarr(str(path)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="is no zarr folder; it is not replaced"):
        write_zarr(tmp_path / "mine", mdata)
    assert names_in(tmp_path) == ["mine", "x.zarr"]


def test_zarr_where_folders_cannot_be_exchanged_in_one_step(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *_, **__: object())
    write_zarr(tmp_path / "x.zarr", build())
    write_zarr(tmp_path / "x.zarr", build(n=10))
    with no_pull():
        assert mudata.read_zarr(str(tmp_path / "x.zarr")).n_obs == 10
    assert names_in(tmp_path) == ["x.zarr"]
