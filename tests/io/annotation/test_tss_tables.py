"""TSSs of tables, and what spreadsheets, pandas and other programs make of positions, strands and names."""

import gzip
import logging
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io.annotation._gtf import attributes
from tilegrn.io.annotation._tss import read_tss, without_y_copies


def rows(table):
    return list(table.itertuples(index=False, name=None))


def table(**columns):
    return pd.DataFrame({"gene": ["A", "B"], "chrom": ["chr1", "chr1"], "pos": [9, 99], **columns})


@pytest.mark.parametrize(
    "pos",
    [
        pd.Series([9, 99], dtype="Int64"),
        pd.Series([9, 99], dtype=np.uint8),
        pd.Series([9, "99"], dtype=object),
        pd.Series(["9", 99], dtype=object),
        pd.Series([9.0, np.float32(99)], dtype=object),
    ],
    ids=str,
)
def test_positions_in_any_dress(pos):
    found = read_tss(table(pos=pos))
    assert rows(found) == [("A", "chr1", 9, "."), ("B", "chr1", 99, ".")]
    assert found["pos"].dtype == np.int64


def test_the_farthest_position():
    far = 10**15 - 1
    assert read_tss(table(pos=[0, far]))["pos"].tolist() == [0, far]
    assert read_tss(table(pos=["0", str(far)]))["pos"].tolist() == [0, far]


@pytest.mark.parametrize(
    "value", [10**15, 10**400, str(10**15), 2.5, np.inf, np.nan, pd.NA, None, True, "", " 9", "9.0", Decimal(9), b"9"]
)
def test_what_is_no_position(value):
    with pytest.raises(InputError, match=r"^TSS table, row 1: pos is .*; it must be a whole number of bp, digits only"):
        read_tss(table(pos=pd.Series([9, value], dtype=object)))


def test_a_negative_position_is_named_with_its_row():
    with pytest.raises(InputError, match=r"^TSS table, row 1: Start is -1; positions are 0-based and never negative"):
        read_tss(table(strand="+", start=[9, -1], end=[10, 5]).drop(columns="pos").rename(columns={"start": "Start"}))


@pytest.mark.parametrize(
    ("strand", "read"),
    [
        *((x, "+") for x in ("+", 1, "1")),
        *((x, "-") for x in ("-", -1, "-1")),
        *((x, ".") for x in (".", "", "*", "?", "NA", np.nan, None, pd.NA)),
    ],
)
def test_strands_in_any_dress(strand, read):
    found = read_tss(table(strand=pd.Series(["+", strand], dtype=object)))
    assert found["strand"].tolist() == ["+", read]


def test_a_strand_that_is_none():
    with pytest.raises(InputError, match=r"^TSS table, row 1: the strand is 2; it must be '\+', '-' or '\.'"):
        read_tss(table(strand=[1, 2]))


@pytest.mark.parametrize("nothing", ["", " ", ".", "nan", "None", None, np.nan, pd.NA])
@pytest.mark.parametrize(("column", "what"), [("gene", "gene name"), ("chrom", "chromosome")])
def test_rows_without_a_name(nothing, column, what):
    frame = table(**{column: pd.Series(["x", nothing], dtype=object)})
    with pytest.raises(
        InputError, match=rf"^TSS table, row 1: no {what} \(1 such rows\). Fill it in, or remove the row"
    ):
        read_tss(frame)


def test_the_first_of_two_spellings_and_of_two_columns_counts():
    frame = table(name=["X", "Y"], Gene=["X", "Y"], start=[1, 1], end=[2, 2])
    assert rows(read_tss(frame)) == [("A", "chr1", 9, "."), ("B", "chr1", 99, ".")]
    with pytest.raises(InputError, match=r"it has none\.$"):
        read_tss(pd.DataFrame())


