"""Batches made beside the step: the same batches, errors where they happen, and no thread left."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402

from tilegrn.model.data.batches import BatchMaker  # noqa: E402
from tilegrn.model.fit.feed import Epochs, Whole, ahead  # noqa: E402


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("tilegrn-batches")]


def test_items_come_in_order_and_the_next_is_made_meanwhile():
    made_so_far = []

    def items():
        for i in range(5):
            made_so_far.append(i)
            yield i

    got = []
    for item in ahead(items()):
        got.append(item)
        while len(made_so_far) < min(item + 2, 5):
            time.sleep(0.001)  # ends only if the next is made while this one is in use
        assert len(made_so_far) == min(item + 2, 5)
    assert got == list(range(5))
    assert threads() == []


def test_an_error_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("no more")

    running = ahead(items())
    assert next(running) == 1
    with pytest.raises(ValueError, match="no more"):
        next(running)
    assert threads() == []


def test_batches_are_those_of_the_maker_and_an_epoch_left_early_leaves_no_thread():
    data, _, config, _, _ = made(n_cells=23, batch_size=4)
    maker = BatchMaker(data, config)
    feed = Epochs(maker, lambda: (1, 2), 5, lambda: 3)
    assert len(feed) == maker.n_batches()
    for got, want in zip(feed, maker.epoch(5, 3, rank=1, world=2), strict=True):
        assert got.cells.equal(want.cells)
        assert got.open_window.equal(want.open_window)
        assert got.weight == want.weight
    iterator = iter(feed)
    next(iterator)
    assert len(threads()) == 1
    feed.close()
    assert threads() == []


def test_validation_cells_are_shared_and_each_judged_once():
    data, _, config, _, _ = made(n_cells=13)
    shares = [list(Whole(BatchMaker(data, config), lambda r=r: (r, 15))) for r in range(15)]
    assert sorted(np.concatenate([b.cells for share in shares for b in share])) == list(range(13))
    assert shares[-1] == []
