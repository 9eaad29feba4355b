"""Distances: against all pairs by brute force, for every anchor and rule; the real TSS tables."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tilegrn as grn
from tests._small import SIZES, TSS, small
from tilegrn._intervals import distance_pairs, sum_or_nearest
from tilegrn._symbols import match_symbols
from tilegrn.io._tss import without_y_copies

ANCHORS = ["edge", "center", "end"]


def slow_distance(start, end, pos, anchor):
    if anchor == "edge":
        return min(abs(base - pos) for base in range(start, end))
    if anchor == "center":
        return abs((start + end) // 2 - pos)
    return abs(end - pos)


intervals = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 300), st.integers(1, 40)), min_size=0, max_size=15)
sites = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 340)), min_size=0, max_size=10)


@settings(max_examples=200, deadline=None)
@given(intervals, sites, st.integers(1, 150), st.sampled_from(ANCHORS))
def test_pairs_are_those_of_brute_force(ivs, tss, reach, anchor):
    chrom, start, width = (np.array(v, dtype=np.int64) for v in (zip(*ivs, strict=True) if ivs else ([], [], [])))
    s_chrom, pos = (np.array([t[k] for t in tss], dtype=np.int64) for k in (0, 1))
    i, j, d = distance_pairs(chrom, start, start + width, s_chrom, pos, max_distance=reach, anchor=anchor)
    want = {
        (a, b): slow_distance(s, s + w, p, anchor)
        for a, (c, s, w) in enumerate(ivs)
        for b, (k, p) in enumerate(tss)
        if c == k >= 0 and slow_distance(s, s + w, p, anchor) <= reach
    }
    assert dict(zip(zip(i.tolist(), j.tolist(), strict=True), d.tolist(), strict=True)) == want


@pytest.mark.parametrize("multiple", ["nearest", "all"])
def test_reduction_of_several_sites(multiple):
    gene, at, dist = np.array([1, 0, 1, 1]), np.array([7, 7, 7, 8]), np.array([50, 10, 20, 5])
    g, a, d, score = sum_or_nearest(gene, at, dist, decay=100.0, multiple=multiple)
    assert list(zip(g, a, d, strict=True)) == [(0, 7, 10), (1, 7, 20), (1, 8, 5)]
    both = np.exp(-0.2) + (np.exp(-0.5) if multiple == "all" else 0)
    np.testing.assert_allclose(score, [np.exp(-0.1), both, np.exp(-0.05)])


@pytest.fixture
def binned():
    mdata = small()
    grn.pp.bin_peaks(mdata, SIZES)
    return mdata


def test_matrix_by_hand(binned):
    with pytest.warns(UserWarning, match=r"1 of 5 genes have no TSS.*'G3'"):
        grn.pp.tss_distance(binned, TSS, max_distance=6000, decay=1000)
    mat = binned["rna"].varm["tss_distance"]
    assert mat.format == "csr"
    assert mat.dtype == np.float32
    row = mat[2].toarray().ravel()  # G1, TSSs at 3000 and 9000 of chr1
    assert row[0] == pytest.approx(np.exp(-2001 / 1000))
    assert row[1] == pytest.approx(np.exp(-1001 / 1000))
    assert row[10] == pytest.approx(np.exp(-1000 / 1000))  # the nearer of the two
    assert mat[0].nnz == 3  # from 50: windows 0, 1 and the one of the split peak; 10000 is out of reach
    assert mat[4].nnz == 0
    assert mat[3].toarray().ravel()[13] == 1.0  # G2's TSS lies in the window


def test_cut_off_is_inclusive(binned):
    one = TSS[TSS["gene"] == "Tb"]  # chr2:4000, its only peak window is chr2:2000-3000, whose last base is 2999
    for reach, n in ((1001, 1), (1000, 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            grn.pp.tss_distance(binned, one, max_distance=reach)
        assert binned["rna"].varm["tss_distance"].nnz == n


def test_only_windows_with_peaks_are_scored(binned):
    with pytest.warns(UserWarning, match="no TSS"):
        grn.pp.tss_distance(binned, TSS)
    scored = set(np.unique(binned["rna"].varm["tss_distance"].indices))
    assert scored <= set(grn.get.windows(binned)["window"])


def test_the_notebooks_own_table_gives_its_printed_rows(tmp_path):
    """chr1:4496754-4497354 to Sox17 prints 0, chr1:74542289-74542889 to Plcd4 prints 1; the TSS rows are 0 bp wide."""
    (tmp_path / "tss.bed").write_text("chr1\t4497354\t4497354\tSox17\t.\t-\nchr1\t74542888\t74542888\tPlcd4\t.\t+\n")
    tss = grn.io.read_tss(tmp_path / "tss.bed")
    start, end = np.array([4496754, 74542289]), np.array([4497354, 74542889])
    one = np.zeros(2, dtype=np.int64)
    _, _, d = distance_pairs(one, start, end, one, tss["pos"].to_numpy(), max_distance=10, anchor="end")
    assert d.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"max_distance": 0}, "max_distance is 0"),
        ({"decay": -1}, "decay is -1"),
        ({"anchor": "middle"}, "anchor='middle' must be"),
        ({"multiple": "first"}, "multiple='first' must be|'nearest' or 'all'"),
    ],
)
def test_bad_arguments(binned, change, match):
    with pytest.raises(grn.errors.InputError, match=match):
        grn.pp.tss_distance(binned, TSS, **change)
    assert "tss_distance" not in binned["rna"].varm


def test_before_bin_peaks():
    with pytest.raises(grn.errors.MissingStepError, match=r"Run grn\.pp\.bin_peaks"):
        grn.pp.tss_distance(small(), TSS)


def test_the_record_names_the_table_without_its_folder(binned, tmp_path):
    (tmp_path / "mine.bed").write_text("chr1\t3000\t3001\tG1\t0\t+\n")
    with pytest.warns(UserWarning, match="no TSS"):
        grn.pp.tss_distance(binned, tmp_path / "mine.bed")
    assert binned.uns["tilegrn"]["tss"]["origin"] == "mine.bed"
    assert len(binned.uns["tilegrn"]["tss"]["sha256"]) == 64


def test_pseudoautosomal_copies_are_no_tss_of_the_gene_on_x():
    table = pd.DataFrame(
        {
            "gene": ["PLCXD1", "PLCXD1", "DDX3Y", "Both", "Both", "Both"],
            "chrom": ["chrX", "chrY", "chrY", "chrX", "chrY", "chr1"],
            "pos": [5, 5, 9, 1, 2, 3],
        }
    )
    kept = without_y_copies(table)
    assert list(zip(kept["gene"], kept["chrom"], strict=True))[:2] == [("PLCXD1", "chrX"), ("DDX3Y", "chrY")]
    assert len(kept) == 5  # a name on many chromosomes is no pseudoautosomal gene


def test_identifiers_of_pseudoautosomal_copies_match_with_and_without_version():
    table = ["ENSG00000182378", "ENSG00000182378_PAR_Y"]
    assert list(match_symbols(table, ["ENSG00000182378.15_PAR_Y", "ENSG00000182378.15"])) == [1, 0]
    assert list(match_symbols(table, ["ENSG00000182378"])) == [0, -1]


def test_shipped_human_tss_of_pseudoautosomal_genes_lie_on_x():
    table = without_y_copies(grn.io.read_tss("hg38"))
    assert set(table.loc[table["gene"].isin(["PLCXD1", "CSF2RA", "SHOX"]), "chrom"]) == {"chrX"}
    assert set(table.loc[table["gene"].isin(["DDX3Y", "UTY", "SRY"]), "chrom"]) == {"chrY"}
