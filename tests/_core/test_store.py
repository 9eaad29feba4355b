"""Records and window matrices of a MuData: read back as written, and refused by name where they no longer fit."""

from __future__ import annotations

import re

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.grid import Grid
from tilegrn._core.intervals import DistanceRule
from tilegrn._core.mudata import no_pull
from tilegrn._core.rows import in_memory
from tilegrn.errors import InputError, MissingStepError, StaleError

GRID = Grid(("chr1", "chr2"), np.array([2500, 1000]), 1000, "tiny", 7)  # 3 + 1 windows
PEAKS = np.array([2, 0, -1, 2, 3])
"""Window of each peak; -1 for one on a contig."""
N = 6


def built(cells=True):
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(N)]
    rna = ad.AnnData(np.ones((N, 3), np.float32), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=list("abc")))
    counts = sparse.csr_matrix(rng.poisson(2, (N, 5)).astype(np.float32))
    peaks = pd.DataFrame(index=[f"p{i}" for i in range(5)])
    atac = ad.AnnData(counts, obs=pd.DataFrame(index=names), var=peaks)
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    of_peak = sparse.csr_matrix(
        (np.ones(4, np.float32), PEAKS[PEAKS >= 0], np.r_[0, np.cumsum(PEAKS >= 0)]), shape=(5, 4)
    )
    sums = counts @ of_peak
    total = None if cells else np.asarray(sums.sum(1), dtype=np.float64).ravel()
    store.put_cell_windows(atac, of_peak, sums if cells else None, total)
    store.put_grid(mdata, GRID, {"peaks": store.names_fingerprint(atac.var_names)})
    return mdata


def expected(mdata):
    return np.stack([mdata["atac"].X.toarray()[:, k == PEAKS].sum(1) for k in range(4)], axis=1)


def test_a_record_that_is_missing_names_its_call():
    mdata = built()
    assert store.has_record(mdata, K.REC_GRID)
    assert not store.has_record(mdata, K.REC_SCALE)
    for step, call in store.CALLS.items():
        if step != K.REC_GRID:
            said = rf"^mdata\.uns\['tilegrn'\] has no '{step}' record\. Run {re.escape(call)} first\.$"
            with pytest.raises(MissingStepError, match=said):
                store.get_record(mdata, step)
    mdata.uns = {}
    assert not store.has_record(mdata, K.REC_GRID)
    with pytest.raises(MissingStepError, match=r"Run grn\.pp\.bin_peaks\(mdata, chrom_sizes\) first"):
        store.get_grid(mdata)


def test_records_are_replaced_not_changed():
    mdata = built()
    before = mdata.uns[K.UNS]
    kept = dict(before)
    given = {"x": 1}
    store.put_record(mdata, "step", given)
    assert before == kept
    assert mdata.uns[K.UNS]["schema"] == K.SCHEMA
    store.get_record(mdata, "step")["x"] = 2
    given["x"] = 3
    assert store.get_record(mdata, "step") == {"x": 1}


def test_the_schema_of_a_file():
    mdata = built()
    mdata.uns[K.UNS] = {**mdata.uns[K.UNS], "schema": np.int64(K.SCHEMA)}
    assert store.get_grid(mdata).n_windows == 4
    said = rf"with tilegrn schema {K.SCHEMA + 1}, newer than {K.SCHEMA}; upgrade tilegrn to read it\.$"
    mdata.uns[K.UNS] = {**mdata.uns[K.UNS], "schema": K.SCHEMA + 1}
    with pytest.raises(InputError, match=said):
        store.get_record(mdata, K.REC_GRID)
    records = {k: v for k, v in mdata.uns[K.UNS].items() if k != "schema"}
    mdata.uns[K.UNS] = records
    assert store.get_grid(mdata).n_windows == 4


def test_the_windows_come_back():
    grid = store.get_grid(built())
    assert (grid.chroms, grid.lengths.tolist()) == (("chr1", "chr2"), [2500, 1000])
    assert (grid.window_size, grid.assembly, grid.seed, grid.fingerprint) == (1000, "tiny", 7, GRID.fingerprint)
    mdata = built()
    old = {k: v for k, v in mdata.uns[K.UNS][K.REC_GRID].items() if k not in {"assembly", "seed"}}
    store.put_record(mdata, K.REC_GRID, old)
    grid = store.get_grid(mdata)
    assert (grid.assembly, grid.seed) == ("", 0)