def test_names_fall_back_on_identifiers():
    frame = table(gene_id=["E1", "E2"])
    frame["gene"] = ["A", np.nan]
    assert read_tss(frame)["gene"].tolist() == ["A", "E2"]
    assert read_tss(frame, gene_key="gene_id")["gene"].tolist() == ["E1", "E2"]
    with pytest.raises(InputError, match=r"gene_key is 'name'; it must be 'gene_name' or 'gene_id'\."):
        read_tss(frame, gene_key="name")
    with pytest.raises(InputError, match="needs a gene, a chromosome and a position column"):
        read_tss(table(), gene_key="gene_id")


FEATURES = pd.DataFrame(
    {
        "Chromosome": "chr1",
        "Feature": ["gene", "Transcript", "exon", "transcript"],
        "Start": [9, 9, 9, 40],
        "End": [60, 60, 20, 60],
        "Strand": "-",
        "gene_name": ["A", "A", "A", "A"],
        "gene_id": "E1",
    }
)


def test_of_features_only_transcripts_or_genes_are_taken():
    assert rows(read_tss(FEATURES)) == [("A", "chr1", 59, "-")]  # two transcripts that end alike
    genes = FEATURES.iloc[[0, 2]]
    assert rows(read_tss(genes.assign(End=61))) == [("A", "chr1", 60, "-")]
    with pytest.raises(InputError, match=r"^TSS table, row 3: start 90 > end 60"):  # counted in the table as it is
        read_tss(FEATURES.assign(Start=[9, 9, 9, 90]))
    with pytest.raises(InputError, match="holds no transcription start sites"):
        read_tss(FEATURES.iloc[[2]])


def test_copies_on_y_are_left_out_and_rows_still_counted_rightly(caplog):
    caplog.set_level(logging.INFO, logger="tilegrn")
    frame = table(gene=["P", "P"], gene_id=["E1", "E1_PAR_Y"], chrom=["chrX", "chrY"])
    assert rows(read_tss(frame)) == [("P", "chrX", 9, ".")]
    assert "1 rows of chrY that chrX has as well (_PAR_Y) left out" in caplog.text
    assert len(read_tss(frame.assign(gene=["P", "P_PAR_Y"]))) == 2  # told apart by name
    wrong = pd.concat([frame, frame.iloc[:1].assign(pos=-5)], ignore_index=True)
    with pytest.raises(InputError, match=r"^TSS table, row 2: pos is -5"):
        read_tss(wrong)


def test_only_genes_of_x_and_y_alone_lose_their_copies():
    frame = pd.DataFrame(
        {"gene": ["A", "A", "B", "B", "B", "C"], "chrom": ["X", "chrY", "chrX", "chrY", "chr1", "chrY"]}
    )
    assert without_y_copies(frame)["gene"].tolist() == ["A", "B", "B", "B", "C"]
    assert without_y_copies(frame.iloc[2:]).index.tolist() == [2, 3, 4, 5]


def write(tmp_path, text, name):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


LINE = 'chr1\tx\tgene\t10\t50\t.\t+\t.\tgene_id "E1"; gene_name "A";\n'


@pytest.mark.parametrize("name", ["x.gff3", "x.GFF3.gz", "x.gff"])
def test_gff3_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"is GFF3; give the GTF of the same annotation, or a BED file"):
        read_tss(write(tmp_path, LINE, name))


def test_gtf_and_bed_are_told_apart_by_name_or_first_line(tmp_path):
    gtf = [("A", "chr1", 9, "+")]
    for name in ("x.GTF", "x.gtf.gz", "genes.txt"):
        assert rows(read_tss(write(tmp_path, "# by hand\n" + LINE, name))) == gtf
    assert rows(read_tss(write(tmp_path, gzip.compress(LINE.encode()), "genes"))) == gtf
    bed = "chr1\t9\t10\tA\t0\t+\t9\t10\tgene_id\n"  # of nine columns too
    assert rows(read_tss(write(tmp_path, bed, "x.bed"))) == gtf


def test_a_table_of_that_name_in_the_folder_comes_first(tmp_path, monkeypatch):
    write(tmp_path, "chr1\t9\t10\tA\n", "mm12")
    monkeypatch.chdir(tmp_path)
    assert rows(read_tss("mm12")) == [("A", "chr1", 9, ".")]


