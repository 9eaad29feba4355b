"""Genome files and interval tables: what is read, what is refused, and that nothing is written beside them."""

from __future__ import annotations

import gzip
import logging
import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motifs import slow_scan
from tilegrn.errors import InputError
from tilegrn.motifs import Motif, count_hits, find_hits
from tilegrn.motifs import _scan as scan_module
from tilegrn.motifs._intervals import read_intervals
from tilegrn.motifs.genome import _fasta as fasta_module
from tilegrn.motifs.genome._fasta import Fasta, open_sequences

RNG = np.random.default_rng(7)
GENOME = {
    "chr1": "".join(RNG.choice(list("ACGTacgtN"), size=1003)),
    "chr2": "".join(RNG.choice(list("ACGT"), size=120)),
    "chrM": "ACGTTGCA",
}
MOTIFS = [Motif(f"m{n}", RNG.dirichlet([0.3] * 4, size=n).round(3), t) for n, t in ((6, 1.0), (9, 2.0))]
TABLE = pd.DataFrame(
    {"chrom": ["chr2", "chr1", "chr1", "chrM", "chr1"], "start": [0, 500, 0, 0, 995], "end": [120, 760, 9, 8, 1003]}
)


def fasta_text(genome, width=50, newline="\n"):
    lines = []
    for name, text in genome.items():
        lines += [f">{name} some words", *(text[i : i + width] for i in range(0, len(text), width))]
    return (newline.join(lines) + newline).encode()


def bgzip(data, size=300):
    """Blocks as bgzip writes them, small so that sequences cross many, and the empty block at the end."""
    out = b""
    for piece in [data[i : i + size] for i in range(0, len(data), size)] + [b""]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packer.compress(piece) + packer.flush()
        head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25)
        out += head + body + struct.pack("<II", zlib.crc32(piece), len(piece))
    return out


def two_bit(genome, order="<", version=0):
    """A 2bit file by the format's description (UCSC)."""
    size = 16 + sum(1 + len(n) + (8 if version else 4) for n in genome)
    index, records = b"", b""
    for name, text in genome.items():
        index += (
            bytes([len(name)]) + name.encode() + struct.pack(order + ("Q" if version else "I"), size + len(records))
        )
        record = struct.pack(order + "I", len(text))
        for test in (lambda c: c in "Nn", str.islower):
            flags = np.diff([0, *(int(test(c)) for c in text), 0])
            starts, ends = np.flatnonzero(flags == 1), np.flatnonzero(flags == -1)
            record += struct.pack(f"{order}I{len(starts)}I{len(starts)}I", len(starts), *starts, *(ends - starts))
        codes = ["TCAG".index(c) if c in "TCAG" else 0 for c in text.upper()] + [0] * (-len(text) % 4)
        packed = bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*[iter(codes)] * 4, strict=True))
        records += record + struct.pack(order + "I", 0) + packed
    return struct.pack(order + "4I", 0x1A412743, version, len(genome), 0) + index + records


WRITERS = {
    "plain": lambda: fasta_text(GENOME),
    "crlf": lambda: fasta_text(GENOME, newline="\r\n"),
    "one line each": lambda: fasta_text(GENOME, width=10**6),
    "no end of line": lambda: fasta_text(GENOME).rstrip(b"\n"),
    "uneven lines": lambda: fasta_text(GENOME).replace(b"\n", b"\n\n", 4),
    "bgzip": lambda: bgzip(fasta_text(GENOME)),
    "2bit": lambda: two_bit(GENOME),
    "2bit, big-endian": lambda: two_bit(GENOME, order=">"),
    "2bit, version 1": lambda: two_bit(GENOME, version=1),
}


