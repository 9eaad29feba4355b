"""Lists of features: what each says of where positions begin, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from tests.io.atac._made import CELLS, PEAKS, counts, folder, named, write

from tilegrn.errors import InputError
from tilegrn.io import read_atac
from tilegrn.io.atac._places import Places, of_table, read_places, settled


def places(start, end=None, **more):
    n = len(start)
    return Places(
        np.array(["chr1"] * n, dtype=object),
        np.array(start),
        None if end is None else np.array(end),
        [f"p{i}" for i in range(n)],
        **{k: np.array(v) if k in ("width", "idx") else v for k, v in more.items()},
    )


def begin_end(found, **options):
    begin, end = settled(found, "x", **{"start": None, "width": None, "sizes": None, **options})
    return list(zip(begin.tolist(), end.tolist(), strict=True))


# What says where positions begin


@pytest.mark.parametrize(
    ("found", "want"),
    [
        (places([11, 31], [20, 60], width=[10, 30]), [(10, 20), (30, 60)]),  # both ends counted
        (places([11, 31], [20, 60], width=[9, 29]), [(11, 20), (31, 60)]),
        (places([11, 31], [20, 60], usual="0-based"), [(11, 20), (31, 60)]),
        (places([0, 11], [9, 60], width=[10, 50]), [(0, 9), (11, 60)]),  # a proof goes before widths
        (places([100, 200, 300], [200, 300, 350]), [(100, 200), (200, 300), (300, 350)]),  # a grid; the last is cut
        (places([101, 201, 301], [200, 300, 350]), [(100, 200), (200, 300), (300, 350)]),
        (places([50, 100, 150], [100, 150, 200]), [(50, 100), (100, 150), (150, 200)]),  # the least tile
        (places([51, 101, 151], [100, 150, 200]), [(50, 100), (100, 150), (150, 200)]),
    ],
)
def test_what_a_source_says_or_proves(found, want):
    assert begin_end(found) == want


@pytest.mark.parametrize(
    "found",
    [
        places([11, 31], [20, 60], width=[10, 29]),  # one counts both ends, one does not
        places([100, 200], [200, 300]),  # two tiles are no grid
        places([49, 98, 147], [98, 147, 196]),  # 49 bp are no tile
        places([50, 99, 148], [98, 147, 196]),
        places([100, 200, 300], [200, 300, 401]),  # one is wider
        places([100, 200, 301], [200, 300, 401]),  # one is off the grid
        places([100, 200, 300, 400], [200, 300, 350, 450]),  # half of them are cut
    ],
)
def test_what_proves_nothing(found):
    with pytest.raises(InputError, match=r"^Nothing in x says whether 'p0' counts from 0 or from 1"):
        begin_end(found)
    assert begin_end(found, start="0-based")[0] == (found.start[0], found.end[0])
    assert begin_end(found, start="1-based")[0] == (found.start[0] - 1, found.end[0])


@pytest.mark.parametrize(
    ("start", "end", "said", "n", "first"),
    [
        ([5, 9], [5, 12], "0-based", 1, "p0"),  # empty
        ([7, 5], [9, 5], "0-based", 1, "p1"),
        ([6, 9], [5, 8], "1-based", 2, "p0"),
        ([-1, 9], [4, 12], "0-based", 1, "p0"),
    ],
)
def test_what_is_no_interval(start, end, said, n, first):
    with pytest.raises(InputError, match=rf"^{n} of 2 features of x are no intervals, e\.g\. '{first}'"):
        begin_end(places(start, end), start=said)
    assert begin_end(places([5], [5]), start="1-based") == [(4, 5)]  # one base, both ends counted


# Tiles listed by their starts


def test_tiles_by_their_numbers():
    numbered = places([0, 500, 1000], idx=[1, 2, 3])
    assert begin_end(numbered) == [(0, 500), (500, 1000), (1000, 1500)]
    assert begin_end(numbered, width=500) == begin_end(numbered)
    with pytest.raises(InputError, match=r"^width=501, but the tiles of x are 500 bp apart by their columns start and"):
        begin_end(numbered, width=501)
    assert begin_end(places([500, 1000, 1500]), width=500) == [(500, 1000), (1000, 1500), (1500, 2000)]
    assert begin_end(places([501, 1001, 1501]), width=500, start="1-based") == [(500, 1000), (1000, 1500), (1500, 2000)]
    with pytest.raises(InputError, match=r"start='1-based' was given for x, but 'p0' starts at 0"):
        begin_end(numbered, start="1-based")


@pytest.mark.parametrize(
    "found",
    [
        places([0, 0]),
        places([0, 0], idx=[1, 1]),  # the first tiles of two chromosomes
        places([0, 500, 999], idx=[1, 2, 3]),  # no whole width
        places([0, 500, 1200], idx=[1, 2, 3]),  # unlike widths
    ],
)
def test_tiles_of_no_known_width(found):
    for width in (None, 0, -5):
        with pytest.raises(InputError, match=r"^x lists starts without ends\. Say how wide its tiles are"):
            begin_end(found, width=width)
    assert begin_end(found, width=1)[0] == (0, 1)


def test_only_the_last_tile_is_cut_at_the_end_of_its_chromosome():
    found = places([0, 500, 1000], [500, 1000, 1500])
    assert begin_end(found, sizes={"chr1": 1001})[-1] == (1000, 1001)
    assert begin_end(found, sizes={"chr1": 1000})[-1] == (1000, 1500)  # lies past it: pp.bin_peaks says so
    assert begin_end(found, sizes={"chr2": 10})[-1] == (1000, 1500)


# Tables


def test_columns_by_their_usual_names():
    table = pd.DataFrame({" Seqnames": ["chr1"], "chromStart": [5.0], "chromEnd": ["9"], "Width": [4], "idx": ["x"]})
    found = of_table(table, "t")
    assert (found.chrom[0], found.start[0], found.end[0], found.width[0]) == ("chr1", 5, 9, 4)
    assert found.names == ["chr1:5"]
    assert found.idx is None  # ArchR numbers its peaks by it
    assert of_table(table, "t", ["a"]).names == ["a"]
    assert of_table(table.drop(columns="chromEnd").assign(idx=2), "t").idx.tolist() == [2]
    assert of_table(table[["chromStart", "chromEnd"]], "t") is None
    assert of_table(table[[" Seqnames", "chromEnd"]], "t") is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, "x", None, 2.0**54])
def test_positions_that_are_none(value):
    table = pd.DataFrame({"chrom": "chr1", "start": [1, value], "end": [9, 12]}, dtype=object)
    with pytest.raises(InputError, match=r"^t: start of row 2 is '.*', not a whole number of bp"):
        of_table(table, "t")
    assert of_table(table.assign(start=[1, 2**53]), "t").start[1] == 2**53


@pytest.mark.parametrize("chrom", [None, np.nan, pd.NA, "", " "])
def test_rows_without_a_chromosome(tmp_path, chrom):
    table = pd.DataFrame(PEAKS, columns=["chrom", "start", "end"]).astype(object)
    table.loc[2, "chrom"] = chrom
    with pytest.raises(InputError, match=r"^features= has rows without a chromosome\. Remove them"):
        read_atac(folder(tmp_path / "x"), features=table)


def test_no_features_at_all(tmp_path):
    made = folder(tmp_path / "x")
    with pytest.raises(InputError, match=r"^features= names no features"):
        read_atac(made, features=pd.DataFrame(PEAKS, columns=["chrom", "start", "end"]).iloc[:0])
    with pytest.raises(InputError, match=r"^the AnnData names no features"):
        read_atac(named([], chrom=[], start=[], end=[]))
    with pytest.raises(InputError, match="There are no peaks"):
        read_atac(named([]))
    write(made / "peaks.bed", "# none\n\n")
    with pytest.raises(InputError, match=r"peaks\.bed' names no features"):
        read_atac(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end\n1,9\n", r"has no rows, or no columns for chromosome and start; it has \['start', 'end'\]"),
        ("chrom,start,end\n", "cannot be read as a table of features: No columns to parse"),
        ("chrom,start,end\nchr1,1,2,3,4\n", r"has no rows, or no columns .* it has \['chrom', 'start', 'end'\]"),
        ("chr1\t1\t9\nchr1\t20\t30\t4\t5\n", "cannot be read as a table of features: .* Expected 3 fields"),
        ('chr1\t1\t9\nchr1\t"20\t30\n', "cannot be read as a table of features: .*EOF inside string"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "peaks.csv"
    write(path, text)
    with pytest.raises(InputError, match=message):
        read_places(path)


@pytest.mark.parametrize(
    ("text", "start", "end", "usual", "names"),
    [
        ("# by hand\nchr1\t5\t9\tname\n", [5], [9], "0-based", ["chr1:5"]),
        ("chr1,5,9\n", [5], [9], "0-based", ["chr1:5"]),
        ("chr1:5-9\n", [5], [9], None, ["chr1:5-9"]),
        ("chr1:5-9\tx\n", [5], [9], None, ["chr1:5-9"]),
        ("chr1:5-9\tx\tPeaks\n", [5], [9], "0-based", ["chr1:5-9"]),
        ("chr1:5-9\tx\tother\n", [5], [9], None, ["chr1:5-9"]),
        ("a\tb\tstart\tchr\n1\t2\t5\tchr7\n", [5], None, None, ["chr7:5"]),
    ],
)
def test_lists_as_they_come(tmp_path, text, start, end, usual, names):
    write(tmp_path / "x.txt", text)
    found = read_places(tmp_path / "x.txt")
    assert found.start.tolist() == start
    assert (None if found.end is None else found.end.tolist()) == end
    assert found.usual == usual
    assert found.names == names


def test_columns_that_agree_with_the_names_say_more():
    """A column of widths says where positions begin; names alone do not."""
    names = [f"{c}:{a}-{b}" for c, a, b in PEAKS]
    a, b = (np.array([p[i] for p in PEAKS]) for i in (1, 2))
    common = {"seqnames": [p[0] for p in PEAKS], "end": b, "width": b - a + 1}
    assert read_atac(named(names, start=a, **common)).var_names[0] == "chr1:99-600"
    with pytest.raises(InputError, match="Nothing in the AnnData says"):
        read_atac(named(names, start=a + 1, **common))  # names and columns differ: names count, which say nothing
    with pytest.raises(InputError, match="Nothing in the AnnData says"):
        read_atac(named(names, start=a, seqnames=common["seqnames"]))


def test_other_columns_are_kept_and_coordinates_are_not_kept_twice():
    names = [f"{c}:{a}-{b}" for c, a, b in PEAKS]
    atac = read_atac(named(names, Width=1, gc=0.5, source_name="mine"), start="0-based")
    assert list(atac.var.columns) == ["chrom", "start", "end", "source_name", "gc"]
    assert atac.var["source_name"].tolist() == names
    assert atac.var["start"].dtype == atac.var["end"].dtype == np.int64
    assert list(atac.obs_names) == CELLS
    np.testing.assert_array_equal(atac.X.toarray(), counts())
