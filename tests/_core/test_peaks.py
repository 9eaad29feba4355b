import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilegrn._core.peaks import match_chroms, parse_peaks
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import read_chrom_sizes

MM10 = read_chrom_sizes("mm10")
CHROMS = ["chr1", "1", "chr1_KI270706v1_random", "HLA-A*01:01:01:01", "chrX", "GL000192.1", "2L", "chrUn_1-2"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CHROMS),
            st.integers(0, 3 * 10**9),
            st.integers(1, 10**6),
            st.sampled_from([":-", "--", "__"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[:3],
    )
)
def test_every_spelling_is_read(rows):
    names = []
    for chrom, start, width, (a, b), commas in rows:
        form = "{:,}" if commas else "{}"
        names.append(chrom + a + form.format(start) + b + form.format(start + width))
    chrom, start, end = parse_peaks(names)
    assert list(zip(chrom, start, end, strict=True)) == [(c, s, s + w) for c, s, w, _, _ in rows]
    assert start.dtype == end.dtype == np.int64


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "There are no peaks"),
        (["chr1:1-2", "b'chr1:3-4'"], r"1 of 2 .*b'chr1:3-4'' \(number 1\).*printed form of bytes"),
        ([b"chr1:3-4"], "printed form of bytes"),
        (["chr1:5-5"], r"'chr1:5-5' \(number 0\), has start >= end"),
        (
            ["chr1:1-2", "chr1:7-5", "chr1:9-5"],
            r"2 of 3 .*'chr1:7-5' \(number 1\), 'chr1:9-5' \(number 2\), have start >= end",
        ),
        (["chr1:-5-5"], "negative position"),
        (["chr1--5-5"], "negative position"),
        (["chr1_-5_5"], "negative position"),
        (["chr1:1e6-2e6"], "no whole number"),
        (["chr1:1e6-2000000"], "no whole number"),
        (["chr1:1.0-2.0"], "no whole number"),
        (["Sox2"], "no interval. Name peaks chrom:start-end"),
        (["chr1:10"], "no interval"),
        (["chr1\t1\t2"], "blanks between"),
        (["chr1:1-2\nchr1:3-4"], "1 of 1"),
        (["chr1:1-99999999999999999999"], "no interval"),
        (["chr1:1-2", "chr2:1-2", "chr1:1-2"], r"'chr1:1-2' \(number 0\) and 'chr1:1-2' \(number 2\) are the same"),
        (["chr1:1000-2000", "chr1_1,000_2,000"], "same interval"),
    ],
)
def test_bad_names(names, message):
    with pytest.raises(InputError, match=message):
        parse_peaks(names)


def test_a_quarter_million_names():
    start = np.sort(np.random.default_rng(0).choice(10**8, 225_000, replace=False))
    chrom, first, last = parse_peaks([f"chr{1 + i % 19}:{s}-{s + 300}" for i, s in enumerate(start)])
    np.testing.assert_array_equal(first, start)
    np.testing.assert_array_equal(last, start + 300)
    assert [str(c) for c in chrom[:20]] == [f"chr{1 + i % 19}" for i in range(20)]


def test_names_without_chr_are_mapped_only_as_a_whole(caplog):
    with caplog.at_level(logging.INFO, logger="tilegrn._core.peaks"):
        assert match_chroms(["1", "X", "1"], MM10) == {"1": "chr1", "X": "chrX"}
    assert "named '1'" in caplog.text
    assert match_chroms(["chr1"], {"1": 5, "2": 5}) == {"chr1": "1"}
    with pytest.raises(InputError, match="did you mean 'chr1'"):
        match_chroms(["1", "chr1"], MM10)
    with pytest.raises(InputError, match="'1'"):
        match_chroms(["1", "99"], MM10)
    with pytest.warns(UserWarning, match="mitochondrial"):
        assert match_chroms(["1", "MT"], MM10) == {"1": "chr1", "MT": "chrM"}


@pytest.mark.parametrize(("chrom", "near"), [("Chr1", "chr1"), ("Chr1L", "chr1"), ("CHRX", "chrX"), ("chr 1", "chr1")])
def test_misspelt_chromosomes_are_errors_with_a_suggestion(chrom, near):
    with pytest.raises(InputError, match=f"Chromosome '{chrom}' of 1 peaks .*did you mean '{near}'"):
        match_chroms([*["chr1"] * 99, chrom], MM10)


