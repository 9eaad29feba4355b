"""Guided components against a dense ridge regression, and what cross-fitting promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import pearsonr

from tilegrn._stats.lsi import fit_components, tf_idf
from tilegrn.model.prepare.guided import N_PARTS, cell_hash, expression_axes, fit_guided, guided_scores, part_of_cells


def example(n=300, n_windows=400, n_genes=120, seed=0):
    """Cells of a continuous state that few, sparse windows and noisy counts follow."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(n, 3))
    opened = rng.random((n, n_windows)) < 1 / (1 + np.exp(3 - 0.8 * state @ rng.normal(size=(3, n_windows))))
    counts = rng.poisson(np.exp(-0.5 + 0.5 * state @ rng.normal(size=(3, n_genes))))
    return sparse.csr_matrix(opened.astype(np.float32)), sparse.csr_matrix(counts.astype(np.float32)), state


def test_weights_are_those_of_a_dense_ridge_on_the_other_parts():
    windows, _, state = example()
    idf, _ = fit_components(windows, 5)
    y = state.astype(np.float32)
    known, found = fit_guided(windows, idf, y, penalty=0.7)
    x, part = tf_idf(windows, idf).toarray().astype(float), part_of_cells(windows, known)
    for p in range(N_PARTS):
        a, b = x[part != p], y[part != p] - y[part != p].mean(0)
        exact = a.T @ np.linalg.solve(a @ a.T + 0.7 * np.eye(len(a)), b)
        np.testing.assert_allclose(x @ found[p], x @ exact, atol=5e-3)
    scores = guided_scores(tf_idf(windows, idf), found, part)
    np.testing.assert_allclose(scores[part == 2], x[part == 2] @ found[2], rtol=1e-4, atol=1e-5)


def test_the_regression_of_a_part_does_not_know_its_cells():
    windows, _, state = example()
    idf, _ = fit_components(windows, 5)
    y = state.astype(np.float32)
    known, before = fit_guided(windows, idf, y, penalty=1.0)
    mine = part_of_cells(windows, known) == 3
    changed = y.copy()
    changed[mine] += np.random.default_rng(0).normal(size=(int(mine.sum()), 3))
    _, after = fit_guided(windows, idf, changed.astype(np.float32), penalty=1.0)
    np.testing.assert_array_equal(before[3], after[3])
    assert np.abs(before[1] - after[1]).max() > 1e-3


def test_scores_of_training_cells_are_as_good_as_those_of_new_ones_and_no_better():
    windows, _, state = example(n=1500)
    rng = np.random.default_rng(1)
    # Half of what is regressed is the noise of single cells, which no window can tell.
    y = (state[:, :1] + rng.normal(size=(1500, 1))).astype(np.float32)
    train, new = np.arange(1000), np.arange(1000, 1500)
    idf, _ = fit_components(windows[train], 5)
    known, weights = fit_guided(windows[train], idf, y[train], penalty=1.0)

    def score(cells):
        return guided_scores(tf_idf(windows[cells], idf), weights, part_of_cells(windows[cells], known))[:, 0]

    seen, unseen = pearsonr(score(train), y[train, 0])[0], pearsonr(score(new), y[new, 0])[0]
    assert seen == pytest.approx(unseen, abs=0.1)
    wrong = guided_scores(tf_idf(windows[train], idf), weights, np.full(1000, N_PARTS))[:, 0]
    assert pearsonr(wrong, y[train, 0])[0] > seen + 0.1  # what would happen without cross-fitting
    assert np.std(score(train)) == pytest.approx(np.std(score(new)), rel=0.15)


def test_training_cells_are_known_by_their_open_windows_alone():
    windows, _, _ = example(n=2500)
    known = np.unique(cell_hash(windows[:2000]))
    assert len(known) == 2000
    part = part_of_cells(windows, known)
    assert (part[2000:] == N_PARTS).all()
    assert np.bincount(part[:2000], minlength=N_PARTS).min() > 2000 / N_PARTS * 0.8
    order = np.random.default_rng(0).permutation(2500)
    np.testing.assert_array_equal(part_of_cells(windows[order] * 3, known), part[order])
    loud = windows.copy()
    loud.data[::7] = 0  # stored zeros are closed
    clean = loud.copy()
    clean.eliminate_zeros()
    np.testing.assert_array_equal(cell_hash(loud), cell_hash(clean))
    assert (cell_hash(loud) != cell_hash(windows)).mean() > 0.9
    assert len(np.unique(cell_hash(sparse.csr_matrix((3, 5))))) == 1


def test_axes_of_expression_are_those_of_a_dense_decomposition():
    _, counts, _ = example(n=400)
    size = np.random.default_rng(2).uniform(0.5, 2, 400)
    found = expression_axes(counts, size, 6)
    dense = np.log1p(counts.toarray() / size[:, None])
    dense /= np.maximum(dense.std(0), 0.1)
    _, _, vt = np.linalg.svd(dense, full_matrices=False)
    exact = dense @ vt[:6].T
    exact -= exact.mean(0)
    # The same plane of cells, whatever the order and signs of its axes.
    fitted = exact @ np.linalg.lstsq(exact, found, rcond=None)[0]
    assert np.abs(fitted[:, :4] - found[:, :4]).max() < 0.02 * found.std()
    assert found.shape == (400, 6)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)


def test_axes_without_variation_give_no_weights():
    windows, _, _ = example(n=60)
    idf, _ = fit_components(windows, 5)
    assert not fit_guided(windows, idf, np.ones((60, 2), np.float32), penalty=1.0)[1].any()


def test_only_axes_that_windows_tell_are_kept():
    windows, _, state = example(n=800)
    rng = np.random.default_rng(3)
    axes = np.column_stack([rng.normal(size=800), state[:, 0], rng.normal(size=(800, 20)), state[:, 1]])
    idf, _ = fit_components(windows, 5)
    known, weights = fit_guided(windows, idf, axes.astype(np.float32), penalty=1.0)
    assert 2 <= weights.shape[2] <= 3  # chance lets one of twenty pass at times
    scores = guided_scores(tf_idf(windows, idf), weights, part_of_cells(windows, known))
    for true in (0, 1):
        assert max(pearsonr(s, state[:, true])[0] for s in scores.T) > 0.5
