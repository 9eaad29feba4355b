"""Matrix Market files, read to the last entry and believed no further than they hold."""

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from tilegrn.errors import InputError
from tilegrn.io.atac import _mtx
from tilegrn.io.atac._mtx import read_counts

HEAD = "%%MatrixMarket matrix coordinate integer general\n"


def write(tmp_path, text):
    path = tmp_path / "matrix.mtx"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("field", ["integer", "real"])
def test_against_scipy_piece_by_piece(tmp_path, monkeypatch, chunk, across, field):
    x = sparse.random(7, 4, 0.4, format="coo", random_state=0)  # cells x features, 11 entries
    x.data = np.ceil(x.data * 9) + (0.25 if field == "real" else 0)
    mmwrite(tmp_path / "m.mtx", x.T if across else x, field=field, symmetry="general")
    monkeypatch.setattr(_mtx, "_CHUNK", chunk)
    found = read_counts(tmp_path / "m.mtx", 4, 7)
    np.testing.assert_array_equal(found.toarray(), x.toarray())
    assert (found.format, found.dtype) == ("csr", np.float32)


def test_rows_of_a_square_matrix_are_features(tmp_path):
    path = write(tmp_path, HEAD + "2 2 2\n1 2 5\n1 2 3\n")
    assert read_counts(path, 2, 2).toarray().tolist() == [[0, 0], [8, 0]]  # and what is listed twice is added up
    assert read_counts(path, 2, 2).nnz == 1


@pytest.mark.parametrize(
    "text",
    [
        "%%MATRIXMARKET MATRIX Coordinate Integer General\n%\n\n  \n% 9 9 9\n 2   1\t1 \n2  1\t7\n\n",
        HEAD + "2 1 1\n2 1 7",
        gzip.compress((HEAD + "2 1 1\n2 1 7\n").encode(), mtime=0),
        (HEAD + "2 1 1\n2 1 7\n").replace("\n", "\r\n"),
        HEAD + "%" * 65_000 + "\n2 1 1\n2 1 7\n",
        HEAD + "2 1 1\n2 1 7" + "\n" * 70_000,
    ],
    ids=["upper case and blanks", "no last line end", "gzip", "Windows line ends", "a long comment", "a long file"],
)
def test_dresses(tmp_path, text):
    assert read_counts(write(tmp_path, text), 2, 1).toarray().tolist() == [[0, 7]]


def test_no_entries(tmp_path):
    found = read_counts(write(tmp_path, HEAD + "2 3 0\n\n"), 2, 3)
    assert (found.shape, found.nnz) == ((3, 2), 0)
    with pytest.raises(InputError, match=r"is damaged: its header names 0 entries, and it has more\."):
        read_counts(write(tmp_path, HEAD + "2 3 0\n1 1 1\n"), 2, 3)


@pytest.mark.parametrize("ratio", [1, 300])
def test_no_more_entries_are_believed_than_the_file_can_hold(tmp_path, ratio):
    """Of four bytes each; gzip packs such text at most 300-fold."""

    def claiming(n):
        text = f"{HEAD.replace('integer', 'pattern')}4 3 {n}\n1 1\n".encode()
        return text if ratio == 1 else gzip.compress(text, mtime=0)

    most = [size * ratio // 4 for size in range(50, 200)]
    n = next(n for n in most if len(claiming(n)) == len(claiming(n + 1)) and len(claiming(n)) * ratio // 4 == n)
    with pytest.raises(InputError, match=rf"its header names {n:,} entries, and it has fewer"):
        read_counts(write(tmp_path, claiming(n)), 4, 3)
    with pytest.raises(InputError, match=rf"has \d+ bytes but claims to hold {n + 1:,} entries; it is cut short"):
        read_counts(write(tmp_path, claiming(n + 1)), 4, 3)


@pytest.mark.parametrize("entry", ["0 1 1", "1 0 1", "3 1 1", "1 4 1", "-1 1 1", "1.5 1 1", "x 1 1"])
def test_entries_outside(tmp_path, entry):
    with pytest.raises(InputError, match=r"is damaged: an entry lies outside of 2 x 3, or is no number"):
        read_counts(write(tmp_path, f"{HEAD}2 3 1\n{entry}\n"), 2, 3)


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "", "x", "1e999"])
def test_values_that_are_no_counts(tmp_path, value):
    with pytest.raises(InputError, match=r"holds negative or infinite values, or none where counts should be\. Export"):
        read_counts(write(tmp_path, f"{HEAD}2 3 1\n1 1 {value}\n"), 2, 3)
    assert read_counts(write(tmp_path, f"{HEAD}2 3 1\n1 1 0\n"), 2, 3).toarray().sum() == 0


@pytest.mark.parametrize("line", ["2 3", "2 3 1 1", "2 3 x", "2 -3 1", "2 3 1.0", "2 3 1234567890123456789"])
def test_sizes_that_cannot_be_read(tmp_path, line):
    with pytest.raises(InputError, match="is damaged: the line with its rows, columns and entries cannot be read"):
        read_counts(write(tmp_path, f"{HEAD}{line}\n1 1 1\n"), 2, 3)


def test_a_header_that_never_ends(tmp_path):
    for text in (
        HEAD + "%\n" * 33_000 + "2 3 1\n1 1 1\n",
        HEAD + "%" * (_mtx._HEAD_BYTES - len(HEAD) - 6) + "\n2 3 10\n",  # what is looked at ends with "2 3 1"
        HEAD,
    ):
        with pytest.raises(InputError, match="the line with its rows, columns and entries cannot be read"):
            read_counts(write(tmp_path, text), 2, 3)


@pytest.mark.parametrize("head", ["%%MatrixMarket matrix coordinate integer", "%MatrixMarket a b c d", "\x1f\x8bx"])
def test_what_is_no_matrix_market_file(tmp_path, head):
    with pytest.raises(
        InputError, match=r"is no Matrix Market file: its first line is|its gzip stream cannot be unpacked"
    ):
        read_counts(write(tmp_path, head.encode("latin-1") + b"\n2 3 1\n"), 2, 3)


def test_a_matrix_too_large_for_the_memory(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(pd, "read_csv", refuse)
    with pytest.raises(InputError, match=r"is too large for the memory that is left\. Take fewer cells"):
        read_counts(write(tmp_path, f"{HEAD}2 3 1\n1 1 1\n"), 2, 3)
