"""h5ad files that are damaged, of another kind, or hold a matrix in another dress."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.io.atac._made import CELLS, PEAKS, counts, named

from tilegrn.errors import InputError
from tilegrn.io import read_atac
from tilegrn.io.atac import _h5ad

NAMES = [f"{c}:{a}-{b}" for c, a, b in PEAKS]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("h5ad") / "x.h5ad"
    named(NAMES).write_h5ad(path)
    return path.read_bytes()


def changed(tmp_path, good, change):
    path = tmp_path / "x.h5ad"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def without(key):
    def change(file):
        del file[key]

    return change


def longer(file):
    file["X"].attrs["shape"] = np.array([3, 5])


def outside(file):
    file["X/indices"][0] = 99


def array(file):
    del file["obs"]
    file["obs"] = np.zeros(3)
    file["obs"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def scalar(file):
    del file["X"]
    file["X"] = 5
    file["X"].attrs.update({"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"})


def odd(file):
    del file["var"].attrs["column-order"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("X"), r"^'.*x\.h5ad' holds no X; its layers are \[\], and 'raw' is \.raw"),
        (longer, r"^'.*' is damaged: \(3, 5\) values for 3 cells and 4 features\. Copy it again"),
        (outside, r"^'.*' is damaged: its matrix is none \(it names columns outside 4\)"),
        (array, "cannot be read as h5ad: its matrix, cells or features are of another kind"),
        (scalar, "cannot be read as h5ad: its matrix, cells or features are of another kind"),
        (odd, r"cannot be read as h5ad: .*column-order.* Copy or write it again"),
        (without("obs"), r"is no h5ad file: it holds \['X', 'layers', 'obsm', 'obsp', 'uns', 'var'\]"),
        (without("var"), "is no h5ad file"),
    ],
)
def test_damaged_files(tmp_path, good, change, message):
    with pytest.raises(InputError, match=message):
        read_atac(changed(tmp_path, good, change), start="0-based")


def test_a_file_too_large_for_the_memory(tmp_path, good, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(_h5ad, "walk", refuse)
    with pytest.raises(InputError, match=r"x\.h5ad' is too large for the memory that is left\. Take fewer cells"):
        read_atac(changed(tmp_path, good, lambda _: None))


def datasets(*keys, **attributes):
    def make(file):
        for key in keys:
            file.create_group(key)
        file.attrs.update(attributes)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (datasets("mod"), r"is an h5mu file: grn\.io\.read_h5mu\('.*x\.h5ad'\)\.$"),
        (datasets("obs", "var", **{"encoding-type": "MuData"}), "is an h5mu file"),
        (datasets("matrix"), r"is a 10x file: grn\.io\.read_10x\('.*x\.h5ad'\)\.$"),
        (datasets("_dataset", "obs", "var"), "is an AnnDataSet of SnapATAC2, which points to other files"),
        (datasets("anndatas"), "is an AnnDataSet of SnapATAC2"),
        (datasets(**{"encoding-type": "AnnDataSet"}), "is an AnnDataSet of SnapATAC2"),
        (datasets(*"gfedcba"), r"is no h5ad file: it holds \['a', 'b', 'c', 'd', 'e', 'f'\]\."),
    ],
)
def test_files_of_other_kinds_say_what_reads_them(tmp_path, make, message):
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(InputError, match=message):
        read_atac(path)


def test_layers_of_a_file_are_named(tmp_path):
    made = named(NAMES)
    made.layers["b"] = made.layers["a"] = made.X
    made.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match=r"holds no layers/c; its layers are \['a', 'b'\], and 'raw' is \.raw"):
        read_atac(tmp_path / "x.h5ad", layer="c")
    with pytest.raises(InputError, match=r"holds no raw/X; its layers are"):
        read_atac(tmp_path / "x.h5ad", layer="raw")
    with pytest.raises(InputError, match=r"^The AnnData has no layer 'c'; it has \['.', '.'\], and 'raw' is \.raw"):
        read_atac(made, layer="c")
    with pytest.raises(InputError, match=r"^layer='raw' was asked for, but the AnnData has no \.raw"):
        read_atac(made, layer="raw")


@pytest.mark.parametrize("kind", ["dense", "csc", "int64", "backed", "dask", "dense file", "csc file"])
def test_matrices_in_any_dress(tmp_path, kind):
    made = named(NAMES)
    if kind == "backed":
        made.write_h5ad(tmp_path / "x.h5ad")
        made = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    elif kind == "dask":
        made.X = pytest.importorskip("dask.array").from_array(counts().astype(np.float32), chunks=(2, 4))
    else:
        made.X = {"csc": sparse.csc_matrix(made.X), "int64": sparse.csr_matrix(counts())}.get(
            kind[:5].strip(), counts()
        )
        made.X = sparse.csc_matrix(made.X) if kind.startswith("csc") else made.X
    if kind.endswith("file"):
        made.write_h5ad(tmp_path / "x.h5ad")
        made = tmp_path / "x.h5ad"
    atac = read_atac(made, start="0-based")
    np.testing.assert_array_equal(atac.X.toarray(), counts())
    assert (atac.X.format, atac.X.dtype) == ("csr", np.float32)
    assert list(atac.obs_names) == CELLS
    if kind == "backed":
        made.file.close()


def test_a_matrix_without_numbers():
    made = ad.AnnData(obs=pd.DataFrame(index=CELLS), var=pd.DataFrame(index=NAMES))
    made.layers["words"] = np.full((3, 4), "x", dtype=object)
    with pytest.raises(InputError, match=r"^The matrix of the AnnData holds no numbers \(.*\)\. Name the layer of the"):
        read_atac(made, layer="words", start="0-based")
    with pytest.raises(InputError, match=r"^the AnnData has no X\. Name the layer of the counts with layer="):
        read_atac(made, start="0-based")


@pytest.mark.parametrize("value", [-1, np.inf, np.nan])
def test_values_that_are_no_counts(value):
    made = named(NAMES)
    made.X.data[1] = value
    with pytest.raises(
        InputError, match=r"^the AnnData holds negative or infinite values\. Name the layer of the counts"
    ):
        read_atac(made, start="0-based")
