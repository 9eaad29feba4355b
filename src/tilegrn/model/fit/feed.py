"""Batches for Lightning's trainer, made in a thread beside the step."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tilegrn.model.data.batches import Batch, BatchMaker

__all__ = ["Epochs", "Whole", "ahead"]

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Make the next item in a thread while the last one is in use; order, numbers and errors are those of ``items``.

    The thread ends with the items, or when the iterator is closed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tilegrn-batches") as pool:
        waiting = deque([pool.submit(next, items, _END)])
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, items, _END))
                yield item
        finally:
            for future in waiting:
                future.cancel()


class _Feed:
    """Something to iterate over anew each epoch; :meth:`close` ends the thread of the last time."""

    def __init__(self, maker: BatchMaker, share: Callable[[], tuple[int, int]]) -> None:
        self.maker = maker
        self.share = share
        self._running: Any = None

    def _items(self) -> Iterator[Batch]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        self._running = ahead(self._items())
        yield from self._running

    def close(self) -> None:
        """End the thread that makes batches, also where an epoch was left in its midst."""
        if self._running is not None:
            self._running.close()
            self._running = None


class Epochs(_Feed):
    """The batches of the epoch that the trainer is in: of each the part of this process.

    Attributes
    ----------
    resumed
        Epoch in which an earlier training stopped, and how many of its batches were done.
    """

    def __init__(
        self, maker: BatchMaker, share: Callable[[], tuple[int, int]], seed: int, epoch: Callable[[], int]
    ) -> None:
        super().__init__(maker, share)
        self.seed = seed
        self.epoch = epoch
        self.resumed = (0, 0)

    def first(self) -> int:
        """Return the number of the epoch's batches that were done before: where the training goes on in its midst."""
        epoch, batch = self.resumed
        return batch if self.epoch() == epoch else 0

    def cells(self, batch: int) -> NDArray[np.int64]:
        """Return the rows of the cells of a batch of the epoch."""
        return self.maker.steps(self.seed, self.epoch())[batch]

    def __len__(self) -> int:
        return self.maker.n_batches() - self.first()

    def _items(self) -> Iterator[Batch]:
        rank, world = self.share()
        yield from self.maker.epoch(self.seed, self.epoch(), first=self.first(), rank=rank, world=world)


class Whole(_Feed):
    """All cells without noise: of each batch the part of this process."""

    def __len__(self) -> int:
        return len(self.maker.slices())

    def _items(self) -> Iterator[Batch]:
        rank, world = self.share()
        for whole in self.maker.slices():
            cells = np.array_split(whole, world)[rank]
            if len(cells):
                yield self.maker.evaluate(cells)