def test_names_have_a_hash_whatever_their_order():
    one = store.names_fingerprint(["a", "b", "c"])
    assert one == store.names_fingerprint(iter(["c", "a", "b"]))
    assert one.startswith("3:")
    assert re.fullmatch(r"3:[0-9a-f]{16}", one)
    assert len({one, *map(store.names_fingerprint, (["a", "b"], ["a", "b", "d"], ["a", "b", "c", "c"]))}) == 4
    assert store.names_fingerprint([]) == "0:0000000000000000"


@pytest.mark.parametrize("cells", [True, False])
def test_windows_of_cells_are_kept_or_added_up(cells):
    mdata = built(cells)
    atac = mdata["atac"]
    assert (K.CELL_WINDOWS in atac.obsm, K.WINDOW_TOTAL in atac.obs) == (cells, not cells)
    want = expected(mdata)
    np.testing.assert_array_equal(store.cell_windows(mdata).toarray(), want)
    for columns in ([0, 2], [3], [1]):
        rows = store.window_rows(mdata, columns=np.array(columns))
        assert rows.shape == (N, len(columns))
        np.testing.assert_array_equal(in_memory(rows, np.array([4, 1])).toarray(), want[[4, 1]][:, columns])
    np.testing.assert_array_equal(store.peak_windows(mdata).indices, PEAKS[PEAKS >= 0])


def test_accessibility_may_be_fractions():
    mdata = built(cells=False)
    atac = mdata["atac"]
    atac.X, atac.obs[K.WINDOW_TOTAL] = atac.X / 2, atac.obs[K.WINDOW_TOTAL] / 2
    np.testing.assert_array_equal(store.cell_windows(mdata).toarray(), expected(mdata))


def test_keeping_the_one_removes_the_other():
    mdata = built(cells=True)
    atac = mdata["atac"]
    of_peak, sums = atac.varm[K.PEAK_WINDOWS], atac.obsm[K.CELL_WINDOWS]
    store.put_cell_windows(atac, of_peak, None, np.arange(N, dtype=float))
    assert K.CELL_WINDOWS not in atac.obsm
    assert atac.obs[K.WINDOW_TOTAL].tolist() == list(range(N))
    store.put_cell_windows(atac, of_peak, None, None)
    store.put_cell_windows(atac, of_peak, sums, None)
    assert K.CELL_WINDOWS in atac.obsm
    assert K.WINDOW_TOTAL not in atac.obs


def test_a_view_is_written_without_a_warning_and_without_its_parent():
    mdata = built()
    with no_pull():
        view = mdata[:3]
    store.put_record(view, "step", {"x": 1})  # a warning would be an error
    store.set_elem(view["rna"], "varm", "y", np.zeros((3, 1)))
    assert store.has_record(view, "step")
    assert not store.has_record(mdata, "step")
    assert "y" not in mdata["rna"].varm


def test_neither_windows_nor_total_names_the_call():
    mdata = built()
    del mdata["atac"].obsm[K.CELL_WINDOWS]
    said = r"^obsm\['windows'\] is missing\. Run grn\.pp\.bin_peaks\(mdata, chrom_sizes\) first\.$"
    with pytest.raises(MissingStepError, match=said):
        store.window_rows(mdata)


@pytest.mark.parametrize("changed", [0, N - 1])
def test_counts_that_changed_since_are_noticed(changed):
    mdata = built(cells=False)
    total = mdata["atac"].obs[K.WINDOW_TOTAL]
    was = total.iloc[changed]
    mdata["atac"].obs[K.WINDOW_TOTAL] = np.where(np.arange(N) == changed, was * (1 + 5e-5), total)
    store.window_rows(mdata)  # as sums of another order may differ
    mdata["atac"].obs[K.WINDOW_TOTAL] = np.where(np.arange(N) == changed, was + 1, total)
    said = (
        rf"^The peak counts of 'atac' changed since .* cell 'c{changed}' sums to {was:g}, not to "
        rf"atac\.obs\['window_total'\] = {was + 1:g}\. Run grn\.pp\.bin_peaks.* again, naming the layer"
    )
    with pytest.raises(StaleError, match=said):
        store.window_rows(mdata)


