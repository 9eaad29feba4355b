"""The four motif formats line by line, limits of what a motif may be, and writing."""

import itertools
import math

import numpy as np
import pytest

from tilegrn.errors import InputError
from tilegrn.motifs import _files
from tilegrn.motifs._files import consensus, jaspar_motifs, read_motifs, write_motifs
from tilegrn.motifs._motif import Motif


def write(tmp_path, text):
    path = tmp_path / "m.txt"
    path.write_text(text)
    return path


def read(tmp_path, text, **options):
    return read_motifs(write(tmp_path, text), **options)


SURE = "1\t0\t0\t0\n"
ROW = "0.7\t0.1\t0.1\t0.1\n"


# What a file is taken for


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f">A\tx\t1\n{SURE * 4}", "homer"),
        (f"\n\n>A\tx\n{SURE * 4}", "homer"),
        (">x\n1 0\n\n0 1\n0 0\n0 0\n", "pfm"),  # blank lines do not count
        (">x\n1 0\n0 1\n0 0\n0 0\n>y\n1 0\n0 1\n0 0\n", "pfm"),  # the first motif tells
        (">x\n1 0 0\n0 1 0\n0 0 1\n", "homer"),
        (">x\ty\t1\n1 0\n0 1\n0 0\n0 0\n", "homer"),  # three columns in the header
        (">x\ty\n1 0\n0 1\n0 0\n0 0\n", "pfm"),
        (">x\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "homer"),
        (">x\nA [1 0]\n", "jaspar"),
        (">x\nt 1 0\n", "jaspar"),
        (">x\n\nA  1 0\n", "jaspar"),
        (">x\n", "homer"),
        ("MEME version 4\n", "meme"),
        ("# ours\n\n  meme VERSION 5\n", "meme"),
        ("hello\nMOTIF x\n", "meme"),
    ],
)
def test_the_first_lines_tell_the_format(text, kind):
    assert _files.recognise(text.splitlines(), "'f'") == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nhello\n>x\n", r"^'f', line 2: 'hello' begins no motif\. HOMER, JASPAR and PFM files begin with '>'"),
        ("MEMEversion\nMOTIF\n", "line 1: 'MEMEversion' begins no motif"),
        (" \n <xml>\n", r"^'f', line 2: '<xml>' is HTML or XML\."),
    ],
)
def test_what_is_no_motif_file(text, message):
    with pytest.raises(InputError, match=message):
        _files.recognise(text.splitlines(), "'f'")


# Line by line


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("homer", f"{SURE}>A\tx\t1\n{SURE}", r"^'.*m\.txt', line 1: numbers before the first header '>'\."),
        ("pfm", "1 0\n>x\n1\n0\n0\n0\n", "line 1: numbers before the first header '>'"),
        ("jaspar", ">\nA 1\n", r"line 1: the motif has no name\."),
        ("homer", ">\nA 1\n", r"line 1: the motif has no name: '>'\. Its second column is the name"),
        (
            "meme",
            "MEME version 4\nletter-probability matrix: w= 1\n",
            "line 2: a matrix before the first 'MOTIF' line",
        ),
        ("pfm", ">x\n1 0\n0 1\n0 0\n0 0\n0 0\n", "line 6: motif 'x' has more than one row for A; it needs four"),
        ("pfm", ">x\n1 0\n0 1\n0 0\n0\n", r"line 1: motif 'x' needs .* \(found A: 2, C: 2, G: 2, T: 1\)"),
        ("pfm", ">x\n>y\n1\n1\n1\n1\n", r"line 1: motif 'x' needs four rows of one length \(found none\)"),
        ("jaspar", ">x\nA [1 z]\n", r"line 2: the value 'z' is no finite number\."),
        (
            "homer",
            f">A\tx\tinf\n{SURE}",
            r"line 1: the threshold \(third column\) of motif 'x' 'inf' is no finite",
        ),
        (
            "meme",
            "MEME version 4\nMOTIF x\nletter-probability matrix: w= 2\n1 0 0 0\n",
            r"line 2: motif 'x' states w= 2 ",
        ),
        ("meme", "MOTIF x\nletter-probability matrix: w= 1\n1 0 0 0\n1 0 0 0\n", "states w= 1 but has 2 rows; is the"),
        (
            "meme",
            "MOTIF x\nletter-probability matrix: alength= 5\n",
            "line 2: alength is 5; DNA motifs have 4 col",
        ),
        ("meme", "ALPHABET= ACGU\nMOTIF x\n", r"line 1: the alphabet is 'ACGU'; DNA motifs \(ACGT\) are needed"),
    ],
)
def test_lines_that_cannot_be(tmp_path, kind, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, pvalue=0.5, format=kind)


