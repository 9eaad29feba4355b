"""Motif files: the formats, thresholds from p-values, and what is wrong with a file."""

from __future__ import annotations

import gzip
import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motifs._meme_texts import DREME, STREME, full_meme
from tilegrn.errors import InputError, ToolError
from tilegrn.motifs import _files
from tilegrn.motifs._files import jaspar_motifs, read_motifs, write_motifs
from tilegrn.motifs._motif import Motif
from tilegrn.motifs._pvalue import score_threshold, tail_probability
from tilegrn.motifs._resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

HOMER = ">ACG\tA(Zf)/x/Homer\t2.5\t-100.0\t0\tT:1\n0.7\t0.1\t0.1\t0.1\n0.1\t0.7\t0.1\t0.1\n0.1\t0.1\t0.799\t0.001\n"
HOMER += ">TT\tB\t1.25\n0.1\t0.1\t0.1\t0.7\n0\t0\t0\t1\n"
MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF MA1.1 Sox2
letter-probability matrix: alength= 4 w= 3 nsites= 20 E= 0
 0.7 0.1 0.1 0.1
 0.1 0.7 0.1 0.1
 0.1 0.1 0.799 0.001
URL http://jaspar

MOTIF B
letter-probability matrix: alength= 4 w= 2
0.1 0.1 0.1 0.7
0 0 0 1
"""
JASPAR = """>MA1.1\tSox2
A  [ 7 1 1 ]
C  [ 1 7 1 ]
G  [ 1 1 8 ]
T  [ 1 1 0 ]
>B
A [1 0]
C [1 0]
G [1 0]
T [7 10]
"""
PFM = ">MA1.1 Sox2\n7 1 1\n1 7 1\n1 1 8\n1 1 0\n>B\n1 0\n1 0\n1 0\n7 10\n"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "motifs.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_real_homer_files(real_data):
    for name, n, twice in (
        ("motifs/homer_v5.0.1_vertebrates_known.motifs", 471, "RORgt(NR)/EL4-RORgt.Flag-ChIP-Seq(GSE56019)/Homer"),
        ("homer/homer_v4.9.1_vertebrates_known.motifs", 364, "RAR:RXR(NR),DR5/ES-RAR-ChIP-Seq(GSE56893)/Homer"),
    ):
        with pytest.warns(UserWarning, match="1 motif names occur more than once") as caught:
            motifs = read_motifs(real_data(name))
        assert twice in str(caught[0].message)
        assert len(motifs) == n
        assert sum(m.name == twice for m in motifs) == 2
        first = motifs[0]
        assert (first.name, first.threshold, first.consensus) == (
            "AP-1(bZIP)/ThioMac-PU.1-ChIP-Seq(GSE21512)/Homer",
            6.049537,
            "ATGACTCATC",
        )
        np.testing.assert_array_equal(first.probabilities[0], [0.419, 0.275, 0.277, 0.028])


def test_writing_and_reading_back_is_exact(real_data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        motifs = read_motifs(real_data("motifs/homer_v5.0.1_vertebrates_known.motifs"))
        write_motifs(motifs, tmp_path / "again.motif")
        again = read_motifs(tmp_path / "again.motif")
    for one, other in zip(motifs, again, strict=True):
        assert (one.name, one.threshold, one.consensus) == (other.name, other.threshold, other.consensus)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("dress", ["plain", "gzip", "bom", "crlf", "no last line end"])
def test_dresses(tmp_path, dress):
    data = HOMER.encode()
    if dress == "gzip":
        data = gzip.compress(data)
    if dress == "bom":
        data = b"\xef\xbb\xbf" + data
    if dress == "crlf":
        data = data.replace(b"\n", b"\r\n")
    if dress == "no last line end":
        data = data.rstrip()
    motifs = read_motifs(write(tmp_path, data))
    assert [(m.name, m.threshold, m.consensus, m.length) for m in motifs] == [
        ("A(Zf)/x/Homer", 2.5, "ACG", 3),
        ("B", 1.25, "TT", 2),
    ]


@pytest.mark.parametrize(
    ("text", "names"), [(MEME, ["MA1.1 Sox2", "B"]), (JASPAR, ["MA1.1 Sox2", "B"]), (PFM, ["MA1.1 Sox2", "B"])]
)
def test_formats_without_thresholds(tmp_path, text, names):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=r"has no threshold \(2 of 2 motifs have none\). Give pvalue="):
        read_motifs(path)
    motifs = read_motifs(path, pvalue=0.2)
    assert [m.name for m in motifs] == names
    np.testing.assert_allclose(motifs[0].probabilities[0], [0.7, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(motifs[1].probabilities[1], [0, 0, 0, 1])
    for m in motifs:
        scores = [
            sum(m.log_odds[i, w[i]] for i in range(m.length)) for w in itertools.product(range(4), repeat=m.length)
        ]
        assert np.mean(np.array(scores) >= m.threshold) <= 0.2


STATISTICS = "width =   3  sites =  20  llr = 131  p-value = 1.0e-12  E-value = 1.3e-019"


def full(one, other, version="5.5.5"):
    """MEME's text with these two headers, between which tab or spaces stand before the statistics."""
    return full_meme(one + STATISTICS, other + STATISTICS, version=version)


