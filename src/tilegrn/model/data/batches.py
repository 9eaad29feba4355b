"""Cells as the model reads them, and batches of them.

A batch holds numbers, not vectors: which TFs a cell expresses, padded to the longest cell of the batch, and a list of
all windows that are open in its cells, with a table of those that occur. Nothing in it depends on which cells stand
beside each other, and nothing on genes: which windows a gene reaches is the network's to know.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from tilegrn.model.data.noise import CellNoise
from tilegrn.model.data.sums import OpenWindows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tilegrn._core.rows import Rows
    from tilegrn.model.config import ModelConfig

__all__ = ["Batch", "BatchMaker", "CellData", "epoch_order"]


@dataclass(frozen=True, eq=False)
class CellData:
    """Model inputs of some cells; rows of all members are the same cells.

    Matrices are CSR in memory, or of many cells rows that are read when they are asked for.

    Attributes
    ----------
    tfs
        Cells x TFs, log1p and min-max scaled expression, CSR float32.
    windows
        Cells x windows of the model, log1p and min-max scaled accessibility, CSR float32.
    components
        Cells x accessibility components, float32.
    depth
        Cells x 2, float32: standardised log size factor and log ATAC depth.
    size_factor
        Per cell, float32.
    opened
        Per cell, float32: sum over its windows of the scaled accessibility, kept where windows are closed on purpose.
    counts
        Cells x target genes, CSR float32; None for prediction.
    part
        Per cell, int64: which regression scored its guided components (see :mod:`tilegrn.model.prepare.guided`). None
        if none.
    """

    tfs: Rows
    windows: Rows
    components: NDArray[np.float32]
    depth: NDArray[np.float32]
    size_factor: NDArray[np.float32]
    opened: NDArray[np.float32]
    counts: Rows | None = None
    part: NDArray[np.int64] | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.tfs.shape[0])

    def take(self, cells: NDArray[np.int64]) -> CellData:
        """Return some cells."""
        return CellData(
            self.tfs[cells],
            self.windows[cells],
            self.components[cells],
            self.depth[cells],
            self.size_factor[cells],
            self.opened[cells],
            None if self.counts is None else self.counts[cells],
            None if self.part is None else self.part[cells],
        )


@dataclass(eq=False)
class Batch:
    """Tensors of some cells.

    Attributes
    ----------
    tf_token, tf_value
        Cells x tokens: TF number (number of TFs = padding) and scaled expression.
    used
        Numbers of the windows that occur.
    open_start, open_window, open_there
        Every open window that the state of the cells reads, cell after cell: where each cell begins, position in
        ``used``, and how much the window is there (1, or less where it is gated, see :mod:`tilegrn.model.net.gates`).
    tf_dense
        Cells x TFs, scaled expression with hidden TFs at 0.
    hidden
        Cells x TFs, True where a TF was hidden from the model.
    components, depth, log_size
        Cells x components; cells x 2; cells.
    counts
        Cells x genes, or None.
    part
        Cells: see :class:`CellData`; or None.
    own, own_value, own_total
        Every open window of the cells themselves, for the cis head: numbers; scaled accessibility per open window
        (less where it is gated); its sum per cell when no window is closed.
    cells
        Rows of the cells in their :class:`CellData`.
    tf_present
        Cells x tokens: how much each TF is there, when it is not simply all there (see :mod:`tilegrn.model.net.gates`).
    noise
        Cells, int64: seed of each cell's dropout inside the network, in training; None: each call draws anew.
    weight
        Cells of the batch over those of an equal share of the global batch, of which it is one process's part: 1, but
        for the odd cell.
    """

    cells: Tensor
    tf_token: Tensor
    tf_value: Tensor
    used: Tensor
    open_start: Tensor
    open_window: Tensor
    open_there: Tensor
    tf_dense: Tensor
    hidden: Tensor
    components: Tensor
    depth: Tensor
    log_size: Tensor
    counts: Tensor | None
    own: OpenWindows
    own_value: Tensor
    own_total: Tensor
    tf_present: Tensor | None = None
    part: Tensor | None = None
    noise: Tensor | None = None
    weight: float = 1.0

    def hide(self, tfs: Tensor) -> Batch:
        """Hide TFs (bool) from all cells."""
        n = self.tf_dense.shape[1]
        padded = torch.cat([tfs, torch.zeros(1, dtype=torch.bool, device=tfs.device)])
        return replace(
            self,
            tf_token=torch.where(padded[self.tf_token], n, self.tf_token),
            tf_dense=self.tf_dense * ~tfs,
            tf_present=None if self.tf_present is None else self.tf_present * ~padded[self.tf_token],
            hidden=self.hidden | tfs,
        )

    def to(self, device: torch.device | str) -> Batch:
        """Move every tensor."""
        moved: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            moved[f.name] = value.to(device, non_blocking=True) if isinstance(value, (Tensor, OpenWindows)) else value
        return Batch(**moved)


def epoch_order(n_cells: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Order of the cells in an epoch: the same on every machine and after a restart."""
    return np.random.default_rng([seed, epoch]).permutation(n_cells)


