"""Genome files byte by byte: indices, blocks and records as their formats describe them, and what damage does."""

import gzip
import logging
import os
import struct
import zlib

import pytest

from tests.motifs.test_scan_files import two_bit
from tilegrn.errors import InputError
from tilegrn.motifs.genome import _bytes, _fasta
from tilegrn.motifs.genome._bytes import BgzfBytes, PlainBytes
from tilegrn.motifs.genome._fasta import Fasta, open_sequences
from tilegrn.motifs.genome._twobit import TwoBit


def write(tmp_path, data, name="genome.fa"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def everything(path):
    file = open_sequences(path)
    try:
        return {name: file.fetch(name, 0, n).decode() for name, n in file.lengths.items()}
    finally:
        file.close()


# FASTA


@pytest.mark.parametrize("chunk", [1, 3, 1 << 24])
@pytest.mark.parametrize(
    ("text", "want", "regular"),
    [
        (">a\nACGT\nAC\n", {"a": "ACGTAC"}, True),
        (">a\nACGT\nACGT", {"a": "ACGTACGT"}, True),
        (">a\nACGT\nAC\nACGT\n", {"a": "ACGTACACGT"}, False),  # a short line before the last
        (">a\nACGT\nACGTA\n", {"a": "ACGTACGTA"}, False),  # a long one at the end
        (">a\nACGT\n\nACGT\n", {"a": "ACGTACGT"}, False),
        (">a\nACGT\nAC\n\n", {"a": "ACGTAC"}, False),
        (">a\r\nACGT\r\nAC\r\n", {"a": "ACGTAC"}, True),
        (">a\r\nACGT\r\nAC", {"a": "ACGTAC"}, True),
        (">a\nACGT\r\nACGT\n", {"a": "ACGTACGT"}, True),  # a last line that is shorter by its end alone
        (">a\nACGT\nACGT\r\n", {"a": "ACGTACGT"}, False),
        ("\n\n>a\nAC\n", {"a": "AC"}, True),
        (">a\n>b x y\nAC\n>\n>c", {"a": "", "b": "AC", "": "", "c": ""}, True),
    ],
)  # fmt: skip
def test_lines_of_any_width(tmp_path, monkeypatch, chunk, text, want, regular):
    monkeypatch.setattr(_fasta, "_CHUNK", chunk)
    path = write(tmp_path, text)
    assert everything(path) == want
    with Fasta(path) as file:
        assert all(record.end == -1 for record in file._records.values()) == regular
        for name, letters in want.items():
            for start in range(len(letters) + 1):
                for end in range(len(letters) + 1):
                    assert file.fetch(name, start, end).decode() == letters[start:end]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^'.*genome\.fa' is no FASTA file: it does not begin with a line such as '>chr1'\."),
        ("\n \n", "is no FASTA file"),
        ("ACGT\n>a\nAC\n", "is no FASTA file"),
        (">a\nA\n>b\nA\n>a\nC\n", r"^'.*genome\.fa' holds two sequences named 'a'; names must differ\."),
        (">a\nA\n>a\n", "holds two sequences named 'a'"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 24])
def test_what_is_no_fasta(tmp_path, monkeypatch, chunk, text, message):
    monkeypatch.setattr(_fasta, "_CHUNK", chunk)
    with pytest.raises(InputError, match=message):
        Fasta(write(tmp_path, text))


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = write(tmp_path, ">a\nACGT\nACGT\n")
    with Fasta(path) as file:
        os.truncate(path, 9)
        assert file.fetch("a", 0, 5) == b"ACGTA"
        with pytest.raises(InputError, match=r"^'.*genome\.fa' changed while it was read: a:2-8 gave 3 letters\."):
            file.fetch("a", 2, 8)


