"""Metrics against slow references from scipy, one gene and one cell at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from tilegrn._stats import metrics as M
from tilegrn._stats.poisson import excess_share

SIZE = np.array([0.05, 0.3, 1.0, 2.5, 12.0])
MEANS = np.concatenate(
    [np.geomspace(1e-6, 3000, 150), [0.0, 0.25, 0.2500001, 1, 1.0001, 4, 4.0001, 16, 16.01, 64, 64.1, 128, 128.01]]
)


def brute_force(mean: float, size: float) -> float:
    k = np.arange(0, int(mean + 40 * np.sqrt(mean) + 60))
    return float((stats.poisson.pmf(k, mean) * np.log1p(k / size)).sum())


@pytest.fixture(scope="module")
def exact():
    return np.array([[brute_force(m, s) for m in MEANS] for s in SIZE])


@pytest.fixture(scope="module")
def sparse_genes():
    """300 cells x 60 genes of few counts; the last gene is never seen, the one before is constant in the prediction."""
    rng = np.random.default_rng(3)
    rate = np.exp(rng.normal(-1.5, 1.0, size=(300, 60)))
    counts = rng.poisson(rate)
    counts[:, -1] = 0
    rate[:, -2] = 0.3
    return counts, rate


def test_expected_log1p_equals_the_sum_over_counts(exact):
    got = M.expected_log1p(MEANS / SIZE[:, None], SIZE)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, exact, rtol=2e-7, atol=1e-12)


def test_expected_log1p_is_the_same_in_any_slice_and_shape():
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(-1, 3, size=(40, 30))).astype(np.float32)
    size = np.exp(rng.normal(0, 1, 40))
    whole = M.expected_log1p(rate, size)
    np.testing.assert_array_equal(M.expected_log1p(rate[5:9], size[5:9]), whole[5:9])
    np.testing.assert_array_equal(M.expected_log1p(rate[:, 3:7], size), whole[:, 3:7])
    np.testing.assert_array_equal(M.expected_log1p(rate[:, 0], size), whole[:, 0])
    np.testing.assert_array_equal(M.expected_log1p(rate.reshape(40, 5, 6), size).reshape(40, 30), whole)


def test_expected_log1p_of_a_simulation():
    rng = np.random.default_rng(1)
    draws = np.log1p(rng.poisson(0.7 * 1.8, size=400_000) / 1.8)
    assert abs(M.expected_log1p(np.array([[0.7]]), [1.8])[0, 0] - draws.mean()) < 5 * draws.std() / np.sqrt(len(draws))


def test_expected_log1p_keeps_nan():
    got = M.expected_log1p(np.array([[0.1, np.nan, 500.0]]), [1.0])
    assert np.isnan(got[0, 1])
    assert np.isfinite(got[0, [0, 2]]).all()


def test_variance_log1p_equals_the_sum_over_counts():
    def brute(mean, size):
        k = np.arange(0, int(mean + 40 * np.sqrt(mean) + 60))
        weight, value = stats.poisson.pmf(k, mean), np.log1p(k / size)
        return (weight * (value - weight @ value) ** 2).sum()

    exact = np.array([[brute(m, s) for m in MEANS] for s in SIZE])
    got = M.variance_log1p(MEANS / SIZE[:, None], SIZE)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-14)


def test_excess_share_is_what_an_uncertain_rate_adds():
    """Against counts of two rates, 1 % above and below the predicted one."""
    means = np.array([0.003, 0.2, 0.9, 3.0, 12.0, 50.0, 120.0])
    step = 0.01
    exact = np.zeros((len(SIZE), len(means)))
    for i, size in enumerate(SIZE):
        for j, mean in enumerate(means):
            k = np.arange(0, int(mean + 40 * np.sqrt(mean) + 60))
            low, mid, high = (stats.poisson.pmf(k, mean * f) for f in (1 - step, 1.0, 1 + step))
            value = np.log1p(k / size)
            square = (value - mid @ value) ** 2
            exact[i, j] = ((low + high) / 2 @ square - mid @ square) / ((high - low) @ value / 2) ** 2
    got = excess_share(means / SIZE[:, None], SIZE)
    np.testing.assert_allclose(got, exact, rtol=1e-3, atol=1e-3)
    assert got[0, 0] < 0 < got[2, 0] < 0.3
    assert np.isnan(excess_share(np.array([[np.nan]]), [1.0]))
    assert excess_share(np.array([[500.0]]), [1.0]) == 1.0


def test_variance_log1p_is_the_same_in_any_slice_and_keeps_nan():
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(-1, 3, size=(40, 30)))
    rate[3, 4] = np.nan
    size = np.exp(rng.normal(0, 1, 40))
    whole = M.variance_log1p(rate, size)
    assert np.isnan(whole[3, 4])
    assert np.isnan(whole).sum() == 1
    np.testing.assert_array_equal(M.variance_log1p(rate[5:9], size[5:9]), whole[5:9])
    np.testing.assert_array_equal(M.variance_log1p(rate[:, 3:7], size), whole[:, 3:7])
    np.testing.assert_array_equal(M.variance_log1p(rate.reshape(40, 5, 6), size).reshape(40, 30), whole)
    assert M.variance_log1p(np.zeros((0, 4)), []).shape == (0, 4)


def test_expected_log1p_of_no_cells_or_genes():
    assert M.expected_log1p(np.zeros((0, 4)), []).shape == (0, 4)
    assert M.expected_log1p(np.zeros((3, 0)), np.ones(3)).shape == (3, 0)


def test_implied_mean_undoes_expected_log1p(exact):
    used = MEANS > 1e-5
    got = M.implied_mean(exact[:, used], SIZE)
    np.testing.assert_allclose(got, np.broadcast_to(MEANS[used], got.shape), rtol=2e-3)


def test_implied_mean_of_nothing_and_nan():
    got = M.implied_mean(np.array([[0.0, -0.2, np.nan, 0.1]]), [1.0])
    assert got[0, 0] == got[0, 1] == 0
    assert np.isnan(got[0, 2])
    assert got[0, 3] > 0


@pytest.mark.parametrize(("kernel", "reference"), [(M.pearson, stats.pearsonr), (M.spearman, stats.spearmanr)])
def test_correlations_equal_scipy_gene_by_gene(sparse_genes, kernel, reference):
    counts, rate = sparse_genes
    rate = rate.astype(np.float32)
    got = kernel(counts, rate)
    with np.errstate(all="ignore"), pytest.warns(stats.ConstantInputWarning):
        want = [reference(counts[:, g], rate[:, g].astype(np.float64)).statistic for g in range(counts.shape[1])]
    assert np.isnan(want[-2:]).all()
    np.testing.assert_allclose(got, np.nan_to_num(want), atol=1e-12)


def test_a_constant_correlates_with_nothing():
    y = np.random.default_rng(0).normal(size=(50, 3))
    for value in (0.1, 1e-3, 123456.7, np.float32(0.3)):
        np.testing.assert_array_equal(M.pearson(y, np.full((50, 3), value)), 0)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 2**32 - 1))
def test_pearson_ignores_scale_and_shift(scale, shift, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    np.testing.assert_allclose(M.pearson(y, x * scale + shift), M.pearson(y, x), atol=1e-9)


def test_per_cell_correlation_from_chunks_equals_whole(sparse_genes):
    counts, rate = sparse_genes
    a, b = counts - counts.mean(0), rate - rate.mean(0)
    b[7] = 0.5
    sums = M.CellCorrelation(len(a))
    for part in np.array_split(np.arange(60), 7):
        sums.add(a[:, part], b[:, part])
    with np.errstate(invalid="ignore"):
        want = [np.corrcoef(a[i], b[i])[0, 1] if i != 7 else 0.0 for i in range(len(a))]
    np.testing.assert_allclose(sums.result(), want, atol=1e-10)


def test_deviance_equals_twice_the_gap_to_the_perfect_fit(sparse_genes):
    counts, rate = sparse_genes
    want = 2 * (stats.poisson.logpmf(counts, np.maximum(counts, 1e-300)) - stats.poisson.logpmf(counts, rate)).sum(0)
    np.testing.assert_allclose(M.poisson_deviance(counts, rate, 0.0), want, rtol=1e-9)


def test_deviance_of_an_impossible_count_is_bounded_by_the_floor():
    got = M.poisson_deviance(np.array([[2.0]]), np.array([[0.0]]), np.array([[0.1]]))
    np.testing.assert_allclose(got, 2 * (0.1 - 2 + 2 * np.log(2 / 0.1)))


def test_normalised_log1p_and_size_factors():
    counts = sparse.csr_matrix(np.array([[2, 0, 2], [0, 1, 0], [0, 0, 0], [4, 2, 2]], dtype=np.float32))
    sf = M.size_factors(counts.sum(1), [1, 4, 0, 8])
    np.testing.assert_allclose(sf, [1, 0.25, 0, 2])
    got = M.normalised_log1p(counts[[0, 1, 3]], sf[[0, 1, 3]]).toarray()
    np.testing.assert_allclose(got, np.log1p(counts.toarray()[[0, 1, 3]] / sf[[0, 1, 3], None]))
    assert counts.data[0] == 2, "the counts are not changed"
    np.testing.assert_array_equal(M.size_factors([0, 0]), 0)


def test_bootstrap_equals_correlations_of_the_resampled_cells(sparse_genes):
    counts, rate = sparse_genes
    rng = np.random.default_rng(0)
    other = rate + rng.normal(0, 1, rate.shape)
    picks = rng.integers(0, len(counts), size=(6, len(counts)))
    weights = np.stack([np.bincount(p, minlength=len(counts)) for p in picks])
    got = M.bootstrap_pearson(counts, [rate, other], weights)
    want = [[M.pearson(counts[p], m[p]).sum() for m in (rate, other)] for p in picks]
    np.testing.assert_allclose(got, want, rtol=2e-4)


def test_bootstrap_interval_covers_the_truth():
    """The share of 95 % intervals that hold the true difference, over repeated data sets."""
    rng = np.random.default_rng(5)
    loadings = rng.normal(size=(2, 25)) * 0.5

    def draw(n):
        z = rng.normal(size=(n, 2))
        full = -1.5 + z @ loadings
        return np.log1p(rng.poisson(np.exp(full))), full, -1.5 + z[:, :1] @ loadings[:1]

    y, full, half = draw(100_000)
    truth = (M.pearson(y, full) - M.pearson(y, half)).mean()
    held = 0
    for _ in range(120):
        y, full, half = draw(150)
        weights = rng.multinomial(150, np.full(150, 1 / 150), size=200)
        r = M.bootstrap_pearson(y, [full, half], weights) / 25
        estimate = (M.pearson(y, full) - M.pearson(y, half)).mean()
        low, high = M.interval(r[:, 0] - r[:, 1], estimate)
        assert low < estimate < high
        held += low <= truth <= high
    assert 0.86 <= held / 120 <= 0.99


def test_balanced_groups_are_small_and_alike():
    rng = np.random.default_rng(0)
    kind = np.repeat(np.arange(4), 40)
    x = rng.normal(size=(160, 5)) * 0.1 + np.eye(5)[kind] * 10
    groups = M.balanced_groups(x, 20)
    sizes = np.bincount(groups)
    assert sizes.sum() == 160
    assert sizes.min() >= 20
    assert sizes.max() < 40
    for g in range(len(sizes)):
        assert len(np.unique(kind[groups == g])) == 1
    np.testing.assert_array_equal(groups, M.balanced_groups(x, 20))
