"""Exact sums over the open windows of cells and the genes or TFs of each window, without a list of the products.

A 10x cell has 10,000 open windows, within reach of 250,000 window-gene pairs. Nothing is sampled and nothing is
kept per cell and pair: loops run over both lists, on the CPU compiled with numba, elsewhere as tensors in slices.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tilegrn._core.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["Lists", "OpenWindows", "open_sums", "pair_sums", "row_sums"]

_SLICE = 4_000_000
"""Products formed at a time where the loops are not compiled."""


@dataclass(frozen=True, eq=False)
class OpenWindows:
    """Open windows of some cells, cell after cell.

    Attributes
    ----------
    start
        Cells + 1, int64: where each cell begins.
    window
        Per open window, int64: its number.
    """

    start: Tensor
    window: Tensor

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> OpenWindows:
        """Move both tensors."""
        return OpenWindows(
            self.start.to(device, non_blocking=non_blocking), self.window.to(device, non_blocking=non_blocking)
        )


@dataclass(frozen=True, eq=False)
class Lists:
    """What belongs to each window (genes within reach, TFs that bind), as CSR.

    Attributes
    ----------
    start
        Windows + 1, int64.
    column
        Per entry, int64.
    """

    start: Tensor
    column: Tensor

    @property
    def window(self) -> Tensor:
        """Window of each entry."""
        return torch.repeat_interleave(torch.arange(len(self.start) - 1, device=self.start.device), self.start.diff())


def pair_sums(opened: OpenWindows, value: Tensor, lists: Lists, weight: Tensor, n_columns: int) -> Tensor:
    """Sum ``value x weight`` over the open windows of each cell and their entries: cells x columns.

    Differentiable once, in ``value`` (per open window); ``weight`` is one number per entry.
    """
    out: Tensor = _PairSums.apply(opened, value, lists, weight, n_columns)  # type: ignore[no-untyped-call]
    return out


def open_sums(opened: OpenWindows, dense: Tensor, lists: Lists, weight: Tensor) -> Tensor:
    """Sum ``weight x dense[cell, column]`` over the entries of each open window: one number per open window.

    Differentiable once, in ``dense`` (cells x columns).
    """
    out: Tensor = _OpenSums.apply(opened, dense, lists, weight)  # type: ignore[no-untyped-call]
    return out


def row_sums(table: Tensor, row: Tensor, start: Tensor, there: Tensor) -> Tensor:
    """Sum rows of a table, as much as they are there, over the open windows of each cell: cells x width.

    Parameters
    ----------
    table
        Windows x width, float32.
    row, there
        Per open window, cell after cell: its row of ``table``, and its weight.
    start
        Cells: where each begins, int64.
    """
    if table.requires_grad and not there.requires_grad and _is_cpu(table) and table.dtype == there.dtype:
        out: Tensor = _RowSums.apply(table, row, start, there)  # type: ignore[no-untyped-call]
        return out
    return F.embedding_bag(row, table, start, mode="sum", per_sample_weights=there)


class _RowSums(torch.autograd.Function):
    """Torch's sums with a gradient of our own: torch sorts the open windows first, which takes most of its time."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, row: Tensor, start: Tensor, there: Tensor) -> Tensor:
        ctx.save_for_backward(row, start, there)
        ctx.n_rows = len(table)
        return F.embedding_bag(row, table.detach(), start, mode="sum", per_sample_weights=there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        row, start, there = ctx.saved_tensors
        out = torch.zeros(ctx.n_rows, grad.shape[1], dtype=grad.dtype)
        arrays = _arrays(torch.cat([start, start.new_tensor([len(row)])]), row, there, grad, out)
        # Threads share columns, so that no two of them add to the same number.
        _side_by_side(lambda first, last: _row_loop(*(*arrays, first, last)), grad.shape[1])
        return out, None, None, None


class _PairSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, opened: OpenWindows, value: Tensor, lists: Lists, weight: Tensor, n_columns: int) -> Tensor:
        ctx.lists = opened, lists
        ctx.save_for_backward(weight)
        return _spread(opened, value, lists, weight, n_columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None, None]:
        opened, lists = ctx.lists
        (weight,) = ctx.saved_tensors
        return None, _gather(opened, grad.contiguous(), lists, weight), None, None, None