def test_at_most_64_cells_are_looked_at():
    class Counted:
        def __getitem__(self, rows):
            seen.append(rows)
            return np.ones((len(rows), 1))

    for n in (1, 63, 64, 65, 1000):
        seen: list = []
        adata = ad.AnnData(np.zeros((n, 1)), obs=pd.DataFrame({K.WINDOW_TOTAL: np.ones(n)}, index=map(str, range(n))))
        store._counts_unchanged(adata, "atac", Counted())
        assert len(seen[0]) == min(n, 64)
        assert (seen[0][0], seen[0][-1]) == (0, n - 1)


def test_the_layer_of_the_counts_is_the_one_that_was_binned():
    mdata = built(cells=False)
    atac = mdata["atac"]
    atac.layers["counts"], atac.X = atac.X, atac.X * 3
    with pytest.raises(StaleError, match="naming the layer of the counts with layer="):
        store.window_rows(mdata)
    store.put_record(mdata, K.REC_GRID, {**store.get_record(mdata, K.REC_GRID), "layer": "counts"})
    np.testing.assert_array_equal(store.cell_windows(mdata).toarray() * 3, expected(mdata))


@pytest.mark.parametrize("cells", [True, False])
def test_other_peaks_are_noticed(cells):
    mdata = built(cells)
    mdata["atac"].var_names = ["p0", "p1", "p2", "p3", "other"]
    slot = "obsm" if cells else "varm"
    said = (
        rf"^atac\.{slot}\['windows'\] was made from 5 peaks, but 'atac' now has other ones \(5\)\. Run grn\.pp\.bin_p"
    )
    with pytest.raises(StaleError, match=said):
        store.window_rows(mdata)


def test_matrices_on_other_windows_are_noticed():
    mdata = built()
    tss = {"max_distance": 5, "decay": 2.0, "anchor": "center", "multiple": "nearest", "grid": GRID.fingerprint}
    distance = sparse.csr_matrix(np.array([[1, 0, 0, 9], [0, 0, 3, 0], [0, 0, 0, 0]], np.int32))
    with pytest.raises(MissingStepError, match=r"no 'tss' record\. Run grn\.pp\.tss_distance"):
        store.tss_distance(mdata)
    store.put_record(mdata, K.REC_TSS, tss)
    with pytest.raises(MissingStepError, match=r"^varm\['tss_distance'\] is missing\. Run grn\.pp\.tss_distance"):
        store.tss_distance(mdata)
    store.set_elem(mdata["rna"], "varm", K.TSS_DISTANCE, distance)
    np.testing.assert_array_equal(store.tss_distance(mdata).toarray(), distance.toarray())
    assert store.distance_rule(mdata) == DistanceRule(5, 2.0, "center", "nearest", "")
    store.put_record(mdata, K.REC_TSS, {**tss, "sha256": "ab"})
    assert store.distance_rule(mdata).tss_sha256 == "ab"
    said = (
        r"^rna\.varm\['tss_distance'\] has 4 columns made on another set of windows than the current 4: windows of 1000"
    )
    for record in ({**tss, "grid": "other"}, {k: v for k, v in tss.items() if k != "grid"}):
        store.put_record(mdata, K.REC_TSS, record)
        with pytest.raises(StaleError, match=said):
            store.tss_distance(mdata)
    store.put_record(mdata, K.REC_TSS, tss)
    store.set_elem(mdata["rna"], "varm", K.TSS_DISTANCE, distance[:, :3])
    with pytest.raises(
        StaleError, match=r"has 3 columns .* the current 4: .* Run grn\.pp\.tss_distance\(mdata, tss\) ag"
    ):
        store.tss_distance(mdata)
    store.set_elem(mdata["rna"], "varm", K.TSS_DISTANCE, distance.astype(np.float32))
    with pytest.raises(StaleError, match=r"^rna\.varm\['tss_distance'\] holds scores, as tilegrn 0\.1 wrote them"):
        store.tss_distance(mdata)


