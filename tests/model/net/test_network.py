"""The network and its cis head against slow references."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402

from tilegrn.model.data.batches import BatchMaker  # noqa: E402


def test_cis_head_equals_a_loop_over_cells_genes_windows_and_tfs():
    data, network, config, distance, binding = made()
    network.cis.settle(8000.0, 1.5, 3.0)
    with torch.no_grad():
        got = network(BatchMaker(data, config).evaluate(np.arange(7))).numpy()
        state = network.parts(BatchMaker(data, config).evaluate(np.arange(7)))[0].numpy()
        head = network.cis
        gain = (head.gain_known(network.features) + head.gain_free).numpy()
        effect, mean, square = head.tf_effect.numpy(), head.mean.numpy(), head.square.numpy()
    x, a, d, b = data.tfs.toarray(), data.windows.toarray(), distance.toarray(), binding.toarray()
    expected = np.zeros((7, 11))
    for g in range(11):
        for part, of in enumerate((d[g] - 1 <= 10_000, d[g] - 1 > 10_000)):
            windows = np.flatnonzero((d[g] > 0) & of)
            weight = (1 + (d[g, windows] - 1) / 8000.0) ** -1.5
            usual = (weight * mean[windows]).sum()
            prior = 3.0 * (weight**2 * square[windows]).sum() / usual if len(windows) else 1.0
            for c in range(7):
                total = 0.0
                for w, share in zip(windows, weight, strict=True):
                    push = sum(x[c, t] * b[w, t] * effect[t] for t in range(5))
                    total += share * a[c, w] * (1 + math.tanh(push))
                size = a[c].sum() / mean.sum()
                expected[c, g] += gain[g, part] * math.log((total + prior) / (size * usual + prior))
    np.testing.assert_allclose(got - state, expected, rtol=1e-3, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def test_neither_density_nor_depth_moves_an_average_cell():
    """A cell with every window at its mean, or at a share of it, has log ratios of 0 and rates of its state alone."""
    data, network, config, _, _ = made(use_binding=False)
    for share in (1.0, 0.2):
        usual = sparse.csr_matrix(network.cis.mean.numpy()[None] * share)
        one = replace(data.take(np.array([0])), windows=usual, opened=np.asarray(usual.sum(1)).ravel())
        batch = BatchMaker(one, config).evaluate(np.array([0]))
        with torch.no_grad():
            assert network.cis(batch, network.genes().cis).abs().max() < 1e-4


def test_a_subset_of_genes_is_predicted_alike():
    data, network, config, _, _ = made()
    genes = torch.tensor([9, 0, 4])
    with torch.no_grad():
        batch = BatchMaker(data, config).evaluate(np.arange(7))
        whole = network(batch)
        some = network(batch, network.genes().take(genes))
    torch.testing.assert_close(some, whole[:, genes])


@pytest.mark.parametrize("n_open", [9, 10_000])
def test_cells_do_not_see_each_other(n_open):
    """Alone, in a batch, permuted, in batches of another size: one prediction, at the density of a 10x cell too."""
    n_windows = 30 if n_open < 30 else 30_000
    data, network, config, _, _ = made(
        n_windows=n_windows, open_share=n_open / n_windows, reach_share=min(0.3, 90 / n_windows)
    )
    assert np.diff(data.windows.indptr).min() >= 0.8 * n_open or n_open < 30
    maker = BatchMaker(data, config)
    order = np.random.default_rng(3).permutation(7)
    with torch.no_grad():
        together = network(maker.evaluate(np.arange(7)))
        alone = torch.cat([network(maker.evaluate(np.array([c]))) for c in range(7)])
        pairs_of = torch.cat([network(maker.evaluate(part)) for part in (order[:2], order[2:5], order[5:])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[order], pairs_of, rtol=1e-4, atol=1e-5)


def test_the_state_reads_every_open_window():
    """Closing any one of 10,000 open windows changes the state: none is left out by a limit."""
    data, network, config, _, _ = made(n_windows=12_000, open_share=0.85, use_cis=False)
    windows = data.windows[:1]
    assert windows.nnz > 10_000
    with torch.no_grad():
        whole = network.double()(_double(BatchMaker(data, config).evaluate(np.array([0]))))
        for gone in np.random.default_rng(0).choice(windows.nnz, 20, replace=False):
            rest = windows.copy()
            rest.data[gone] = 0
            rest.eliminate_zeros()
            one = replace(data.take(np.array([0])), windows=rest)
            other = network(_double(BatchMaker(one, config).evaluate(np.array([0]))))
            assert (whole - other).abs().max() > 1e-9


def _double(batch):
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: v.double() for k, v in values.items() if torch.is_tensor(v) and v.is_floating_point()})


def test_the_numbering_of_windows_does_not_matter():
    data, network, config, _, _ = made(use_cis=False)
    order = np.random.default_rng(1).permutation(30)
    moved = replace(data, windows=data.windows[:, order])
    with torch.no_grad():
        before = network(BatchMaker(data, config).evaluate(np.arange(7)))
        network.context.loadings.copy_(network.context.loadings[order].clone())
        network.context.window_free.copy_(network.context.window_free[order].clone())
        after = network(BatchMaker(moved, config).evaluate(np.arange(7)))
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("switch", ["use_tfs", "use_windows", "use_cis", "use_binding", "use_distance"])
def test_switched_off_parts_are_not_read(switch):
    data, network, config, _, _ = made(**{switch: False})
    batch = BatchMaker(data, config).evaluate(np.arange(7))
    with torch.no_grad():
        assert torch.isfinite(network(batch)).all()
    if switch == "use_windows":
        assert not len(batch.used)
        assert (batch.components == 0).all()
        assert not len(batch.own.window)
    if switch == "use_tfs":
        assert (batch.tf_dense == 0).all()


def test_gradients_reach_every_parameter():
    data, network, config, _, _ = made()
    network.train()
    network(BatchMaker(data, config).evaluate(np.arange(7))).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_gates_of_one_change_nothing_and_of_zero_take_out():
    from tilegrn.model.net.gates import gated
    from tilegrn.model.prepare.preparation import Preparation

    data, network, config, _, _ = made()
    rng = np.random.default_rng(0)
    prep = Preparation(**dict.fromkeys(Preparation.__dataclass_fields__, None))  # only the components are read
    idf, loadings = rng.uniform(1, 2, 30).astype(np.float32), rng.normal(size=(30, 1)).astype(np.float32)
    center, scale = rng.normal(size=3).astype(np.float32), rng.uniform(1, 2, 3).astype(np.float32)
    guided = rng.normal(size=(6, 30, 2)).astype(np.float32)
    for name, value in (
        ("idf", idf), ("loadings", loadings), ("guided", guided), ("known", np.zeros(0, np.uint64)),
        ("component_center", center), ("component_scale", scale),
    ):  # fmt: skip
        object.__setattr__(prep, name, value)
    part = np.arange(7) % 6
    data = replace(data, components=prep.components.transform(data.windows, part), part=part)
    maker = BatchMaker(data, config)
    batch = maker.evaluate(np.arange(7))
    ones = torch.ones_like(batch.tf_value), torch.ones_like(batch.open_there)
    with torch.no_grad():
        same = network(gated(batch, prep, config, tf_gate=ones[0], window_gate=ones[1]))
        torch.testing.assert_close(same, network(batch), rtol=1e-4, atol=1e-4)
        # Close one window and take one TF out of the matrices themselves.
        w, tf = int(data.windows[0].indices[0]), int(data.tfs[0].indices[0])
        windows, tfs = data.windows.tolil(), data.tfs.tolil()
        windows[:, w], tfs[:, tf] = 0, 0
        windows, tfs = windows.tocsr(), tfs.tocsr()
        without = replace(data, tfs=tfs, windows=windows, components=prep.components.transform(windows, part))
        window_gate, tf_gate = ones[1].clone(), ones[0].clone()
        window_gate[batch.used[batch.open_window] == w] = 0
        tf_gate[batch.tf_token == tf] = 0
        got = network(gated(batch, prep, config, tf_gate=tf_gate, window_gate=window_gate))
        expected = network(BatchMaker(without, config).evaluate(np.arange(7)))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    gate = ones[1].clone().requires_grad_()
    network(gated(batch, prep, config, tf_gate=ones[0], window_gate=gate)).sum().backward()
    assert gate.grad.abs().min() > 0
