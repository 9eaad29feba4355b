"""Lists of hits, and files that are read in pieces."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from tests.io.homer._tables import FIND, as_dict, table_text, write

from tilegrn.errors import InputError
from tilegrn.io.homer import _hits, _stream
from tilegrn.io.homer._hits import read_hits
from tilegrn.io.homer._stream import TextStream
from tilegrn.io.homer._table import read_homer


def test_find_list_with_header(tmp_path):
    text = "PositionID\tOffset\tSequence\tMotif Name\tStrand\tMotifScore\n"
    text += FIND + "p1\t9\tACGT\tA/Homer\t-\t7.1\np1\t9\tAC\tB\t-\t7.1\n"
    assert as_dict(read_homer(write(tmp_path, text))) == {("A/Homer", "p1"): 2, ("A/Homer", "p2"): 1, ("B", "p1"): 1}
    old = (
        "PositionID\tOffset\tSequence\tConservation\tStrand\tMotif Name\tMotifScore\np1\t-5\tACGT\t0\t+\tA/Homer\t7.1\n"
    )
    assert as_dict(read_homer(write(tmp_path, old))) == {("A/Homer", "p1"): 1}


def test_find_list_of_homer2(tmp_path):
    """It has no header."""
    text = FIND + "p1\t9\tACGT\tA/Homer\t-\t7.1\n"
    table = read_homer(write(tmp_path, text))
    assert as_dict(table) == {("A/Homer", "p1"): 2, ("A/Homer", "p2"): 1}
    assert table["homer_binding_score"].tolist() == [2 / 3, 1 / 3]
    minus_first = "\n".join(reversed(FIND.splitlines())) + "\n"
    assert as_dict(read_homer(write(tmp_path, minus_first))) == {("A/Homer", "p1"): 1, ("A/Homer", "p2"): 1}
    with pytest.raises(InputError, match="is no output that read_homer knows; it begins 'p1"):
        read_homer(write(tmp_path, FIND.replace("\t+\t", "\t.\t")))
    with pytest.raises(InputError, match="is no output that read_homer knows"):
        read_homer(write(tmp_path, FIND.replace("\t7.1", "\t7.1\tx")))


def test_a_find_list_without_a_hit(tmp_path):
    table = read_homer(write(tmp_path, "PositionID\tOffset\tSequence\tMotif Name\tStrand\tMotifScore\n"))
    assert len(table) == 0
    assert table.dtypes.astype(str).tolist() == ["category", "category", "int32", "float64"]


def test_find_lists_in_several_blocks(tmp_path, monkeypatch):
    rows = [f"p{i % 700}\t{i}\tACGT\tm{i % 3}\t+\t7.1\n" for i in range(9000)]
    expected: dict[tuple[str, str], int] = {}
    for i in range(9000):
        key = (f"m{i % 3}", f"p{i % 700}")
        expected[key] = expected.get(key, 0) + 1
    monkeypatch.setattr(_hits, "_BLOCK", 1 << 12)
    table = read_homer(write(tmp_path, "".join(rows)))
    assert as_dict(table) == expected
    assert list(table["peak_id"].cat.categories) == [f"p{i}" for i in range(700)]
    assert table["tf_motifs_in_peak"].dtype == np.int32
    counts = read_hits(tmp_path / "homer.tsv").counts
    assert counts.has_canonical_format
    assert counts.dtype == np.int32


def test_a_file_beyond_the_first_look(tmp_path):
    text = table_text([["1", "0"]] * 2000, ["A", "B"])
    assert len(text) > 1 << 16
    table = read_homer(write(tmp_path, text), peak_id="name")
    assert (len(table), len(table["peak_id"].cat.categories)) == (2000, 2000)


def test_a_character_cut_by_the_end_of_the_look(tmp_path):
    path = write(tmp_path, "abc\nd\u20acf".encode())  # bytes 5 to 7 are one character
    for n, lines in ((4, ["abc"]), (5, ["abc", "d"]), (6, ["abc", "d"]), (7, ["abc", "d"]), (8, ["abc", "d\u20ac"])):
        with TextStream(path) as stream:
            assert stream.readable()
            stream._ahead, held = stream._ahead[:n], stream._ahead[n:]
            stream._file.seek(path.stat().st_size - len(held))
            assert stream.peek_lines(n) == lines
            assert stream.read() == path.read_bytes()
        assert stream.closed
        assert stream._raw.closed
    path = write(tmp_path, b"ab\xffcd\nefgh")
    with TextStream(path) as stream, pytest.raises(InputError, match=r"no plain text \(byte 2 is not UTF-8\)"):
        stream.peek_lines()
    with TextStream(path) as stream, pytest.raises(InputError, match=r"byte 2 is"):
        stream.peek_lines(6)


def test_gzip_bomb_is_stopped(tmp_path, monkeypatch):
    """Beyond both a size and a ratio; a small file may shrink as it likes."""
    text = FIND.splitlines(keepends=True)[0].encode() * 60_000
    path = write(tmp_path, gzip.compress(text))
    size = path.stat().st_size
    assert len(text) > 300 * size
    assert as_dict(read_homer(path)) == {("A/Homer", "p1"): 60_000}
    for bytes_, ratio, read in (
        (len(text) - 1, (len(text) - 0.5) / size, False),
        (len(text), (len(text) - 0.5) / size, True),
        (len(text) - 1, (len(text) + 0.5) / size, True),
    ):
        monkeypatch.setattr(_stream, "_BOMB_BYTES", bytes_)
        monkeypatch.setattr(_stream, "_BOMB_RATIO", ratio)
        if read:
            assert as_dict(read_homer(path)) == {("A/Homer", "p1"): 60_000}
        else:
            with pytest.raises(InputError, match=rf"homer.tsv' unpacks to more than {ratio} times its size"):
                read_homer(path)