def test_binding_comes_with_the_names_of_its_columns():
    mdata = built()
    peaks = store.names_fingerprint(mdata["atac"].var_names)
    store.put_record(mdata, K.REC_BINDING, {"tfs": np.array(["a", "b"], object), "grid": GRID.fingerprint})
    hits = sparse.csr_matrix(np.arange(10, dtype=np.float32).reshape(5, 2))
    store.set_elem(mdata["atac"], "varm", K.PEAK_BINDING, hits)
    store.set_elem(mdata["atac"], "varm", K.PEAK_BINDING_SCORE, hits / 2)
    store.set_elem(mdata["rna"], "varm", K.WINDOW_BINDING, sparse.csr_matrix(np.eye(3, 4, dtype=np.float32)))
    for given, factor in (({}, 0.5), ({"score": True}, 0.5), ({"score": False}, 1)):
        mat, tfs = store.peak_binding(mdata, **given)
        assert tfs == ["a", "b"]
        np.testing.assert_array_equal(mat.toarray(), hits.toarray() * factor)
    with pytest.raises(
        StaleError, match=r"^rna\.varm\['homer_binding'\] was made from unknown peaks, .*Run grn\.pp\.add_binding"
    ):
        store.window_binding(mdata)
    store.put_record(mdata, K.REC_BINDING, {**store.get_record(mdata, K.REC_BINDING), "peaks": peaks})
    assert store.window_binding(mdata).shape == (3, 4)
    store.set_elem(mdata["atac"], "varm", K.PEAK_BINDING, hits[:, :1])
    with pytest.raises(
        StaleError, match=r"^atac\.varm\['homer_binding'\] has 1 columns for 2 TFs\. Run grn\.pp\.add_b"
    ):
        store.peak_binding(mdata, score=False)


# Splits and ranges


def test_a_split_is_written_for_the_paired_cells():
    mdata = built()
    cells = mdata["rna"].obs_names
    store.put_split(mdata, cells, ["train", "val", "test", "train", "train", "val"], "split", {"by": "x"})
    assert list(mdata.obs["split"].cat.categories) == ["train", "val", "test"]
    assert store.get_record(mdata, K.REC_SPLIT) == {"key": "split", "by": "x"}
    assert store.split_labels(mdata, cells[::-1]).tolist() == ["val", "train", "train", "test", "val", "train"]
    assert store.split_labels(mdata, cells, "other") is None


def test_a_split_of_cells_that_were_taken_away_brings_the_axis_up_to_date():
    mdata = built()
    mdata.mod["rna"], mdata.mod["atac"] = mdata["rna"][1:4].copy(), mdata["atac"][[3, 2, 1]].copy()
    assert mdata.n_obs == N
    store.put_split(mdata, pd.Index(["c3", "c1", "c2"]), ["train", "val", "test"], "mine", {})
    assert sorted(mdata.obs_names) == ["c1", "c2", "c3"]
    assert mdata.obs["mine"].astype(str).to_dict() == {"c1": "val", "c2": "test", "c3": "train"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["train", None, "val", None, "val", "val"], r"\['split'\] has no value for 2 of 6 cells\. Run grn\.pp\.split"),
        (
            ["train", "x", "a", *["val"] * 3],
            r"holds \['a', 'x'\]; a split has only 'train', 'val' and 'test'\. .*split=",
        ),
        (["val"] * 6, r"^mdata\.obs\['split'\] marks no cell as 'train'\. Run grn\.pp\.split_cells\(mdata\)\.$"),
    ],
)
def test_what_is_no_split(labels, message):
    mdata = built()
    mdata.obs["split"] = labels
    with pytest.raises(InputError, match=message):
        store.split_labels(mdata, mdata["rna"].obs_names)


def test_ranges_come_back_by_window():
    mdata = built()
    mdata["rna"].var[K.SCALE_MAX] = [1.5, np.nan, 2]
    store.put_scale(mdata, np.array([0, 1, 3]), np.array([0.5, 0.0, 5.0]), {"cells": "x"})
    record = store.get_record(mdata, K.REC_SCALE)
    assert (record["window"].tolist(), record["window_max"].tolist()) == ([0, 3], [0.5, 5])
    genes, windows = store.scale_ranges(mdata)
    assert windows.tolist() == [0.5, 0, 0, 5]
    assert genes.fillna(-1).to_dict() == {"a": 1.5, "b": -1, "c": 2}
    said = r"^The ranges of rna\.var\['scale_max'\] were made on other windows\. Run grn\.pp\.scale\(mdata\) again\.$"
    for odd in ({**record, "grid": "other"}, {k: v for k, v in record.items() if k != "cells"}):
        store.put_record(mdata, K.REC_SCALE, odd)
        with pytest.raises(StaleError, match=said):
            store.scale_ranges(mdata)
    store.put_record(mdata, K.REC_SCALE, record)
    del mdata["rna"].var[K.SCALE_MAX]
    with pytest.raises(StaleError, match=said):
        store.scale_ranges(mdata)