def test_a_width_of_one_needs_no_strand_and_two_do(tmp_path):
    assert rows(read_tss(write(tmp_path, "chr1\t9\t10\tA\nchr1\t9\t9\tB\n", "x.bed"))) == [
        ("A", "chr1", 9, "."),
        ("B", "chr1", 9, "."),
    ]
    two = write(tmp_path, "chr1\t9\t11\tA\t0\t-\nchr1\t9\t10\tB\t0\t-\n", "x.bed")
    assert rows(read_tss(two)) == [("A", "chr1", 10, "-"), ("B", "chr1", 9, "-")]
    with pytest.raises(InputError, match=r"^'.*', line 1: 'A' is 2 bp wide and has no strand.*\(2 such rows\)"):
        read_tss(write(tmp_path, "chr1\t9\t11\tA\nchr1\t9\t99\tB\n", "x.bed"))


def test_a_header_only_in_the_first_line_of_a_bed(tmp_path):
    with pytest.raises(InputError, match="line 2: start is 'start'"):
        read_tss(write(tmp_path, "chr1\t9\t10\tA\nchrom\tstart\tend\tname\n", "x.bed"))
    with pytest.raises(InputError, match=r"line 1: 1 columns; a BED of TSSs needs"):
        read_tss(write(tmp_path, "chr1\n", "x.bed"))


@pytest.mark.parametrize("mark", ['"x', "x'", " #x"])
def test_odd_marks_in_a_gtf_take_no_gene_away(tmp_path, mark):
    other = LINE.replace("E1", "E2").replace('"A"', '"B"').replace("\t10\t", "\t20\t")
    for odd in (LINE.replace("\tx\t", f"\t{mark}\t"), LINE.replace("chr1", mark)):
        found = read_tss(write(tmp_path, odd + other, "x.gtf"))
        assert found[["gene", "pos"]].to_numpy().tolist() == [["A", 9], ["B", 19]]


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [
        ("0", "5", "start is '0'"),
        ("1", "0", "end is '0'"),
        ("1", "x", "end is 'x'"),
        ("9" * 16, "9", "start is '9{16}'"),
    ],
)
def test_gtf_positions(tmp_path, start, end, what):
    path = write(tmp_path, LINE.replace("\t10\t50\t", f"\t{start}\t{end}\t"), "x.gtf")
    with pytest.raises(InputError, match=rf"line 1: {what}; it must be a whole number of bp from 1 on, digits only\."):
        read_tss(path)
    assert rows(read_tss(write(tmp_path, LINE.replace("\t10\t50\t", "\t1\t1\t"), "x.gtf"))) == [("A", "chr1", 0, "+")]


def test_gtf_of_copies_and_others_tells_how_many_are_left_out(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="tilegrn")
    copy = LINE.replace("chr1", "chrY").replace("E1", "E1_PAR_Y")
    by_transcript = copy.replace('gene_id "E1_PAR_Y";', 'gene_id "E3"; transcript_id "T_PAR_Y";')
    found = read_tss(write(tmp_path, LINE + copy + by_transcript, "x.gtf"))
    assert rows(found) == [("A", "chr1", 9, "+")]
    assert "2 transcripts or genes of chrY that chrX has as well (_PAR_Y) left out" in caplog.text


def test_attributes_one_by_one():
    assert attributes("") == {}
    assert attributes("a 1") == {"a": "1"}
    assert attributes(r'a "x \"y\" z"; b 2') == {"a": 'x "y" z', "b": "2"}
    assert attributes("a ; b") == {"a": "", "b": ""}
    assert attributes('a "1" # b "2"') == {"a": "1"}
    assert attributes('"x"; ==; a "1"') == {"a": "1"}
    assert attributes('"x') == {}
    assert attributes('a "1; b 2') is None
    assert attributes("a '1; b 2") == {"a": "'1", "b": "2"}  # an apostrophe may be one
