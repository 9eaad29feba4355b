"""Levels of TFs without counting noise, and effects of few TFs, against what can be computed exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, sparse, stats

from tilegrn.tl.network import _few_effects
from tilegrn.tl.network._few_effects import few_effects
from tilegrn.tl.network._tf_levels import HALF, MOST_BEND, fit_levels, level_of, measured


@pytest.mark.parametrize("size", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("mean_rate", [0.2, 1.0, 20.0])
def test_levels_are_expected_to_be_what_the_rate_makes_of_them(size, mean_rate):
    """Over all counts that a rate can give: the level, its square, and noise as what the square has more."""
    count = np.arange(400.0)
    bend = min(HALF / mean_rate / size, MOST_BEND) * size
    for rate in (0.0, 0.3, 1.0, 8.0):
        chance = stats.poisson.pmf(count, rate * size)
        value = measured(count[:, None], np.full(400, size), np.array([mean_rate]))[:, 0]
        true = (1 - np.exp(-bend * rate)) / bend
        assert chance @ value == pytest.approx(true, abs=1e-9)
        assert level_of(np.array([rate * size]), np.array([size]), np.array([mean_rate]))[0, 0] == pytest.approx(true)
    # At its mean rate, where counts can tell it, a TF has half of its largest level.
    if HALF / mean_rate <= MOST_BEND * size:
        half = level_of(np.array([mean_rate * size]), np.array([size]), np.array([mean_rate]))
        assert half[0, 0] == pytest.approx(0.5 / bend)


def test_noise_of_levels_is_what_counting_adds_to_their_variance():
    rng = np.random.default_rng(0)
    n = 200_000
    size, rate = rng.lognormal(0, 0.3, n), rng.gamma(2.0, 0.6, n)
    counts = sparse.csr_matrix(np.column_stack([np.zeros(n), rng.poisson(size * rate)]).astype(np.float32))
    levels = fit_levels(counts, size, np.array([1]))
    bend = np.minimum(HALF / (levels.rate * size), MOST_BEND) * size
    true = (1 - np.exp(-bend * rate)) / bend
    value = levels.value.toarray()[:, 0]
    assert levels.rate[0] == pytest.approx(rate.mean(), rel=0.02)
    assert levels.mean[0] == pytest.approx(true.mean(), rel=0.01)
    assert levels.noise[0] == pytest.approx(((value - true) ** 2).mean(), rel=0.02)
    assert levels.reliable(value.var(keepdims=True))[0] == pytest.approx(true.var() / value.var(), rel=0.03)


def test_a_tf_that_no_cell_shows_is_reliable_and_without_level():
    levels = fit_levels(sparse.csr_matrix((5, 2), dtype=np.float32), np.ones(5), np.array([0, 1]))
    assert levels.mean.tolist() == [0, 0]
    assert levels.reliable(np.zeros(2)).tolist() == [1, 1]


def test_one_tf_has_the_exact_posterior_mean(monkeypatch):
    """A spike and two halves of a normal distribution, integrated numerically."""
    monkeypatch.setattr(_few_effects, "ROUNDS", 0)
    cells, noise, odds, spread = 50.0, 2.0, -3.0, 0.1
    for weight in (0.3, 1.0, 4.0):
        for cross in (-0.6, -0.1, 0.0, 0.2, 0.5):
            made = few_effects(
                np.eye(1), np.array([[cross]]), np.array([noise]), np.array([cells]), np.array([[weight]]),
                np.ones((1, 1), dtype=bool), np.zeros(0, dtype=np.int64),
            )  # fmt: skip

            def weighed(b, power, slab, cross=cross):
                return b**power * np.exp(cells / noise * (cross * b - b * b / 2)) * stats.norm.pdf(b, 0, slab)

            slab = np.sqrt(spread * weight)
            total, first = (integrate.quad(weighed, -6, 6, (power, slab), points=[0])[0] for power in (0, 1))
            odds_of = np.exp(odds) * weight**1.5
            assert made[0, 0] == pytest.approx(odds_of * first / (1 + odds_of * total), abs=_few_effects._CLOSE)


def few(k=12, m=400, n=4000, seed=0):
    """Correlated TFs of which two act on each gene, mostly with one sign each."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(n, k)) + rng.normal(size=(n, 1))
    level = (level - level.mean(0)) / level.std(0)
    weight = rng.gamma(1.0, 1.0, (k, m))
    true = np.zeros((k, m))
    for gene in range(m):
        acting = rng.choice(k, 2, replace=False, p=weight[:, gene] / weight[:, gene].sum())
        true[acting, gene] = rng.uniform(0.2, 0.5, 2) * np.where(acting % 4 == 3, -1, 1)
    rate = 1 + level @ true + rng.normal(0, 1.5, (n, m))
    cross = level.T @ (rate - rate.mean(0)) / n
    return level.T @ level / n, cross, rate.var(0), np.full(k, float(n)), weight, true


def test_few_effects_are_nearer_to_the_truth_than_least_squares():
    gram, cross, variance, cells, weight, true = few()
    every = np.arange(cross.shape[1])
    made = few_effects(gram, cross, variance, cells, weight, np.ones_like(cross, dtype=bool), every)
    plain = np.linalg.solve(gram, cross)
    assert ((made - true) ** 2).sum() < 0.7 * ((plain - true) ** 2).sum()
    assert (made * true).sum() / (true**2).sum() > 0.9  # hardly shrunk
    assert (np.sign(made) == np.sign(true))[true != 0].mean() > 0.99


def test_pairs_that_are_no_candidates_have_no_effect_and_order_does_not_matter():
    gram, cross, variance, cells, weight, _ = few(m=60)
    cells = cells * np.linspace(0.3, 1, len(cells))
    allowed = np.random.default_rng(1).random(cross.shape) < 0.7
    fitted = np.arange(0, 60, 2)
    made = few_effects(gram, cross, variance, cells, weight, allowed, fitted)
    assert not made[~allowed].any()
    tf, gene = np.random.default_rng(2).permutation(len(gram)), np.random.default_rng(3).permutation(60)
    place = np.argsort(gene)
    turned = few_effects(
        gram[np.ix_(tf, tf)], cross[np.ix_(tf, gene)], variance[gene], cells[tf], weight[np.ix_(tf, gene)],
        allowed[np.ix_(tf, gene)], np.sort(place[fitted]),
    )  # fmt: skip
    np.testing.assert_allclose(turned, made[np.ix_(tf, gene)], atol=1e-9)
