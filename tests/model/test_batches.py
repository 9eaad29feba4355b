"""Batches: what is padded, hidden, thinned and listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402
from tilegrn.model.batches import BatchMaker, epoch_order  # noqa: E402


def test_pairs_equal_a_loop():
    _, pairs, _, _, distance, _ = made()
    windows = np.array([3, 3, 0, 29, 7])
    position, pair = pairs.expand(windows)
    got = [(int(p), int(pairs.gene[i]), float(pairs.distance[i])) for p, i in zip(position, pair, strict=True)]
    dense = distance.toarray()
    expected = [
        (k, g, dense[g, w] - 1) for k, w in enumerate(windows) for g in range(dense.shape[0]) if dense[g, w] > 0
    ]
    assert got == expected


def test_pairs_of_some_genes_are_numbered_anew():
    data, pairs, _, config, distance, _ = made()
    genes = torch.tensor([8, 2, 5])
    batch = BatchMaker(data, pairs, config).evaluate(np.arange(7)).only(genes, 11)
    got = set()
    for o, g, d in zip(batch.pair_open, batch.pair_gene, batch.pair_distance, strict=True):
        got.add((int(batch.cis_cell[o]), int(batch.cis_used[batch.cis_window[o]]), int(g), float(d)))
    dense, opened = distance.toarray(), data.windows.toarray()
    expected = {
        (c, w, k, dense[g, w] - 1)
        for c in range(7)
        for w in range(30)
        for k, g in enumerate((8, 2, 5))
        if opened[c, w] and dense[g, w]
    }
    assert got == expected


def opened(batch, row):
    """Windows that the state of a cell of the batch reads."""
    ends = [*batch.open_start.tolist()[1:], len(batch.open_window)]
    return np.sort(batch.used[batch.open_window[batch.open_start[row] : ends[row]]].numpy())


def test_evaluation_batch_holds_every_token_once():
    data, pairs, _, config, _, _ = made()
    batch = BatchMaker(data, pairs, config).evaluate(np.array([4, 1]))
    for row, cell in enumerate((4, 1)):
        np.testing.assert_array_equal(opened(batch, row), np.sort(data.windows[cell].indices))
        tfs = batch.tf_token[row][batch.tf_token[row] < 5].numpy()
        np.testing.assert_array_equal(tfs, np.sort(data.tfs[cell].indices))
    np.testing.assert_array_equal(batch.counts.numpy(), data.counts[[4, 1]].toarray())


def test_hidden_tfs_are_neither_token_nor_number():
    data, pairs, _, config, _, _ = made()
    hidden = np.array([True, False, False, True, False])
    batch = BatchMaker(data, pairs, config).evaluate(np.arange(7)).hide(torch.from_numpy(hidden))
    assert (batch.tf_dense[:, [0, 3]] == 0).all()
    assert not np.isin(batch.tf_token.numpy(), [0, 3]).any()
    assert batch.hidden[:, [0, 3]].all()


def test_training_drops_windows_of_the_state_and_none_of_the_cis_head():
    data, pairs, _, config, _, _ = made(n_cells=400, window_dropout=0.5)
    batch = BatchMaker(data, pairs, config).train(np.arange(400), np.random.default_rng(0))
    assert 0.7 < len(batch.open_window) / data.windows.nnz < 0.8  # a share between 0 and a half of each cell
    for row in range(5):
        assert set(opened(batch, row)) <= set(data.windows[batch.cells[row].item()].indices)
    reach = np.diff(pairs.start) > 0
    assert len(batch.cis_cell) == int(reach[data.windows.indices].sum())


def test_an_epoch_visits_every_cell_once_and_ranks_share_it():
    data, pairs, _, config, _, _ = made(n_cells=23, batch_size=4)
    maker = BatchMaker(data, pairs, config)
    cells = np.concatenate([b.cells.numpy() for b in maker.epoch(1, 2)])
    assert sorted(cells) == list(range(23))
    both = [[b.cells.numpy() for b in maker.epoch(1, 2, rank=r, world=2)] for r in (0, 1)]
    assert len(both[0]) == len(both[1]) == maker.n_batches(2)
    assert sorted(np.concatenate(both[0] + both[1])) == list(range(23))


def test_the_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_order(50, 3, 1), epoch_order(50, 3, 1))
    assert (epoch_order(50, 3, 1) != epoch_order(50, 3, 2)).any()
    assert (epoch_order(50, 3, 1) != epoch_order(50, 4, 1)).any()


def test_cells_without_tokens():
    data, pairs, network, config, _, _ = made()
    empty = type(data)(
        sparse.csr_matrix((2, 5), dtype=np.float32),
        sparse.csr_matrix((2, 30), dtype=np.float32),
        data.components[:2],
        data.depth[:2],
        data.size_factor[:2],
    )
    batch = BatchMaker(empty, pairs, config).evaluate(np.arange(2))
    assert torch.isfinite(network(batch)).all()
    assert batch.counts is None


def test_too_many_pairs_are_thinned_and_weighed_up():
    data, pairs, _, _, _, _ = made(n_cells=200)
    config = made(max_train_pairs=1000, near=20_000.0)[3]
    maker = BatchMaker(data, pairs, config)
    whole = maker.evaluate(np.arange(200))
    rng = np.random.default_rng(0)
    draws = [maker.train(np.arange(200), rng) for _ in range(20)]
    assert 700 < np.mean([len(b.pair_gene) for b in draws]) < 1100 < len(whole.pair_gene)

    def total(batch, near):
        part = (batch.pair_distance <= 20_000) == near
        return float(batch.cis_value[batch.pair_open[part]].sum())

    for near in (True, False):
        assert np.mean([total(b, near) for b in draws]) == pytest.approx(total(whole, near), rel=0.1)


def test_evaluation_batches_hold_every_cell_once_and_a_bounded_number_of_pairs():
    data, pairs, _, config, _, _ = made(n_cells=60)
    maker = BatchMaker(data, pairs, config)
    parts = maker.slices(16, max_pairs=300)
    assert sorted(np.concatenate(parts)) == list(range(60))
    for rows in parts:
        assert len(rows) <= 16
        assert len(rows) == 1 or len(maker.evaluate(rows).pair_gene) <= 300


def test_swapped_windows_come_from_a_donor_and_all_else_from_the_cell():
    data, pairs, _, config, _, _ = made(window_swap=1.0, window_dropout=0.0, tf_dropout=0.0)
    data = replace(data, part=np.arange(7))
    donor = np.array([3, 4, 5, 6, 0, 1, 2])
    batch = BatchMaker(data, pairs, config, donor[:, None]).train(np.arange(7), np.random.default_rng(0))
    own = BatchMaker(data, pairs, config).evaluate(np.arange(7))
    for row, cell in enumerate(batch.cells.tolist()):
        other = donor[cell]
        np.testing.assert_array_equal(opened(batch, row), np.sort(data.windows[other].indices))
        np.testing.assert_array_equal(batch.components[row], data.components[other])
        assert batch.depth[row].tolist() == [data.depth[cell, 0], data.depth[other, 1]]
        assert batch.part[row] == other
        np.testing.assert_array_equal(batch.tf_dense[row], own.tf_dense[cell])
        np.testing.assert_array_equal(batch.counts[row], own.counts[cell])
        assert batch.log_size[row] == own.log_size[cell]
        read = batch.cis_used[batch.cis_window[batch.cis_cell == row]]
        np.testing.assert_array_equal(np.sort(read), np.sort(own.cis_used[own.cis_window[own.cis_cell == cell]]))


def test_windows_are_swapped_in_the_share_of_cells_asked_for_and_never_in_evaluation():
    data, _, _, config, _, _ = made(n_cells=600, use_cis=False, window_swap=0.3)
    data = replace(data, part=np.arange(600))
    donors = np.random.default_rng(1).integers(600, size=(600, 4))
    maker = BatchMaker(data, None, config, donors)
    batch = maker.train(np.arange(600), np.random.default_rng(0))
    cell, read = batch.cells.numpy(), batch.part.numpy()
    swapped = cell != read
    assert 0.22 < swapped.mean() < 0.38
    assert (donors[cell[swapped]] == read[swapped, None]).any(1).all()
    assert (maker.evaluate(np.arange(600)).part.numpy() == np.arange(600)).all()
