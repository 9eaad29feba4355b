"""What write_layer takes, refuses and looks at again."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
from scipy import sparse
from tests.io.h5mu._files import build

from tilegrn._core import atomic
from tilegrn.errors import InputError, WriteError
from tilegrn.io import read_h5mu, write_layer
from tilegrn.io.h5mu import _write_layer
from tilegrn.io.h5mu._h5check import named


@pytest.fixture
def file(path):
    return path


VALUES = np.where(np.random.default_rng(0).random((30, 5)) < 0.4, 0, np.random.default_rng(1).normal(size=(30, 5)))


def with_layer(values, order=slice(None)):
    mdata = build()
    rna = mdata["rna"]
    rna.layers["new"] = values
    mdata.mod["rna"] = rna[order].copy()
    return mdata


def dask(sparse_blocks):
    da = pytest.importorskip("dask.array")
    x = da.from_array(VALUES, chunks=(10, 5))
    return x.map_blocks(sparse.csr_matrix) if sparse_blocks else x


def gaps(kind):
    x = VALUES.copy()
    x[3, 2] = np.nan
    return kind(x)


KINDS = {
    "dense": lambda: VALUES,
    "by columns": lambda: np.asfortranarray(VALUES),
    "booleans": lambda: VALUES > 0,
    "integers": lambda: np.rint(VALUES * 10).astype(np.int16),
    "float32": lambda: VALUES.astype(np.float32),
    "csr": lambda: sparse.csr_matrix(VALUES),
    "csc": lambda: sparse.csc_matrix(VALUES),
    "gaps": lambda: gaps(np.asarray),
    "gaps in csr": lambda: gaps(sparse.csr_matrix),
    "dask": lambda: dask(False),
    "dask of csr": lambda: dask(True),
    "none": lambda: sparse.csr_matrix((30, 5)),
}


def plain(x):
    x = x.compute() if hasattr(x, "compute") else x
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_every_kind_read_back(file, kind, turned):
    values = KINDS[kind]()
    order = np.random.default_rng(2).permutation(30) if turned else slice(None)
    write_layer(file, with_layer(values, order), "new")
    got = read_h5mu(file)["rna"].layers["new"]
    np.testing.assert_array_equal(plain(got), plain(values))
    assert got.dtype == values.dtype
    assert sparse.issparse(got) == ("cs" in kind or kind == "none")


@pytest.mark.parametrize("values", [np.full((30, 5), "a", dtype=object), np.full((30, 5), "a")])
def test_a_layer_of_text_is_refused_before_anything_is_written(file, values):
    before = file.read_bytes()
    said = r"^mdata\['rna'\]\.layers\['new'\] holds (object|<U1) values; a layer that is added holds numbers\.$"
    with pytest.raises(InputError, match=said):
        write_layer(file, with_layer(values), "new")
    assert file.read_bytes() == before


def test_a_file_without_layers(file):
    with h5py.File(file, "r+") as handle:
        del handle["mod/rna/layers"]
    write_layer(file, with_layer(VALUES), "new")
    assert list(named(read_h5mu(file)["rna"].layers)) == ["new"]
    with h5py.File(file) as handle:
        assert dict(handle["mod/rna/layers"].attrs) == {"encoding-type": "dict", "encoding-version": "0.1.0"}


@pytest.mark.parametrize("key", ["", ".", "..", "a/b"])
def test_names_that_no_layer_can_have(file, key):
    with pytest.raises(InputError, match=r"^A layer cannot be called '.*' in a file\.$"):
        write_layer(file, with_layer(VALUES), "new", key_added=key)


def test_what_is_not_there_is_named(file):
    mdata = with_layer(VALUES)
    with pytest.raises(
        InputError, match=r"^'rna' has no layer 'predicted'; there are \['counts', 'new'\]\. grn\.tl\.predict"
    ):
        write_layer(file, mdata)
    mdata.mod["gex"] = mdata["rna"].copy()
    with pytest.raises(InputError, match=r"x\.h5mu' has no modality 'gex'; it has \['atac', 'rna'\]\.$"):
        write_layer(file, mdata, "new", modality="gex")
    with pytest.raises(InputError, match=r"^The h5mu file '.*no\.h5mu' does not exist"):
        write_layer(file.with_name("no.h5mu"), mdata, "new")
    write_layer(file, mdata, "new")
    with pytest.raises(
        InputError, match=r"x\.h5mu' has a layer 'new' already\. Name another key_added, or overwrite=True"
    ):
        write_layer(file, mdata, "counts", key_added="new")


def test_other_cells_and_features_are_counted(file):
    mdata = with_layer(VALUES)
    mdata["rna"].obs_names = [f"d{i}" if i < 2 else f"c{i}" for i in range(30)]
    said = r"x\.h5mu' has 30 cells in 'mod/rna', the MuData 30, and 2 of the file are not in the MuData\. A layer needs"
    with pytest.raises(InputError, match=said):
        write_layer(file, mdata, "new")
    mdata = with_layer(VALUES)
    mdata.mod["rna"] = mdata["rna"][:, 1:].copy()
    with pytest.raises(
        InputError, match=r"has 5 features in 'mod/rna', the MuData 4, and 1 of the file are not in the MuD"
    ):
        write_layer(file, mdata, "new")


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning", "ignore:Duplicated obs_names:UserWarning")
def test_more_cells_than_the_file_has_and_names_that_repeat(file):
    with h5py.File(file, "r+") as handle:
        names = handle["mod/rna/obs/_index"]
        few = names[:-1]
        del handle["mod/rna/obs/_index"]
        handle["mod/rna/obs/_index"] = few
        handle["mod/rna/obs/_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=r"has 29 cells in 'mod/rna', the MuData 30, and 0 of the file are not in"):
        write_layer(file, with_layer(VALUES), "new")
    mdata = with_layer(VALUES)
    mdata["rna"].obs_names = ["c0", *(f"c{i}" for i in range(29))]
    with pytest.raises(
        InputError, match=r"^1 names of cells occur more than once, e\.g\. \['c0'\]\. Keep one of each\.$"
    ):
        write_layer(file, mdata, "new")


@pytest.mark.parametrize("kind", ["float32", "csr"])
def test_the_room_that_is_needed(file, monkeypatch, kind):
    values = KINDS[kind]()
    need = 30 * 5 * 4 if kind == "float32" else values.nnz * (8 + 12)
    before = file.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, need + atomic._SPARE_BYTES - 1))
    with pytest.raises(InputError, match=f"but up to {need + atomic._SPARE_BYTES:,} are needed"):
        write_layer(file, with_layer(values), "new")
    assert file.read_bytes() == before


def test_room_to_the_byte_suffices(file, monkeypatch):
    needed = []
    monkeypatch.setattr(_write_layer, "check_room", lambda _, need: needed.append(need))
    write_layer(file, with_layer(VALUES), "new")
    assert needed == [30 * 5 * 8]


def altered(part):
    def alter(values):
        other = values.copy()
        if part == "last row":
            other[-1, -1] += 1
        elif part == "fewer rows":
            other = other[:-1]
        elif part == "fewer values":
            other.data[0] = 0
            other.eliminate_zeros()
        elif part == "wider":
            other = sparse.csr_matrix((other.data, other.indices, other.indptr), shape=(30, 6))
        else:
            array = getattr(other, part)
            array[-1 if part != "indptr" else 1] += 1 if part != "indices" else -1
        return other

    return alter


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("dense", "last row"),
        ("dense", "fewer rows"),
        *(("csr", part) for part in ("data", "indices", "indptr", "fewer values", "wider")),
    ],
)
def test_whatever_does_not_read_back_is_noticed(file, monkeypatch, kind, part):
    before = file.read_bytes()
    put, alter = _write_layer._put, altered(part)
    monkeypatch.setattr(_write_layer, "_ROWS", 8)
    monkeypatch.setattr(_write_layer, "_put", lambda group, values, key: put(group, alter(values), key))
    with pytest.raises(
        WriteError, match=r"^What was written to '.*x\.h5mu' does not read back the same; .* It is as it was"
    ):
        write_layer(file, with_layer(KINDS[kind]()), "new")
    assert file.read_bytes() == before