def expected_counts(table, *, size="given", mask=False):
    counts = np.zeros((len(table), len(MOTIFS)), dtype=int)
    for i, (chrom, start, end) in enumerate(table[["chrom", "start", "end"]].itertuples(index=False)):
        if size != "given":  # bases floor(c - N/2) to floor(c + N/2), counted from 1, inclusive
            centre = (start + 1 + end) / 2
            start, end = int(np.floor(centre - size / 2)) - 1, int(np.floor(centre + size / 2))
        text = GENOME[chrom][max(start, 0) : end]
        counts[i] = [len(slow_scan.hits(text, m, mask=mask)) for m in MOTIFS]
    return counts


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("mask", [False, True])
def test_all_kinds_of_genome_file_give_the_same_counts(tmp_path, kind, mask):
    path = tmp_path / "a genome; $(touch owned) | x\n-name"
    path.write_bytes(WRITERS[kind]())
    result = count_hits(path, TABLE, MOTIFS, mask=mask, n_jobs=1)
    np.testing.assert_array_equal(result.counts.toarray(), expected_counts(TABLE, mask=mask))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert result.intervals[0] == "chr2:0-120"


@pytest.mark.parametrize("chunk", [1, 37, 1000])
@pytest.mark.parametrize("kind", ["plain", "crlf", "uneven lines", "no end of line", "bgzip"])
def test_a_file_is_indexed_piece_by_piece(tmp_path, monkeypatch, kind, chunk):
    path = tmp_path / "genome.fa"
    path.write_bytes(WRITERS[kind]())
    monkeypatch.setattr(fasta_module, "_CHUNK", chunk)
    with Fasta(path) as genome:
        assert genome.lengths == {name: len(text) for name, text in GENOME.items()}
        for name, text in GENOME.items():
            assert genome.fetch(name, 0, len(text)) == text.encode()
            assert genome.fetch(name, 3, 7) == text[3:7].encode()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1002), st.integers(1, 400)), min_size=1, max_size=8),
    st.one_of(st.just("given"), st.integers(1, 300)),
)
def test_windows_are_cut_as_homer_cuts_them(tmp_path_factory, places, size):
    table = pd.DataFrame([("chr1", s, min(s + n, 1003)) for s, n in places], columns=["chrom", "start", "end"])
    path = tmp_path_factory.getbasetemp() / "windows.fa"
    path.write_bytes(fasta_text(GENOME))
    counts = count_hits(path, table, MOTIFS, size=size, n_jobs=1).counts.toarray()
    np.testing.assert_array_equal(counts, expected_counts(table, size=size))


