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
from tilegrn._core.intervals import distance_pairs, sum_or_nearest
from tilegrn._core.symbols import match_symbols
from tilegrn.io.annotation._tss import without_y_copies

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


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 50)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(rows, st.sampled_from(["nearest", "all"]))
def test_reduction_is_that_of_brute_force_in_any_order(pairs, multiple):
    gene, at, dist = (np.array([p[k] for p in pairs], dtype=np.int64) for k in range(3))
    got = sum_or_nearest(gene, at, dist, decay=20.0, multiple=multiple)
    want = []
    for key in sorted({p[:2] for p in pairs}):
        bp = [p[2] for p in pairs if p[:2] == key]
        score = np.exp(-np.array(bp) / 20.0)
        want.append((*key, min(bp), score.sum() if multiple == "all" else score.max()))
    assert [tuple(map(int, row)) for row in zip(*got[:3], strict=True)] == [row[:3] for row in want]
    np.testing.assert_allclose(got[3], [row[3] for row in want])


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
    assert mat.dtype == np.int32
    row = mat[2].toarray().ravel()  # bp plus one of G1, TSSs at 3000 and 9000 of chr1
    assert row[[0, 1, 10]].tolist() == [2002, 1002, 1001]  # the nearer of the two
    assert mat[0].nnz == 3  # from 50: windows 0, 1 and the one of the split peak; 10000 is out of reach
    assert mat[4].nnz == 0
    assert mat[3].toarray().ravel()[13] == 1  # G2's TSS lies in the window


def slow_window_tg(mdata, table, max_distance, decay, anchor, multiple):
    """Every window with a peak against every TSS, one by one."""
    out = {}
    windows = grn.get.windows(mdata)
    for gene, chrom, pos in zip(table["gene"], table["chrom"], table["pos"], strict=True):
        for name, c, start, end in zip(windows.index, windows["chrom"], windows["start"], windows["end"], strict=True):
            d = slow_distance(start, end, pos, anchor) if c == chrom else max_distance + 1
            if d <= max_distance and gene in mdata["rna"].var_names:
                near, total = out.get((name, gene), (d, 0.0))
                score = float(np.exp(-d / decay))
                out[name, gene] = min(near, d), (total + score if multiple == "all" else max(total, score))
    return out


@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("multiple", ["nearest", "all"])
@pytest.mark.parametrize("decay", [20.0, 25_000.0])
def test_bp_and_scores_against_a_loop(binned, anchor, multiple, decay):
    """A short decay loses no pair, and what ``multiple`` sums is no distance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.tss_distance(binned, TSS, max_distance=9000, decay=decay, anchor=anchor, multiple=multiple)
    got = grn.get.window_tg(binned)
    want = slow_window_tg(binned, TSS, 9000, decay, anchor, multiple)
    keys = list(zip(got["window_id"].astype(str), got["target_id"].astype(str), strict=True))
    assert sorted(keys) == sorted(want)
    assert got["TSS_dist"].tolist() == [want[k][0] for k in keys]
    np.testing.assert_allclose(got["TSS_dist_score"], [want[k][1] for k in keys], rtol=1e-12)


def test_scores_of_an_earlier_version_are_refused(binned):
    with pytest.warns(UserWarning, match="no TSS"):
        grn.pp.tss_distance(binned, TSS)
    rna = binned["rna"]
    rna.varm["tss_distance"] = rna.varm["tss_distance"].astype(np.float32)
    with pytest.raises(grn.errors.StaleError, match=r"holds scores.*Run grn\.pp\.tss_distance"):
        grn.get.window_tg(binned)


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


def real(name, real_data, sizes):
    mdata = grn.io.read_h5mu(real_data(f"multiome/{name}.h5mu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.bin_peaks(mdata, sizes)
    return mdata


@pytest.mark.parametrize(
    ("name", "own", "other"),
    [("mouse_cortex_mm10", "mm10", "hg38"), ("sample1_hg38", "hg38", "mm10"), ("pbmc_tiny_hg38", "hg38", "mm10")],
)
def test_real_data_are_refused_with_the_other_species(name, own, other, real_data):
    mdata = real(name, real_data, own)
    with pytest.raises(
        grn.errors.InputError, match=rf"'{other}' is of another species.*\(0%\) are.*of {own} spells 9\d%"
    ):
        grn.pp.tss_distance(mdata, other)
    assert "tss_distance" not in mdata["rna"].varm
    with pytest.raises(grn.errors.InputError, match=rf"is that the assembly of this data|fit {own}"):
        grn.pp.bin_peaks(mdata, other)


@pytest.mark.parametrize(("name", "assembly"), [("mouse_cortex_mm10", "mm10"), ("sample1_hg38", "hg38")])
def test_tss_that_no_peak_marks_are_said(name, assembly, real_data):
    mdata = real(name, real_data, assembly)
    table = grn.io.read_tss(assembly)
    for shift, said in ((0, False), (-150_000, True)):
        moved = table.assign(pos=table["pos"] + shift)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            grn.pp.tss_distance(mdata, moved[moved["pos"] >= 0])
        far = [w for w in seen if "Are peaks and TSSs of one assembly" in str(w.message)]
        assert len(far) == said
        assert all(w.filename == __file__ for w in far)


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
