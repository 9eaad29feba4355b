"""Links as files, to the byte."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io import write_links

LINKS = pd.DataFrame(
    {
        "peak": ["chr2:500-900", "chr1_10_20", "chr2:500-900"],
        "target": ["G 1", "G2", "G3"],
        "tss": [100, 15, 2000],
        "score": [0.5, 1.25, -0.25],
        "rank": [1, 2, 3],
    },
    index=[7, 8, 9],
)
BEDPE = """#chrom1 start1 end1 chrom2 start2 end2 name score strand1 strand2
chr2 500 900 chr2 100 101 G_1 0.5 . .
chr1 10 20 chr1 15 16 G2 1.25 . .
chr2 500 900 chr2 2000 2001 G3 -0.25 . .
""".replace(" ", "\t")
INTERACT_HEAD = (
    "#chrom chromStart chromEnd name score value exp color sourceChrom sourceStart sourceEnd sourceName sourceStrand "
    "targetChrom targetStart targetEnd targetName targetStrand\n"
).replace(" ", "\t")
INTERACT = """chr2 100 900 chr2:500-900/G_1 500 0.5 T_cell 0 chr2 500 900 chr2:500-900 . chr2 100 101 G_1 .
chr1 10 20 chr1:10-20/G2 1000 1.25 T_cell 0 chr1 10 20 chr1:10-20 . chr1 15 16 G2 .
chr2 500 2001 chr2:500-900/G3 0 -0.25 T_cell 0 chr2 500 900 chr2:500-900 . chr2 2000 2001 G3 .
""".replace(" ", "\t")


def track(name):
    return f'track type=interact name="{name}" interactDirectional=true useScore=on visibility=full\n'


@pytest.mark.parametrize(
    ("name", "options", "table", "want"),
    [
        ("x.bedpe", {}, LINKS, BEDPE),
        ("x.txt", {"format": "bedpe"}, LINKS, BEDPE),
        ("x.bedpe", {}, LINKS.iloc[:0], BEDPE.partition("\n")[0] + "\n"),
        (
            "x.bedpe",
            {},
            LINKS.iloc[1:2].assign(group="T  cell"),
            "#" + BEDPE.split("\n")[0][1:] + "\tgroup\n" + BEDPE.split("\n")[2] + "\tT_cell\n",
        ),
        (
            "x.interact",
            {"name": "mine"},
            LINKS.assign(group="T cell"),
            track("mine") + INTERACT_HEAD + INTERACT,
        ),
        ("x.interact", {}, LINKS, track("tilegrn links") + INTERACT_HEAD + INTERACT.replace("T_cell", ".")),
        ("x.csv", {}, LINKS, LINKS.to_csv(index=False)),
        ("x.other", {}, LINKS, LINKS.to_csv(index=False)),
        ("x.bedpe", {"format": "csv"}, LINKS, LINKS.to_csv(index=False)),
    ],
)
def test_files_to_the_byte(tmp_path, name, options, table, want):
    before = table.copy()
    write_links(tmp_path / name, table, **options)
    assert (tmp_path / name).read_bytes() == want.encode()
    write_links(f"{tmp_path / name}.gz", table, **options)
    packed = (tmp_path / f"{name}.gz").read_bytes()
    assert gzip.decompress(packed) == want.encode()
    assert packed[4:8] == b"\0" * 4  # no time of writing: the same links give the same file
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            LINKS[["peak", "rank"]],
            {},
            r"no column \['target', 'tss', 'score'\]; it has \['peak', 'rank'\]\. See",
        ),
        (LINKS.assign(peak="here"), {"format": "bedpe"}, "no interval"),
        (LINKS, {"format": "gff"}, r"^format='gff' is unknown; there are 'auto', 'bedpe', 'interact' and 'csv'\."),
    ],
)
def test_nothing_is_written_of_what_cannot_be(tmp_path, table, options, message):
    with pytest.raises(InputError, match=message):
        write_links(tmp_path / "x.csv", table, **options)
    assert list(tmp_path.iterdir()) == []


def test_scores_of_the_browser_are_thousandths(tmp_path):
    scores = [0.0, 0.0004, 0.0006, 0.9994, 0.9996, 1.0]
    table = pd.DataFrame({"peak": "chr1:10-20", "target": "G", "tss": 5, "score": scores})
    write_links(tmp_path / "x.interact", table)
    rows = pd.read_csv(tmp_path / "x.interact", sep="\t", skiprows=1)
    assert rows["score"].tolist() == [0, 0, 1, 999, 1000, 1000]
    np.testing.assert_array_equal(rows["value"], scores)
