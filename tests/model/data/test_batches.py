"""Batches: what is padded, hidden, dropped and listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402

from tilegrn.model.data.batches import BatchMaker, epoch_order  # noqa: E402


def opened(batch, row):
    """Windows that the state of a cell of the batch reads."""
    ends = [*batch.open_start.tolist()[1:], len(batch.open_window)]
    return np.sort(batch.used[batch.open_window[batch.open_start[row] : ends[row]]].numpy())


def test_evaluation_batch_holds_every_token_once():
    data, _, config, _, _ = made()
    batch = BatchMaker(data, config).evaluate(np.array([4, 1]))
    for row, cell in enumerate((4, 1)):
        np.testing.assert_array_equal(opened(batch, row), np.sort(data.windows[cell].indices))
        tfs = batch.tf_token[row][batch.tf_token[row] < 5].numpy()
        np.testing.assert_array_equal(tfs, np.sort(data.tfs[cell].indices))
    np.testing.assert_array_equal(batch.counts.numpy(), data.counts[[4, 1]].toarray())


def test_hidden_tfs_are_neither_token_nor_number():
    data, _, config, _, _ = made()
    hidden = np.array([True, False, False, True, False])
    batch = BatchMaker(data, config).evaluate(np.arange(7)).hide(torch.from_numpy(hidden))
    assert (batch.tf_dense[:, [0, 3]] == 0).all()
    assert not np.isin(batch.tf_token.numpy(), [0, 3]).any()
    assert batch.hidden[:, [0, 3]].all()


def test_training_drops_windows_of_the_state_and_none_of_the_cis_head():
    data, _, config, _, _ = made(n_cells=400, window_dropout=0.5)
    batch = BatchMaker(data, config).train(np.arange(400), 0, 0)
    assert 0.7 < len(batch.open_window) / data.windows.nnz < 0.8  # a share between 0 and a half of each cell
    for row in range(5):
        assert set(opened(batch, row)) <= set(data.windows[batch.cells[row].item()].indices)
    np.testing.assert_array_equal(batch.own.window, data.windows.indices)
    np.testing.assert_array_equal(batch.own_value, data.windows.data)


def noisy(n_cells=23, **choices):
    """Return a maker with every kind of noise."""
    data, network, config, _, _ = made(n_cells=n_cells, batch_size=6, **choices)
    data = replace(data, part=np.arange(n_cells))
    donors = np.random.default_rng(1).integers(n_cells, size=(n_cells, 4))
    return BatchMaker(data, config, donors), network


def drawn_of(batch):
    """What each cell of a training batch drew: hidden TFs, whose windows it reads, which of them, seed inside."""
    return {
        int(cell): (batch.hidden[i].tolist(), int(batch.part[i]), opened(batch, i).tolist(), int(batch.noise[i]))
        for i, cell in enumerate(batch.cells)
    }


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_all_processes_are_the_batches_of_one(world):
    maker, _ = noisy()
    alone = list(maker.epoch(1, 2))
    assert len(alone) == maker.n_batches() == 4
    assert sorted(np.concatenate([b.cells for b in alone])) == list(range(23))
    shares = [list(maker.epoch(1, 2, rank=r, world=world)) for r in range(world)]
    for whole, *parts in zip(alone, *shares, strict=True):
        assert torch.cat([p.cells for p in parts]).equal(whole.cells)
        assert drawn_of(whole) == {k: v for p in parts for k, v in drawn_of(p).items()}
        each = [len(p.cells) for p in parts]
        assert max(each) - min(each) <= 1
        assert [p.weight for p in parts] == pytest.approx([n * world / len(whole.cells) for n in each])
    assert all(b.weight == 1 for b in alone)


def test_noise_is_of_the_cell_the_epoch_and_the_seed():
    maker, _ = noisy()
    first = drawn_of(maker.train(np.array([3, 9, 4]), 0, 0))
    assert drawn_of(maker.train(np.array([4, 3]), 0, 0)) == {k: first[k] for k in (4, 3)}
    for other in (maker.train(np.array([3, 9, 4]), 0, 1), maker.train(np.array([3, 9, 4]), 1, 0)):
        assert all(drawn_of(other)[k] != first[k] for k in (3, 9, 4))


def test_tfs_are_hidden_in_the_share_asked_for():
    data, _, config, _, _ = made(n_cells=400, n_tfs=20, tf_dropout=0.3)
    maker = BatchMaker(data, config)
    share = maker.train(np.arange(400), 0, 0).hidden.float().mean(0)
    assert ((share > 0.2) & (share < 0.4)).all()  # 400 draws a TF: .3 +- .1 are four standard errors
    assert abs(share.mean() - 0.3) < 0.03


def test_the_network_drops_the_same_units_of_a_cell_in_any_batch():
    maker, network = noisy(dropout=0.5)
    network.train()
    whole, part = (network(maker.train(np.array(cells), 0, 5)) for cells in ([2, 7, 11, 5], [5, 7]))
    torch.testing.assert_close(whole[[3, 1]], part)
    again = network(maker.train(np.array([2, 7, 11, 5]), 0, 6))
    assert not torch.allclose(whole, again)


def test_the_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_order(50, 3, 1), epoch_order(50, 3, 1))
    assert (epoch_order(50, 3, 1) != epoch_order(50, 3, 2)).any()
    assert (epoch_order(50, 3, 1) != epoch_order(50, 4, 1)).any()


def test_cells_without_tokens():
    data, network, config, _, _ = made()
    empty = type(data)(
        sparse.csr_matrix((2, 5), dtype=np.float32),
        sparse.csr_matrix((2, 30), dtype=np.float32),
        data.components[:2],
        data.depth[:2],
        data.size_factor[:2],
        np.zeros(2, dtype=np.float32),
    )
    batch = BatchMaker(empty, config).evaluate(np.arange(2))
    assert torch.isfinite(network(batch)).all()
    assert batch.counts is None


def test_evaluation_batches_hold_every_cell_once():
    data, _, config, _, _ = made(n_cells=60)
    parts = BatchMaker(data, config).slices(16)
    assert sorted(np.concatenate(parts)) == list(range(60))
    assert max(map(len, parts)) == 16


def test_swapped_windows_come_from_a_donor_and_all_else_from_the_cell():
    data, _, config, _, _ = made(window_swap=1.0, window_dropout=0.0, tf_dropout=0.0)
    data = replace(data, part=np.arange(7))
    donor = np.array([3, 4, 5, 6, 0, 1, 2])
    batch = BatchMaker(data, config, donor[:, None]).train(np.arange(7), 0, 0)
    own = BatchMaker(data, config).evaluate(np.arange(7))
    for row, cell in enumerate(batch.cells.tolist()):
        other = donor[cell]
        np.testing.assert_array_equal(opened(batch, row), np.sort(data.windows[other].indices))
        np.testing.assert_array_equal(batch.components[row], data.components[other])
        assert batch.depth[row].tolist() == [data.depth[cell, 0], data.depth[other, 1]]
        assert batch.part[row] == other
        np.testing.assert_array_equal(batch.tf_dense[row], own.tf_dense[cell])
        np.testing.assert_array_equal(batch.counts[row], own.counts[cell])
        assert batch.log_size[row] == own.log_size[cell]
        mine = slice(batch.own.start[row], batch.own.start[row + 1])
        np.testing.assert_array_equal(batch.own.window[mine], data.windows[cell].indices)


def test_windows_are_swapped_in_the_share_of_cells_asked_for_and_never_in_evaluation():
    data, _, config, _, _ = made(n_cells=600, use_cis=False, window_swap=0.3)
    data = replace(data, part=np.arange(600))
    donors = np.random.default_rng(1).integers(600, size=(600, 4))
    maker = BatchMaker(data, config, donors)
    batch = maker.train(np.arange(600), 0, 0)
    cell, read = batch.cells.numpy(), batch.part.numpy()
    swapped = cell != read
    assert 0.22 < swapped.mean() < 0.38
    assert (donors[cell[swapped]] == read[swapped, None]).any(1).all()
    assert (maker.evaluate(np.arange(600)).part.numpy() == np.arange(600)).all()
