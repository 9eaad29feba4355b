"""Pair scores of windows: those that score_pairs gives to the same intervals, for all ways to choose cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.tl.pairs._paired import built, paired

import tilegrn as grn
from tilegrn._core import store
from tilegrn.errors import InputError
from tilegrn.tl.pairs import _window_links as W
from tilegrn.tl.pairs._data import grouped_pair_data
from tilegrn.tl.pairs._weights import PairWeights

WHERE = {"layer": None, "rna": "rna", "atac": "atac"}


def near(mdata):
    """Windows with peaks, all genes, and which of them are within reach of each other."""
    reach = sparse.csr_matrix(mdata["rna"].varm["tss_distance"])
    windows = np.unique(reach.indices)
    return windows, list(mdata["rna"].var_names), reach[:, windows].tocsr()


def rows_of(mdata):
    labels = mdata["rna"].obs["type"].astype(str).to_numpy()
    return {g: np.flatnonzero(labels == g) for g in np.unique(labels)}


def as_pairs(mdata, windows, genes, reach):
    grid = store.get_grid(mdata)
    pair = reach.tocoo()
    w = windows[pair.col]
    return pd.DataFrame(
        {
            "chrom": np.asarray(grid.chroms, dtype=object)[grid.chrom_of(w)],
            "start": grid.starts(w),
            "end": grid.ends(w),
            "gene": np.asarray(genes, dtype=object)[pair.row],
        }
    )


def test_scores_are_those_of_score_pairs_in_every_group_and_in_all_cells():
    mdata = paired()
    windows, genes, reach = near(mdata)
    assert reach.nnz > 1000
    pairs = as_pairs(mdata, windows, genes, reach)
    found = W.window_links(mdata, windows, genes, reach, groups=rows_of(mdata), **WHERE)
    for group in ("a", "b", "c"):
        wanted = grn.tl.score_pairs(mdata, pairs, groupby="type", group=group)
        assert wanted.attrs["effective_axes"] > 1
        got = found.of(group)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_allclose(found.of(None), grn.tl.score_pairs(mdata, pairs), rtol=1e-5)
    assert np.abs(found.of("a") - found.of("b")).max() > 0.01


def test_one_group_of_all_cells_is_compared_with_none():
    mdata = paired()
    windows, genes, reach = near(mdata)
    found = W.window_links(mdata, windows, genes, reach, groups={"all": np.arange(mdata.n_obs)}, **WHERE)
    wanted = grn.tl.score_pairs(mdata, as_pairs(mdata, windows, genes, reach))
    np.testing.assert_allclose(found.of("all"), wanted, rtol=1e-5)


def test_genes_that_the_data_lack_and_windows_of_no_peak_are_scored_alike():
    mdata = paired()
    grid = store.get_grid(mdata)
    windows, genes = np.array([0, 700, grid.n_windows - 1]), ["G3", "nowhere", "G7"]
    reach = sparse.csr_matrix(np.ones((3, 3)))
    pairs = as_pairs(mdata, windows, genes, reach)
    with pytest.warns(UserWarning, match="without a TSS"):
        wanted = grn.tl.score_pairs(mdata, pairs, groupby="type", group="b")
    found = W.window_links(mdata, windows, genes, reach, groups=rows_of(mdata), **WHERE).of("b")
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found[3:6].max() < 1e-6 < found[0]


def test_groups_of_few_cells_have_the_scores_of_all():
    mdata = paired()
    windows, genes, reach = near(mdata)
    rows = rows_of(mdata)
    found = W.window_links(mdata, windows, genes, reach, groups={"few": rows["a"][:9], "b": rows["b"]}, **WHERE)
    np.testing.assert_array_equal(found.of("few"), found.of(None))
    assert np.abs(found.of("b") - found.of(None)).max() > 0.01
    np.testing.assert_allclose(
        found.of(None), grn.tl.score_pairs(mdata, as_pairs(mdata, windows, genes, reach)), rtol=1e-5
    )


def test_chosen_cells_are_scored_as_if_there_were_no_others_but_for_the_correlation():
    mdata = paired()
    windows, genes, reach = near(mdata)
    rows = {g: r[:20] for g, r in rows_of(mdata).items() if g != "c"}
    member = np.full(mdata.n_obs, -1)
    for i, r in enumerate(rows.values()):
        member[r] = i
    weights = dataclasses.replace(PairWeights.shipped(), evidence=0.0)
    data = grouped_pair_data(mdata, list(rows), member, tss=None, **WHERE)
    got = W.WindowLinks(data, windows, genes, reach, weights=weights).of("b")
    chosen = np.sort(np.concatenate(list(rows.values())))
    alone = built(mdata["rna"][chosen].copy(), mdata["atac"][chosen].copy())
    pairs = as_pairs(mdata, windows, genes, reach)
    wanted = grn.tl.score_pairs(alone, pairs, groupby="type", group="b", evidence=False)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_blocks_and_the_order_of_cells_genes_and_peaks_change_nothing(monkeypatch, tmp_path):
    mdata = paired()
    windows, genes, reach = near(mdata)
    whole = W.window_links(mdata, windows, genes, reach, groups=rows_of(mdata), **WHERE).of("a")
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    filed = grn.io.read_h5mu(tmp_path / "x.h5mu", backed=True)
    from_file = W.window_links(filed, windows, genes, reach, groups=rows_of(mdata), **WHERE).of("a")
    np.testing.assert_array_equal(from_file, whole)
    monkeypatch.setattr(W, "_BLOCK", 97)
    small = W.window_links(mdata, windows, genes, reach, groups=rows_of(mdata), **WHERE).of("a")
    np.testing.assert_array_equal(small, whole)
    rng = np.random.default_rng(5)
    cell, gene, peak = (rng.permutation(n) for n in (mdata.n_obs, mdata["rna"].n_vars, mdata["atac"].n_vars))
    other = built(mdata["rna"][cell][:, gene].copy(), mdata["atac"][cell][:, peak].copy())
    shuffled = rng.permutation(len(genes))
    got = W.window_links(
        other, windows, [genes[i] for i in shuffled], reach[shuffled], groups=rows_of(other), **WHERE
    ).of("a")
    again = sparse.csr_matrix((got, reach[shuffled].indices, reach[shuffled].indptr), shape=reach.shape)
    back = again[np.argsort(shuffled)].tocsr()
    np.testing.assert_array_equal(back.indices, reach.indices)
    np.testing.assert_allclose(back.data, whole, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:30 of 90 cells have no counts")
def test_a_group_without_fragments_or_counts_is_named_before_anything_is_scored():
    mdata = paired()
    windows, genes, reach = near(mdata)
    rows = rows_of(mdata)
    for name, what in (("atac", "fragments in peaks"), ("rna", "RNA counts")):
        other = paired()
        x = other[name].X.tolil()
        x[rows["b"]] = 0
        other[name].X = x.tocsr()
        other = built(other["rna"], other["atac"])
        with pytest.raises(InputError, match=f"group 'b' have no {what}"):
            W.window_links(other, windows, genes, reach, groups=rows, **WHERE)
        few = rows | {"b": rows["b"][:5]}
        assert len(W.window_links(other, windows, genes, reach, groups=few, **WHERE).of("b")) == reach.nnz
