"""Calibrated spread: the factor on made-up networks whose error is known, and where it goes in a model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from tilegrn._metrics import normalised_log1p
from tilegrn.tl._calibrate import excess_weight, factor_of_sums, spread_sums

N_NETWORKS = 6


def made(understates: float, *, seed: int = 0, n_cells: int = 500, n_genes: int = 60, level: float = 1.0):
    """Networks around a mean, and counts of rates that differ from that mean by ``understates`` times their spread."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(level, 1.0, n_genes) + rng.normal(0, 0.4, (n_cells, n_genes))
    size = np.exp(rng.normal(0, 0.4, n_cells))
    spread = rng.uniform(0.02, 0.12, (n_cells, n_genes))  # of each pair, so that there is something to know
    own = rng.normal(size=(N_NETWORKS, n_cells, n_genes))
    own = (own - own.mean(0)) / own.std(0)
    sd = understates * spread
    rate = np.exp(centre + sd * rng.normal(size=sd.shape) - sd**2 / 2)  # predictions are right on average
    counts = sparse.csr_matrix(rng.poisson(rate * size[:, None]))
    return normalised_log1p(counts, size).toarray(), np.exp(centre + spread * own), size


@pytest.mark.parametrize("understates", [1.0, 3.0])
def test_the_factor_is_what_the_spread_understates_by(understates):
    factor, low, high = factor_of_sums(*spread_sums(*made(understates)))
    assert factor == pytest.approx(understates, rel=0.1)
    assert low < understates < high
    assert high - low < 0.5 * understates


def test_rare_counts_give_the_same_factor():
    """On the log scale rare counts show less of the error; without its share the factor would come out near half."""
    sums = [spread_sums(*made(3.0, seed=seed, level=-1.0)) for seed in range(8)]
    factor, low, high = factor_of_sums(*(np.concatenate(part) for part in zip(*sums, strict=True)))
    assert factor == pytest.approx(3.0, rel=0.15)
    assert low < 3.0 < high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits = 0
    for seed in range(30):
        _, low, high = factor_of_sums(*spread_sums(*made(2.0, seed=seed, n_cells=150, n_genes=40)))
        hits += low < 2.0 < high
    assert hits >= 25


def test_sums_equal_a_loop_with_scipy():
    logged, rates, size = (x[..., :4, :3] if x.ndim > 1 else x[:4] for x in made(2.0))
    numerator, denominator = spread_sums(logged, rates, size)
    k = np.arange(400)
    for c in range(4):
        a = b = 0.0
        value = np.log1p(k / size[c])
        for g in range(3):
            each = [stats.poisson.pmf(k, r * size[c]) @ value for r in rates[:, c, g]]
            mean = rates[:, c, g].mean() * size[c]
            weight = stats.poisson.pmf(k, mean)
            variance = weight @ (value - weight @ value) ** 2
            w = 1 / (variance**2 * (2 + 1 / mean))
            above = [stats.poisson.pmf(k - shift, mean) for shift in (0, 1, 2)]
            square = (value - weight @ value) ** 2
            bend = above[2] @ square - 2 * above[1] @ square + above[0] @ square
            shown = np.var(each) * 0.5 * bend / (above[1] @ value - above[0] @ value) ** 2
            a += w * shown * ((logged[c, g] - np.mean(each)) ** 2 - variance)
            b += w * shown**2
        assert numerator[c] == pytest.approx(a, rel=1e-4)
        assert denominator[c] == pytest.approx(b, rel=1e-4)


@pytest.mark.parametrize("mean", [0.05, 0.5, 5.0, 50.0])
def test_weights_are_about_one_over_the_variance_of_the_squared_error(mean):
    k = np.arange(400)
    weight, value = stats.poisson.pmf(k, mean), np.log1p(k)
    square = (value - weight @ value) ** 2
    variance = weight @ square
    exact = weight @ (square - variance) ** 2
    assert 0.25 < excess_weight(variance, mean) * exact < 1.75
    assert variance**-2 * exact > 2 or mean > 0.05, "one over V squared would be far off for rare counts"


def test_pairs_that_are_almost_never_seen_weigh_next_to_nothing():
    assert excess_weight(1e-30, 1e-30) < excess_weight(0.01, 0.01)
    assert np.isfinite(excess_weight(0.0, 0.0))


def test_networks_that_do_not_differ_give_no_factor():
    assert factor_of_sums(np.zeros(3), np.zeros(3)) == (0.0, 0.0, 0.0)
    assert factor_of_sums([-1.0, -2.0], [1.0, 1.0])[0] == 0.0
