"""Losses against scipy's distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

torch = pytest.importorskip("torch")

from tilegrn.model.net.loss import gene_loss, nb_nll, poisson_nll  # noqa: E402


def values():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4)), rng.poisson(2.0, size=(6, 4)).astype(float), rng.normal(size=4)


def test_poisson_is_scipys_up_to_the_factorial():
    log_mean, count, _ = values()
    got = poisson_nll(torch.from_numpy(log_mean), torch.from_numpy(count)).numpy()
    np.testing.assert_allclose(got + gammaln(count + 1), -stats.poisson.logpmf(count, np.exp(log_mean)), rtol=1e-10)


def test_negative_binomial_is_scipys_up_to_the_factorial():
    log_mean, count, log_dispersion = values()
    got = nb_nll(*map(torch.from_numpy, (log_mean, count, log_dispersion))).numpy()
    n = np.exp(-log_dispersion)
    expected = -stats.nbinom.logpmf(count, n, n / (n + np.exp(log_mean)))
    np.testing.assert_allclose(got + gammaln(count + 1), expected, rtol=1e-8)


def test_negative_binomial_becomes_poisson_without_dispersion():
    log_mean, count, _ = values()
    a, b, d = torch.from_numpy(log_mean), torch.from_numpy(count), torch.full((4,), -12.0, dtype=torch.float64)
    gap = (nb_nll(a, b, d) - poisson_nll(a, b)).numpy()
    # The terms without the count cancel; what is left of the factorials is lgamma's own rounding.
    np.testing.assert_allclose(gap, 0, atol=2e-3)


@pytest.mark.parametrize("kind", ["poisson", "nb", "mse"])
def test_weight_zero_takes_a_gene_out(kind):
    log_mean, count, log_dispersion = values()
    rate, target = torch.from_numpy(log_mean).requires_grad_(), torch.from_numpy(count)
    weight = torch.ones_like(target)
    weight[:, 2] = 0
    size = torch.zeros(6, dtype=torch.float64)
    gene_loss(rate, size, target, weight, kind, torch.from_numpy(log_dispersion)).backward()
    assert (rate.grad[:, 2] == 0).all()
    assert (rate.grad[:, 1] != 0).all()


def test_mse_is_on_log1p_of_normalised_counts():
    log_mean, count, _ = values()
    size = np.linspace(0.5, 2, 6)
    got = gene_loss(
        torch.from_numpy(log_mean), torch.from_numpy(np.log(size)), torch.from_numpy(count), None, "mse", None
    )
    expected = np.mean((np.log1p(np.exp(log_mean)) - np.log1p(count / size[:, None])) ** 2)
    assert float(got) == pytest.approx(expected)


def test_negative_binomial_needs_a_dispersion():
    x = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="dispersion"):
        gene_loss(x, x[0], x, None, "nb", None)