class _OpenSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, opened: OpenWindows, dense: Tensor, lists: Lists, weight: Tensor) -> Tensor:
        ctx.lists = opened, lists, dense.shape[1]
        ctx.save_for_backward(weight)
        return _gather(opened, dense.contiguous(), lists, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None]:
        opened, lists, n_columns = ctx.lists
        (weight,) = ctx.saved_tensors
        return None, _spread(opened, grad.contiguous(), lists, weight, n_columns), None, None


def _spread(opened: OpenWindows, value: Tensor, lists: Lists, weight: Tensor, n_columns: int) -> Tensor:
    out = torch.zeros(len(opened.start) - 1, n_columns, dtype=weight.dtype, device=weight.device)
    if _is_cpu(out):
        arrays = _arrays(opened.start, opened.window, value, lists.start, lists.column, weight, out)
        _side_by_side(lambda first, last: _spread_loop(*(*arrays, first, last)), len(out))
        return out
    flat = out.view(-1)
    for at, entry, cell in _slices(opened, lists):
        flat.index_add_(0, cell * n_columns + lists.column[entry], value[at] * weight[entry])
    return out


def _gather(opened: OpenWindows, dense: Tensor, lists: Lists, weight: Tensor) -> Tensor:
    out = torch.zeros(len(opened.window), dtype=dense.dtype, device=dense.device)
    if _is_cpu(out):
        arrays = _arrays(opened.start, opened.window, dense, lists.start, lists.column, weight, out)
        _side_by_side(lambda first, last: _gather_loop(*(*arrays, first, last)), len(dense))
        return out
    for at, entry, cell in _slices(opened, lists):
        out.index_add_(0, at, dense[cell, lists.column[entry]] * weight[entry])
    return out


def _slices(opened: OpenWindows, lists: Lists) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield open window, entry and cell of the products, some at a time."""
    cells = torch.repeat_interleave(
        torch.arange(len(opened.start) - 1, device=opened.start.device), opened.start.diff()
    )
    n = (lists.start[1:] - lists.start[:-1])[opened.window]
    ends = n.cumsum(0)
    first = 0
    while first < len(n):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(torch.searchsorted(ends, before + _SLICE, right=True)))
        part = torch.arange(first, last, device=n.device)
        first = last
        at = torch.repeat_interleave(part, n[part])
        begin = lists.start[opened.window[part]] - (n[part].cumsum(0) - n[part])
        entry = torch.repeat_interleave(begin, n[part]) + torch.arange(len(at), device=n.device)
        yield at, entry, cells[at]


def _is_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _arrays(*tensors: Tensor) -> Any:
    return tuple(t.detach().contiguous().numpy() for t in tensors)


def _threads(n: int) -> int:
    return max(1, min(torch.get_num_threads(), n))


def _side_by_side(run: Callable[[int, int], None], n: int) -> None:
    """Share ``n`` cells among threads; the loops release the GIL."""
    count = _threads(n)
    if count == 1:
        run(0, n)
        return
    edges = np.linspace(0, n, count + 1).astype(int).tolist()
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, *ends) for ends in pairwise(edges)]:
            done.result()


@compiled
def _spread_loop(
    cell_start: NDArray[np.int64],
    window: NDArray[np.int64],
    value: NDArray[np.float32],
    start: NDArray[np.int64],
    column: NDArray[np.int64],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    for c in range(first, last):
        for o in range(cell_start[c], cell_start[c + 1]):
            w = window[o]
            for p in range(start[w], start[w + 1]):
                out[c, column[p]] += value[o] * weight[p]


@compiled
def _gather_loop(
    cell_start: NDArray[np.int64],
    window: NDArray[np.int64],
    dense: NDArray[np.float32],
    start: NDArray[np.int64],
    column: NDArray[np.int64],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    for c in range(first, last):
        for o in range(cell_start[c], cell_start[c + 1]):
            w = window[o]
            for p in range(start[w], start[w + 1]):
                out[o] += dense[c, column[p]] * weight[p]


@compiled
def _row_loop(
    cell_start: NDArray[np.int64],
    row: NDArray[np.int64],
    there: NDArray[np.float32],
    grad: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    for c in range(len(grad)):
        given = grad[c, first:last]
        for o in range(cell_start[c], cell_start[c + 1]):
            to, share = out[row[o], first:last], there[o]  # views: their loop is five times as quick
            for k in range(len(given)):
                to[k] += share * given[k]
