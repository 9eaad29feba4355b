"""Zarr folders of both formats, sharded and not: read whole, with counts left there, and refused."""

import json
import shutil
import sys
import warnings

import anndata as ad
import mudata
import numpy as np
import pytest
import zarr
from scipy import sparse
from tests.io.h5mu._files import build, same

from tilegrn._core import rows as R
from tilegrn._core.mudata import no_pull
from tilegrn._core.rows import as_rows, column_sums
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr
from tilegrn.io.h5mu._zarr import read_zarr

KINDS = ("v2", "v3", "sharded")


def written(folder, mdata, number=3):
    """Write as users do, in one of the formats; without bringing every small file to disk, as write_zarr does."""
    before = ad.settings.zarr_write_format
    ad.settings.zarr_write_format = number
    try:
        with no_pull(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on formats and shards to come
            mudata.write_zarr(str(folder), mdata)
    finally:
        ad.settings.zarr_write_format = before


def made(folder, kind="v3"):
    """Write a store whose counts take several chunks."""
    mdata = build()
    written(folder, mdata, 2 if kind == "v2" else 3)
    root = zarr.open_group(str(folder), mode="r+", use_consolidated=False)
    for name in mdata.mod:
        group = root[f"mod/{name}/X"]
        for part in ("data", "indices"):
            values = group[part][:]
            del group[part]
            more = {"shards": (32,)} if kind == "sharded" else {}
            array = group.create_array(part, shape=values.shape, dtype=values.dtype, chunks=(8,), **more)
            array[:] = values
            array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    if kind != "v2":  # the summary that mudata wrote knows other chunks
        meta = folder / "zarr.json"
        held = json.loads(meta.read_text())
        held.pop("consolidated_metadata", None)
        meta.write_text(json.dumps(held))
    return mdata


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_read_whole(kind, tmp_path):
    mdata = made(tmp_path / "x.zarr", kind)
    back = read_zarr(tmp_path / "x.zarr")
    same(mdata, back)
    assert sparse.issparse(back["rna"].X)


def test_counts_stay_in_the_folder(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(R, "_BLOCK", 40)
    monkeypatch.setattr(R, "_LEAST", 4)
    mdata = made(tmp_path / "x.zarr", kind)
    back = read_zarr(tmp_path / "x.zarr", backed=True)
    for name, layer in (("rna", None), ("rna", "counts"), ("atac", None)):
        x = back[name].X if layer is None else back[name].layers[layer]
        assert hasattr(x, "dask")
        assert len(x.chunks[0]) > 1
        rows = as_rows(x)
        dense = mdata[name].X.toarray()
        order = np.array([29, 3, 3, 17, 18, 0])
        np.testing.assert_array_equal(rows[order].toarray(), dense[order])
        np.testing.assert_array_equal(column_sums(rows), dense.sum(0))
        np.testing.assert_array_equal(R.in_memory(rows, order).toarray(), dense[order])
    assert sparse.issparse(back["atac"].obsm["windows"])
    assert list(back["rna"].obs["type"]) == list(mdata["rna"].obs["type"])


def test_what_is_dense_or_stored_by_columns_and_raw(tmp_path):
    mdata = build()
    mdata["rna"].raw = mdata["rna"].copy()
    mdata["rna"].layers["dense"] = np.arange(150, dtype=np.float32).reshape(30, 5)
    mdata["atac"].X = sparse.csc_matrix(mdata["atac"].X)
    written(tmp_path / "x.zarr", mdata)
    back = read_zarr(tmp_path / "x.zarr", backed=True)
    assert hasattr(back["rna"].layers["dense"], "dask")
    np.testing.assert_array_equal(as_rows(back["rna"].layers["dense"])[np.array([4, 2])].toarray()[:, 1], [21, 11])
    assert back["atac"].X.format == "csc"
    np.testing.assert_array_equal(as_rows(back["rna"].raw.X)[np.arange(30)].toarray(), mdata["rna"].X.toarray())


def test_written_again_from_the_folder_also_over_it(tmp_path):
    mdata = build()
    write_zarr(tmp_path / "x.zarr", mdata)
    back = read_zarr(tmp_path / "x.zarr", backed=True)
    back.uns["new"] = 1
    write_h5mu(tmp_path / "x.h5mu", back)
    assert (read_h5mu(tmp_path / "x.h5mu")["atac"].X != mdata["atac"].X).nnz == 0
    write_zarr(tmp_path / "x.zarr", back)
    again = read_zarr(tmp_path / "x.zarr", backed=True)
    assert (again["atac"].X.compute() != mdata["atac"].X).nnz == 0
    assert again.uns["new"] == 1
    with pytest.raises(InputError, match=r"written anew since it was opened\. Open it again"):
        back["atac"].X.compute()


def test_cells_are_matched_and_left_in_the_folder(tmp_path):
    from tilegrn.pp import intersect_cells

    mdata = build()
    mods = {"rna": mdata["rna"][::-1].copy(), "atac": mdata["atac"][:20].copy()}
    with no_pull():
        written(tmp_path / "x.zarr", mudata.MuData(mods))
    back = read_zarr(tmp_path / "x.zarr", backed=True)
    intersect_cells(back)
    assert hasattr(back["atac"].X, "dask")
    np.testing.assert_array_equal(back["atac"].X.compute().toarray(), mods["atac"].X.toarray()[::-1])


# Refused


def chunk_lost(part, which="0"):
    def change(folder):
        hit = folder / "mod" / "rna" / "X" / part
        (hit / which if (hit / which).exists() else hit / "c" / which).unlink()

    return change


def values_of(place, change):
    def write(folder):
        array = zarr.open_group(str(folder), mode="r+", use_consolidated=False)[place]
        values = array[...]
        array[...] = change(values)

    return write


def bent(values):
    values[3] = 10**6
    return values


def no_modalities(folder):
    shutil.rmtree(folder / "mod")


def lost_modality(folder):
    shutil.rmtree(folder / "mod" / "atac")


def linked(folder):
    (folder.parent / "secret").write_text("1")
    (folder / "mod" / "rna" / "layers" / "leak").symlink_to(folder.parent)


def no_values(folder):
    shutil.rmtree(folder / "mod" / "rna" / "X" / "data")


def no_cells(folder):
    shutil.rmtree(folder / "mod" / "rna" / "obs")


def absurd(folder):
    root = zarr.open_group(str(folder), mode="r+", use_consolidated=False)
    array = root["mod/rna/uns"].create_array("big", shape=(2**33,), dtype="f8", chunks=(2**20,))
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def no_json(folder):
    for mark in (".zgroup", "zarr.json"):
        if (folder / mark).exists():
            (folder / mark).write_text("{")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for kind in ("v2", "sharded"):
        made(folder / kind, kind)
    return folder


@pytest.mark.parametrize("kind", KINDS[::2])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (chunk_lost("data"), "'mod/rna/X/data' lacks 1 of its .* chunks, which zarr would read as zeros"),
        (chunk_lost("indices", "1"), "'mod/rna/X/indices' lacks 1 of its"),
        (values_of("mod/rna/X/indptr", bent), "rows of the sparse matrix 'mod/rna/X' do not follow each other"),
        (values_of("mod/rna/X/indptr", lambda v: v + 1), "do not fit: shape"),
        (values_of("mod/atac/obsm/windows/indices", lambda v: v + 1000), "is damaged"),
        (values_of("uns/tilegrn/schema", lambda v: v + 98), "schema 99, newer than 2; upgrade tilegrn"),
        (no_modalities, "holds no modalities"),
        (lost_modality, "lacks the modality 'atac', which it names"),
        (linked, "is a link"),
        (no_values, "lacks data"),
        (no_cells, "lacks the table 'mod/rna/obs'"),
        (absurd, "'mod/rna/uns/big' claims .* bytes and stores 0"),
        (no_json, "cannot be read as a MuData"),
    ],
)
def test_damaged_folders_are_refused(change, said, kind, stores, tmp_path):
    shutil.copytree(stores / kind, tmp_path / "x.zarr")
    change(tmp_path / "x.zarr")
    for backed in (False, True):
        with pytest.raises(InputError, match=said):
            read_zarr(tmp_path / "x.zarr", backed=backed)


