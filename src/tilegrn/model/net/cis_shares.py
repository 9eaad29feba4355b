"""What each TF adds to each gene through the cis head: integrated gradients of its sums, exact but for the path.

Along the line from "no TF expressed" to the cell, the gradient of a gene's log ratio in the level of a TF that binds an
open window is a product: level x binding x effect of the TF, slope of the window's gate, accessibility x weight of the
pair, gain over the gene's sum. Only the slope and the sum change on the way; each product is formed once per TF, window
and gene of a cell and added up at once, so that memory follows the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tilegrn._core.compiled import compiled
from tilegrn.model.data.sums import pair_sums
from tilegrn.model.net.cis import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.data.batches import Batch
    from tilegrn.model.net.cis import CisHead, CisSide

__all__ = ["tf_gene_shares", "triplet_shares"]

STEPS = 6
"""Gauss-Legendre points on the path."""


def tf_gene_shares(head: CisHead, batch: Batch, side: CisSide, steps: int = STEPS) -> NDArray[np.float64]:
    """Return TFs x genes: what TFs add to log rates, summed over the cells of the batch and over windows."""
    out = np.zeros((batch.tf_dense.shape[1], len(side.gain)))
    if head.reads_binding:
        _tf_gene_loop(*(*_path(head, batch, side, steps), PARTS, out))
    return out


def triplet_shares(
    head: CisHead,
    batch: Batch,
    side: CisSide,
    tf: NDArray[np.int64],
    window: NDArray[np.int64],
    gene: NDArray[np.int64],
    steps: int = STEPS,
) -> NDArray[np.float64]:
    """Return the same for given TF x window x gene, one number each."""
    out = np.zeros(len(tf))
    if not (head.reads_binding and len(tf)):
        return out
    order = np.argsort(window, kind="stable")
    start = np.searchsorted(window[order], np.arange(len(head.mean) + 1))
    asked = (start.astype(np.int64), order.astype(np.int64), tf.astype(np.int64), gene.astype(np.int64))
    _triplet_loop(*(*_path(head, batch, side, steps), PARTS, *asked, out))
    return out


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().numpy())


def _path(head: CisHead, batch: Batch, side: CisSide, steps: int) -> Any:
    """Return what both loops read: open windows, slopes and sums on the path, levels, binding and pairs."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    with torch.no_grad():
        push = head.tf_input(batch)
        if push is None:
            msg = "The cis head reads no binding."
            raise ValueError(msg)
        slopes, pulls = [], []
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            gate = torch.tanh(float(node) * push)
            found = pair_sums(batch.own, batch.own_value * (1 + gate), side.lists, side.weight, len(side.expected))
            slopes.append(float(weight) * (1 - gate.square()) * batch.own_value)
            pulls.append(side.gain.flatten() / (found + side.prior))
        level = batch.tf_dense * head.tf_effect
    return (
        _numpy(batch.own.start),
        _numpy(batch.own.window),
        _numpy(torch.stack(slopes)),
        _numpy(torch.stack(pulls)),
        _numpy(level),
        _numpy(head.bind_start),
        _numpy(head.bind_tf),
        _numpy(head.bind_score),
        _numpy(side.weight),
        _numpy(side.lists.start),
        _numpy(side.lists.column),
    )


@compiled
def _tf_gene_loop(
    cell_start: NDArray[np.int64],
    window: NDArray[np.int64],
    slope: NDArray[np.float32],
    pull: NDArray[np.float32],
    level: NDArray[np.float32],
    bind_start: NDArray[np.int64],
    bind_tf: NDArray[np.int64],
    bind_score: NDArray[np.float32],
    weight: NDArray[np.float32],
    start: NDArray[np.int64],
    column: NDArray[np.int64],
    parts: int,
    out: NDArray[np.float64],
) -> None:
    steps = slope.shape[0]
    tfs = np.empty(level.shape[1], dtype=np.int64)
    for c in range(len(cell_start) - 1):
        for o in range(cell_start[c], cell_start[c + 1]):
            w = window[o]
            n = 0
            for b in range(bind_start[w], bind_start[w + 1]):
                if level[c, bind_tf[b]] != 0:
                    tfs[n] = b
                    n += 1
            if n == 0:
                continue
            for p in range(start[w], start[w + 1]):
                both = 0.0
                for k in range(steps):
                    both += slope[k, o] * pull[k, c, column[p]]
                both *= weight[p]
                gene = column[p] // parts
                for i in range(n):
                    b = tfs[i]
                    out[bind_tf[b], gene] += both * level[c, bind_tf[b]] * bind_score[b]


@compiled
def _triplet_loop(
    cell_start: NDArray[np.int64],
    window: NDArray[np.int64],
    slope: NDArray[np.float32],
    pull: NDArray[np.float32],
    level: NDArray[np.float32],
    bind_start: NDArray[np.int64],
    bind_tf: NDArray[np.int64],
    bind_score: NDArray[np.float32],
    weight: NDArray[np.float32],
    start: NDArray[np.int64],
    column: NDArray[np.int64],
    parts: int,
    wanted_start: NDArray[np.int64],
    wanted: NDArray[np.int64],
    tf: NDArray[np.int64],
    gene: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    steps = slope.shape[0]
    for c in range(len(cell_start) - 1):
        for o in range(cell_start[c], cell_start[c + 1]):
            w = window[o]
            for q in range(wanted_start[w], wanted_start[w + 1]):
                j = wanted[q]
                if level[c, tf[j]] == 0:
                    continue
                bound = 0.0
                for b in range(bind_start[w], bind_start[w + 1]):
                    if bind_tf[b] == tf[j]:
                        bound = bind_score[b]
                if bound == 0:
                    continue
                for p in range(start[w], start[w + 1]):
                    if column[p] // parts == gene[j]:
                        for k in range(steps):
                            out[j] += slope[k, o] * pull[k, c, column[p]] * weight[p] * level[c, tf[j]] * bound