def test_blank_lines_and_columns_of_homer(tmp_path):
    text = f"\n>A\t one \t 2.5 \tmore\t0\n\n{SURE}\n{ROW}\n>two\n{ROW}>\tthree\t\n{SURE}"
    with pytest.raises(
        InputError, match=r"line 8: motif 'two' has no threshold \(2 of 3 motifs have none\)\. Give pvalue="
    ):
        read(tmp_path, text)
    found = read(tmp_path, text, pvalue=0.5)
    assert [(m.name, m.consensus, m.length) for m in found] == [("one", "A", 2), ("two", "A", 1), ("three", "A", 1)]
    assert read(tmp_path, f">A\tx\t0\n{SURE}")[0].threshold == 0


def test_blank_lines_of_pfm_and_letters_in_any_order(tmp_path):
    assert read(tmp_path, "\n>x\n\n1 0\n\n0 1\n0 0\n0 0\n\n", pvalue=0.5)[0].consensus == "AC"
    assert read(tmp_path, ">x\nT [0 1]\ng [0 0]\nC 1 0\nA [ 0 0 ]\n", pvalue=0.5)[0].consensus == "CT"


@pytest.mark.parametrize(
    "alphabet", ["ALPHABET= ACGT", 'ALPHABET "DNA" DNA-LIKE', 'alphabet "x" dna-like', "ALPHABET=acgt"]
)
def test_alphabets_of_dna(tmp_path, alphabet):
    text = f"MEME version 5\n{alphabet}\nMOTIF x\nletter-probability matrix:\n1 0 0 0\n\n0 1 0 0\n"
    assert read(tmp_path, text, pvalue=0.5)[0].length == 1  # a blank line ends a matrix


def test_a_matrix_of_meme_ends_where_its_numbers_do(tmp_path):
    head = "MEME version 5\nMOTIF x\n"
    text = head + "letter-probability matrix: w= 1\n\n .5 .5 0 0\nURL 1 0 0 0\n1 0 0 0\nSUMMARY OF MOTIFS\nMOTIF y\n"
    found = read(tmp_path, text, pvalue=0.5)
    assert [m.name for m in found] == ["x"]
    assert found[0].probabilities.tolist() == [[0.5, 0.5, 0, 0]]


# What a motif may be


def test_no_more_than_200_positions(tmp_path):
    assert read(tmp_path, f">A\tx\t1\n{SURE * 200}")[0].length == 200
    with pytest.raises(InputError, match=r"line 1: motif 'x' has 201 positions; 1 to 200 are possible\."):
        read(tmp_path, f">A\tx\t1\n{SURE * 201}")


@pytest.mark.parametrize(("value", "fits"), [(0.749, True), (0.751, False), (0.651, True), (0.649, False)])
def test_rows_sum_to_one_as_far_as_they_are_rounded(tmp_path, value, fits):
    text = f">A\tx\t1\n{SURE}{value}\t0.1\t0.1\t0.1\n"
    if fits:
        assert read(tmp_path, text)[0].probabilities[1].tolist() == [value, 0.1, 0.1, 0.1]  # as given
    else:
        with pytest.raises(InputError, match=rf"line 3: motif 'x', position 2 sums to {value + 0.3:g}, not 1\. Give"):
            read(tmp_path, text)


def test_pseudocounts_fill_empty_positions(tmp_path):
    text = ">x\n3 0\n1 0\n0 0\n0 0\n"
    with pytest.raises(InputError, match=r"line 1: motif 'x', position 2 has no counts\."):
        read(tmp_path, text, pvalue=0.9)
    found = read(tmp_path, text, pvalue=0.9, pseudocount=1)[0].probabilities
    np.testing.assert_allclose(found, [[4 / 8, 2 / 8, 1 / 8, 1 / 8], [0.25] * 4])
    assert read(tmp_path, text.replace(" 0", ""), pvalue=0.9)[0].probabilities.tolist() == [[0.75, 0.25, 0, 0]]
    for pseudocount in (-0.5, math.inf, math.nan):
        with pytest.raises(InputError, match=r"^pseudocount is .*; it must be 0 or more\."):
            read(tmp_path, text, pseudocount=pseudocount)
    with pytest.raises(InputError, match=r"line 1: motif 'x', position 2 has the negative value -2\."):
        read(tmp_path, ">x\n3 1\n1 -1\n0 -2\n0 9\n", pvalue=0.9)