def test_absent_chromosomes_are_counted_and_beyond_5_percent_refused():
    rows = ["chr1"] * 95 + ["chr21"] * 3 + ["GL1.1"] * 2
    with pytest.warns(UserWarning, match=r"5 of 100 peaks lie on chromosomes that are not in mm10: chr21, GL1.1\."):
        assert match_chroms(rows, MM10, assembly="mm10") == {"chr1": "chr1"}
    with pytest.raises(InputError, match=r"6 of 101 .*5\.9%, more than 5%: is this the right assembly"):
        match_chroms([*rows, "chr21"], MM10)
    assert match_chroms([*rows, "chr21", "Chr1"], MM10, max_absent=None) == {"chr1": "chr1"}


def test_contigs_and_mitochondria_that_are_there_are_counted():
    with pytest.warns(UserWarning, match="1 of 3 peaks lie on the mitochondrial genome"):
        match_chroms(["chr1", "chr1", "chrM"], MM10)
    with pytest.warns(UserWarning, match=r"2 of 3 peaks lie on contigs or patches \(chr1_x_random\)"):
        match_chroms(["chr1", "chr1_x_random", "chr1_x_random"], {**MM10, "chr1_x_random": 5})


ENSEMBL = ["1", "X", "1", "GL456210.1", "MT"]


@pytest.mark.filterwarnings("ignore:.*contigs or patches", "ignore:.*mitochondrial")
@pytest.mark.parametrize(
    "extra", [["GL456210.1"], ["chrGL456210.1"], ["GL456210.1", "MT"], ["M"], ["chrMT", "other_1"]]
)
def test_main_chromosomes_decide_whatever_contigs_and_mitochondria_are_called(extra):
    sizes = {**{c: n for c, n in MM10.items() if c != "chrM"}, **dict.fromkeys(extra, 10**6)}
    rows = ENSEMBL if any("GL" in e for e in extra) else [r for r in ENSEMBL if r != "GL456210.1"]
    rows = rows if any("M" in e for e in extra) else [r for r in rows if r != "MT"]
    got = match_chroms(rows, sizes)
    assert (got["1"], got["X"]) == ("chr1", "chrX")
    for name, other in got.items():
        assert other in sizes
        assert other.removeprefix("chr").replace("MT", "M") == name.replace("MT", "M")
    assert set(got) == set(rows)
    assert match_chroms(rows, sizes, what="TSS", max_absent=None) == got


@pytest.mark.filterwarnings("ignore:.*mitochondrial")
@pytest.mark.parametrize("theirs", ["chrM", "MT", "M", "chrMT", "chrm"])
@pytest.mark.parametrize("mine", ["chrM", "MT", "M", "chrMT", "mt"])
def test_the_mitochondrial_genome_has_many_names(mine, theirs):
    for prefix in ("chr", ""):
        got = match_chroms([*["chr1"] * 9, mine], {f"{prefix}1": 5, theirs: 5})
        assert got == {"chr1": f"{prefix}1", mine: theirs}


@pytest.mark.parametrize("twins", [["chrM", "MT"], ["MT", "M"]])
def test_one_chromosome_under_two_names_is_an_error(twins):
    for limit in (0.05, None):
        with pytest.raises(InputError, match=rf"one chromosome in two ways, '{twins[0]}' and '{twins[1]}' \('chrM'\)"):
            match_chroms(["chr1", *twins], MM10, max_absent=limit)
    with pytest.raises(InputError, match=r"'1' of 2 TSSs.*did you mean 'chr1'"):
        match_chroms(["1", "chr1", "1"], MM10, what="TSS", max_absent=None)
    for limit in (0.05, None):
        with pytest.raises(InputError, match=r"'chr2' of 1 peaks.*did you mean '2'"):
            match_chroms([*["1"] * 99, "chr2"], {"1": 5, "2": 5}, max_absent=limit)


def test_tables_wider_than_the_assembly_are_renamed_too():
    sizes = {"chr1": 5, "chr2": 5}
    assert match_chroms(["1", "2", "Y", "GL1.1"], sizes, max_absent=None) == {"1": "chr1", "2": "chr2"}
    assert match_chroms(["chr9", "chr1"], {"1": 5}, max_absent=None) == {"chr1": "1"}
