"""What the cis head starts from: gains and laws that were put into counts come out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402

from tilegrn.model.data.batches import BatchMaker  # noqa: E402
from tilegrn.model.fit.cis_start import gains, laws, ratio_sums  # noqa: E402


def counted(gain, law=(8000.0, 2.0, 4.0), n_cells=1500, depth=20.0, seed=0):
    """Cells whose counts follow the log ratios of a law, times a gain per gene and part."""
    data, network, config, _, _ = made(
        seed=seed, n_cells=n_cells, n_windows=120, n_genes=40, use_binding=False, open_share=0.3, promoter=5000.0
    )
    head = network.cis
    head.settle(*law)
    side = head.known_genes(torch.zeros(40, 9))
    with torch.no_grad():
        z = head.folds(BatchMaker(data, config).evaluate(np.arange(n_cells)), side).view(n_cells, 40, 2).numpy()
    rate = depth * np.exp((z * gain).sum(-1))
    counts = np.random.default_rng(seed).poisson(rate * data.size_factor[:, None]).astype(np.float32)
    return replace(data, counts=sparse.csr_matrix(counts)), head, config, counts, data.size_factor


def flat(counts, size):
    """Rates of a model that knows each gene's mean alone."""
    mean = torch.from_numpy((counts.sum(0) / size.sum()).astype(np.float32))
    return lambda cells: mean.expand(len(cells), -1)


def test_gains_come_out_again_and_differ_between_genes():
    true = np.random.default_rng(1).normal(0.15, 0.1, (40, 2))
    data, head, config, counts, size = counted(true)
    mean, each = gains(*ratio_sums(head, BatchMaker(data, config), flat(counts, size))[0])
    assert mean == pytest.approx(true.mean(0), abs=0.06)
    for part in (0, 1):
        assert np.corrcoef(each[:, part], true[:, part])[0, 1] > 0.8


def test_genes_that_differ_by_chance_alone_share_one_gain():
    data, head, config, counts, size = counted(np.full((40, 2), 0.1), depth=2.0)
    mean, each = gains(*ratio_sums(head, BatchMaker(data, config), flat(counts, size))[0])
    assert each.std(0).max() < 0.05
    assert mean == pytest.approx([0.1, 0.1], abs=0.05)


def test_no_effect_gives_no_gain():
    data, head, config, counts, size = counted(np.zeros((40, 2)))
    mean, _ = gains(*ratio_sums(head, BatchMaker(data, config), flat(counts, size))[0])
    assert np.abs(mean).max() < 0.02


def test_the_law_of_distance_is_found_among_those_tried():
    data, head, config, counts, size = counted(np.full((40, 2), 0.4), law=(4e5, 4.0, 4.0))
    far = laws(head, BatchMaker(data, config), flat(counts, size), None)
    data, head, config, counts, size = counted(np.full((40, 2), 0.4), law=(2e4, 2.0, 4.0))
    near = laws(head, BatchMaker(data, config), flat(counts, size), None)
    assert far[0] / far[1] > near[0] / near[1]
    assert laws(head, BatchMaker(data, config), flat(counts, size), 10_000.0)[:2] == (40_000.0, 4.0)


def test_the_strength_of_the_prior_can_be_set_alone():
    _, network, _, _, _ = made()
    head = network.cis
    head.settle(9000.0, 1.5, 2.0)
    alone = head.strengthened(12.0)
    head.settle(9000.0, 1.5, 12.0)
    torch.testing.assert_close(alone, head.prior)


def test_sums_by_strength_are_those_of_a_head_of_that_strength():
    data, head, config, counts, size = counted(np.full((40, 2), 0.3), law=(2e4, 2.0, 4.0))
    maker, rates = BatchMaker(data, config), flat(counts, size)
    found = ratio_sums(head, maker, rates, n_cells=50, strengths=(1.0, 16.0))
    for strength, sums in zip((1.0, 16.0), found, strict=True):
        head.settle(prior=strength)
        for mine, its in zip(sums, ratio_sums(head, maker, rates, n_cells=50)[0], strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
