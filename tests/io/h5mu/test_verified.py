"""What was written is looked at before it replaces another file; what can be written is known before the work."""

import shutil
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.io.h5mu._files import build, names_in, same

from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError, WriteError
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr
from tilegrn.io.h5mu._writable import check_writable


def lossy(monkeypatch, lose):
    write = mudata.write_h5mu

    def losing(file, mdata, **given):
        write(file, mdata, **given)
        with h5py.File(Path(file), "r+") as handle:
            lose(handle)

    monkeypatch.setattr(mudata, "write_h5mu", losing)


def shorter(file):
    index = file["mod/atac/var"].attrs["_index"]
    values = file[f"mod/atac/var/{index}"][:-1]
    del file[f"mod/atac/var/{index}"]
    file[f"mod/atac/var/{index}"] = values


LOST = {
    "modality": (
        lambda f: f.__delitem__("mod/atac"),
        r"whole MuData: modality 'atac' is missing\. The old file was kept\.$",
    ),
    "slot": (lambda f: f.__delitem__("mod/atac/varm/windows"), r"mod\['atac'\]\.varm\['windows'\] is missing"),
    "all of a slot": (lambda f: f.__delitem__("mod/rna/layers"), r"mod\['rna'\]\.layers\['counts'\] is missing"),
    "rows": (shorter, r"mod\['atac'\]\.var has 11 rows, not 12"),
    "record": (lambda f: f.__delitem__("uns"), r"uns\['tilegrn'\] is missing"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_write_that_loses_something_is_noticed(path, monkeypatch, case):
    lose, message = LOST[case]
    before = path.read_bytes()
    lossy(monkeypatch, lose)
    with pytest.raises(InputError, match=r"^The written file does not hold the whole MuData: .*") as caught:
        write_h5mu(path, build())
    assert caught.match(message)
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["x.h5mu"]


def test_values_that_cannot_be_read_are_noticed(path, monkeypatch):
    write = mudata.write_h5mu

    def damaging(file, mdata, **given):
        write(file, mdata, **given)
        with h5py.File(Path(file)) as handle:
            data = handle["mod/rna/X/data"]
            _, packed = data.id.read_direct_chunk((0,))
        Path(file).write_bytes(Path(file).read_bytes().replace(packed, bytes(len(packed))))

    before = path.read_bytes()
    monkeypatch.setattr(mudata, "write_h5mu", damaging)
    with pytest.raises(WriteError, match=r"x\.h5mu' could not be written: .*"):
        write_h5mu(path, build(), compression="gzip")
    assert path.read_bytes() == before


def test_a_zarr_that_loses_a_slot_is_noticed(tmp_path, monkeypatch):
    write = mudata.write_zarr

    def losing(folder, mdata):
        write(folder, mdata)
        shutil.rmtree(Path(folder) / "mod" / "rna" / "layers" / "counts")

    monkeypatch.setattr(mudata, "write_zarr", losing)
    said = r"^The written folder lacks mod\['rna'\]\.layers\['counts'\]\. The old one was kept\.$"
    with pytest.raises(InputError, match=said):
        write_zarr(tmp_path / "x.zarr", build(n=4))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("write", [write_h5mu, write_zarr])
def test_what_is_there_stays_if_so_asked(tmp_path, write):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match=r"x' is there already; give another path, or overwrite=True\.$"):
        write(tmp_path / "x", build(n=4), overwrite=False)
    assert (tmp_path / "x").read_text() == "mine"


def test_memory_that_does_not_suffice(path, monkeypatch):
    def out(*_, **__):
        raise MemoryError

    monkeypatch.setattr(mudata, "read_h5mu", out)
    with pytest.raises(InputError, match=r"x\.h5mu' is too large for the memory that is left\. Take a subset of it"):
        read_h5mu(path)


def test_index_names_that_mudata_cannot_open_in_place(tmp_path):
    mdata = build()
    mdata.obs["library"] = "x"
    mdata.obs.index.name = "barcode"
    with no_pull():
        mdata.write(tmp_path / "x.h5mu")
    said = r"x\.h5mu' has index names that mudata cannot open in place; write it anew: grn\.io\.write_h5mu\(path, grn"
    with pytest.raises(InputError, match=said):
        read_h5mu(tmp_path / "x.h5mu", backed=True)
    write_h5mu(tmp_path / "x.h5mu", read_h5mu(tmp_path / "x.h5mu"))
    backed = read_h5mu(tmp_path / "x.h5mu", backed=True)
    same(mdata, backed)
    backed.file.close()


# What can be written


def test_a_view_among_the_modalities_is_tried_as_its_copy():
    mdata = build()
    with no_pull():
        mdata.mod["rna"] = mdata["rna"][:, :3]
    assert check_writable(mdata) > 0
    assert mdata["rna"].is_view


def test_slots_of_another_length_are_named():
    mdata = build()
    mdata.obsm["short"] = np.zeros((30, 2))
    mdata.obsm["short"].resize((3, 2), refcheck=False)
    with pytest.raises(
        InputError, match=r"^The MuData does not fit together, .*'short'.*replace what has another length"
    ):
        check_writable(mdata)


def test_the_bytes_that_are_needed():
    """Those of the matrices, and at least 32 for each name."""
    mdata = build()
    before = check_writable(mdata)
    mdata["rna"].layers["more"] = np.zeros((30, 5))
    assert check_writable(mdata) - before == 30 * 5 * 8
    few = sparse.csr_matrix(np.eye(30, 5, dtype=np.float32))
    mdata["rna"].layers["more"] = few
    assert check_writable(mdata) - before == few.data.nbytes + few.indices.nbytes + few.indptr.nbytes
    del mdata["rna"].layers["more"]
    mdata["rna"].uns["table"] = pd.DataFrame({"x": np.zeros(10)}, index=pd.Index(list("abcdefghij"), dtype=object))
    table = mdata["rna"].uns["table"]
    assert check_writable(mdata) - before == table.memory_usage(deep=False).sum() + 320
    mdata["rna"].uns["table"] = 3
    assert check_writable(mdata) - before == 64
