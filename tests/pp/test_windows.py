"""Peaks to windows: against a loop over windows, by hypothesis; ties; the end of a chromosome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import tilegrn as grn
from tests._small import PEAKS, SIZES, small
from tilegrn._core.grid import Grid
from tilegrn.pp._windows import assign_windows, peak_windows


def best_windows(start, end, w):
    overlap = {k: min(end, (k + 1) * w) - max(start, k * w) for k in range(start // w, (end - 1) // w + 1)}
    return {k for k, size in overlap.items() if size == max(overlap.values())}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 2500)), min_size=1, max_size=20),
    st.integers(1, 1200),
    st.integers(0, 5),
)
def test_window_has_the_largest_overlap(peaks, window_size, seed):
    start = np.array([s for s, _ in peaks])
    end = start + np.array([n for _, n in peaks])
    got = assign_windows(start, end, window_size, salt=np.zeros(len(start), dtype=np.int64), seed=seed)
    for s, e, k in zip(start, end, got, strict=True):
        assert k in best_windows(int(s), int(e), window_size)


def test_even_splits_are_drawn_evenly_and_from_the_seed():
    start = np.arange(1, 4001) * 10_000 - 300
    end = start + 600
    salt = np.zeros(len(start), dtype=np.int64)
    low = start // 1000
    share = {seed: assign_windows(start, end, 1000, salt=salt, seed=seed) - low for seed in range(3)}
    for drawn in share.values():
        assert set(np.unique(drawn)) == {0, 1}
        assert abs(drawn.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(start))
    assert (share[0] != share[1]).mean() > 0.4
    np.testing.assert_array_equal(share[0], assign_windows(start, end, 1000, salt=salt, seed=0) - low)


def test_the_draw_of_a_peak_does_not_depend_on_the_others():
    names = [f"chr1:{k * 1000 - 200}-{k * 1000 + 200}" for k in range(1, 10)]
    _, whole = peak_windows(names, SIZES, 1000, seed=3)
    _, part = peak_windows(names[::-2], SIZES, 1000, seed=3)
    np.testing.assert_array_equal(whole[::-2], part)
    _, other_order = peak_windows(names, dict(reversed(SIZES.items())), 1000, seed=3)
    np.testing.assert_array_equal(other_order - 5, whole)  # chr2 and its 5 windows come first there


def test_grid_names_and_numbers_are_inverse_and_the_last_window_is_cut():
    grid = Grid(tuple(SIZES), np.array(list(SIZES.values())), 1000)
    assert grid.n_windows == 11 + 5
    every = np.arange(grid.n_windows)
    names = grid.names(every)
    assert names[10] == "chr1:10000-10500"
    assert names[11] == "chr2:0-1000"
    np.testing.assert_array_equal(grid.numbers(names), every)
    assert (grid.numbers(["chr1:10000-11000", "chr1:5-1005", "chr9:0-1000", "nonsense", "chr2:5000-6000"]) == -1).all()


def test_slots_by_hand():
    mdata = small()
    assert grn.pp.bin_peaks(mdata, SIZES) is None
    atac = mdata["atac"]
    member, cells = atac.varm["windows"], atac.obsm["windows"]
    assert sparse.issparse(member)
    assert member.format == cells.format == "csr"
    assert member.dtype == cells.dtype == np.float32
    assert member.shape == (len(PEAKS), 16)
    np.testing.assert_array_equal(member.indices[[0, 1, 2, 4, 5]], [0, 1, 1, 10, 13])
    assert member.indices[3] in (3, 4)
    dense = atac.X.toarray()
    np.testing.assert_array_equal(cells[:, 1].toarray().ravel(), dense[:, 1] + dense[:, 2])
    table = grn.get.windows(mdata)
    assert table.loc["chr1:1000-2000", "n_peaks"] == 2
    assert table.loc["chr1:10000-10500", "end"] == 10_500


def test_copy_leaves_the_input_alone():
    mdata = small()
    out = grn.pp.bin_peaks(mdata, SIZES, copy=True)
    assert "windows" in out["atac"].obsm
    assert "windows" not in mdata["atac"].obsm
    assert "tilegrn" not in mdata.uns


@pytest.mark.parametrize("kind", ["csc", "coo", "dense", "int64", "bool", "float16", "unsorted", "array"])
def test_every_kind_of_matrix_gives_the_same(kind):
    plain = small()
    plain["atac"].X.data = np.minimum(plain["atac"].X.data, 1)
    grn.pp.bin_peaks(plain, SIZES)
    want = plain["atac"].obsm["windows"].toarray()
    mdata = small()
    mdata["atac"].X.data = np.minimum(mdata["atac"].X.data, 1)
    x = mdata["atac"].X
    if kind == "unsorted":
        new = x.copy()
        for i in range(new.shape[0]):
            part = slice(new.indptr[i], new.indptr[i + 1])
            new.indices[part] = new.indices[part][::-1]
            new.data[part] = new.data[part][::-1]
        new.has_sorted_indices = False
        new.has_canonical_format = False
    else:
        new = {
            "csc": lambda: x.tocsc(),
            "coo": lambda: x.tocoo(),
            "dense": lambda: x.toarray(),
            "int64": lambda: x.astype(np.int64),
            "bool": lambda: x.astype(bool),
            "float16": lambda: x.toarray().astype(np.float16),
            "array": lambda: sparse.csr_array(x),
        }[kind]()
    mdata["atac"].layers["counts"] = new if kind != "coo" else new.tocsc()
    before = new.copy()
    grn.pp.bin_peaks(mdata, SIZES, layer="counts")
    np.testing.assert_array_equal(mdata["atac"].obsm["windows"].toarray(), want)
    same = before != new
    assert (same.nnz if sparse.issparse(same) else same.sum()) == 0