def test_hits_lie_where_their_letters_are(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    hits = pd.concat(find_hits(path, TABLE.assign(name=list("abcde")), MOTIFS, size=100))
    assert set(hits["interval"]) <= set("abcde")
    assert len(hits) == expected_counts(TABLE, size=100).sum()
    for chrom, position, word in zip(hits["chrom"], hits["position"], hits["sequence"], strict=True):
        assert GENOME[chrom][position : position + len(word)].upper() == word
    homer = pd.concat(find_hits(path, TABLE, MOTIFS, coordinates="homer2"))
    genome = pd.concat(find_hits(path, TABLE, MOTIFS))
    start = genome["interval"].str.extract(r":(\d+)-")[0].astype(int)
    last = np.where(genome["strand"] == "-", genome["sequence"].str.len() - 1, 0)
    np.testing.assert_array_equal(homer["position"], genome["position"] - start + last)


@pytest.mark.parametrize("n_jobs", [1, 2, 5, None])
def test_blocks_and_threads_do_not_change_the_result(tmp_path, monkeypatch, n_jobs):
    monkeypatch.setattr(scan_module, "_BLOCK_BASES", 100)
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(bgzip(fasta_text(GENOME)))
    rng = np.random.default_rng(3)
    start = rng.integers(0, 990, size=60)
    table = pd.DataFrame({"chrom": "chr1", "start": start, "end": np.minimum(start + rng.integers(1, 300, 60), 1003)})
    np.testing.assert_array_equal(
        count_hits(path, table, MOTIFS, n_jobs=n_jobs).counts.toarray(), expected_counts(table)
    )
    parts = list(find_hits(path, table, MOTIFS, n_jobs=n_jobs))
    assert len(parts) > 10
    hits = pd.concat(parts)
    assert len(hits) == expected_counts(table).sum()
    names = [f"{c}:{s}-{e}" for c, s, e in table.itertuples(index=False)]
    assert hits["interval"].map({n: i for i, n in enumerate(names)}).is_monotonic_increasing or len(set(names)) < 60


def test_an_abandoned_stream_of_hits_ends_its_threads(tmp_path, monkeypatch):
    import threading

    monkeypatch.setattr(scan_module, "_BLOCK_BASES", 100)
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    table = pd.concat([TABLE] * 50, ignore_index=True)
    stream = find_hits(path, table, MOTIFS, n_jobs=2)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tilegrn-scan")]


def test_a_good_index_is_used_and_a_stale_or_wrong_one_is_not(tmp_path, caplog):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    with Fasta(path) as genome:
        records = {n: (r.length, r.offset, r.line_bases, r.line_bytes) for n, r in genome._records.items()}
    index = tmp_path / "genome.fa.fai"
    good = "".join("\t".join(map(str, (n, *r))) + "\n" for n, r in records.items())
    reference = pyfaidx_index(tmp_path, path)
    assert good == reference
    caplog.set_level(logging.INFO, logger="tilegrn")
    cases = {
        "good": good,
        "too long": good.replace("chr1\t1003", "chr1\t1103"),
        "other order": good.replace("chr1", "chrX").replace("chr2", "chr1").replace("chrX", "chr2"),
        "no numbers": good.replace("1003", "many"),
        "empty": "",
    }
    for case, text in cases.items():
        index.write_text(text)
        caplog.clear()
        assert count_hits(path, TABLE, MOTIFS, n_jobs=1).counts.toarray().tolist() == expected_counts(TABLE).tolist()
        assert ("is not used" in caplog.text) == (case != "good"), case
        assert index.read_text() == text
    index.write_text(good)
    os.utime(index, (1, 1))
    caplog.clear()
    count_hits(path, TABLE, MOTIFS, n_jobs=1)
    assert "older than the file" in caplog.text


def pyfaidx_index(tmp_path, path):
    import pyfaidx

    pyfaidx.Faidx(str(path), indexname=str(tmp_path / "other.fai")).close()
    return (tmp_path / "other.fai").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(fasta_text(GENOME), mtime=0), "plain gzip.*Use bgzip"),
        (bgzip(fasta_text(GENOME))[:-40], "cut short or damaged"),
        (b"chr1\t0\t10\n", "no FASTA file"),
        (b"", "no FASTA file"),
        (fasta_text(GENOME) + b">chr2\nACGT\n", "two sequences named 'chr2'"),
        (two_bit(GENOME)[:200], "cut short or damaged"),
        (struct.pack("<4I", 0x1A412743, 7, 1, 0), "2bit version 7"),
    ],
)
def test_files_that_are_no_genome(tmp_path, content, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        count_hits(path, TABLE, MOTIFS)


def test_a_damaged_block_is_found_when_it_is_read(tmp_path):
    data = bytearray(bgzip(fasta_text(GENOME)))
    data[40:60] = bytes(20)
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        count_hits(path, TABLE, MOTIFS)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        open_sequences(tmp_path / "none.fa")
    with pytest.raises(InputError, match="is a folder"):
        open_sequences(tmp_path)


def test_chromosome_names(tmp_path, caplog):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text({k.removeprefix("chr"): v for k, v in GENOME.items() if k != "chrM"}))
    caplog.set_level(logging.INFO, logger="tilegrn")
    table = TABLE[TABLE["chrom"] != "chrM"]
    np.testing.assert_array_equal(count_hits(path, table, MOTIFS).counts.toarray(), expected_counts(table))
    assert "all are mapped" in caplog.text
    with pytest.raises(InputError, match=r"lacks 3 chromosomes of 5 intervals.*did you mean '2' for 'chr2'"):
        count_hits(path, TABLE, MOTIFS)
    with pytest.raises(InputError, match=r"lacks 1 chromosomes of 1 intervals, among them 'chr3'"):
        count_hits(path, pd.DataFrame({"chrom": ["1", "chr3"], "start": 0, "end": 9}), MOTIFS)