MEME_TEXTS = {
    "5": (full("MOTIF ACG MEME-1\t", "MOTIF TT MEME-2\t"), ["ACG MEME-1", "TT MEME-2"]),
    "5, spaces": (full("MOTIF ACG MEME-1 ", "MOTIF TT MEME-2 "), ["ACG MEME-1", "TT MEME-2"]),
    "4.9": (full("MOTIF  1 MEME-1\t", "MOTIF  2 MEME-2\t", "4.9.1"), ["1 MEME-1", "2 MEME-2"]),
    "3": (full("MOTIF  1\t", "MOTIF100\t", "3.0"), ["1", "100"]),
    "streme": (STREME, ["1-ACG STREME-1", "2-TT STREME-2"]),
    "dreme": (DREME, ["ACG DREME-1", "TT DREME-2"]),
}


@pytest.mark.parametrize("dress", ["plain", "crlf", "gzip"])
@pytest.mark.parametrize(("text", "names"), MEME_TEXTS.values(), ids=MEME_TEXTS)
def test_text_outputs_of_the_meme_suite(tmp_path, text, names, dress):
    data = text.encode()
    data = {"plain": data, "crlf": data.replace(b"\n", b"\r\n"), "gzip": gzip.compress(data)}[dress]
    motifs = read_motifs(write(tmp_path, data), pvalue=0.2)
    assert [m.name for m in motifs] == names
    minimal = read_motifs(write(tmp_path, MEME), pvalue=0.2)
    for one, other in zip(motifs, minimal, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


NEWER = ["MA0035.4 GATA1", "MA0091.1 TAL1::TCF3"]


@pytest.mark.parametrize(
    "text",
    [
        MEME.replace("MA1.1 Sox2", "MA0035.4 MA0035.4.GATA1").replace("MOTIF B", "MOTIF MA0091.1 MA0091.1.TAL1::TCF3"),
        MEME.replace("MOTIF MA1.1 Sox2", "MOTIF MA0035.4 GATA1").replace("MOTIF B", "MOTIF  MA0091.1\tTAL1::TCF3"),
        JASPAR.replace(">MA1.1\tSox2", ">MA0035.4\tMA0035.4.GATA1").replace(">B", ">MA0091.1\tTAL1::TCF3"),
        PFM.replace(">MA1.1 Sox2", ">MA0035.4 GATA1").replace(">B", ">MA0091.1 MA0091.1.TAL1::TCF3"),
    ],
)  # fmt: skip
def test_newer_names_of_jaspar(tmp_path, text):
    motifs = read_motifs(write(tmp_path, text), pvalue=0.2)
    assert [m.name for m in motifs] == NEWER
    found = resolve([m.name for m in motifs], ["GATA1", "TAL1", "TCF3"])
    assert found.tfs == {NEWER[0]: ("GATA1",), NEWER[1]: ("TAL1", "TCF3")}


def test_html_is_no_motif_file(tmp_path):
    with pytest.raises(InputError, match=r"is HTML or XML\. Give the text output of the same run"):
        read_motifs(write(tmp_path, "<!DOCTYPE HTML>\n<html>\nMOTIF x\n"), pvalue=0.1)


def test_pseudocounts(tmp_path):
    motif = read_motifs(write(tmp_path, PFM), pvalue=0.2, pseudocount=0.5)[0]
    np.testing.assert_allclose(motif.probabilities[2], [1.5 / 12, 1.5 / 12, 8.5 / 12, 0.5 / 12])


def test_pvalue_replaces_the_thresholds_of_a_homer_file(tmp_path):
    path = write(tmp_path, HOMER)
    assert [m.threshold for m in read_motifs(path, pvalue=0.3)] != [m.threshold for m in read_motifs(path)]


def test_a_named_format_is_taken(tmp_path):
    square = ">x\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    path = write(tmp_path, square)
    assert read_motifs(path, pvalue=0.3, format="pfm")[0].consensus == "ACGT"
    with pytest.raises(InputError, match="spaces, not tabs"):
        read_motifs(path, pvalue=0.3)
    with pytest.raises(InputError, match="format 'transfac' is unknown"):
        read_motifs(path, format="transfac")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("hello\n", "line 1: 'hello' begins no motif"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\t0.7\t0.1\n"), "line 3: .* 3 columns, not 4"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\t0.7\t0.1\t0.1\t0\n"), "line 3: .* 5 columns, not 4"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1 0.7 0.1 0.1\n"), "line 3: .*separated by spaces, not tabs"),
        (
            HOMER.replace(">ACG\tA(Zf)/x/Homer\t2.5", ">ACG A(Zf)/x/Homer 2.5"),
            "line 1: columns are separated by spaces",
        ),
        (HOMER.replace(">TT\tB\t1.25", ">TT B 1.25"), "line 5: columns are separated by spaces"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "10\t70\t10\t10\n"), "line 3: .*position 2 sums to 100, not 1"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\t0.1\t0.1\t0.1\n"), "line 3: .*sums to 0.4"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\t0.7\t0.3\t-0.1\n"), "line 3: .*negative value -0.1"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\tx\t0.1\t0.1\n"), "line 3: the value 'x' is no finite number"),
        (HOMER.replace("0.1\t0.7\t0.1\t0.1\n", "0.1\tnan\t0.1\t0.1\n"), "line 3: the value 'nan'"),
        (HOMER.replace("\t1.25", ""), r"line 5: motif 'B' has no threshold \(1 of 2"),
        (HOMER.replace("\t1.25", "\tNA"), "line 5: the threshold .* 'NA' is no finite number"),
        (HOMER.replace("\tB\t", "\t\t"), "line 5: the motif has no name"),
        (">TT\tB\t1.25\n>AA\tC\t1\n1\t0\t0\t0\n", "line 1: motif 'B' has 0 positions"),
        (MEME.replace(" 0.1 0.7 0.1 0.1\n", " 0.1 0.7 0.1\n"), "3 columns, not 4"),
        (MEME.replace(" 0.1 0.7 0.1 0.1\n", ""), "states w= 3 but has 2 rows; is the file cut short"),
        (MEME.replace("alength= 4 w= 2", "alength= 20 w= 2"), "alength is 20"),
        (MEME.replace("ALPHABET= ACGT", "ALPHABET= ACDEFGHIKLMNPQRSTVWY"), "DNA motifs"),
        ("MEME version 4\n", "holds no motif"),
        (DREME.replace('"DNA" DNA-LIKE', '"RNA" RNA-LIKE'), "the alphabet is .*RNA.*; DNA motifs"),
        (STREME.replace("MOTIF 2-TT STREME-2", ""), "has a second matrix"),
        (MEME.replace("MOTIF B", "MOTIF width = 2"), "line 17: the motif has no name"),
        (JASPAR.replace("T  [ 1 1 0 ]\n", ""), "line 1: motif 'MA1.1 Sox2' needs four rows of one length"),
        (JASPAR.replace("[ 1 1 0 ]", "[ 1 1 ]"), "needs four rows of one length"),
        (JASPAR.replace("T  [ 1 1 0 ]", "A  [ 1 1 0 ]"), "line 5: .*more than one row for A"),
        (JASPAR.replace("A [1 0]", "A [-1 0]"), "negative"),
        (JASPAR.replace("T [7 10]", "T [7 0]"), "position 2 has no counts"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_motifs(
            write(tmp_path, text), pvalue=None if text.startswith((">ACG", ">TT", "")) and "[" not in text else 0.1
        )


def test_bad_arguments_and_damage(tmp_path, monkeypatch):
    path = write(tmp_path, HOMER)
    for pvalue in (0, 1, -1, float("nan")):
        with pytest.raises(InputError, match="pvalue is"):
            read_motifs(path, pvalue=pvalue)
    with pytest.raises(InputError, match="pseudocount is"):
        read_motifs(path, pseudocount=-1)
    with pytest.raises(InputError, match="does not exist"):
        read_motifs(tmp_path / "none.motif")
    with pytest.raises(InputError, match="damaged"):
        read_motifs(write(tmp_path, gzip.compress(HOMER.encode())[:-10]))
    monkeypatch.setattr(_files, "_MAX_BYTES", 1000)
    with pytest.raises(InputError, match="holds more than 1,000 bytes"):
        read_motifs(write(tmp_path, gzip.compress(HOMER.encode() * 1000)))


def test_names_that_a_homer_file_cannot_carry(tmp_path):
    for name in ("", "a\tb", "a\nb"):
        with pytest.raises(InputError, match="tab or line break"):
            write_motifs([Motif(name, np.full((2, 4), 0.25), 1.0)], tmp_path / "x.motif")
    assert not (tmp_path / "x.motif").exists()


def all_scores(log_odds: np.ndarray) -> np.ndarray:
    scores = np.zeros(1)
    for row in log_odds:
        scores = (scores[:, None] + row[None, :]).ravel()
    return scores


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.1, 1e-2, 1e-3, 1e-4]), st.integers(1, 3))
def test_threshold_is_the_lowest_score_of_at_most_that_pvalue(length, seed, pvalue, digits):
    rng = np.random.default_rng(seed)
    motif = Motif("m", rng.dirichlet([0.3] * 4, length).round(digits), 0.0)
    scores = all_scores(motif.log_odds)
    threshold = score_threshold(motif.log_odds, pvalue)
    attained = np.unique(scores.round(8))
    reaching = len(scores) - np.searchsorted(np.sort(scores), attained - 1e-7)
    allowed = attained[reaching / len(scores) <= pvalue]
    expected = scores[np.argmin(np.abs(scores - (allowed.min() if len(allowed) else attained.max())))]
    assert threshold == pytest.approx(expected, abs=2e-8)
    assert (scores >= threshold).any()
    assert tail_probability(motif.log_odds, expected) == pytest.approx((scores >= expected - 1e-7).mean(), abs=1e-12)


