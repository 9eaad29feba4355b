"""Poisson regressions on components: against a general optimiser, shrunk where a component tells nothing."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from tilegrn.model.fit.start import _newton, poisson_loadings


def drawn(seed=0, n=400, genes=60, told=3, noise=5):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, told + noise))
    z /= z.std(0)
    loadings = np.zeros((told + noise, genes))
    loadings[:told] = rng.normal(0, 0.4, (told, genes))
    size = np.exp(rng.normal(0, 0.4, n))
    mean = rng.gamma(2.0, 0.5, genes)
    rate = mean * np.exp(z @ loadings)
    return rng.poisson(rate * size[:, None]), size, z, loadings, rate


def test_newton_steps_reach_the_optimum_of_the_penalised_likelihood():
    y, size, z, *_ = drawn(genes=4)
    y = y.astype(float)
    mean = y.sum(0) / size.sum()
    value, vector = np.linalg.eigh((z * size[:, None]).T @ z)
    b, intercept = _newton(y, size, z, mean, value, vector)
    for g in range(4):

        def loss(x, g=g):
            eta = x[0] + z @ x[1:]
            return float((size * np.exp(eta) - y[:, g] * eta).sum() + 0.5 * (x[1:] ** 2).sum())

        found = minimize(loss, np.r_[np.log(mean[g]), np.zeros(z.shape[1])], method="BFGS", options={"gtol": 1e-8}).x
        np.testing.assert_allclose(np.r_[intercept[g], b[:, g]], found, atol=2e-2)


def test_components_that_tell_nothing_are_shrunk_away_and_the_others_found():
    y, size, z, loadings, rate = drawn()
    found, offset = poisson_loadings(
        sparse.csr_matrix(y.astype(np.float32)), size.astype(np.float32), z.astype(np.float32)
    )
    assert found.shape == loadings.shape
    assert np.abs(found[3:]).mean() < 0.1 * np.abs(found[:3]).mean()
    assert np.corrcoef(found[:3].ravel(), loadings[:3].ravel())[0, 1] > 0.95
    made = np.exp(offset + z @ found)
    assert np.corrcoef(np.log(made).ravel(), np.log(rate).ravel())[0, 1] > 0.98


def test_a_gene_without_counts_stays_finite():
    y, size, z, *_ = drawn(genes=5)
    y[:, 2] = 0
    found, offset = poisson_loadings(
        sparse.csr_matrix(y.astype(np.float32)), size.astype(np.float32), z.astype(np.float32)
    )
    assert np.isfinite(found).all()
    assert np.isfinite(offset).all()
    assert offset[2] < -8
