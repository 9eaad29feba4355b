import gzip

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io.annotation._tss import read_tss


def write(tmp_path, text, name="x.bed"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(table):
    return list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize(("name", "n_rows", "n_genes"), [("mm10", 26546, 23452), ("hg38", 33963, 26496)])
def test_shipped_tables(real_data, name, n_rows, n_genes):
    table = read_tss(name)
    assert (len(table), table["gene"].nunique()) == (n_rows, n_genes)
    assert table["pos"].dtype == np.int64
    file = real_data(f"reference/{name}_refseq_tss.bed.gz")
    bed = pd.read_csv(file, sep="\t", header=None)
    assert (table["pos"].to_numpy() == bed[1].to_numpy()).all()
    assert (table["gene"].to_numpy() == bed[3].to_numpy()).all()
    other = read_tss(file)
    assert other.attrs["sha256"] == table.attrs["sha256"]
    assert (table.attrs["origin"], other.attrs["origin"]) == (name, str(file))


TWO = [("A", "chr1", 9, "+"), ("B", "chr1", 99, "-")]


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t9\t10\tA\t0\t+\nchr1\t99\t100\tB\t0\t-\n",
        "\ufefftrack name=x\nbrowser position y\n#c\nchr1\t9\t10\tA\t0\t+\r\nchr1\t99\t100\tB\t0\t-\r\n",
        "chrom\tstart\tend\tname\tscore\tstrand\nchr1\t9\t10\tA\t0\t+\nchr1\t99\t100\tB\t0\t-",
        "chr1\t9\t10\tA\t0\t+\nchr1\t9\t10\tA\t0\t+\nchr1\t99\t100\tB\t0\t-\n",  # a repeated row
        "chr1\t9\t50\tA\t0\t+\nchr1\t20\t100\tB\t0\t-\n",  # genes: TSS by strand
        "chr1\t9\t9\tA\t.\t+\nchr1\t99\t99\tB\t.\t-\n",  # rows of no width, as the notebook has
        gzip.compress(b"chr1\t9\t10\tA\t0\t+\nchr1\t99\t100\tB\t0\t-\n", mtime=0),
    ],
)
def test_beds_that_mean_the_same(tmp_path, text):
    table = read_tss(write(tmp_path, text))
    assert rows(table) == TWO
    assert (
        table.attrs["sha256"] == read_tss(pd.DataFrame(TWO, columns=["gene", "chrom", "pos", "strand"])).attrs["sha256"]
    )


