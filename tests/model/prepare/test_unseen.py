"""Genes without training: the ridge against scikit-learn, pooling against loops."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge

from tilegrn.model.prepare.unseen import FEW_CELLS, FEW_WINDOWS, fit_ridge, pool_windows, window_states


def test_ridge_equals_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (60, 5)).astype(np.float32)
    y = rng.normal(size=(60, 2)).astype(np.float32)
    w = rng.uniform(0.2, 2, 60)
    w[:7] = 0
    found, penalty = fit_ridge(x, y, w, np.zeros(60, dtype=int), penalties=(20.0,))
    assert penalty == 20.0
    used = w > 0
    mean, sd = x[used].mean(0), x[used].std(0)
    model = Ridge(alpha=20.0).fit(((x - mean) / sd)[used], y[used], sample_weight=(w / w.mean())[used])
    np.testing.assert_allclose(x @ found[:-1] + found[-1], model.predict((x - mean) / sd), atol=1e-4)


def test_penalty_is_chosen_on_chromosomes_left_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30)).astype(np.float32)
    folds = np.repeat(np.arange(5), 40)
    signal = (x @ rng.normal(size=(30, 1))).astype(np.float32)
    noise = rng.normal(size=(200, 1)).astype(np.float32)
    ones = np.ones(200)
    assert fit_ridge(x, signal, ones, folds)[1] == 3.0
    assert fit_ridge(x, noise, ones, folds)[1] == 1000.0


def test_states_and_pooling_equal_loops():
    rng = np.random.default_rng(0)
    opened = sparse.random(40, 6, density=0.4, format="csr", random_state=1)
    codes = rng.normal(size=(40, 3)).astype(np.float32)
    z = (codes - codes.mean(0)) / codes.std(0)
    states = window_states(opened, codes)
    dense = opened.toarray() > 0
    for w in range(6):
        expected = z[dense[:, w]].sum(0) / (dense[:, w].sum() + FEW_CELLS)
        np.testing.assert_allclose(states[w], expected, atol=1e-5)
    distance = np.array([[1, 0, 5001, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 25_001, 0, 0, 1, 900_001]], dtype=float)
    pooled = pool_windows(sparse.csr_matrix(distance), states, (5_000.0, 250_000.0))
    for g in range(3):
        for k, length in enumerate((5_000.0, 250_000.0)):
            weight = np.where(distance[g] > 0, np.exp(-(distance[g] - 1) / length), 0)
            expected = weight @ states / (weight.sum() + FEW_WINDOWS)
            np.testing.assert_allclose(pooled[g, 4 * k : 4 * k + 3], expected, atol=1e-5)
            np.testing.assert_allclose(pooled[g, 4 * k + 3], np.log1p(weight.sum()), atol=1e-5)
