"""Products with the places of open windows against those with the matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tilegrn._stats import lsi, open_rows
from tilegrn._stats.lsi import inverse_frequency, leading_directions, leading_windows, tf_idf
from tilegrn._stats.open_rows import TfIdf


def opened(shape=(70, 300)):
    """Four states; a closed cell, a closed window, and a value of zero that is stored."""
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix(rng.poisson(rng.gamma(0.4, 0.6, (4, shape[1]))[rng.integers(0, 4, shape[0])]) * 1.0)
    keep = np.ones(x.nnz, bool)
    keep[x.indptr[5] : x.indptr[6]] = False
    keep[x.indices == 7] = False
    x.data = x.data * keep
    x.eliminate_zeros()
    x.data[3] = 0.0
    return x


@pytest.mark.parametrize("part", [1 << 21, 40])
def test_products_are_those_of_the_matrix(part, monkeypatch):
    """In one part, and in eight of which threads share out the work."""
    monkeypatch.setattr(open_rows, "_PART", part)
    x = opened()
    x.eliminate_zeros()
    idf = inverse_frequency(x)
    found, want = TfIdf(x, idf), tf_idf(x, idf).toarray().astype(np.float64)
    assert len(found.parts) == (1 if part > x.nnz else 8)
    assert found.parts[0][0] == 0
    assert found.parts[-1][1] == x.shape[0]
    rng = np.random.default_rng(1)
    column, row = rng.normal(size=x.shape[1]), rng.normal(size=x.shape[0])
    np.testing.assert_allclose(found.by_column(column), want @ column, atol=1e-5)
    np.testing.assert_allclose(found.by_row(row), want.T @ row, atol=1e-5)
    found.close()


@pytest.mark.parametrize("shape", [(70, 300), (300, 70)])
@pytest.mark.parametrize("few", [True, False])
def test_directions_are_those_of_the_matrix(shape, few, monkeypatch):
    monkeypatch.setattr(lsi, "_is_few", lambda x, n: few)
    x = opened(shape)
    before = x.copy()
    idf = inverse_frequency(x)
    for n in (1, 4, 60):  # the last is more than ARPACK has room for
        found, want = leading_windows(x, idf, n), leading_directions(tf_idf(x, idf), n)
        assert found.shape == want.shape
        np.testing.assert_allclose(found[:, :4], want[:, :4], atol=1e-4)
    assert (x.data == before.data).all()
    assert x.nnz == before.nnz


def test_nothing_open():
    x = sparse.csr_matrix((20, 30), dtype=np.float32)
    assert not leading_windows(x, inverse_frequency(x), 4).any()
