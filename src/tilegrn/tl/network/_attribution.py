"""How much each TF adds to each gene: integrated gradients of a trained model.

The log rate of a gene is a readout of the cell's code plus the cis head. The code has few numbers, so its gradients
with respect to all TFs serve every gene at once (integrated gradients, Sundararajan et al. 2017, along the straight
line from "no TF expressed" to the cell, Gauss-Legendre points). Along the same line the cis head's gradients are sums
of products, see :mod:`tilegrn.model.net.cis_shares`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tilegrn.errors import InputError
from tilegrn.model.net.cis_shares import tf_gene_shares, triplet_shares
from tilegrn.model.net.gates import gated

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from tilegrn.model.data.batches import Batch, CellData
    from tilegrn.model.grn_model import GRNModel
    from tilegrn.model.net.network import GeneSide, Network

__all__ = ["Attribution", "attribute", "choose_steps", "cis_triplets", "complete"]

logger = logging.getLogger(__name__)

STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Numbers of points tried until the attribution is complete."""
TOLERANCE = 0.005
"""Largest accepted miss on the cells looked at: half of the 1 % promised, as other cells differ."""
REFUSED = 0.01
"""Miss beyond which attributions are no account of the prediction."""
MASK_CELLS = 16
"""Cells that attributions of genes that are TFs are averaged over: each costs as much as five others."""
MASK_STEPS = 6
"""Most path points for these genes, whose attributions add up only approximately anyway."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What TFs add to log rates in some cells by one network, averaged over the cells.

    Attributes
    ----------
    context
        TFs x genes, float32: through the state of the cell.
    cis
        TFs x genes, float32: through the cis head.
    error
        Sum over genes that are no TF of ``|sum over TFs - predicted change|``, over the sum of ``|predicted change|``;
        of single cells.
    """

    context: NDArray[np.float32]
    cis: NDArray[np.float32]
    error: float

    def total(self) -> NDArray[np.float32]:
        """TFs x genes, context and cis head together."""
        return self.context + self.cis


def attribute(model: GRNModel, network: Network, data: CellData, *, steps: int, batch_size: int = 64) -> Attribution:
    """Attribute the log rates of all genes in some cells to TFs.

    A gene that is a TF is predicted with its own expression hidden, in passes that hide a share of the TFs at a time;
    for these genes :data:`MASK_CELLS` cells are taken, and a pair of TFs that were hidden together keeps what the
    network says with none hidden. Attributions of such genes therefore add up only approximately.

    Parameters
    ----------
    model, network
        The model and one of its networks, in evaluation mode without gradients of parameters.
    data
        Cells, at least one.
    steps
        Points on the path, from :func:`choose_steps`.
    """
    n_tfs, n_genes = len(model.vocabulary.tfs), len(model.vocabulary.genes)
    side = _detached(network.genes())
    code = torch.zeros(n_tfs, side.loadings.shape[1], dtype=torch.float64)
    target = model.preparation.tf_target
    masked = np.zeros((n_tfs, n_genes))
    seen = np.zeros((n_tfs, n_genes))
    cis = np.zeros((n_tfs, n_genes))
    off = size = 0.0
    own = np.zeros(n_genes, dtype=bool)
    own[target[target >= 0]] = True
    keep = torch.from_numpy(~own)
    for batch in model.batches(data, batch_size=batch_size):
        part = path_gradients(model, network, batch, steps)
        code += part.sum(0).double()
        if network.cis is not None and side.cis is not None:
            cis += tf_gene_shares(network.cis, batch, side.cis)
        miss, change = completeness(model, network, batch, side, part, keep)
        off, size = off + miss, size + change
    context = (code / data.n_cells).numpy() @ side.loadings.T.double().numpy()
    if own.any():
        rows = np.unique(np.linspace(0, data.n_cells - 1, min(MASK_CELLS, data.n_cells)).round().astype(np.int64))
        for i, batch in enumerate(model.batches(data.take(rows), batch_size=batch_size)):
            _masked(model, network, batch, side, min(steps, MASK_STEPS), np.random.default_rng(i), masked, seen)
        apart = (seen > 0) & own
        context[apart] = masked[apart] / seen[apart]
    known = np.flatnonzero(target >= 0)
    context[known, target[known]] = cis[known, target[known]] = 0.0
    cis /= data.n_cells
    return Attribution(context.astype(np.float32), cis.astype(np.float32), off / max(size, 1e-12))


def cis_triplets(
    model: GRNModel,
    network: Network,
    data: CellData,
    tf: NDArray[np.int64],
    window: NDArray[np.int64],
    gene: NDArray[np.int64],
    *,
    batch_size: int = 64,
) -> NDArray[np.float64]:
    """Return what given TF x window x gene add to log rates through the cis head, averaged over the cells."""
    out = np.zeros(len(tf))
    side = _detached(network.genes())
    if network.cis is None or side.cis is None:
        return out
    for batch in model.batches(data, batch_size=batch_size):
        out += triplet_shares(network.cis, batch, side.cis, tf, window, gene)
    return np.where(model.preparation.tf_target[tf] == gene, 0.0, out / data.n_cells)


