"""The genome that HOMER is handed: linked, or copied clean."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tilegrn.errors import InputError
from tilegrn.io.homer import _private_fasta
from tilegrn.io.homer._private_fasta import private_fasta


@pytest.fixture
def genome() -> dict[str, str]:
    rng = np.random.default_rng(5)
    return {c: "".join(rng.choice(list("ACGTacgt"), size=1000)) for c in ("chr1", "chr2", "chrUnused")}


@pytest.mark.parametrize("kind", ["plain", "gzip", "crlf", "description", "one line", "bom"])
def test_private_fasta_is_the_same_sequence(tmp_path, genome, kind):
    text = "".join(f">{n}\n{s[:700]}\n{s[700:]}\n" for n, s in genome.items())
    if kind == "description":
        text = text.replace("\n", " a description > with a sign\n", 1)
    if kind == "one line":
        text = "".join(f">{n}\n{s * 20}" + "\n" for n, s in genome.items())
    data = text.encode()
    if kind == "crlf":
        data = data.replace(b"\n", b"\r\n")
    if kind == "bom":
        data = b"\xef\xbb\xbf" + data
    source = tmp_path / "source.fa"
    source.write_bytes(gzip.compress(data, mtime=0) if kind == "gzip" else data)
    lengths = private_fasta(source, tmp_path / "private.fa", {"chr1", "chr2"})
    repeat = 20 if kind == "one line" else 1
    assert lengths == {n: len(s) * repeat for n, s in genome.items()}
    assert (tmp_path / "private.fa").is_symlink() == (kind == "plain")
    found: dict[str, str] = {}
    for line in (tmp_path / "private.fa").read_text().splitlines():
        if line.startswith(">"):
            name = line[1:]
            found[name] = ""
        else:
            assert len(line) <= 700
            found[name] += line
    assert {n: found[n] for n in ("chr1", "chr2")} == {n: genome[n] * repeat for n in ("chr1", "chr2")}


def test_names_and_lengths_of_a_fasta(tmp_path):
    """Blank lines before, between and behind; lines of any length; a name that is no UTF-8."""
    source, target = tmp_path / "source.fa", tmp_path / "private.fa"
    source.write_bytes(b"\n\n>chr1 one\nACGT\nAC\n\n>ch\xff\nNNN\n>chr2\nG G\tT\n" + b"A" * 160 + b"\n>empty\n")
    lengths = private_fasta(source, target, {"chr1", "chr2", "empty"})
    assert lengths == {"chr1": 6, "ch\N{REPLACEMENT CHARACTER}": 3, "chr2": 163, "empty": 0}
    assert target.read_bytes() == b">chr1\nACGTAC\n>chr2\nGGT" + b"A" * 77 + b"\n" + b"A" * 80 + b"\nAAA\n>empty\n"


def test_an_empty_sequence_between_carriage_returns(tmp_path):
    (tmp_path / "source.fa").write_bytes(b">a\r\nAC\r\n>b\r\n\r\n>c\r\nG\r\n")
    assert private_fasta(tmp_path / "source.fa", tmp_path / "private.fa", {"c"}) == {"a": 2, "b": 0, "c": 1}


@pytest.mark.parametrize(("length", "linked"), [(10_000, True), (10_001, False)])
def test_how_long_a_line_may_be(tmp_path, length, linked):
    source, target = tmp_path / "source.fa", tmp_path / "private.fa"
    source.write_bytes(b">chr1\n" + b"A" * length)
    assert private_fasta(source, target, {"chr1"}) == {"chr1": length}
    assert target.is_symlink() == linked
    if linked:
        assert target.resolve() == source
    assert target.read_bytes().replace(b"\n", b"") == b">chr1" + b"A" * length


def test_many_short_lines_are_linked(tmp_path):
    source, target = tmp_path / "source.fa", tmp_path / "private.fa"
    source.write_bytes(b">chr1\n" + (b"A" * 60 + b"\n") * 300)
    assert private_fasta(source, target, {"chr1"}) == {"chr1": 18_000}
    assert target.is_symlink()


@pytest.mark.parametrize("kind", ["tab", "carriage return", "blank"])
def test_a_fasta_that_cannot_be_linked(tmp_path, kind):
    odd = {"tab": b"\t", "carriage return": b"\r", "blank": b" "}[kind]
    source, target = tmp_path / "source.fa", tmp_path / "private.fa"
    source.write_bytes(b">chr1\nAC" + odd + b"GT\n")
    assert private_fasta(source, target, {"chr1"}) == {"chr1": 4}
    assert target.read_bytes() == b">chr1\nACGT\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "': it is empty"),
        (b"ACGT" * 9 + b"\n", r"bad.fa': it begins b'ACGTACGTACGTACGTACGT', not with '>'\."),
        (b">chr1\nAC\n>chr1\nGT\n", "twice"),
        (b">\nAC\n", "no name"),
        (gzip.compress(b">chr1\nACGT\n" * 100, mtime=0)[:-9], "damaged"),
        (b">chr1\nACGT\n>chr1", "the sequence name 'chr1' stands there twice"),
        (b">chr2\nACGT\n>chr3", r"lacks 1 of the peaks' chromosomes, e.g. \['chr1'\]; it has chr2, chr3, \.\.\."),
        (b">b\n>c\n>d\n>e\n>f\n>g\n", r"it has b, c, d, e, f, \.\.\.$"),
    ],
)
def test_bad_fasta(tmp_path, data, message):
    (tmp_path / "bad.fa").write_bytes(data)
    with pytest.raises(InputError, match=message):
        private_fasta(tmp_path / "bad.fa", tmp_path / "out.fa", {"chr1"})


def test_private_fasta_across_blocks(tmp_path, genome, monkeypatch):
    text = "".join(f">{n} described\n{s[:300]}\n{s[300:]}\n" for n, s in genome.items())
    (tmp_path / "source.fa").write_text(text)
    for chunk in (1, 7, 64, 501):
        monkeypatch.setattr(_private_fasta, "_CHUNK", chunk)
        target = tmp_path / f"out{chunk}.fa"
        lengths = private_fasta(tmp_path / "source.fa", target, set(genome))
        assert lengths == dict.fromkeys(genome, 1000)
        assert target.read_text().replace("\n", "") == "".join(f">{n}{s}" for n, s in genome.items())