def test_columns_that_are_none_are_found_as_blocks_are_read(tmp_path):
    made(tmp_path / "x.zarr")
    values_of("mod/rna/X/indices", lambda v: v + 5)(tmp_path / "x.zarr")
    with pytest.raises(InputError, match="X is damaged"):
        read_zarr(tmp_path / "x.zarr")
    x = read_zarr(tmp_path / "x.zarr", backed=True)["rna"].X
    with pytest.raises(InputError, match="names columns outside its 5"):
        column_sums(as_rows(x))


def test_a_matrix_of_one_column_may_lack_chunks_of_zeros(tmp_path):
    mdata = build()
    mdata["rna"].obsm["one"] = sparse.csr_matrix(np.ones((30, 1), dtype=np.float32))
    written(tmp_path / "x.zarr", mdata)
    same(mdata, read_zarr(tmp_path / "x.zarr"))


def test_what_is_no_zarr_multiome(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_zarr(tmp_path / "x.zarr")
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(InputError, match="holds no zarr group"):
        read_zarr(tmp_path / "x.zarr")
    write_h5mu(tmp_path / "x.h5mu", build())
    with pytest.raises(InputError, match=r"is a file\. Read it with grn\.io\.read_h5mu"):
        read_zarr(tmp_path / "x.h5mu")
    written(tmp_path / "b.zarr", build())
    shutil.copytree(tmp_path / "b.zarr" / "mod" / "rna", tmp_path / "a.zarr")
    with pytest.raises(InputError, match="looks like an AnnData"):
        read_zarr(tmp_path / "a.zarr")


def test_without_dask_it_says_what_to_install(tmp_path, monkeypatch):
    made(tmp_path / "x.zarr")
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(InputError, match=r"pip install 'dask\[array\]'"):
        read_zarr(tmp_path / "x.zarr", backed=True)
    assert read_zarr(tmp_path / "x.zarr").n_obs == 30


def test_without_the_checks_and_without_counts(tmp_path):
    mdata = build()
    mdata["atac"].X = None
    written(tmp_path / "x.zarr", mdata)
    shutil.rmtree(tmp_path / "x.zarr" / "mod" / "rna" / "X")  # as an anndata left it that does not write what is none
    back = read_zarr(tmp_path / "x.zarr", safe=False, backed=True)
    assert back["atac"].X is None
    assert back["rna"].X is None
    assert back["rna"].shape == mdata["rna"].shape


def test_what_does_not_fit_in_memory_says_how_it_does(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    made(tmp_path / "x.zarr")
    monkeypatch.setattr("tilegrn.io.h5mu._zarr._assembled", full)
    with pytest.raises(InputError, match=r"too large for the memory that is left\. .*backed=True"):
        read_zarr(tmp_path / "x.zarr")