def complete(model: GRNModel, network: Network, data: CellData, steps: int) -> tuple[int, Attribution]:
    """Attribute with at least so many path points, and with more where these cells need them to add up."""
    found = attribute(model, network, data, steps=steps)
    for more in STEPS:
        if found.error <= REFUSED:
            break
        if more > steps:
            steps, found = more, attribute(model, network, data, steps=more)
    return steps, found


def choose_steps(
    model: GRNModel, network: Network, data: CellData, *, tolerance: float = TOLERANCE, n_cells: int = 32
) -> int:
    """Return the smallest number of path points whose attributions add up to the predicted change.

    Raises
    ------
    InputError
        If more than :data:`REFUSED` is missing with any number: the network is not smooth, for instance after a
        diverged training.
    """
    rows = np.linspace(0, data.n_cells - 1, min(n_cells, data.n_cells)).round().astype(np.int64)
    batch = next(model.batches(data.take(np.unique(rows)), batch_size=n_cells))
    side = _detached(network.genes())
    keep = torch.ones(len(side.offset), dtype=torch.bool)
    missed: list[float] = []
    for steps in STEPS:
        off, size = completeness(model, network, batch, side, path_gradients(model, network, batch, steps), keep)
        missed.append(off / max(size, 1e-12))
        if missed[-1] <= tolerance:
            return steps
    best = int(np.argmin(missed))
    if missed[best] > REFUSED:
        msg = (
            f"Attributions miss {missed[best]:.1%} of the predicted change with {STEPS[best]} points on the path. "
            "The network is not smooth; train it again, or look at its losses in model.record['history']."
        )
        raise InputError(msg)
    return STEPS[best]


def path_gradients(model: GRNModel, network: Network, batch: Batch, steps: int) -> Tensor:
    """Integrated gradients of the code with respect to the TFs, cells x TFs x rank."""
    cells, n_tfs = batch.tf_dense.shape
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    rank = model.config.rank
    out = torch.zeros(cells, n_tfs + 1, rank)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        gate = torch.full_like(batch.tf_value, float(node)).requires_grad_()
        with torch.enable_grad():
            code = network.context(gated(batch, model.preparation, model.config, tf_gate=gate))
            sums = code.sum(0).unbind()
        for k in range(rank):
            (grad,) = torch.autograd.grad(sums[k], gate, retain_graph=k + 1 < rank)
            out[:, :, k].scatter_add_(1, batch.tf_token, float(weight) * grad)
    return out[:, :n_tfs]


def completeness(
    model: GRNModel, network: Network, batch: Batch, side: GeneSide, part: Tensor, keep: Tensor
) -> tuple[float, float]:
    """Return sums over cells and kept genes of ``|attributions - predicted change|`` and of ``|predicted change|``."""
    every = torch.ones(batch.tf_dense.shape[1], dtype=torch.bool)
    with torch.no_grad():
        here, none = network(batch, side), network(batch.hide(every), side)
        change = (here - none)[:, keep]
        context = (part.sum(1) @ side.loadings.T)[:, keep]
        if network.cis is not None and side.cis is not None:
            full, closed = network.cis(batch, side.cis), network.cis(batch.hide(every), side.cis)
            context = context + (full - closed)[:, keep]
    return float((context - change).abs().sum()), float(change.abs().sum())


def _masked(
    model: GRNModel,
    network: Network,
    batch: Batch,
    side: GeneSide,
    steps: int,
    rng: np.random.Generator,
    total: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> None:
    """Add what TFs that are not hidden add to the genes of those that are."""
    target = model.preparation.tf_target
    group = rng.permutation(len(target)) % max(2, model.config.n_masks)
    for g in np.unique(group):
        mask = group == g
        genes = target[mask & (target >= 0)]
        if not len(genes):
            continue
        part = path_gradients(model, network, batch.hide(torch.from_numpy(mask)), steps)
        found = part.sum(0) @ side.loadings[torch.from_numpy(genes)].T
        total[:, genes] += found.numpy()
        seen[np.ix_(~mask, genes)] += len(batch.cells)


def _detached(side: GeneSide) -> GeneSide:
    cis = side.cis
    return type(side)(
        side.offset.detach(),
        side.loadings.detach(),
        None if cis is None else replace(cis, gain=cis.gain.detach()),
    )


def frozen(network: Network) -> Callable[[], None]:
    """Put a network into evaluation without gradients of parameters; the result undoes it."""
    mode, needs = network.training, [p.requires_grad for p in network.parameters()]
    network.eval().requires_grad_(requires_grad=False)

    def undo() -> None:
        network.train(mode)
        for p, need in zip(network.parameters(), needs, strict=True):
            p.requires_grad_(need)

    return undo