TWO = ">a x\nACGT\nAC\n>b\n>c\nAC"
INDEX = "a\t6\t5\t4\t5\nb\t0\t16\t0\t0\nc\t2\t19\t2\t3\n"


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (INDEX, ""),
        (INDEX.replace("\n", "\tmore\n"), ""),
        ("", "it is empty"),
        (INDEX.replace("a\t6", "a\t-6"), "the line 'a\t-6\t5\t4\t5' is no entry"),
        (INDEX.replace("\t4\t5", "\t4"), "is no entry, or one that stands there twice"),
        (INDEX + INDEX, "is no entry, or one that stands there twice"),
        (INDEX.replace("a\t6", "aa\t6"), "its entry for 'aa' does not fit the file"),
        (INDEX.replace("a\t6\t5", "a\t6\t6"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("a\t6", "a\t5"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("a\t6", "a\t7"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("a\t6", "a\t600"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("\t4\t5", "\t5\t5"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("\t4\t5", "\t0\t5"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("a\t6\t5\t4\t5", "a\t2\t5\t4\t7"), "its entry for 'a' does not fit the file"),
        (INDEX.replace("c\t2", "c\t1"), "its entry for 'c' does not fit the file"),
        (INDEX.replace("c\t2", "c\t3"), "its entry for 'c' does not fit the file"),
        (INDEX.replace("b\t0\t16", "b\t0\t17"), "its entry for 'b' does not fit the file"),
    ],
)
def test_an_index_is_believed_where_it_fits(tmp_path, caplog, index, reason):
    caplog.set_level(logging.INFO, logger="tilegrn")
    path = write(tmp_path, TWO)
    write(tmp_path, index, "genome.fa.fai")
    assert everything(path) == {"a": "ACGTAC", "b": "", "c": "AC"}
    assert ("genome.fa.fai' is not used: " in caplog.text) == bool(reason)
    assert reason in caplog.text


@pytest.mark.parametrize(("older", "used"), [(1, False), (0, True), (-1, True)])
def test_an_index_as_old_as_the_file_is_used(tmp_path, caplog, older, used):
    caplog.set_level(logging.INFO, logger="tilegrn")
    path, index = write(tmp_path, TWO), write(tmp_path, INDEX, "genome.fa.fai")
    os.utime(path, (10**9, 10**9))
    os.utime(index, (10**9 - older, 10**9 - older))
    everything(path)
    assert ("it is older than the file. The FASTA is indexed in memory" not in caplog.text) == used


def test_one_line_of_windows_in_an_index(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="tilegrn")
    path = write(tmp_path, ">a\r\nACGT\r\nAC\r\n")
    write(tmp_path, "a\t6\t4\t4\t6\n", "genome.fa.fai")
    assert everything(path) == {"a": "ACGTAC"}
    assert "is not used" not in caplog.text


# bgzip


def block(piece, *, extra=b"", size=None, held=None, packed=None):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(piece) + packer.flush() if packed is None else packed
    fields = extra + b"BC" + struct.pack("<H", 2)
    length = len(body) + 12 + len(fields) + 2 + 8
    fields += struct.pack("<H", (length if size is None else size) - 1)
    head = struct.pack("<4BI2BH", 31, 139, 8, 4, 0, 0, 255, len(fields))
    tail = struct.pack("<II", zlib.crc32(piece), len(piece) if held is None else held)
    return head + fields + body + tail


TEXT = b">a\nACGTACGT\nAC\n"


@pytest.mark.parametrize(
    "data",
    [
        block(TEXT),  # without the empty block at the end
        block(TEXT[:5]) + block(TEXT[5:]) + block(b""),
        block(b"") + block(TEXT[:5]) + block(b"") + block(TEXT[5:]),
        block(TEXT, extra=b"XY\x03\x00abc"),  # another field before that of the size
        block(TEXT, extra=b"BC\x03\x00abc"),
        block(TEXT, extra=b"XY\x00\x00"),
    ],
)
def test_blocks(tmp_path, data):
    path = write(tmp_path, data, "genome.fa.gz")
    assert everything(path) == {"a": "ACGTACGTAC"}
    file = BgzfBytes(path)
    assert file.size() == len(TEXT)
    for start in range(len(TEXT) + 2):
        for end in range(len(TEXT) + 3):
            assert file.read(start, end) == TEXT[start:end]
    assert b"".join(file.stream(4)) == TEXT
    assert [len(x) for x in file.stream(4)] == [4, 4, 4, 3]
    file.close()


def test_a_full_block_and_more_blocks_than_are_kept(tmp_path, monkeypatch):
    full = b">a\n" + b"A" * (2**16 - 4) + b"\n"
    assert everything(write(tmp_path, block(full) + block(b""))) == {"a": "A" * (2**16 - 4)}
    with pytest.raises(InputError, match="is cut short or damaged at byte 0; pack it again with bgzip"):
        BgzfBytes(write(tmp_path, block(full + b"\n") + block(b"")))
    monkeypatch.setattr(_bytes, "_KEPT", 2)
    file = BgzfBytes(write(tmp_path, b"".join(block(bytes([i])) for i in range(9))))
    assert file.read(0, 9) == bytes(range(9))
    assert list(file._cache) == [7, 8]
    file.read(7, 8)
    file.read(0, 1)
    assert list(file._cache) == [7, 0]  # 8 was not asked for again
    file.close()


PLAIN = gzip.compress(TEXT, mtime=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PLAIN, r"is plain gzip, which gives no random access\. Use bgzip: gunzip the file and pack it again"),
        (b"\x1f\x8b", "is plain gzip"),
        (block(TEXT)[:17], "is plain gzip"),
        (block(TEXT).replace(b"BC\x02", b"BX\x02"), "is plain gzip"),
        (block(TEXT) + PLAIN, rf"is damaged at byte {len(block(TEXT))}; pack it again with bgzip"),
        (block(TEXT) + b"rubbish" * 9, rf"is damaged at byte {len(block(TEXT))}; "),
        (block(TEXT)[:-1], r"is cut short or damaged at byte 0; pack it again with bgzip"),
        (block(TEXT) + block(TEXT)[:-1], rf"is cut short or damaged at byte {len(block(TEXT))}; "),
        *((block(TEXT, size=n), "is cut short or damaged at byte 0;") for n in (1, 2, 25, 99)),
        (block(TEXT, size=26), "is cut short or damaged at byte 0;|is damaged at byte 26;"),
        (block(TEXT, held=2**16 + 1), "is cut short or damaged at byte 0"),
        (block(TEXT, held=len(TEXT) + 1), r"is damaged at byte 0 \(Error -3 .*length check\)"),
        (block(TEXT, held=len(TEXT) - 1), r"is damaged at byte 0 \(Error -3 .*length check\)"),
        (block(TEXT, held=len(TEXT) - 2), r"is damaged at byte 0: the block holds another number of bytes than it s"),
        (block(TEXT, packed=b"\xff" * 30), r"is damaged at byte 0 \(Error -3 while decompressing.*\); pack it again"),
    ],
)
def test_damaged_blocks(tmp_path, data, message):
    with pytest.raises(InputError, match=rf"^'.*genome\.fa\.gz' ({message})"):
        everything(write(tmp_path, data, "genome.fa.gz"))


def test_ranges_of_a_plain_file(tmp_path):
    file = PlainBytes(write(tmp_path, TEXT))
    assert (file.size(), file.read(2, 5), file.read(5, 2), file.read(99, 100)) == (15, TEXT[2:5], b"", b"")
    assert list(file.stream(7)) == [TEXT[:7], TEXT[7:14], TEXT[14:]]
    file.close()


# 2bit


@pytest.mark.parametrize("version", [0, 1])
def test_every_range_of_a_2bit_file(tmp_path, version):
    genome = {"a": "ACGTNNacgtnnACGTA", "": "N", "c": "ac"}
    path = write(tmp_path, two_bit(genome, version=version))
    assert everything(path) == genome
    file = TwoBit(path)
    for start in range(18):
        for end in range(18):
            assert file.fetch("a", start, end).decode() == genome["a"][start:end]
    file.close()


def test_no_part_of_a_2bit_file_may_be_missing(tmp_path):
    data = two_bit({"a": "ACGTNNacgtnnACGTA", "b": "ACGTNAC"})
    for cut in range(4, len(data)):
        with pytest.raises(InputError, match=r"^'.*genome\.fa' is cut short or damaged: "):
            everything(write(tmp_path, data[:cut]))
    assert len(everything(write(tmp_path, data))) == 2


def test_2bit_files_that_lie(tmp_path):
    good = two_bit({"a": "ACGT", "b": "AC"})
    with pytest.raises(InputError, match=r"^'.*genome\.fa' holds two sequences named 'a'; names must differ\."):
        TwoBit(write(tmp_path, good.replace(b"\x01b", b"\x01a")))
    with pytest.raises(InputError, match=r"^'.*genome\.fa' is of 2bit version 2; 0 and 1 are known\."):
        TwoBit(write(tmp_path, good[:4] + b"\x02" + good[5:]))
    size = len(good)
    at = struct.unpack_from("<I", good, 18)[0] + 4
    for n, said in (
        (size // 8 + 1, f"byte {at} says that {size // 8 + 1} blocks follow"),
        (size // 8, "bytes were want"),
    ):
        with pytest.raises(InputError, match=said):
            TwoBit(write(tmp_path, good[:at] + struct.pack("<I", n) + good[at + 4 :]))
