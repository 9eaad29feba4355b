"""Known networks and tested pairs as they come, and found networks for other tools."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io import read_crispri, read_network, write_network


def write(tmp_path, text, name="n.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TRRUST = "Sp1\tCdk1\tActivation\t1;2\nMyc\tTert\tUnknown\t3\nMyc\tA\trepression\t4\n"
TRRUST_ROWS = [["Myc", "A", -1], ["Myc", "Tert", 0], ["Sp1", "Cdk1", 1]]


@pytest.mark.parametrize(
    ("text", "options", "rows"),
    [
        (TRRUST, {}, TRRUST_ROWS),
        (TRRUST, {"format": "trrust"}, TRRUST_ROWS),
        (gzip.compress(TRRUST.encode(), mtime=0), {}, TRRUST_ROWS),
        ("Gene1,Gene2\nSOX2,NES\n", {"format": "beeline"}, [["SOX2", "NES", 0]]),
        ("# x\nsource,target,weight\nB,g,-2.5\nA,g,0.1\n", {"format": "collectri"}, [["A", "g", 1], ["B", "g", -1]]),
        (" TF \tTG\tMode\nA\tg\tActivation\nA\th\tREPRESSION\nA\ti\todd\nA\tj\t\n", {},
         [["A", "g", 1], ["A", "h", -1], ["A", "i", 0], ["A", "j", 0]]),
        ("x,regulator,gene,mor\n1, A , g ,0\n", {"format": "table"}, [["A", "g", 0]]),
        # source is taken before tf, and sign before weight
        ("tf,source,target,gene,weight,sign\nx,A,g,y,-1,1\n", {}, [["A", "g", 1]]),
        # rows without a name are left out; a pair stands once
        ("source,target,sign\nA,g,1\n,g,1\nA,,1\nA,g,1\nA,g,0\n", {}, [["A", "g", 1]]),
        ("source,target,sign\nA,g,-1\nA,g,0\nB,g,-1\nB,g,1\nC,g,0\n", {},
         [["A", "g", -1], ["B", "g", 0], ["C", "g", 0]]),
        ("source,target\n1,2\n", {}, [["1", "2", 0]]),
    ],
)  # fmt: skip
def test_known_networks(tmp_path, text, options, rows):
    found = read_network(write(tmp_path, text), **options)
    assert list(found.columns) == ["source", "target", "sign"]
    assert found.to_numpy().tolist() == rows
    assert found["sign"].dtype == np.int8


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, r"n\.csv' has no header with source and target, and is not TRRUST's"),
        ("a,b,c\n1,2,3\n", {}, "is not TRRUST's"),
        ("Sp1\tCdk1\tActivation\nSp1\tA\tmaybe\n", {}, "is not TRRUST's"),
        ("source,target,sign\nA,g,1\n", {"format": "trrust"}, "is not TRRUST's"),
        (
            "a,b\n1,2\n",
            {"format": "table"},
            r"^'.*n\.csv' has no columns for source and target in its first line: \['a'",
        ),
        ("source,x\n1,2\n", {"format": "beeline"}, r"in its first line: \['source', 'x'\]"),
        (TRRUST, {"format": "collectri"}, r"in its first line: \['sp1', 'cdk1', 'activation', '1;2'\]"),
        ("source,target\n", {}, r"^'.*n\.csv' lists no edge"),
        ("source,target\n,g\nA,\n", {}, "lists no edge"),
        ("", {}, r"^'.*n\.csv' cannot be read as a table: No columns to parse"),
        ("source,target\n1,2,3,4\n1\n1,2,3,4,5,6\n", {}, "cannot be read as a table: "),
        (
            "source,target\nA,g\n",
            {"format": "csv"},
            r"^format='csv' is unknown; there are 'auto', 'table', 'trrust', 'bee",
        ),
    ],
)
def test_what_is_no_network(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message):
        read_network(write(tmp_path, text), **options)


def test_a_missing_table(tmp_path):
    for read in (read_network, read_crispri):
        with pytest.raises(InputError, match=r"^The table '.*none' does not exist"):
            read(tmp_path / "none")


CRISPRI = "chrom,start,end,gene,regulated\nchr1,30,40,G,1\n7,5,6,8,no\n"


@pytest.mark.parametrize(
    "text",
    [
        CRISPRI,
        CRISPRI.replace(",", "\t"),
        gzip.compress(CRISPRI.encode(), mtime=0),
        CRISPRI.replace("chrom,start,end,gene,regulated", "Chr, chromStart,chromEnd,measuredGeneSymbol,Significant"),
        CRISPRI.replace("chrom,start,end,gene,regulated", "chromosome,START,End,GeneSymbol,regulated"),
        CRISPRI.replace("gene", "target").replace("G,1", "G,TRUE ").replace(",no", ",False"),
        CRISPRI.replace("G,1", "G,1.0").replace(",no", ",0.0"),
        CRISPRI.replace("G,1", "G,Yes").replace(",no", ",0"),
        CRISPRI.replace("30,40", "30.0,40"),
        CRISPRI.replace("30,40", "30,4e1"),
    ],
)
def test_tested_pairs(tmp_path, text):
    found = read_crispri(write(tmp_path, text))
    assert found.to_dict("list") == {
        "chrom": ["chr1", "7"],
        "start": [30, 5],
        "end": [40, 6],
        "gene": ["G", "8"],
        "regulated": [True, False],
    }
    assert [found[c].dtype for c in ("start", "end", "regulated")] == [np.int64, np.int64, bool]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            CRISPRI.replace(",regulated", ",known"),
            r"has no column 'regulated'; it has \['chrom', 'start', 'end', 'gene',",
        ),
        (CRISPRI.replace("chrom,", "where,"), "has no column 'chrom'"),
        (CRISPRI.replace("5,6", "x,6"), r"^'.*n\.csv': start of row 2 is 'x', not a whole number of bp from 0 on\."),
        (CRISPRI.replace("5,6", "5,"), "end of row 2 is 'nan', not a whole number"),
        (CRISPRI.replace("5,6", "5.5,6"), "start of row 2 is '5.5', not a whole number"),
        (CRISPRI.replace("5,6", "5,inf"), "end of row 2 is 'inf', not a whole number"),
        (CRISPRI.replace("5,6", "6,6"), r"^'.*n\.csv': row 2 starts at 6 and ends at 6\."),
        (CRISPRI.replace("5,6", "-1,6"), "start of row 2 is '-1', not a whole number of bp from 0 on"),
        (CRISPRI.replace("7,5", ",5"), r"^'.*n\.csv': row 2 has no chrom\. Fill it in, or remove the row\."),
        (CRISPRI.replace("6,8", "6,"), "row 2 has no gene"),
        (CRISPRI.replace(",no", ",maybe"), r"^'.*n\.csv': regulated of row 2 is 'maybe'; write 0 or 1\."),
        (CRISPRI.replace(",no", ","), "regulated of row 2 is 'nan'; write 0 or 1"),
    ],
)
def test_what_is_no_table_of_pairs(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_crispri(write(tmp_path, text))


EDGES = pd.DataFrame(
    {
        "source": ["A&B", "T"],
        "target": ['G<1>"', "A&B"],
        "score": [0.5, np.nan],
        "sign": [1, -1],
        "note": ["x<y", None],
    }
)


@pytest.mark.parametrize(
    ("name", "separator", "packed"),
    [
        ("n.csv", ",", False),
        ("n.txt", ",", False),
        ("n.csv.gz", ",", True),
        ("n.tsv", "\t", False),
        ("n.tsv.gz", "\t", True),
    ],
)
def test_tables(tmp_path, name, separator, packed):
    write_network(tmp_path / name, EDGES)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x1f\x8b") == packed
    text = (gzip.decompress(data) if packed else data).decode()
    assert text == EDGES.to_csv(index=False, sep=separator, lineterminator="\n")


def test_a_wide_first_line_is_not_shown_whole(tmp_path):
    (tmp_path / "n.csv").write_text("a,b,c,d,e,f,g,h\n" * 2)
    with pytest.raises(InputError, match=r"in its first line: \['a', 'b', 'c', 'd', 'e', 'f'\]\.$"):
        read_network(tmp_path / "n.csv", format="table")


def test_parquet(tmp_path):
    write_network(tmp_path / "n.parquet", EDGES)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "n.parquet"), EDGES, check_dtype=False)
    write_network(tmp_path / "d.parquet", EDGES.assign(score=2.0), format="decoupler")
    assert pd.read_parquet(tmp_path / "d.parquet")["weight"].tolist() == [2.0, -2.0]
    write_network(tmp_path / "n.parquet", EDGES.iloc[::-1])  # rows of any order have numbers of their own in a file
    assert pd.read_parquet(tmp_path / "n.parquet").index.equals(pd.RangeIndex(len(EDGES)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.parquet", "n.parquet"]


@pytest.mark.parametrize(("name", "options"), [("n.graphml", {}), ("n.xml", {"format": "graphml"})])
def test_graphml_as_networkx_reads_it(tmp_path, name, options):
    nx = pytest.importorskip("networkx")
    write_network(tmp_path / name, EDGES, **options)
    graph = nx.read_graphml(tmp_path / name)
    assert graph.is_directed()
    assert dict(graph.nodes(data="is_tf")) == {"A&B": True, 'G<1>"': False, "T": True}
    assert {(a, b): held for a, b, held in graph.edges(data=True)} == {
        ("A&B", 'G<1>"'): {"score": 0.5, "sign": 1, "note": "x<y"},
        ("T", "A&B"): {"sign": -1},
    }
    text = (tmp_path / name).read_text()
    for kind in ('attr.name="score" attr.type="double"', 'attr.name="sign" attr.type="long"', 'attr.type="string"'):
        assert kind in text


@pytest.mark.parametrize(
    ("edges", "options", "message"),
    [
        (EDGES.drop(columns="target"), {}, r"no column \['target'\]; it has \['source', 'score', 'sign', 'note'\]"),
        (EDGES[["score"]], {}, r"no column \['source', 'target'\]"),
        (
            EDGES,
            {"format": "gml"},
            r"^format='gml' is unknown; there are 'auto', 'csv', 'graphml', 'celloracle', 'decoupler', ",
        ),
        (pd.concat([EDGES, EDGES]), {"format": "graphml"}, r"^A pair occurs more than once: write one group at a time"),
    ],
)
def test_nothing_is_written_of_what_cannot_be(tmp_path, edges, options, message):
    with pytest.raises(InputError, match=message):
        write_network(tmp_path / "n.csv", edges, **options)
    assert list(tmp_path.iterdir()) == []