def test_strand_is_asked_for_only_where_it_matters(tmp_path):
    assert rows(read_tss(write(tmp_path, "chr1\t9\t10\tA\n"))) == [("A", "chr1", 9, ".")]
    with pytest.raises(InputError, match="line 2: 'B' is 80 bp wide and has no strand"):
        read_tss(write(tmp_path, "chr1\t9\t10\tA\nchr1\t20\t100\tB\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1 9 10 A\n", "line 1: columns are separated by spaces"),
        ("chr1\t9\t10\n", "line 1: 3 columns; a BED of TSSs needs"),
        ("chr1\t9\t10\tA\nchr1\t1e6\t10\tB\n", "line 2: start is '1e6'"),
        ("chr1\tx\t10\tA\n", "line 1: start is 'x'"),
        ("chr1\t-1\t10\tA\n", "line 1: start is -1"),
        ("chr1\t11\t10\tA\n", "line 1: start 11 > end 10"),
        ("chr1\t9\t10\tA\t0\tplus\n", "line 1: the strand is 'plus'"),
        ("chr1\t9\t10\t.\n", "line 1: no gene name"),
        ("\t9\t10\tA\n", "line 1: no chromosome"),
        ("# nothing\n", "holds no transcription start sites"),
        ("chr1\t9\t10\tENSG00000000001.1\nchr1\t9\t10\tENSG00000000001.2\n", "same identifier in two versions"),
        ("chr1\t9\t10\tENSG00000000001.1\nchr1\t9\t10\tENSG00000000001\n", "same identifier in two versions"),
    ],
)
def test_bad_beds(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_tss(write(tmp_path, text))


def test_versions_are_cut_off_identifiers_and_kept_in_symbols(tmp_path):
    names = ["ENSG00000139618.19", "ENSMUSG00000051951.5", "RP11-34P13.7", "ENSG00000182378.15_PAR_Y", "AC1.1"]
    text = "".join(f"chr1\t{i}\t{i + 1}\t{n}\n" for i, n in enumerate(names))
    expected = ["ENSG00000139618", "ENSMUSG00000051951", "RP11-34P13.7", "ENSG00000182378_PAR_Y", "AC1.1"]
    assert list(read_tss(write(tmp_path, text))["gene"]) == expected


GTF = """#!genome-build x
1\thavana\tgene\t10\t50\t.\t+\t.\tgene_id "ENSG00000000001.3"; gene_name "A";
1\thavana\ttranscript\t10\t50\t.\t+\t.\tgene_id "ENSG00000000001.3"; transcript_id "T1"; gene_name "A";
1\thavana\ttranscript\t20\t50\t.\t+\t.\tgene_id "ENSG00000000001.3"; transcript_id "T2"; gene_name "A";
1\thavana\texon\t10\t50\t.\t+\t.\tgene_id "ENSG00000000001.3"; transcript_id "T1"; gene_name "A";
1\thavana\tgene\t60\t100\t.\t-\t.\tgene_id "ENSG00000000002.1";
1\thavana\ttranscript\t60\t100\t.\t-\t.\tgene_id "ENSG00000000002.1"; transcript_id "T3";
"""


def test_gtf(tmp_path):
    path = write(tmp_path, "\ufeff" + GTF.replace("\n", "\r\n"), "x.gtf")
    expected = [("A", "1", 9, "+"), ("A", "1", 19, "+"), ("ENSG00000000002", "1", 99, "-")]
    assert rows(read_tss(path)) == expected
    by_id = [("ENSG00000000001", *row[1:]) if row[0] == "A" else row for row in expected]
    assert rows(read_tss(path, gene_key="gene_id")) == by_id
    genes = write(tmp_path, "".join(x for x in GTF.splitlines(keepends=True) if "\ttranscript\t" not in x), "g.txt")
    assert rows(read_tss(genes)) == [expected[0], expected[2]]


def gtf(*lines):
    """A GTF of one gene a line: (chrom, start, end, strand, attributes)."""
    return "".join(f"{c}\tx\tgene\t{s}\t{e}\t.\t{strand}\t.\t{held}\n" for c, s, e, strand, held in lines)


ATTRIBUTES = {
    "';' inside quotes": 'gene_id "E1"; note "a; b"; gene_name "A";',
    "escaped quotes": r'gene_id "E1"; note "a; gene_name \"Wrong\"; b"; gene_name "A";',
    "bare quotes inside": 'gene_id "E1"; note "the "best"; really"; gene_name "A";',
    "another order": 'note "x; y"; gene_name "A"; gene_id "E1";',
    "no last ';'": 'gene_id "E1"; gene_name "A"',
    "no spaces": 'gene_id "E1";gene_name "A";',
    "many spaces": '  gene_id   "E1" ;  gene_name   "A"  ; ',
    "single quotes": "gene_id 'E1'; note 'a; gene_name \"Wrong\"'; gene_name 'A';",
    "no quotes": "gene_id E1; level 2; gene_name A;",
    "apostrophes": 'gene_id "E1"; note "5\' end; 3\' end"; gene_name "A"; other 5\' end;',
    "equals signs": 'gene_id="E1";note="a;b";gene_name="A"',
    "repeated keys": 'gene_id "E1"; tag "a"; gene_name ""; gene_name "A"; tag "b"; gene_name "Wrong";',
    "a key like another": 'gene_id "E1"; old_gene_name "Wrong"; gene_name_2 "Wrong"; gene_name "A";',
    "a key as a value": 'gene_id "E1"; note "gene_name"; gene_name "A";',
    "a flag": 'gene_id "E1"; partial; gene_name "A";',
    "a comment": 'gene_id "E1"; gene_name "A"; # gene_name "Wrong";',
    "a tab inside": 'gene_id "E1"; note "a\tb"; gene_name "A";',
    "a form feed inside": 'gene_id "E1"; note "a\x0cb\x85c"; gene_name "A";',
    "rubbish": '"junk"; gene_id "E1"; gene_name "A";',
}


@pytest.mark.parametrize("dress", ["plain", "crlf", "gz"])
@pytest.mark.parametrize("held", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_gtf_attributes_as_they_are_quoted(tmp_path, held, dress):
    text = gtf(("chr1", 10, 50, "+", held), ("chr1", 60, 100, "-", 'gene_id "E2"; gene_name "B";')).encode()
    text = {"plain": text, "crlf": text.replace(b"\n", b"\r\n"), "gz": gzip.compress(text, mtime=0)}[dress]
    assert rows(read_tss(write(tmp_path, text, "x.gtf"))) == TWO
    by_id = read_tss(write(tmp_path, text, "x.gtf"), gene_key="gene_id")
    assert list(by_id["gene"]) == ["E1", "E2"]


@pytest.mark.parametrize(
    "name", ['gene_name "";', 'gene_name " ";', 'gene_name ".";', "gene_name ;", "", 'gene_name "NA";']
)
def test_gtf_empty_names_fall_back_on_the_identifier(tmp_path, name):
    text = gtf(("chr1", 10, 50, "+", f'gene_id "E1"; {name}'), ("chr1", 60, 100, "-", 'gene_id "E2"; gene_name "B";'))
    assert list(read_tss(write(tmp_path, text, "x.gtf"))["gene"]) == ["E1", "B"]


def test_gtf_transcripts_take_the_name_of_their_gene(tmp_path):
    text = GTF.replace('transcript_id "T2"; gene_name "A";', 'transcript_id "T2";')
    assert list(read_tss(write(tmp_path, text, "x.gtf"))["gene"]) == ["A", "A", "ENSG00000000002"]


def test_gtf_genes_without_transcripts_are_kept(tmp_path):
    text = GTF + gtf(("1", 200, 300, "+", 'gene_id "P1"; gene_name "Pseudo";'))
    assert rows(read_tss(write(tmp_path, text, "x.gtf")))[-1] == ("Pseudo", "1", 199, "+")


GOOD = ("chr1", 10, 50, "+", 'gene_id "E1"; gene_name "A";')


@pytest.mark.parametrize("strand", ["?", "."])
def test_gtf_unknown_strand_leaves_that_gene_out(tmp_path, strand):
    lost = ("chr1", 60, 100, strand, 'gene_id "E2"; gene_name "B";')
    one_base = ("chr1", 100, 100, strand, 'gene_id "E3"; gene_name "C";')
    path = write(tmp_path, "#x\n" + gtf(GOOD, lost, one_base), "x.gtf")
    with pytest.warns(UserWarning, match=r"1 transcripts or genes have no strand.*first in line 3 .*E2.*left out"):
        table = read_tss(path)
    assert rows(table) == [("A", "chr1", 9, "+"), ("C", "chr1", 99, ".")]
    with pytest.raises(InputError, match=r"have no strand, so that their TSS is unknown, first in line 1 "):
        read_tss(write(tmp_path, gtf(lost), "x.gtf"))


def test_gtf_rows_without_any_name_are_left_out(tmp_path):
    lost = ("chr1", 60, 100, "+", 'gene_id ""; gene_name ""; level 2;')
    path = write(tmp_path, gtf(lost, GOOD), "x.gtf")
    with pytest.warns(UserWarning, match=r"1 transcripts or genes have neither gene_name nor gene_id, first in line 1"):
        assert rows(read_tss(path)) == TWO[:1]
    far = ("chr1", 60, 100, "+", f'gene_id ""; note "{"x" * 99}";')
    with pytest.raises(InputError, match=rf"first in line 1 \('gene_id \"\"; note \"{'x' * 42}'\); no other is left"):
        read_tss(write(tmp_path, gtf(far), "far.gtf"))
    with pytest.raises(InputError, match="neither gene_name nor gene_id, first in line 1"):
        read_tss(write(tmp_path, gtf(lost), "x.gtf"))


def test_unknown_strand_in_beds(tmp_path):
    assert rows(read_tss(write(tmp_path, "chr1\t9\t10\tA\t0\t?\n"))) == [("A", "chr1", 9, ".")]
    with pytest.raises(InputError, match="line 1: 'A' is 41 bp wide and has no strand"):
        read_tss(write(tmp_path, "chr1\t9\t50\tA\t0\t?\n"))


X = ("chrX", 10, 50, "+", 'gene_id "ENSG00000182378.15"; gene_name "PLCXD1";')
Y = ("chrY", 10, 50, "+", 'gene_id "ENSG00000182378.15_PAR_Y"; gene_name "PLCXD1";')
NEW_Y = ("Y", 10, 50, "+", 'gene_id "ENSG00000292344.1"; gene_name "PLCXD1";')
ONLY_Y = ("chrY", 90, 99, "+", 'gene_id "ENSG00000067048.17"; gene_name "DDX3Y";')


@pytest.mark.parametrize("copy", [Y, NEW_Y])
def test_pseudoautosomal_genes_stay_on_their_chromosome(tmp_path, copy):
    path = write(tmp_path, gtf(X, copy, ONLY_Y), "x.gtf")
    assert rows(read_tss(path)) == [("PLCXD1", "chrX", 9, "+"), ("DDX3Y", "chrY", 89, "+")]
    by_id = rows(read_tss(path, gene_key="gene_id"))
    assert by_id[0] == ("ENSG00000182378", "chrX", 9, "+")
    assert {row[0] for row in by_id if row[1] == "chrX"} == {"ENSG00000182378"}
    assert {row[0] for row in by_id if row[1] != "chrX"} & {"ENSG00000182378"} == set()


def test_pseudoautosomal_copies_in_tables():
    frame = pd.DataFrame(
        {
            "gene_name": ["PLCXD1", "PLCXD1"],
            "gene_id": ["ENSG00000182378.15", "ENSG00000182378.15_PAR_Y"],
            "chrom": ["chrX", "chrY"],
            "pos": [9, 9],
        }
    )
    assert rows(read_tss(frame)) == [("PLCXD1", "chrX", 9, ".")]


def test_a_gtf_of_copies_alone(tmp_path):
    with pytest.raises(InputError, match="only copies of pseudoautosomal genes"):
        read_tss(write(tmp_path, gtf(Y), "x.gtf"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('1\th\texon\t1\t5\t.\t+\t.\tgene_id "A";\n', "neither transcript nor gene lines"),
        (GTF.replace("\t", " "), "line 2: columns are separated by spaces"),
        ("1\th\tgene\n", "line 1: a GTF line has 9 columns"),
        (gtf(("1", 1, 5, "+", 'gene_id "A; gene_name B')), "line 1: a quote is opened and never closed"),
        (gtf(("1", "1e3", 5, "+", 'gene_id "A";')), "line 1: start is '1e3'"),
        (gtf(("1", 0, 5, "+", 'gene_id "A";')), "line 1: start is '0'"),
        (gtf(("1", 9, 5, "+", 'gene_id "A";')), "line 1: start 8 > end 5"),
        (gtf(("1", 9, 50, "plus", 'gene_id "A";')), "line 1: the strand is 'plus'"),
    ],
)
def test_bad_gtfs(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_tss(write(tmp_path, text, "x.gtf"))


def test_real_gtf_against_its_own_text(real_data):
    path = real_data("reference/mm10_ensembl75_chr1.gtf.gz")
    with gzip.open(path, "rt") as handle:
        fields = [line.rstrip("\n").split("\t") for line in handle if "\ttranscript\t" in line]
    expected = {
        (f[8].split('gene_name "')[1].split('"')[0], f[0], int(f[3]) - 1 if f[6] == "+" else int(f[4]) - 1, f[6])
        for f in fields
    }
    table = read_tss(path)
    assert set(rows(table)) == expected
    assert len(table) == len(expected)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(
            {
                "Chromosome": ["chr1", "chr1"],
                "Start": [9, 20],
                "End": [10, 100],
                "Name": ["A", "B"],
                "Strand": ["+", "-"],
            }
        ),
        pd.DataFrame({"symbol": ["A", "B"], "chr": ["chr1"] * 2, "TSS": [9.0, 99.0], "strand": [1, -1]}),
        pd.DataFrame(
            {
                "name": ["A", "B"],
                "chrom": ["chr1"] * 2,
                "chromStart": [9, 99],
                "chromEnd": [10, 100],
                "strand": ["+", "-"],
            }
        ),
    ],
)
def test_tables_in_the_usual_spellings(frame):
    before = frame.copy()
    assert rows(read_tss(frame)) == TWO
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"gene": ["A"], "chrom": ["1"]}), "it has gene, chrom"),
        (pd.DataFrame({"gene": ["A"], "chrom": ["1"], "pos": [np.nan]}), "row 0: pos is nan"),
        (pd.DataFrame({"gene": ["A"], "chrom": ["1"], "pos": [1.5]}), "row 0: pos is 1.5"),
        (pd.DataFrame({"gene": ["A"], "chrom": ["1"], "pos": [-1]}), "row 0: pos is -1"),
        (pd.DataFrame({"gene": [None], "chrom": ["1"], "pos": [1]}), "row 0: no gene name"),
        (pd.DataFrame({"gene": [], "chrom": [], "pos": []}), "holds no transcription"),
    ],
)
def test_bad_tables(frame, message):
    with pytest.raises(InputError, match=message):
        read_tss(frame)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mm39", "No TSS table of mm39 is shipped"),
        ("mm12", "Unknown TSS table 'mm12'"),
        ("a/b.bed", "does not exist"),
        (3, "not int"),
    ],
)
def test_bad_sources(source, message):
    with pytest.raises(InputError, match=message):
        read_tss(source)


@pytest.mark.filterwarnings("ignore:pkg_resources:UserWarning", "ignore::FutureWarning:pyranges")
def test_pyranges():
    import pyranges

    table = pd.DataFrame(
        {"Chromosome": ["chr1"] * 2, "Start": [9, 20], "End": [10, 100], "Name": list("AB"), "Strand": ["+", "-"]}
    )
    assert rows(read_tss(pyranges.PyRanges(table))) == TWO
