import pandas as pd
import pytest
from tests._small import PEAKS, SIZES, TSS, small

import tilegrn as grn
from tilegrn.errors import InputError, MissingStepError
from tilegrn.io import read_activity

pytestmark = pytest.mark.filterwarnings(
    "ignore:1 of 5 genes have no TSS", "ignore:pkg_resources:UserWarning", "ignore::FutureWarning:pyranges"
)


@pytest.fixture
def mdata():
    out = small()
    grn.pp.bin_peaks(out, SIZES)
    grn.pp.tss_distance(out, TSS)
    return out


def spans(found):
    return [f"{c}:{s}-{e}" for c, s, e in zip(found.df["Chromosome"], found.df["Start"], found.df["End"], strict=True)]


def test_windows_and_peaks(mdata):
    windows = grn.get.ranges(mdata)
    assert sorted(spans(windows)) == sorted(grn.get.windows(mdata).index) == sorted(windows.df["Name"])
    assert windows.df.set_index("Name")["n_peaks"].to_dict() == grn.get.windows(mdata)["n_peaks"].to_dict()
    assert spans(grn.get.ranges(small(), "peaks")) == PEAKS
    with pytest.raises(MissingStepError):
        grn.get.ranges(small())


def test_overlap_of_pyranges_finds_the_peaks_of_windows(mdata):
    joined = grn.get.ranges(mdata, "peaks").join(grn.get.ranges(mdata)).df
    both = set(zip(joined["Name"], joined["Name_b"], strict=True))
    of_peak = mdata["atac"].varm["windows"].tocoo()
    names = grn.get.windows(mdata).reset_index().set_index("window")["name"]
    assert {(PEAKS[i], names[j]) for i, j in zip(of_peak.row, of_peak.col, strict=True)} <= both


def test_tables_keep_their_columns(mdata):
    table = grn.get.peak_tg(mdata)
    found = grn.get.ranges(mdata, table).df
    key = ["peak_id", "target_id"]
    want = table.astype(dict.fromkeys(key, str)).sort_values(key, ignore_index=True)
    got = found.astype(dict.fromkeys(key, str)).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(got[list(want)], want, check_dtype=False)
    assert (got["peak_id"] == got["Name"]).all()
    edges = pd.DataFrame({"source": ["A", "B"], "cre": ["chr1:5-9", ""], "chrom": "x"})
    assert spans(grn.get.ranges(mdata, edges)) == ["chr1:5-9"]
    bed = pd.DataFrame({"chrom": ["chr2"], "start": [4], "end": [8], "score": [1.0]})
    assert grn.get.ranges(mdata, bed).df["score"].tolist() == [1.0]
    with pytest.raises(InputError, match="names no intervals: it has neither cre, peak"):
        grn.get.ranges(mdata, bed[["chrom"]])
    with pytest.raises(InputError, match="no rows with an interval"):
        grn.get.ranges(mdata, edges.tail(1))
    with pytest.raises(InputError, match="what='genes' must be"):
        grn.get.ranges(mdata, "genes")


def test_pyranges_are_taken_where_tables_are(mdata, tmp_path):
    import pyranges

    elements = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [100, 3500], "end": [600, 4500], "gene": ["G1", "G1"]})
    ranges = pyranges.PyRanges(elements.rename(columns={"chrom": "Chromosome", "start": "Start", "end": "End"}))
    pd.testing.assert_series_equal(
        grn.tl.score_pairs(mdata, ranges, evidence=False), grn.tl.score_pairs(mdata, elements, evidence=False)
    )
    (tmp_path / "p.bed").write_text("chr1\t150\t200\nchr1\t3000\t3600\n")
    assert read_activity(tmp_path / "p.bed", ranges).tolist() == read_activity(tmp_path / "p.bed", elements).tolist()
    tss = pyranges.PyRanges(
        TSS.rename(columns={"chrom": "Chromosome", "pos": "Start", "strand": "Strand"}).assign(
            End=lambda t: t["Start"] + 1
        )
    )
    again = small()
    grn.pp.bin_peaks(again, SIZES)
    grn.pp.tss_distance(again, tss)
    assert (again["rna"].varm["tss_distance"] != mdata["rna"].varm["tss_distance"]).nnz == 0