class BatchMaker:
    """Turns rows of a :class:`CellData` into batches."""

    def __init__(self, data: CellData, config: ModelConfig, donors: NDArray[np.int64] | None = None) -> None:
        """Keep what batches are made of; ``donors`` are cells x n, whose windows each cell may read in training."""
        self.data = data
        self.donors = donors if donors is not None and donors.shape[1] else None
        self.config = config

    def n_batches(self) -> int:
        """Return the number of training batches of an epoch: ``config.batch_size`` cells each, all devices together."""
        return max(1, round(self.data.n_cells / self.config.batch_size))

    def slices(self, size: int = 128) -> list[NDArray[np.int64]]:
        """Return the rows of evaluation batches, in the order in which they lie."""
        n = self.data.n_cells
        return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]

    def least_batch(self) -> int:
        """Return the number of cells of the smallest training batch, all devices together."""
        return self.data.n_cells // self.n_batches()

    def steps(self, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        """Return the rows of the cells of each training step of an epoch, all devices together."""
        return np.array_split(epoch_order(self.data.n_cells, seed, epoch), self.n_batches())

    def epoch(self, seed: int, epoch: int, *, first: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield the training batches of an epoch: of every batch the part of one of ``world`` processes.

        The batches do not depend on their number: the parts of all processes together are the batch of a single one,
        cells and noise alike. Parts differ by one cell at most, and ``Batch.weight`` makes up for it. ``first`` batches
        are left out, by a training that goes on in the midst of the epoch.
        """
        for whole in self.steps(seed, epoch)[first:]:
            part = np.array_split(whole, world)[rank]
            yield replace(self.train(part, seed, epoch), weight=len(part) * world / len(whole))

    def train(self, cells: NDArray[np.int64], seed: int, epoch: int) -> Batch:
        """Make a batch with TFs and windows dropped at random, see :class:`tilegrn.model.data.noise.CellNoise`."""
        cfg = self.config
        noise = CellNoise(seed, epoch, cells)
        read = None
        if self.donors is not None:
            other = self.donors[cells, noise.donor(self.donors.shape[1])]
            read = np.where(noise.swapped(cfg.window_swap), other, cells)
        return self._make(cells, noise.hidden(self.data.tfs.shape[1], cfg.tf_dropout), noise, read)

    def evaluate(self, cells: NDArray[np.int64]) -> Batch:
        """Make a batch without noise: every open window."""
        mask = np.zeros((len(cells), self.data.tfs.shape[1]), dtype=bool)
        return self._make(cells, mask, None)

    def _make(
        self,
        cells: NDArray[np.int64],
        hidden: NDArray[np.bool_],
        noise: CellNoise | None,
        read: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Make a batch.

        Parameters
        ----------
        noise
            Draws of the cells, in training.
        read
            Cells whose windows the state of each cell reads; their own by default.
        """
        data, cfg = self.data, self.config
        read = cells if read is None else read
        tfs = data.tfs[cells]
        dense = tfs.toarray()
        dense[hidden] = 0.0
        if not cfg.use_tfs:
            dense[:] = 0.0
        row, token = np.nonzero(dense)
        tf_token, tf_value = _pad(row, token, dense[row, token], len(cells), dense.shape[1])

        row, token = _entries(data.windows[read])
        keep = np.full(len(row), cfg.use_windows)
        if noise is not None:
            keep &= noise.kept(row, token, cfg.window_dropout)
        used, place = np.unique(token[keep], return_inverse=True)
        n_open = np.bincount(row[keep], minlength=len(cells))

        own = data.windows[cells]
        if not (cfg.use_windows and cfg.use_cis):
            own = sparse.csr_matrix(own.shape, dtype=np.float32)
        counts = None if data.counts is None else torch.from_numpy(data.counts[cells].toarray())
        t = torch.from_numpy
        return Batch(
            cells=t(np.asarray(cells)),
            tf_token=t(tf_token),
            tf_value=t(tf_value),
            used=t(used.astype(np.int64)),
            open_start=t(np.cumsum(n_open) - n_open),
            open_window=t(place.astype(np.int64)),
            open_there=torch.ones(len(place)),
            tf_dense=t(dense),
            hidden=t(hidden),
            components=t(data.components[read] * np.float32(cfg.use_components and cfg.use_windows)),
            depth=t(np.stack([data.depth[cells, 0], data.depth[read, 1]], axis=1)),
            log_size=t(np.log(data.size_factor[cells])),
            counts=counts,
            own=OpenWindows(t(own.indptr.astype(np.int64)), t(own.indices.astype(np.int64))),
            own_value=t(own.data.astype(np.float32)),
            own_total=t(data.opened[cells]),
            part=None if data.part is None else t(data.part[read]),
            noise=None if noise is None else t(noise.units()),
        )


def _entries(windows: sparse.csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List open windows: row, window."""
    row = np.repeat(np.arange(windows.shape[0]), np.diff(windows.indptr))
    return row, windows.indices.astype(np.int64)


def _pad(
    row: NDArray[np.int64], token: NDArray[np.int64], value: NDArray[np.float32], n_rows: int, fill: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Arrange tokens sorted by row into rows x longest row."""
    n = np.bincount(row, minlength=n_rows)
    width = max(1, int(n.max(initial=0)))
    column = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
    tokens = np.full((n_rows, width), fill, dtype=np.int64)
    values = np.zeros((n_rows, width), dtype=np.float32)
    tokens[row, column] = token
    values[row, column] = value
    return tokens, values