def test_names_that_occur_twice_are_told_and_kept(tmp_path):
    text = "".join(
        f">A\t{name}\t{t}\n{SURE}" for name, t in (("z", 1), ("b", 2), ("z", 3), ("b", 4), ("b", 5), ("c", 6))
    )
    with pytest.warns(
        UserWarning, match=r"m\.txt': 2 motif names occur more than once \(e\.g\. 'b'\); their hits"
    ) as told:
        found = read_motifs(write(tmp_path, text))
    assert told[0].filename == __file__
    assert [(m.name, m.threshold) for m in found] == list(zip("zbzbbc", range(1, 7), strict=True))


def test_a_motif_as_long_as_its_pvalue_asks_for(tmp_path):
    text = f">A\tx\n{SURE * 2}"
    (found,) = read(tmp_path, text, pvalue=1 / 16)  # one word of 16
    scores = [sum(found.log_odds[i, w[i]] for i in range(2)) for w in itertools.product(range(4), repeat=2)]
    assert sum(s >= found.threshold for s in scores) == 1
    with pytest.warns(UserWarning, match=r"^1 motifs are too short for pvalue=0\.0624 \(e\.g\. 'x'\)") as told:
        read_motifs(write(tmp_path, text), pvalue=0.0624)
    assert told[0].filename == __file__


# Writing


def test_what_is_written_is_read_back_bit_by_bit(tmp_path):
    rng = np.random.default_rng(0)
    motifs = [
        Motif("a b", rng.dirichlet(np.ones(4), 7), np.float64(math.pi), "ACGTNNN"),
        Motif("b", rng.dirichlet(np.ones(4), 3), np.float32(0.1)),
        Motif("c", np.eye(4), 3),
    ]
    write_motifs(iter(motifs), tmp_path / "m.motif")
    again = read_motifs(tmp_path / "m.motif")
    for one, other in zip(motifs, again, strict=True):
        assert (other.name, other.threshold) == (one.name, float(one.threshold))
        assert other.consensus == (one.consensus or consensus(one.probabilities))
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert (tmp_path / "m.motif").read_text().splitlines()[-5] == ">ACGT\tc\t3.0"
    with pytest.raises(InputError, match="tab or line break"):
        write_motifs([motifs[0], Motif("x", np.eye(4), 1.0, "A\tC")], tmp_path / "m.motif")
    assert len(read_motifs(tmp_path / "m.motif")) == 3


# JASPAR's database


def test_profiles_of_a_species_are_those_of_pyjaspar():
    pyjaspar = pytest.importorskip("pyjaspar")
    database = pyjaspar.jaspardb(release="JASPAR2024")
    want = database.fetch_motifs(collection="CORE", tax_group=["vertebrates"], species=["10116"])
    database.conn.close()
    found = jaspar_motifs(species="10116", pvalue=0.01, pseudocount=0.5)  # the rat has few
    assert len(found) > 1
    assert [m.name for m in found] == sorted(f"{m.matrix_id} {m.name}" for m in want)
    one = min(want, key=lambda m: m.matrix_id)
    counts = np.array([one.counts[b] for b in "ACGT"]).T + 0.5
    np.testing.assert_allclose(found[0].probabilities, counts / counts.sum(axis=1, keepdims=True))


def test_profiles_that_are_not_there_and_names_given_twice():
    pytest.importorskip("pyjaspar")
    for pvalue in (0, 1, 1.5, math.nan):
        with pytest.raises(InputError, match=r"^pvalue is .*; it must lie between 0 and 1, e\.g\. pvalue=1e-4\."):
            jaspar_motifs(["CTCF"], pvalue=pvalue)
    with pytest.raises(InputError, match=r"^JASPAR2024 \(CORE\) has no profile 'MA9999'\. Give a TF name"):
        jaspar_motifs(["MA9999"])
    with pytest.raises(InputError, match=r"^JASPAR2024 \(CORE\) has no profile for \{'collection': 'CORE', "):
        jaspar_motifs(species=1)
    (found,) = jaspar_motifs(["MA0035.4", "MA0035.4"], species=1)  # which is ignored for identifiers
    assert found.name == "MA0035.4 GATA1"
    assert [m.name for m in jaspar_motifs(["GATA1"], species=9606)] == ["MA0035.5 GATA1"]
    with pytest.raises(InputError, match="has no profile 'GATA1'"):
        jaspar_motifs(["GATA1"], species=10116)
    with pytest.raises(InputError, match="is no TF name, matrix id"):
        jaspar_motifs(["CTCF"], collection="CORE'")
