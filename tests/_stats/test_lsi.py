"""Components against a full SVD of the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tilegrn._stats import lsi
from tilegrn._stats.lsi import fit_components, leading_directions, tf_idf
from tilegrn.model.prepare.components import Components


def fitted(x, n):
    """Components that are standardised over the cells they were fitted on."""
    idf, loadings = fit_components(x, n)
    k = loadings.shape[1]
    none = np.zeros((1, x.shape[1], 0), np.float32)
    raw = Components(idf, loadings, none, np.zeros(0, np.uint64), np.ones(k, np.float32), np.zeros(k, np.float32)).raw(
        x
    )
    return Components(idf, loadings, none, np.zeros(0, np.uint64), np.maximum(raw.std(0), 1e-6), raw.mean(0))


def example():
    rng = np.random.default_rng(0)
    state = rng.integers(0, 4, 80)
    rate = rng.gamma(0.5, 0.6, (4, 60))
    return sparse.csr_matrix(rng.poisson(rate[state]).astype(np.float32))


def test_loadings_are_the_leading_right_singular_vectors():
    x = example()
    found = fitted(x, 4)
    loadings = leading_directions(tf_idf(x, found.idf), 4)
    binary = (x.toarray() > 0).astype(float)
    idf = np.where(binary.sum(0) > 0, np.log1p(80 / np.maximum(binary.sum(0), 1)), 0)
    dense = binary * idf
    dense /= np.maximum(np.linalg.norm(dense, axis=1), 1e-8)[:, None]
    _, _, vt = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(np.abs((loadings * vt[:4].T).sum(0)), 1, atol=1e-3)
    scores = dense @ found.loadings
    np.testing.assert_allclose(found.transform(x), (scores - scores.mean(0)) / scores.std(0), atol=1e-3)


def test_only_open_or_closed_matters():
    x = example()
    again = x.copy()
    again.data[:] = 7
    a, b = fitted(x, 5), fitted(again, 5)
    np.testing.assert_array_equal(a.loadings, b.loadings)
    np.testing.assert_array_equal(a.transform(x), b.transform(again))


def test_more_components_than_the_data_hold():
    found = fitted(example()[:5], 50)
    assert found.loadings.shape == (60, 4)
    assert np.isfinite(found.transform(example())).all()


def test_a_cell_without_open_windows_is_finite():
    found = fitted(example(), 5)
    empty = sparse.csr_matrix((1, 60), dtype=np.float32)
    assert np.isfinite(found.transform(empty)).all()


@pytest.mark.parametrize("shape", [(80, 400), (400, 80)])
def test_the_order_of_rows_and_columns_does_not_matter(shape):
    rng = np.random.default_rng(1)
    x = sparse.random(*shape, density=0.1, format="csr", dtype=np.float32, random_state=2)
    rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
    for n in (3, 60):  # by ARPACK, and in full where it has no room
        found, moved = leading_directions(x, n), leading_directions(x[rows][:, columns].tocsr(), n)
        np.testing.assert_allclose(moved[:, :3], found[columns, :3], atol=2e-4)


def test_few_dense_rows_give_what_arpack_gives(monkeypatch):
    """Products of all pairs of rows and ARPACK's iterations find the same directions, for as many as stand out."""
    rng = np.random.default_rng(3)
    state = rng.integers(0, 5, 90)
    x = sparse.csr_matrix(rng.poisson(rng.gamma(0.5, 0.8, (5, 700))[state]).astype(np.float32))
    x = tf_idf(x, lsi.inverse_frequency(x))
    monkeypatch.setattr(lsi, "_COLUMNS", 64)
    found = lsi._of_row_products(x, 6)
    want = lsi._by_arpack(x, 6)
    np.testing.assert_allclose(np.abs((found[:, :4] * want[:, :4]).sum(0)), 1, atol=1e-5)
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-5)
    np.testing.assert_array_equal(np.abs(leading_directions(x, 6)), np.abs(found))
    twins = sparse.vstack([x[:4]] * 20).tocsr()
    assert lsi._of_row_products(twins, 6) is None, "four directions and no more"
    assert np.isfinite(leading_directions(twins, 6)).all()


def test_nothing_open_at_all():
    assert not leading_directions(sparse.csr_matrix((20, 30), dtype=np.float32), 4).any()