def test_long_motifs_never_exceed_the_pvalue():
    rng = np.random.default_rng(1)
    motif = Motif("long", rng.dirichlet([0.5] * 4, 22), 0.0)  # beyond 20 positions half sums are rounded
    threshold = score_threshold(motif.log_odds, 1e-4)
    words = rng.integers(0, 4, (400_000, 22))
    scores = motif.log_odds[np.arange(22), words].sum(axis=1)
    share = (scores >= threshold).mean()
    assert share == pytest.approx(1e-4, abs=6e-5)  # four standard errors


def test_short_motifs_are_told(tmp_path):
    with pytest.warns(UserWarning, match="2 motifs are too short for pvalue=1e-06"):
        motifs = read_motifs(write(tmp_path, HOMER), pvalue=1e-6)
    best = motifs[0].log_odds.max(axis=1).sum()
    assert motifs[0].threshold == pytest.approx(best, abs=1e-8)
    assert motifs[0].threshold < best


def test_jaspar_by_name_and_id():
    pytest.importorskip("pyjaspar")
    motifs = jaspar_motifs(["MA0139", "GATA1"], pvalue=1e-3)
    assert any(m.name.startswith("MA0139.") and m.name.endswith(" CTCF") for m in motifs)
    assert any("GATA1" in m.name for m in motifs)
    for m in motifs:
        np.testing.assert_allclose(m.probabilities.sum(axis=1), 1)
        if m.length <= 12:
            assert tail_probability(m.log_odds, m.threshold) <= 1e-3
    with pytest.raises(InputError, match="has no profile 'Nosuch'"):
        jaspar_motifs(["Nosuch"])
    with pytest.raises(InputError, match="is no TF name"):
        jaspar_motifs(["CTCF' OR '1'='1"])
    with pytest.raises(InputError, match=r"has no JASPAR release 'JASPAR1900': .*JASPAR2024"):
        jaspar_motifs(["CTCF"], release="JASPAR1900")


def test_jaspar_without_pyjaspar(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(ToolError, match=r"pip install 'tilegrn\[jaspar\]'"):
        jaspar_motifs(["CTCF"])