@pytest.mark.parametrize("shared", ["GL456210.1", "chr2_x_random"])
def test_a_contig_in_common_does_not_hide_other_chromosome_names(tmp_path, shared):
    path = tmp_path / "genome.fa"
    renamed = {k.removeprefix("chr").replace("M", "MT"): v for k, v in GENOME.items()}
    path.write_bytes(fasta_text({**renamed, shared: GENOME["chr1"]}))
    first = TABLE["chrom"] == "chr1"
    more = pd.concat([TABLE, TABLE[first].assign(chrom=shared)], ignore_index=True)
    got = count_hits(path, more, MOTIFS).counts.toarray()
    np.testing.assert_array_equal(got[: len(TABLE)], expected_counts(TABLE))
    np.testing.assert_array_equal(got[len(TABLE) :], expected_counts(TABLE[first]))
    twice = pd.DataFrame({"chrom": ["chrM", "MT"], "start": 0, "end": 9})
    with pytest.raises(InputError, match=r"one chromosome in two ways, 'chrM' and 'MT'"):
        count_hits(path, twice, MOTIFS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": [121, 760, 9, 8, 1003]}, r"1 of 5 intervals end past.*chr2:0-121 by 1 bp"),
        ({"start": [0, -500, 0, 0, 995]}, r"negative start, the first in row 1"),
        ({"start": [0, 760, 0, 0, 995]}, r"start >= end, the first in row 1: chr1:760-760"),
        ({"start": [0, 500.5, 0, 0, 995]}, r"Row 1 of the intervals has start 500.5"),
        ({"start": [0, np.nan, 0, 0, 995]}, r"Row 1 of the intervals has start nan"),
        ({"start": ["a", "b", "c", "d", "e"]}, r"no number"),
        ({"chrom": ["chr1", None, "chr1", "chr1", "chr1"]}, r"Row 1 of the intervals has no chromosome"),
    ],
)
def test_intervals_that_cannot_be(tmp_path, change, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    with pytest.raises(InputError, match=message):
        find_hits(path, TABLE.assign(**change), MOTIFS)  # at the call, not at the first hit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": "200"}, "size is '200'"),
        ({"size": True}, "size is True"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"n_jobs": 1.5}, r"n_jobs is 1\.5"),
        ({"coordinates": "bed"}, "coordinates is 'bed'"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    with pytest.raises(InputError, match=message):
        find_hits(path, TABLE, MOTIFS, **options)


def test_tables_of_intervals():
    pyranges = pytest.importorskip("pyranges")
    frame = TABLE.rename(columns={"chrom": "Chromosome", "start": "Start", "end": "End"}).assign(Name=list("abcde"))
    assert read_intervals(frame).names.tolist() == list("abcde")
    ranges = read_intervals(pyranges.PyRanges(frame))
    assert sorted(ranges.names) == list("abcde")
    assert read_intervals(TABLE.set_index(pd.Index(list("vwxyz")))).names.tolist() == list("vwxyz")
    assert read_intervals(TABLE.astype({"start": float})).start.dtype == np.int64
    assert len(read_intervals(TABLE.iloc[:0])) == 0
    with pytest.raises(InputError, match="no column 'end'"):
        read_intervals(TABLE.drop(columns="end"))
    with pytest.raises(InputError, match="not list"):
        read_intervals([("chr1", 0, 10)])


def test_an_empty_table_gives_an_empty_result(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    assert count_hits(path, TABLE.iloc[:0], MOTIFS).shape == (0, 2)
    assert list(find_hits(path, TABLE.iloc[:0], MOTIFS)) == []


def test_motifs_from_a_path_and_things_that_are_no_motifs(tmp_path):
    path, motif_path = tmp_path / "genome.fa", tmp_path / "x.motif"
    path.write_bytes(fasta_text(GENOME))
    rows = "".join("\t".join(f"{p:.3f}" for p in row) + "\n" for row in MOTIFS[0].probabilities)
    motif_path.write_text(f">AAA\tm6\t{MOTIFS[0].threshold}\n{rows}")
    found = count_hits(path, TABLE, motif_path)
    assert found.motifs == ("m6",)
    assert found.counts.toarray()[:, 0].tolist() == expected_counts(TABLE)[:, 0].tolist()
    with pytest.raises(InputError, match=r"motifs\[0\] is str"):
        count_hits(path, TABLE, ["Sox2"])


def test_progress_bar(tmp_path, capsys):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta_text(GENOME))
    count_hits(path, TABLE, MOTIFS, progress=True)
    assert "5/5" in capsys.readouterr().err
