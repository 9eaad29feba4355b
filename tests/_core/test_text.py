"""Text files of other programs: gzip, byte-order marks, bombs, comments, line ends."""

import gzip
import io
from fractions import Fraction

import pytest

from tilegrn._core import text
from tilegrn._core.text import data_lines, existing_file, read_text, split_tabs
from tilegrn.errors import InputError


def test_a_file_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing_file("~/x", "The table") == tmp_path / "x"
    with pytest.raises(InputError, match=r"^The table '.*no' does not exist\.$"):
        existing_file(tmp_path / "no", "The table")
    with pytest.raises(InputError, match=r"^The table '~' is a folder\.$"):
        existing_file("~", "The table")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "data", [b"a\r\nb", b"", "\ufeffä\n".encode(), b"x" * 10], ids=["crlf", "empty", "mark", "ten"]
)
def test_text_comes_as_it_is_without_its_mark(tmp_path, pack, data):
    path = tmp_path / "x.txt"  # told by its bytes, not its name
    path.write_bytes(pack(data))
    assert read_text(path) == data.decode("utf-8-sig")
    assert read_text(path, max_bytes=len(data)) == data.decode("utf-8-sig")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x" * 11, r"x' holds more than 10 bytes of text; this is no annotation file\.$"),
        (b"\0abc", r"x' is no plain text \(byte 0 is zero\)"),
        (b"ab\0d", r"x' is no plain text \(byte 2 is zero\)"),
        (b"abc\xff", r"x' is no plain text \(byte 3 is not UTF-8\)"),
        (gzip.compress(b"abcdef")[:-9], r"x' is damaged: its gzip stream cannot be unpacked \(.+\)\. Copy"),
        (gzip.compress(b"abc")[:-8] + bytes(8), "is damaged: its gzip stream"),
        (gzip.compress(b"abc")[:10] + b"\xff" * 9, "is damaged: its gzip stream"),
    ],
    ids=["long", "zero at once", "zero", "latin", "cut", "sum", "deflate"],
)
def test_what_is_no_text(tmp_path, data, message):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_text(path, max_bytes=10)


def test_the_place_of_a_zero_counts_from_the_begin_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_CHUNK", 4)
    (tmp_path / "x").write_bytes(b"abcdefg\0")
    with pytest.raises(InputError, match=r"byte 7 is zero"):
        read_text(tmp_path / "x")


def test_a_bomb_is_refused_by_its_ratio_and_only_when_large(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a" * 100_000))
    ratio = 100_000 / path.stat().st_size
    monkeypatch.setattr(text, "_BOMB_BYTES", 99_999)
    monkeypatch.setattr(text, "_BOMB_RATIO", int(ratio))
    with pytest.raises(InputError, match=rf"x\.gz' unpacks to more than {int(ratio)} times its size"):
        read_text(path)
    monkeypatch.setattr(text, "_BOMB_RATIO", Fraction(100_000, path.stat().st_size))
    assert len(read_text(path)) == 100_000
    monkeypatch.setattr(text, "_BOMB_RATIO", 0)
    monkeypatch.setattr(text, "_BOMB_BYTES", 100_000)
    assert len(read_text(path)) == 100_000
    (tmp_path / "plain").write_bytes(b"a" * 100_001)
    assert len(read_text(tmp_path / "plain")) == 100_001


def test_limits_of_what_is_read():
    """8 GiB of text; from 128 MiB on, 300 times the size of the gzip, whose own limit is 1,032 times."""
    assert (text.MAX_BYTES, text._BOMB_BYTES, text._BOMB_RATIO) == (8_589_934_592, 134_217_728, 300)


def test_memory_that_does_not_suffice(tmp_path, monkeypatch):
    class Huge(io.BytesIO):
        def read(self, *_):
            raise MemoryError

    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"abc"))
    monkeypatch.setattr(text.gzip, "open", lambda *_: Huge())
    with pytest.raises(InputError, match=r"x\.gz' is too large for the memory that is left"):
        read_text(path)


def test_lines_that_hold_data():
    lines = "#c\nchr1\t1\r\n\n  \t\ntrack name=x\ntrack\nbrowser position\ntracked\t2\n #x\nchr\x0c2\x85\u2028 \rlast"
    assert list(data_lines(lines)) == [
        (2, "chr1\t1"),
        (8, "tracked\t2"),
        (9, " #x"),
        (10, "chr\x0c2\x85\u2028 "),
        (11, "last"),
    ]


def test_tabs():
    assert split_tabs(" a \tb c\t", 1, "x", 3) == ["a", "b c", ""]
    assert split_tabs("a b", 1, "x", 3) == ["a b"]  # too few either way: for the caller to say
    assert split_tabs("a\tb c", 1, "x", 2) == ["a", "b c"]
    with pytest.raises(InputError, match="separated by spaces"):
        split_tabs("a b\tc", 7, "x", 3)
    line = " a b c " + "d" * 80
    with pytest.raises(InputError, match=rf"^'x', line 7: columns are .* not tabs: 'a b c {'d' * 54}'\. Use tabs\.$"):
        split_tabs(line, 7, "x", 3)
