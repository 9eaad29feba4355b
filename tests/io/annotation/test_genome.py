import gzip

import numpy as np
import pandas as pd
import pytest

from tilegrn._core.chroms import is_contig
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import (
    ASSEMBLIES,
    assembly_name,
    check_assembly,
    identify_assembly,
    read_chrom_sizes,
    refuse_foreign,
)


def write(tmp_path, text, name="x.sizes"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", ["mm10", "hg38"])
def test_shipped_sizes_equal_the_reference(real_data, name):
    rows = [line.split("\t") for line in real_data(f"reference/{name}.chrom.sizes").read_text().split("\n") if line]
    assert list(read_chrom_sizes(name).items()) == [(c, int(n)) for c, n in rows]


@pytest.mark.parametrize(
    ("name", "n", "total"),  # totals as UCSC gives them for the assembled chromosomes and chrM
    [("mm10", 22, 2725537669), ("mm39", 22, 2723431143), ("mm9", 22, 2654911517), ("hg19", 25, 3095693983)],
)
def test_totals(name, n, total):
    sizes = read_chrom_sizes(name)
    assert (len(sizes), sum(sizes.values())) == (n, total)


@pytest.mark.parametrize("name", ASSEMBLIES)
def test_an_assembly_is_told_by_its_lengths(name):
    sizes = read_chrom_sizes(name)
    assert identify_assembly(sizes) == name
    assert identify_assembly({c.removeprefix("chr"): n for c, n in sizes.items()}) == name
    assert identify_assembly({**sizes, "chr1": sizes["chr1"] + 1}) == ""


def test_names_of_assemblies():
    assert assembly_name("GRCm38") == "mm10"
    assert assembly_name("some/mm10") == ""
    assert read_chrom_sizes("GRCh38") == read_chrom_sizes("hg38")
    assert identify_assembly({"chrM": 16299}) == ""  # shared by all mouse assemblies


@pytest.mark.parametrize(
    "text",
    [
        "chr2\t20\nchr1\t10\n",
        "chr2\t20\r\nchr1\t10\r\n",
        "\ufeff# made by hand\nchr2\t20\n\nchr1\t10",
        gzip.compress(b"chr2\t20\nchr1\t10\n", mtime=0),
        "chr2\t20\t6\t60\t61\nchr1\t10\t40\t60\t61\n",  # .fai
    ],
    ids=["plain", "Windows line ends", "byte-order mark and blank line", "gzip", "fai"],
)
def test_files_keep_their_order(tmp_path, text):
    assert list(read_chrom_sizes(write(tmp_path, text)).items()) == [("chr2", 20), ("chr1", 10)]


BAD_FILES = [
    ("chr1\t10\nchr1\t11\n", r"line 2: chromosome 'chr1' stands there twice \(10 and 11 bp\)"),
    ("chr1\t10\nchr2\t0\n", r"line 2: the length of 'chr2' is 0, which is zero"),
    ("chr1\t-5\n", r"line 1: the length of 'chr1' is -5, which is negative"),
    ("chr1\t1e6\n", r"line 1: the length of 'chr1' is '1e6'; it must be a whole number"),
    ("chr1\t195,471,971\n", r"'195,471,971'; .* digits only"),
    ("chr1\t10\tx\n", r"line 1: 3 columns where 2"),
    ("chr1\t0\t10\n", r"line 1: 3 columns where 2"),
    ("# a\nchr1 10\n", r"line 2: columns are separated by spaces, not tabs: 'chr1 10'. Use tabs"),
    ("chr1\t100000000000\n", "the length of 'chr1' is 100000000000, which is impossibly large; give its length in bp"),
    ("chr1\t1234567890123456789\n", "must be a whole number of bp"),
    ("chr1\t10\t1\t2\tx\n", "line 1: 5 columns where 2"),
    ("\t10\n", "a chromosome has no name"),
    ("# nothing\n", "holds no chromosome sizes"),
    (b"\x1f\x8b\x08\x00broken", "is damaged"),
    (b"chr1\t\xff\xfe10\n", "is no plain text"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_chrom_sizes(write(tmp_path, text))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mm11", "Unknown assembly 'mm11'. Known are mm10"),
        ("no/such/file", "'no/such/file' does not exist"),
        ({"chr1": 1.5}, "'chr1' is 1.5"),
        ({"chr1": True}, "'chr1' is True"),
        ({"chr1": -1}, "negative"),
        ({}, "holds no chromosome sizes"),
        (7, "not int"),
    ],
)
def test_bad_sources(source, message):
    with pytest.raises(InputError, match=message):
        read_chrom_sizes(source)


def test_a_gzip_bomb_stops_at_its_cap(tmp_path):
    path = write(tmp_path, gzip.compress(b"\n" * (65 * 2**20), mtime=0))
    with pytest.raises(InputError, match="holds more than"):
        read_chrom_sizes(path)


def test_main_only_leaves_out_contigs():
    sizes = {"chr1": np.int64(10), "chr1_KI270706v1_random": 5, "GL000192.1": 4, "chrUn_x": 3, "HLA-A": 2, "chr2L": 6}
    assert read_chrom_sizes(sizes, main_only=True) == {"chr1": 10, "chr2L": 6}
    assert not is_contig("chrX")


def test_an_interval_past_the_end_names_excess_and_other_assemblies():
    sizes = read_chrom_sizes("mm39")
    past = read_chrom_sizes("mm10")["chr1"]
    with pytest.raises(
        InputError, match=rf"1 of 2 peaks .* chr1:5-{past} ends {past - sizes['chr1']} bp past chr1 .* mm10"
    ):
        check_assembly(["chr1", "chr2"], [5, 5], [past, 9], sizes, "mm39")
    with pytest.raises(InputError, match=r"TSS .*fit no assembly that is shipped"):
        check_assembly(["chr1"], [5], [10**9], sizes, what="TSS")
    check_assembly(["chr1", "chrNone"], [5, 5], [sizes["chr1"], 10**12], sizes)
    with pytest.raises(InputError, match=r"ends 1 bp past 1 .*fit mm10"):  # named without chr
        check_assembly(["1"], [5], [sizes["chr1"] + 1], {"1": sizes["chr1"]})


def test_sources_that_are_no_files_and_the_longest_chromosome(tmp_path, monkeypatch):
    assert read_chrom_sizes(pd.Series({"a": 1, "b": 99_999_999_999})) == {"a": 1, "b": 99_999_999_999}
    assert read_chrom_sizes({3: 5}) == {"3": 5}
    write(tmp_path, "chr1\t10\n", "mm11")
    monkeypatch.chdir(tmp_path)
    assert read_chrom_sizes("mm11") == {"chr1": 10}  # a file of that name comes before "unknown assembly"


def test_intervals_end_with_their_chromosome():
    sizes = {"chrA": 100, "chrB": 50}
    check_assembly([], [], [], sizes)
    check_assembly(["chrA", "chrB", None], [0, 0, 0], [100, 50, 10**12], sizes)
    with pytest.raises(InputError) as error:
        check_assembly(["chrB", "chrA", "chrB"], [0, 7, 40], [50, 101, 53], sizes)
    assert str(error.value) == (
        "2 of 3 peaks lie past the end of their chromosome: peak chrB:40-53 ends 3 bp past chrB (50 bp in the given "
        "sizes). They fit no assembly that is shipped: give the chromosome sizes that the data were aligned to."
    )


def test_of_the_assemblies_that_fit_those_of_the_species_are_named():
    mm39, hg38 = read_chrom_sizes("mm39"), read_chrom_sizes("hg38")
    with pytest.raises(
        InputError, match=r"in mm39\). All of them fit mm10, mm9: is that"
    ):  # hg38 and hg19 are longer still
        check_assembly(["chr1"], [5], [mm39["chr1"] + 1], mm39)
    with pytest.raises(InputError, match=r"in hg38\). All of them fit hg19: is that"):
        check_assembly(["chr1"], [5], [hg38["chr1"] + 1], hg38)
    with pytest.raises(InputError, match=r"in mm39\). All of them fit hg38, hg19: is that"):
        check_assembly(["chr1", "chrUn_x", "chrM"], [5] * 3, [mm39["chr1"] + 10**7, 9, 9], mm39)
    with pytest.raises(InputError, match="They fit no assembly"):  # as no assembly has such a chromosome
        check_assembly(["chr1", "chrNone"], [5] * 2, [mm39["chr1"] + 10**7, 9], mm39)


@pytest.mark.parametrize("spelling", ["chr", ""])
def test_a_chromosome_that_only_another_assembly_has_tells_of_it(spelling):
    mm10, hg38 = read_chrom_sizes("mm10"), read_chrom_sizes("hg38")
    chrom = [f"{spelling}{c}" for c in ("1", "20", "20", "22", "M")]
    with pytest.raises(InputError) as error:
        refuse_foreign(chrom, [9] * 5, mm10, what="TSS")
    assert str(error.value) == (
        f"3 of 5 TSSs lie on {spelling}20, {spelling}22, which mm10 does not have; hg38 does, and all TSSs fit into "
        "it: is that the assembly of this data? Then give 'hg38'; else remove these TSSs."
    )
    refuse_foreign(chrom, [9, hg38["chr20"], hg38["chr20"] + 1, 9, 9], {"chr1": 5})  # of no shipped assembly
    refuse_foreign([f"{spelling}1", f"{spelling}19", "chrUn_x", "nowhere"], [9] * 4, mm10)
    refuse_foreign(chrom, [9] * 5, {**mm10, "20": 10, "chr20": 10, "22": 10, "chr22": 10})  # the sizes have them
    with pytest.raises(InputError, match="which mm10 does not have; hg38 does"):
        refuse_foreign(chrom, [9, hg38["chr20"], 9, 9, 9], mm10)
    with pytest.raises(InputError, match="which mm10 does not have; hg19 does"):
        refuse_foreign(chrom, [9, 9, 9, hg38["chr22"] + 1, 9], mm10)  # chr22 of hg19 is longer
    refuse_foreign(chrom, [9, 10**9, 9, 9, 9], mm10)  # nor do they fit into another one
