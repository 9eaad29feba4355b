"""read_homer against real HOMER outputs, and what is wrong with a file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests._small import PEAKS, SIZES, small
from tests.io.homer._tables import COUNTS, FIND, GOOD, SITES, SUFFIX, as_dict, table_text, write

from tilegrn import pp
from tilegrn._core import store
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io.homer import _hits
from tilegrn.io.homer._hits import read_hits
from tilegrn.io.homer._peaks import write_homer_peaks
from tilegrn.io.homer._table import read_homer

if TYPE_CHECKING:
    from pathlib import Path


def by_hand(path: Path) -> dict[tuple[str, str], int]:
    """Read an annotatePeaks output cell by cell."""
    out = {}
    with gzip.open(path, "rt") as handle:
        header = handle.readline().rstrip("\n").split("\t")
        for line in handle:
            cells = line.rstrip("\n").split("\t")
            for name, cell in zip(header[9:], cells[9:], strict=True):
                n = int(cell) if cell.isdigit() else cell.count("(")
                if n:
                    out[name.removesuffix(SUFFIX), cells[0]] = n
    return out


@pytest.mark.parametrize("name", ["nmotifs_default", "nmotifs_mask", "nmotifs_size200", "sites_default"])
def test_real_tables_cell_by_cell(real_data, name):
    path = real_data(f"homer/annotatePeaks_{name}.tsv.gz")
    table = read_homer(path, peak_id="name")
    assert as_dict(table) == by_hand(path)
    assert len(table["peak_id"].cat.categories) == 400
    assert len(table["source_id"].cat.categories) == 363
    totals = table.groupby("source_id", observed=True)["tf_motifs_in_peak"].transform("sum")
    np.testing.assert_allclose(table["homer_binding_score"], table["tf_motifs_in_peak"] / totals, rtol=1e-15)


def test_counts_sites_and_lists_of_one_run_agree(real_data):
    names = ("annotatePeaks_nmotifs_default", "annotatePeaks_sites_default", "homer2_find_both_offset0")
    tables = [as_dict(read_homer(real_data(f"homer/{n}.tsv.gz"), peak_id="name")) for n in names]
    assert tables[0] == tables[1] == tables[2]
    assert sum(tables[0].values()) == 47017


def test_find_list_with_motif_name_twice(real_data):
    table = read_homer(real_data("homer/homer2_find_v501_471motifs.tsv.gz"))
    assert int(table["tf_motifs_in_peak"].sum()) == 68588
    assert not table.duplicated(["source_id", "peak_id"]).any()


@pytest.mark.parametrize("block", [1 << 14, 1 << 16])
def test_blocks_change_nothing(real_data, monkeypatch, block):
    path = real_data("homer/annotatePeaks_nmotifs_default.tsv.gz")
    whole = read_homer(path)
    monkeypatch.setattr(_hits, "_BLOCK", block)
    pd.testing.assert_frame_equal(read_homer(path), whole)


def test_peaks_by_coordinates_name_and_what_was_given(real_data):
    path = real_data("homer/annotatePeaks_nmotifs_default.tsv.gz")
    bed = pd.read_csv(real_data("homer/peaks.bed"), sep="\t", header=None)
    at = dict(zip(bed[3], bed[0] + ":" + bed[1].astype(str) + "-" + bed[2].astype(str), strict=True))
    named = as_dict(read_homer(path, peak_id="name"))
    placed = as_dict(read_homer(path))
    assert placed == {(m, at[p]): n for (m, p), n in named.items()}
    given = as_dict(read_homer(path, peaks=[at[p].replace(":", "-") for p in bed[3]]))
    assert given == {(m, p.replace(":", "-")): n for (m, p), n in placed.items()}
    with pytest.raises(InputError, match=r"399 of 400|not among the 1 peaks"):
        read_homer(path, peaks=[at["p204"]])


def test_resized_peaks_keep_their_ids(real_data):
    path = real_data("homer/annotatePeaks_nmotifs_size200.tsv.gz")
    assert set(read_homer(path)["peak_id"].cat.categories[:1]) == {"p266"}
    with pytest.raises(InputError, match="resized"):
        read_homer(path, peak_id="coordinates")


@pytest.mark.parametrize("cells", [COUNTS, SITES], ids=["counts", "sites"])
@pytest.mark.parametrize("dress", ["plain", "gzip", "bom", "crlf", "annotated"])
def test_dresses_of_a_table(tmp_path, cells, dress):
    text = table_text(cells, ["A/Homer", "B/Homer"])
    if dress == "annotated":  # columns that annotatePeaks.pl adds without -noann -nogene
        text = text.replace("\tCpG%", "\tAnnotation\tDistance to TSS\tGene Name\tCpG%")
        text = text.replace("\tNA\t.1", "\tNA\tIntron (NM_1, intron 2 of 3)\t-12\tSox2\t.1")
    data = text.encode()
    if dress == "gzip":
        data = gzip.compress(data)
    if dress == "bom":
        data = b"\xef\xbb\xbf" + data
    if dress == "crlf":
        data = data.replace(b"\n", b"\r\n")
    table = read_homer(write(tmp_path, data))
    assert as_dict(table) == {
        ("A/Homer", "chr1:0-500"): 1,
        ("A/Homer", "chr1:1000-1500"): 2,
        ("B/Homer", "chr1:1000-1500"): 3,
    }
    assert table["tf_motifs_in_peak"].dtype == np.int32
    assert table["homer_binding_score"].tolist() == [1 / 3, 2 / 3, 1.0]


def test_ids_that_are_coordinates_stay(tmp_path):
    # The notebook's peak file: 0-based starts in a 1-based column, so Chr/Start/End would be off by one.
    path = write(tmp_path, table_text(COUNTS, ["A", "B"], ids=["chr1:1-500", "chr1:1001-1500"]))
    assert list(read_homer(path)["peak_id"].cat.categories) == ["chr1:1-500", "chr1:1001-1500"]


def test_tables_in_several_blocks(tmp_path, monkeypatch):
    cells = [[str(i % 3), str(i % 5), str((i + 1) % 2)] for i in range(600)]
    text = table_text(cells, ["A", "B", "C"], ids=[f"id{i}" for i in range(600)])
    text = text.replace("\t.1\t.4\t0\t0\t1\n", "\t.1\t\t0\t0\t1\n")
    whole = read_hits(write(tmp_path, text))
    monkeypatch.setattr(_hits, "_BLOCK", 1 << 12)
    parts = read_hits(tmp_path / "homer.tsv")
    for hits in (whole, parts):
        np.testing.assert_array_equal(hits.counts.toarray(), np.array(cells, dtype=int))
        assert hits.counts.nnz == np.count_nonzero(np.array(cells, dtype=int))
        assert (hits.counts.dtype, hits.counts.has_sorted_indices) == (np.int32, True)
        assert hits.peaks == [f"id{i}" for i in range(600)]
        assert np.flatnonzero(~hits.sequenced).tolist() == list(range(0, 600, 30))
        assert hits.where[1].tolist() == list(range(0, 600_000, 1000))
        assert hits.where[2].tolist() == list(range(500, 600_000, 1000))


def test_repeated_columns(tmp_path):
    cells = [["1", "1", "0"], ["2", "2", "4"]]
    path = write(tmp_path, table_text(cells, ["A", "A", "B"]))
    with pytest.warns(UserWarning, match="repeat a name; 1 are equal to an earlier one .* once, 0 differ") as heard:
        table = read_homer(path, peak_id="name")
    assert heard[0].filename == __file__
    assert as_dict(table) == {("A", "p0"): 1, ("A", "p1"): 2, ("B", "p1"): 4}
    path = write(tmp_path, table_text(cells, ["A", "B", "A"]))
    with pytest.warns(UserWarning, match="0 are equal to an earlier one .* once, 1 differ and were summed"):
        table = read_homer(path, peak_id="name")
    assert as_dict(table) == {("A", "p0"): 1, ("A", "p1"): 6, ("B", "p0"): 1, ("B", "p1"): 2}
    cells = [["1", "5", "1", "1", "0"], ["0", "0", "0", "0", "7"], ["2", "0", "2", "3", "0"]]
    with pytest.warns(UserWarning, match="1 are equal to an earlier one .* once, 1 differ and were summed"):
        hits = read_hits(write(tmp_path, table_text(cells, ["A", "B", "A", "A", "C"])))
    assert hits.motifs == ["A", "B", "C"]
    np.testing.assert_array_equal(hits.counts.toarray(), [[2, 5, 0], [0, 0, 7], [5, 0, 0]])
    assert (hits.counts.dtype, hits.counts.has_sorted_indices) == (np.int32, True)


def test_peaks_without_bases_are_told(tmp_path):
    text = table_text(COUNTS, ["A", "B"]).replace("\t.1\t.4\t1", "\tNA\tNA\t1")
    with pytest.warns(UserWarning, match="no bases for 1 of 2 peaks") as heard:
        read_homer(write(tmp_path, text))
    assert heard[0].filename == __file__


def without(text: str, *names: str) -> str:
    """Leave columns out."""
    rows = [line.split("\t") for line in text.splitlines()]
    keep = [i for i, name in enumerate(rows[0]) if name not in names]
    return "".join("\t".join(row[i] for i in keep) + "\n" for row in rows)


def test_columns_that_are_not_there(tmp_path):
    text = table_text(COUNTS, ["A", "B"]).replace("\t.1\t.4\t1", "\tNA\tNA\t1")  # without GC% nothing tells of bases
    hits = read_hits(write(tmp_path, without(text, "GC%")))
    assert hits.sequenced is None
    assert hits.where[0] == ["chr1", "chr1"]
    assert (hits.where[1].tolist(), hits.where[2].tolist()) == ([0, 1000], [500, 1500])
    path = write(tmp_path, without(GOOD, "End"))
    assert list(read_homer(path)["peak_id"].cat.categories) == ["p0", "p1"]
    with pytest.raises(InputError, match="cannot tell the peaks' coordinates: it has no columns Chr, Start, End"):
        read_homer(path, peak_id="coordinates")
    hits = read_hits(write(tmp_path, GOOD))
    assert hits.sequenced.tolist() == [True, True]
    masked = table_text(COUNTS, ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs -mask)")
    assert read_hits(write(tmp_path, masked)).sequenced is None  # repeats have no bases there


@pytest.mark.parametrize(
    ("size", "names"),
    [
        ("", ["chr1:0-500", "chr1:1000-1500"]),
        (" -size given", ["chr1:0-500", "chr1:1000-1500"]),
        (" -size 200", ["p0", "p1"]),
    ],
)
def test_coordinates_are_the_peaks_unless_resized(tmp_path, size, names):
    path = write(tmp_path, table_text(COUNTS, ["A", "B"], f" (cmd=annotatePeaks.pl p g -m k -nmotifs{size})"))
    assert list(read_homer(path)["peak_id"].cat.categories) == names
    assert list(read_homer(path, peak_id="name")["peak_id"].cat.categories) == ["p0", "p1"]
    if size == " -size 200":
        with pytest.raises(InputError, match=r"HOMER resized its peaks \(-size\)\. Hand over the peaks"):
            read_homer(path, peak_id="coordinates")
    else:
        assert list(read_homer(path, peak_id="coordinates")["peak_id"].cat.categories) == names


def test_peaks_of_equal_coordinates_keep_their_ids(tmp_path):
    path = write(tmp_path, table_text(COUNTS, ["A", "B"]).replace("chr1\t1001\t1500", "chr1\t1\t500"))
    with pytest.raises(InputError, match="several peaks have the same coordinates; keep their ids with peak_id='name'"):
        read_homer(path)
    assert list(read_homer(path, peak_id="name")["peak_id"].cat.categories) == ["p0", "p1"]


def test_peaks_handed_over_are_found_by_coordinates(tmp_path):
    path = write(tmp_path, GOOD)
    assert as_dict(read_homer(path, peaks=["chr1_1000_1500", "chr1_0_500"])) == {
        ("A", "chr1_0_500"): 1,
        ("A", "chr1_1000_1500"): 2,
        ("B", "chr1_1000_1500"): 3,
    }
    lost = (
        r"holds 2 of 2 peaks that are not among the 1 peaks handed over, e\.g\. \['p0', 'p1'\] "
        r"\(yours: \['chr1:0-500'\]\)"
    )
    with pytest.raises(InputError, match=lost):  # one of them would do for the first row alone
        read_homer(path, peaks=["chr1:0-500"])
    some = write(tmp_path, table_text(COUNTS * 3, ["A", "B"], ids=["chr9:1-2", "x1", "chr9:5-6", "x2", "x3", "x4"]))
    lost = (
        r"holds 4 of 6 peaks that are not among the 4 peaks handed over, e\.g\. \['x1', 'x2', 'x3'\] "
        r"\(yours: \['chr9:1-2', 'chr9:3-4', 'chr9:5-6'\]\)"
    )
    with pytest.raises(InputError, match=lost):
        read_homer(some, peaks=["chr9:1-2", "chr9:3-4", "chr9:5-6", "chr9:7-8"])
    path = write(tmp_path, GOOD)
    resized = table_text(COUNTS, ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs -size 500)")
    for text in (resized, without(GOOD, "Chr")):
        with pytest.raises(InputError, match="holds 2 of 2 peaks that are not among the 2 peaks"):
            read_homer(write(tmp_path, text), peaks=["chr1:0-500", "chr1:1000-1500"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (GOOD[:-1], "cut short: its last line has no end"),
        (GOOD[:-4], "cut short"),
        (GOOD[: GOOD.rindex("chr1")], "cut short"),
        (GOOD[: GOOD.index("\n") + 1], "no peaks"),
        (GOOD[: GOOD.index("\n")], "no peaks|cut short"),
        (gzip.compress(GOOD.encode() * 300, mtime=0)[:-20], "cut short or damaged"),
        (FIND[:-1], "cut short"),
        (FIND[:-8], "cut short"),
        (
            table_text([["1", "x"], ["0", "2"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs)"),
            "cut short or damaged",
        ),
        (
            table_text([["1", ""], ["0", "2"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs)"),
            "cut short or damaged",
        ),
        (table_text([["1", "-4"], ["0", "2"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs)"), "negative"),
        (table_text(COUNTS, ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -mdist)"), "-mscore or -mdist"),
        (GOOD.replace(SUFFIX, " Best Motif log-odds Score"), "-mscore or -mdist"),
        (GOOD.replace(SUFFIX, ""), "no motif columns"),
        (table_text(COUNTS, ["A", "B"], ids=["p1", "p1"]), "more than once"),
        ("chr1\t1\t2\n", "is no output that read_homer knows; it begins 'chr1\t1\t2'"),
        ("x" * 99 + "\n", f"it begins '{'x' * 80}'"),
        (
            table_text([["1", "0"], ["-2", "2"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -nmotifs)"),
            "holds negative values",
        ),
        (table_text(COUNTS, ["A", "B"], " (cmd=annotatePeaks.pl p g -m k -mscore)"), "-mscore or -mdist"),
        (
            table_text([["", "1(A,+,0)"], ["7", "8"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k)"),
            "holds '7' where a list of sites is expected",
        ),
        (table_text(COUNTS * 2, ["A", "B"], ids=["p1", "p1", "p2", "p2"]), r"has 2 peak ids .* e\.g\. \['p1', 'p2'\]"),
        (b"PeakID\t\xff\xfe\n", "no plain text"),
    ],
)
def test_bad_files(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read_homer(write(tmp_path, data))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_homer(tmp_path / "nothing.tsv")
    with pytest.raises(InputError, match="is a folder"):
        read_homer(tmp_path)
    with pytest.raises(InputError, match="peak_id is 'id'"):
        read_homer(tmp_path, peak_id="id")


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["chr1:1000-1500", "chr1:0-500"], ["chr1:1000-1500", "chr1:0-500"]),
        (["chr1-1000-1500", "chr1_0_500"], ["chr1-1000-1500", "chr1_0_500"]),
    ],
)
@pytest.mark.parametrize("suffix", [".bed", ".txt"])
def test_peaks_written_for_homer_come_back(tmp_path, names, ids, suffix):
    path = tmp_path / f"peaks{suffix}"
    write_homer_peaks(names, path)
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    if suffix == ".bed":
        assert [r[:4] for r in rows] == [["chr1", "1000", "1500", ids[0]], ["chr1", "0", "500", ids[1]]]
    else:
        assert rows == [[ids[0], "chr1", "1001", "1500", "+"], [ids[1], "chr1", "1", "500", "+"]]
    output = write(tmp_path, table_text(COUNTS, ["A", "B"], ids=[ids[1], ids[0]]))
    table = read_homer(output, peaks=names)
    assert as_dict(table) == {("A", names[1]): 1, ("A", names[0]): 2, ("B", names[0]): 3}


def test_odd_names_get_numbers_and_come_back(tmp_path):
    peaks = pd.DataFrame({"chrom": "chr1", "start": [1000, 0], "end": [1500, 500], "name": ["a b", "`rm`"]})
    write_homer_peaks(peaks, tmp_path / "peaks.txt")
    assert [line.split("\t")[0] for line in (tmp_path / "peaks.txt").read_text().splitlines()] == ["peak1", "peak2"]
    output = write(tmp_path, table_text(COUNTS, ["A", "B"], ids=["peak2", "peak1"]))
    assert as_dict(read_homer(output, peaks=peaks)) == {("A", "`rm`"): 1, ("A", "a b"): 2, ("B", "a b"): 3}


def test_from_a_mudata_to_homer_and_back_into_it(tmp_path):
    mdata = small()
    pp.bin_peaks(mdata, SIZES)
    write_homer_peaks(mdata, tmp_path / "peaks.bed")
    assert (tmp_path / "peaks.bed").read_text().count("\n") == len(PEAKS)
    motifs = ["Ta(Zf)/x-Ta-ChIP-Seq/Homer", "Tb(bHLH)/Homer", "Unknown(?)/Homer"]
    cells = [[str(i % 3), str(i % 2), "1"] for i in range(len(PEAKS))]
    table = read_homer(write(tmp_path, table_text(cells, motifs, ids=PEAKS)), peaks=mdata)
    with no_pull():
        renamed = md.MuData({"rna": mdata["rna"], "peaks": mdata["atac"]})
    pd.testing.assert_frame_equal(read_homer(tmp_path / "homer.tsv", peaks=renamed, atac="peaks"), table)
    write_homer_peaks(renamed, tmp_path / "renamed.bed", atac="peaks")
    assert (tmp_path / "renamed.bed").read_bytes() == (tmp_path / "peaks.bed").read_bytes()
    assert list(table["peak_id"].cat.categories) == PEAKS
    with pytest.warns(UserWarning, match="1 motif or TF names resolve to no gene symbol"):
        pp.add_binding(mdata, table)
    counts, score = (store.peak_binding(mdata, score=which) for which in (False, True))
    assert counts[1] == ["Ta", "Tb"]
    np.testing.assert_array_equal(counts[0].toarray(), [[i % 3, i % 2] for i in range(len(PEAKS))])
    np.testing.assert_allclose(score[0].toarray().sum(axis=0), 1, rtol=1e-6)


def test_counts_whose_header_names_no_nmotifs_are_no_sites(tmp_path):
    """They were read as lists of sites without one: an empty table."""
    path = tmp_path / "annotated.txt"
    path.write_text(table_text([["1", "2"], ["0", "2"]], ["A", "B"], " (cmd=annotatePeaks.pl p g -m k)"))
    with pytest.raises(InputError, match="names no -nmotifs"):
        read_homer(path)
