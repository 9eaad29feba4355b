"""Components against a full SVD of the dense matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from tilegrn.model.prepare.components import Components
from tilegrn.model.prepare.lsi import fit_components, leading_directions, tf_idf


def fitted(x, n, seed):
    """Components that are standardised over the cells they were fitted on."""
    idf, loadings = fit_components(x, n, seed=seed)
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
    found = fitted(x, 4, seed=0)
    loadings = leading_directions(tf_idf(x, found.idf), 4, seed=0, n_iter=20)
    binary = (x.toarray() > 0).astype(float)
    idf = np.where(binary.sum(0) > 0, np.log1p(80 / np.maximum(binary.sum(0), 1)), 0)
    dense = binary * idf
    dense /= np.maximum(np.linalg.norm(dense, axis=1), 1e-8)[:, None]
    _, _, vt = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(np.abs((loadings * vt[:4].T).sum(0)), 1, atol=1e-3)
    scores = dense @ found.loadings
    np.testing.assert_allclose(found.transform(x), (scores - scores.mean(0)) / scores.std(0), atol=1e-3)


def test_only_open_or_closed_matters_and_the_seed_fixes_everything():
    x = example()
    again = x.copy()
    again.data[:] = 7
    a, b = fitted(x, 5, seed=3), fitted(again, 5, seed=3)
    np.testing.assert_array_equal(a.loadings, b.loadings)
    np.testing.assert_array_equal(a.transform(x), b.transform(again))


def test_more_components_than_the_data_hold():
    found = fitted(example()[:5], 50, seed=0)
    assert found.loadings.shape == (60, 4)
    assert np.isfinite(found.transform(example())).all()


def test_a_cell_without_open_windows_is_finite():
    found = fitted(example(), 5, seed=0)
    empty = sparse.csr_matrix((1, 60), dtype=np.float32)
    assert np.isfinite(found.transform(empty)).all()
