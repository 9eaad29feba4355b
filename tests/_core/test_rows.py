"""Rows are the same wherever they lie."""

import gc
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tilegrn._core import rows as R
from tilegrn._core.scaling import fit_minmax
from tilegrn.errors import InputError


def matrix(n: int, width: int, seed: int) -> sparse.csr_matrix:
    """Counts with empty rows and columns."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.6, (n, width)).astype(np.float32)
    x[rng.random(n) < 0.2] = 0
    return sparse.csr_matrix(x)


def stored(x: sparse.csr_matrix, kind: str, folder: Path):
    """Put a matrix where AnnData may hold it."""
    if kind == "csr":
        return x
    if kind == "dense":
        return x.toarray()
    if kind == "dask":
        import dask.array as da

        return da.from_array(x.toarray(), chunks=(3, x.shape[1])).map_blocks(sparse.csr_matrix)
    path = folder / f"{kind}.h5ad"
    if kind == "csc":
        ad.AnnData(sparse.csc_matrix(x)).write_h5ad(path)
    elif kind == "dense file":
        ad.AnnData(x.toarray()).write_h5ad(path)
    else:
        ad.AnnData(x).write_h5ad(path, compression="gzip" if kind == "gzip" else None)
    return ad.read_h5ad(path, backed="r").X


KINDS = ["csr", "dense", "dask", "file", "gzip", "csc", "dense file"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_storage(kind, tmp_path):
    x = matrix(17, 9, 1)
    rows = R.as_rows(stored(x, kind, tmp_path))
    dense = x.toarray()
    rng = np.random.default_rng(0)
    for wanted in (np.arange(17), np.array([3]), rng.permutation(17)[:6], np.array([5, 5, 2]), np.arange(4, 9)):
        got = rows[wanted]
        assert got.has_canonical_format
        np.testing.assert_array_equal(got.toarray(), dense[wanted])
    np.testing.assert_array_equal(R.in_memory(rows).toarray(), dense)
    groups = [np.array([4, 1]), np.arange(len(dense)), np.array([2])] * 15  # more than are made in one pass
    for got, group in zip(R.grouped_sums(rows, groups), groups, strict=True):
        np.testing.assert_allclose(got, dense[group].sum(0))
    np.testing.assert_allclose(R.column_sums(rows, np.array([1, 4])), dense[[1, 4]].sum(0))
    aside = R.put_aside(rows, np.array([2, 9, 1]))
    np.testing.assert_array_equal(aside[np.array([1, 0, 2])].toarray(), dense[[9, 2, 1]])


def test_what_is_put_aside_goes_with_its_result(tmp_path):
    aside = R.put_aside(matrix(5, 4, 0), folder=tmp_path)
    assert list(tmp_path.iterdir())
    del aside
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_failed_copy_leaves_nothing(tmp_path):
    class Broken:
        shape = (3, 2)

        def __getitem__(self, rows):
            raise RuntimeError("unreadable")

    with pytest.raises(RuntimeError, match="unreadable"):
        R.put_aside(Broken(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("odd", [99, -1, 2**32 + 1])
def test_columns_out_of_range_are_refused(odd, tmp_path):
    path = tmp_path / "x.h5ad"
    ad.AnnData(matrix(4, 6, 0)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        columns = file["X/indices"][:].astype(np.int64)
        columns[0] = odd
        del file["X/indices"]
        file["X/indices"] = columns
    with pytest.raises(InputError, match="outside its 6"):
        R.as_rows(ad.read_h5ad(path, backed="r").X)[np.arange(4)]


def test_rows_that_run_backwards_are_refused():
    with pytest.raises(InputError, match="do not follow each other"):
        R.StoredRows(np.ones(3), np.zeros(3), np.array([0, 3, 1]), (2, 4))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 12))
def test_picked_rows_and_columns(seed, width, n):
    rng = np.random.default_rng(seed)
    x = matrix(n, 7, seed)
    place = rng.integers(-1, width, 7)
    chosen = rng.integers(0, n, rng.integers(1, 9))
    want = np.zeros((n, width), dtype=np.float32)
    for old, new in enumerate(place):
        if new >= 0:
            want[:, new] += x.toarray()[:, old]
    picked = R.Picked(x, chosen, place=place, width=width, then=lambda part: part * 2)
    before = x.copy()
    np.testing.assert_array_equal(R.in_memory(picked).toarray(), 2 * want[chosen])
    again = R.Picked(picked, np.array([0, 0]))
    np.testing.assert_array_equal(again[np.arange(2)].toarray(), 2 * want[chosen[[0, 0]]])
    np.testing.assert_array_equal(x.toarray(), before.toarray())


def test_stacked_rows_in_any_order(tmp_path):
    parts = [matrix(5, 4, 0), R.as_rows(stored(matrix(3, 4, 1), "file", tmp_path)), matrix(2, 4, 2)]
    whole = np.vstack([R.in_memory(part).toarray() for part in parts])
    stacked = R.stacked(parts)
    order = np.random.default_rng(0).permutation(10)
    np.testing.assert_array_equal(stacked[order].toarray(), whole[order])
    assert R.values_stored(stacked) == np.count_nonzero(whole)


@pytest.mark.parametrize("fractions", [False, True])
def test_ranges_in_blocks_are_those_of_the_whole(fractions, monkeypatch):
    x = matrix(200, 12, 3) * (0.5 if fractions else 1.0)
    x.data[::7] += 40  # beyond what is tallied
    cells = np.random.default_rng(1).random(200) < 0.7
    part = x.toarray()[cells]
    want = np.zeros(12)
    for j in range(12):
        positive = np.log1p(part[:, j][part[:, j] > 0].astype(float))
        if len(positive) and (len(positive) < len(part) or np.ptp(positive) > 0):
            want[j] = np.quantile(positive, 0.95)
    monkeypatch.setattr(R, "_BLOCK", 50)
    monkeypatch.setattr(R, "_LEAST", 3)
    np.testing.assert_allclose(fit_minmax(x, cells).maximum, want, rtol=1e-12)
    np.testing.assert_allclose(fit_minmax(R.Picked(x), cells).maximum, want, rtol=1e-12)
