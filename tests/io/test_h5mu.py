import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import anndata as ad
import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tilegrn._mudata import no_pull, quiet_update
from tilegrn.errors import InputError
from tilegrn.io import _h5mu
from tilegrn.io._h5mu import read_10x, read_h5mu, write_h5mu, write_zarr


def build(n=30, n_genes=5, n_peaks=12):
    rng = np.random.default_rng(0)
    cells = pd.DataFrame({"type": list("ab") * (n // 2)}, index=[f"c{i}" for i in range(n)])

    def modality(n_vars, prefix):
        x = sparse.csr_matrix(rng.poisson(0.5, (n, n_vars)).astype(np.float32))
        return ad.AnnData(x, obs=cells.copy(), var=pd.DataFrame(index=[f"{prefix}{i}" for i in range(n_vars)]))

    rna, atac = modality(n_genes, "g"), modality(n_peaks, "p")
    rna.layers["counts"] = rna.X.copy()
    atac.varm["windows"] = sparse.random(n_peaks, 1000, 0.01, format="csr", dtype=np.float32, random_state=0)
    atac.obsm["windows"] = atac.X @ atac.varm["windows"]
    with no_pull():
        mdata = mudata.MuData({"rna": rna, "atac": atac})
    mdata.uns["tilegrn"] = {
        "schema": 1,
        "grid": {"chroms": np.array(["chr1", "chr2"], dtype=object), "window_size": 1000},
    }
    return mdata


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def same(a, b):
    assert list(a.mod) == list(b.mod)
    for name, x in a.mod.items():
        y = b.mod[name]
        assert x.obs_names.equals(y.obs_names)
        assert x.var_names.equals(y.var_names)
        assert list(x.obs) == list(y.obs)
        for slot in ("layers", "obsm", "varm"):
            held = {k for k in getattr(x, slot) if k is not None}
            assert held == {k for k in getattr(y, slot) if k is not None}
            for k in held:
                assert (sparse.csr_matrix(getattr(x, slot)[k]) != sparse.csr_matrix(getattr(y, slot)[k])).nnz == 0
        assert (sparse.csr_matrix(x.X[:]) != sparse.csr_matrix(y.X[:])).nnz == 0
    assert list(a.obs) == list(b.obs)
    assert set(a.uns) == set(b.uns)


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
        temporary.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mudata, "write_h5mu", half)
    with pytest.raises(OSError, match="No space"):
        write_h5mu(path, build())
    monkeypatch.setattr(mudata, "write_h5mu", lambda temporary, mdata: temporary.write_bytes(b"half"))
    with pytest.raises(InputError, match="no readable HDF5"):
        write_h5mu(path, build())
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["x.h5mu"]


def test_a_write_that_loses_a_slot_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "x.h5mu"
    whole = mudata.write_h5mu

    def lossy(temporary, mdata):
        whole(temporary, mdata)
        with h5py.File(temporary, "r+") as file:
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
    monkeypatch.setattr(_h5mu.shutil, "disk_usage", lambda _: usage._replace(free=1000))
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
    script = textwrap.dedent("""
        import sys, warnings
        sys.path.insert(0, sys.argv[2])
        from test_h5mu import build
        from tilegrn.io._h5mu import write_h5mu
        n = 30
        print("ready", flush=True)
        while True:
            n = 60 if n == 30 else 30
            write_h5mu(sys.argv[1], build(n=n, n_genes=400, n_peaks=2000))
    """)
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build(n_genes=400, n_peaks=2000))
    rng = np.random.default_rng(1)
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        child.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert read_h5mu(path).n_obs in {30, 60}
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
    monkeypatch.setattr(_h5mu.ctypes, "CDLL", lambda *_, **__: object())
    write_zarr(tmp_path / "x.zarr", build())
    write_zarr(tmp_path / "x.zarr", build(n=10))
    with no_pull():
        assert mudata.read_zarr(str(tmp_path / "x.zarr")).n_obs == 10
    assert names_in(tmp_path) == ["x.zarr"]


# Reading


def crafted(tmp_path, change):
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    return path


def external_link(file, folder):
    file["mod/rna/layers/stolen"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def soft_link(file, folder):
    file["mod/rna/layers/loop"] = h5py.SoftLink("/mod")


def hard_loop(file, folder):
    file["mod/rna/uns/loop"] = file["mod"]


def external_storage(file, folder):
    (folder / "secret").write_bytes(b"12345678" * 30 * 5)
    file.create_dataset("mod/rna/layers/leak", (30, 5), "f8", external=[(str(folder / "secret"), 0, 1200)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (5,))
    file.create_virtual_dataset("mod/rna/uns/v", layout)


def absurd_shape(file, folder):
    file.create_dataset("mod/rna/layers/big", (10**6, 10**5), "f8", chunks=(10, 10))


def many_absurd(file, folder):
    for i in range(40):
        file.create_dataset(f"mod/rna/uns/big{i}", (2**25 // 8,), "f8", chunks=(1000,))


def indices(value):
    def change(file, folder):
        file["mod/rna/X/indices"][0] = value

    return change


def offsets(file, folder):
    file["mod/rna/X/indptr"][-1] = 10**9


def offsets_inside(file, folder):
    file["mod/rna/X/indptr"][3] = 10**6


def shape(file, folder):
    file["mod/rna/X"].attrs["shape"] = [10**6, 5]


def no_data(file, folder):
    del file["mod/rna/X/data"]


def no_modalities(file, folder):
    del file["mod"]


def newer(file, folder):
    file["uns/tilegrn/schema"][()] = 99


def lost_index(file, folder):
    del file["mod/rna/obs"].attrs["_index"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "'/mod/rna/layers/stolen' is a link to another file"),
        (soft_link, "'/mod/rna/layers/loop' is a soft link"),
        (hard_loop, "contains itself"),
        (external_storage, "'/mod/rna/layers/leak' keeps its data in another file"),
        (virtual, "'/mod/rna/uns/v' keeps its data in another file"),
        (absurd_shape, "'/mod/rna/layers/big' claims 800,000,000,000 bytes and stores 0"),
        (many_absurd, "claims to hold .* bytes of data"),
        (indices(5), "X is damaged"),
        (indices(-1), "X is damaged"),
        (offsets, "do not fit: shape"),
        (offsets_inside, "X is damaged"),
        (shape, "do not fit: shape"),
        (no_data, "lacks data"),
        (no_modalities, "holds no modalities"),
        (newer, "schema 99, newer than 1; upgrade tilegrn"),
        (lost_index, "cannot be read as a MuData"),
    ],
)
def test_hostile_and_damaged_files_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_h5mu(crafted(tmp_path, change))


def test_files_that_are_no_h5mu(tmp_path):
    path = tmp_path / "x.h5mu"
    with pytest.raises(InputError, match="does not exist"):
        read_h5mu(path)
    path.write_text("no HDF5")
    with pytest.raises(InputError, match="no readable HDF5 file"):
        read_h5mu(path)
    write_h5mu(path, build())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"no readable HDF5 file.*cut short"):
        read_h5mu(path)
    build()["rna"].write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="looks like an h5ad"):
        read_h5mu(tmp_path / "x.h5ad")


def test_real_files_are_read_as_mudata_reads_them(real_data):
    path = real_data("multiome/pbmc_tiny_hg38.h5mu")
    with no_pull():
        same(mudata.read_h5mu(path), read_h5mu(path))


# The adapter


def test_updating_pulls_nothing_and_restores_the_option():
    mdata = build()
    mdata["rna"].obs["new"] = 1
    quiet_update(mdata)
    assert "rna:new" not in mdata.obs
    if hasattr(mudata, "set_options"):
        with pytest.warns(FutureWarning, match="pull"):
            mdata.update()  # the user's own setting is back


# 10x


def write_10x(path, ids, names, kinds, n_cells=4):
    x = sparse.random(len(ids), n_cells, 0.5, format="csc", random_state=0)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array([f"AC{i}-1" for i in range(n_cells)], dtype="S")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(x, key).astype(np.int32 if key != "data" else np.float32)
        group["shape"] = np.array(x.shape, dtype=np.int32)
        features = group.create_group("features")
        for key, values in (("id", ids), ("name", names), ("feature_type", kinds)):
            features[key] = np.array(values, dtype="S")
        features["genome"] = np.array(["mm10"] * len(ids), dtype="S")
        features["interval"] = np.array(["chr1:1-2"] * len(ids), dtype="S")


GENE, PEAK = "Gene Expression", "Peaks"


def test_10x(tmp_path, capsys):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2", "P1"], ["A", "B", "chr1:1-2"], [GENE, GENE, PEAK])
    mdata = read_10x(path)
    assert {m: list(a.var_names) for m, a in mdata.mod.items()} == {"rna": ["A", "B"], "atac": ["chr1:1-2"]}
    assert list(mdata["rna"].var["interval"]) == ["chr1:1-2"] * 2
    assert capsys.readouterr().out == ""


def test_10x_with_repeated_symbols(tmp_path):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2", "E3", "P1"], ["A", "B", "A", "chr1:1-2"], [GENE, GENE, GENE, PEAK])
    with pytest.raises(InputError, match=r"1 gene symbols occur more than once .*\(A\)"):
        read_10x(path)
    with pytest.warns(UserWarning, match="these genes are dropped"):
        mdata = read_10x(path, duplicates="drop")
    assert list(mdata["rna"].var_names) == ["B"]
    assert mdata.n_vars == 2


def test_10x_without_peaks(tmp_path):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2"], ["A", "B"], [GENE, GENE])
    with pytest.raises(InputError, match="holds no atac features"):
        read_10x(path)
    path.write_text("x")
    with pytest.raises(InputError, match="cannot be read as a 10x"):
        read_10x(path)
