"""Names of chromosomes, and which of another table each of them is."""

import pytest

from tilegrn._core.chroms import is_contig, is_mitochondrial, other_name, pair_chroms
from tilegrn.errors import InputError


@pytest.mark.parametrize(
    ("name", "contig", "mitochondrial"),
    [
        ("chr1", False, False),
        ("X", False, False),
        ("chr1_KI270706v1_random", True, False),
        ("GL000219.1", True, False),
        ("chrUn", True, False),
        ("CHRUNx", True, False),
        ("HLA-A*01", True, False),
        ("chrEBV", True, False),
        ("chrEBV2", False, False),
        ("xchrUn", False, False),
        *((name, False, True) for name in ("chrM", "MT", "mt", "chrMT", "M")),
        ("chrM2", False, False),
    ],
)
def test_kinds_of_names(name, contig, mitochondrial):
    assert (is_contig(name), is_mitochondrial(name)) == (contig, mitochondrial)


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("chr1", ["1"], "1"),
        ("1", ["chr1"], "chr1"),
        ("chr1", ["chr1"], None),
        ("1", ["2"], None),
        ("MT", ["M", "chrMT", "chrM"], "chrM"),
        ("chrM", ["M", "chrMT", "MT"], "MT"),
        ("chrM", ["M", "chrMT"], "chrMT"),
        ("MT", ["1", "M"], "M"),
        ("MT", ["mt", "CHRM"], "CHRM"),
        ("MT", ["1"], None),
    ],
)
def test_the_other_name_of_a_chromosome(name, known, found):
    assert other_name(name, known) == found


PAIRS = {
    "own names": (["chr1", "chr2"], ["chr2", "chr1", "chr3"], {"chr1": "chr1", "chr2": "chr2"}),
    "chr put before all, contigs too": (["1", "GL1.1"], ["chr1", "chrGL1.1"], {"1": "chr1", "GL1.1": "chrGL1.1"}),
    "chr taken away": (["chr1"], ["1"], {"chr1": "1"}),
    "a contig of its own name beside": (["1", "GL1.1"], ["chr1", "GL1.1"], {"1": "chr1", "GL1.1": "GL1.1"}),
    "one main name settles it": (["chr1", "2"], ["chr1", "chr2"], {"chr1": "chr1"}),
    "not all turned": (["1", "banana"], ["chr1"], {}),
    "contigs have no say": (["GL1.1"], ["chrGL1.1"], {"GL1.1": "chrGL1.1"}),
    "contigs agree by chance": (["1", "GL1.1"], ["chr2", "GL1.1"], {"GL1.1": "GL1.1"}),
    "mitochondrial under any name": (["chr1", "MT"], ["chr1", "chrM"], {"chr1": "chr1", "MT": "chrM"}),
    "mitochondrial has no say": (["1", "MT"], ["chr1", "MT"], {"1": "chr1", "MT": "MT"}),
    "nothing there": (["x"], ["y"], {}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs(case):
    names, known, pairs = PAIRS[case]
    found = pair_chroms(iter(names), known, "peak")
    assert found == pairs
    assert list(found) == [name for name in names if name in pairs]


def test_any_one_will_do_where_not_all_must_be_there():
    assert pair_chroms(["1", "banana"], ["chr1"], "pair", total=False) == {"1": "chr1"}
    assert pair_chroms(["banana"], ["chr1"], "pair", total=False) == {}
    assert pair_chroms(["chr2", "1"], ["chr1", "chr2"], "pair", total=False) == {"chr2": "chr2"}
    assert pair_chroms(["chr2", "GL1.1"], ["chr1", "chrGL1.1"], "pair", total=False) == {}


@pytest.mark.parametrize(
    ("names", "known", "message"),
    [
        (
            ["chrM", "MT"],
            ["chrM"],
            r"^The peaks name one chromosome in two ways, 'chrM' and 'MT' \('chrM'\)\. Rename one",
        ),
        (["M", "chrMT"], ["MT"], r"'M' and 'chrMT' \('MT'\).* of them in the peak names"),
    ],
)
def test_two_names_of_one_chromosome(names, known, message):
    with pytest.raises(InputError, match=message):
        pair_chroms(names, known, "peak")
