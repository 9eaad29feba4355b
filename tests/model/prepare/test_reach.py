"""The decay length against simulated truth, a slow reference, and data without one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("torch")

from tests.tl._ready import sizes_of

import tilegrn as grn
from tilegrn.model.prepare.reach import decay_length, fit_decay, squared_correlations
from tilegrn.tl.training._source import read_source


def source_of(decay, seed):
    mdata = grn.datasets.simulate(n_cells=600, n_genes=200, n_peaks=1000, n_tfs=20, decay=decay, seed=seed)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    return read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)


def length_of(source, opened=None):
    size = np.maximum(source.depth, 1) / np.median(source.depth)
    opened = source.open if opened is None else opened
    return decay_length(source.counts, size, opened, source.distance, promoter=1500.0, seed=0)


@pytest.mark.parametrize("decay", [10_000, 25_000, 50_000, 100_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulated_length_is_found_within_a_factor_of_two(decay, seed):
    assert 0.5 < length_of(source_of(decay, seed)) / decay < 2


def test_windows_of_other_cells_tell_no_length():
    source = source_of(25_000, 1)
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert length_of(source, source.open[rng.permutation(600)]) is None


def test_too_few_cells_tell_no_length():
    source = source_of(25_000, 1)
    few = np.arange(60)
    size = np.ones(60)
    args = source.counts[few], size, source.open[few], source.distance
    assert decay_length(*args, promoter=1500.0, seed=0) is None


def test_squared_correlations_are_those_of_residuals():
    rng = np.random.default_rng(0)
    n = 200
    counts = sparse.csr_matrix(rng.poisson(1.0, (n, 30)).astype(np.float32))
    opened = sparse.csr_matrix(rng.poisson(0.5, (n, 50)).astype(np.float32))
    distance = sparse.random(30, 50, density=0.3, format="csr", random_state=1)
    distance.data = np.floor(distance.data * 50_000) + 1
    size = rng.uniform(0.5, 2, n)
    d, value = squared_correlations(counts, size, opened, distance, np.arange(30), promoter=1500.0)

    from tilegrn._stats.lsi import fit_components, tf_idf
    from tilegrn.model.prepare.guided import expression_axes

    x = opened.copy()
    x.data = np.log1p(x.data)
    idf, loadings = fit_components(x.astype(float), 10)
    nuisance = np.column_stack(
        [np.ones(n), np.log(size), np.log1p(np.asarray(x.sum(1)).ravel()), tf_idf(x, idf) @ loadings,
         expression_axes(counts, size, 10)]
    )  # fmt: skip
    a, y = x.toarray().astype(float), np.log1p(counts.toarray() / size[:, None])
    for side in (a, y):
        side -= nuisance @ np.linalg.lstsq(nuisance, side, rcond=None)[0]
    expected = []
    for gene in range(30):
        row = distance[[gene]]
        for window, far in sorted(zip(row.indices, row.data - 1, strict=True)):
            if far >= 1500:
                r = np.corrcoef(a[:, window], y[:, gene])[0, 1]
                expected.append((far, (n - nuisance.shape[1]) * r**2))
    got = sorted(zip(d, value, strict=True))
    np.testing.assert_allclose(got, sorted(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", [4e3, 3e4, 1.5e5])
def test_the_fit_finds_the_length_behind_noisy_squares(length):
    rng = np.random.default_rng(0)
    d = rng.uniform(1500, 1e6, 60_000)
    value = (1 + 6 * np.exp(-2 * d / length)) * rng.chisquare(1, len(d))
    found, evidence = fit_decay(d, value)
    assert found == pytest.approx(length, rel=0.3)
    assert evidence > 30
    flat, nothing = fit_decay(d, rng.chisquare(1, len(d)))
    assert nothing < 30
    assert np.isfinite(flat)
