"""Make a network from prepared data, and teach it about genes it was not trained on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tilegrn._core.rows import blocks, column_sums, in_memory
from tilegrn.model.data.batches import BatchMaker
from tilegrn.model.data.pairs import pair_lists
from tilegrn.model.fit.cis_start import gains, laws, ratio_sums
from tilegrn.model.fit.start import poisson_loadings
from tilegrn.model.net.cis import WindowMoments
from tilegrn.model.net.network import Network
from tilegrn.model.prepare.preparation import window_features
from tilegrn.model.prepare.unseen import fit_ridge, pool_windows, window_states

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse

    from tilegrn._core.rows import Rows
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.fit.teacher import TeacherRates
    from tilegrn.model.prepare.preparation import Preparation, Vocabulary

__all__ = ["build_network", "learn_unseen", "start_cis", "start_from_counts", "start_from_teacher"]

logger = logging.getLogger(__name__)

_MOST = 10_000


def build_network(
    data: CellData, vocabulary: Vocabulary, preparation: Preparation, binding: Any, config: ModelConfig
) -> Network:
    """Make an untrained network; random numbers come from torch's generator.

    Parameters
    ----------
    data
        Training cells with counts.
    binding
        TFs x windows scores, sparse, or None.
    """
    if data.counts is None:
        msg = "A network is built from training cells with their counts."
        raise ValueError(msg)
    rate = column_sums(data.counts) / max(float(data.size_factor.sum()), 1e-8)
    return Network(
        n_tfs=len(vocabulary.tfs),
        n_components=data.components.shape[1],
        log_mean=torch.from_numpy(np.log(np.maximum(rate, 1e-7)).astype(np.float32)),
        loadings=torch.from_numpy(window_features(preparation.loadings, preparation.idf)),
        features=torch.from_numpy(preparation.features(preparation.distance, config.pooling_lengths)),
        pairs=pair_lists(preparation.distance),
        moments=_moments(data.windows),
        binding=None if binding is None or not config.use_cis else _by_window(binding),
        config=config,
    )


def start_from_teacher(network: Network, teacher: TeacherRates) -> None:
    """Give the genes the teacher's loadings to start from, so that training has the state of the cells left to find."""
    n = min(network.gene_loadings.shape[1], len(teacher.loadings))
    with torch.no_grad():
        network.gene_loadings[:, :n] = teacher.loadings[:n].T
        network.gene_bias.copy_(teacher.offset - network.log_mean)


def start_from_counts(network: Network, data: CellData) -> Callable[[torch.Tensor], torch.Tensor]:
    """Start from Poisson regressions of the counts on the leading components, which the network then adds to.

    Returns
    -------
    Function of rows of training cells that gives these regressions' rates at size factor 1, cells x genes.
    """
    if data.counts is None:
        msg = "Loadings are fitted to training cells with their counts."
        raise ValueError(msg)
    n = min(network.gene_loadings.shape[1], data.components.shape[1])
    some = _some(data.n_cells)
    loadings, offset = poisson_loadings(in_memory(data.counts, some), data.size_factor[some], data.components[some, :n])
    context = network.context
    with torch.no_grad():
        context.line.weight[:n, :n] = torch.eye(n)
        context.code.weight.zero_()
        context.code.bias.zero_()
        network.gene_loadings.zero_()
        network.gene_loadings[:, :n] = torch.from_numpy(loadings.T)
        network.gene_bias.copy_(torch.from_numpy(offset) - network.log_mean)
    weight, bias = torch.from_numpy(loadings), torch.from_numpy(offset)
    components = torch.from_numpy(data.components[:, :n])
    return lambda cells: torch.exp(torch.addmm(bias, components[cells], weight))


def _some(n_cells: int) -> NDArray[np.int64]:
    """Cells that regressions are fitted to: all, or :data:`_MOST` spread evenly over their order, which is by name."""
    return np.unique(np.linspace(0, n_cells - 1, min(n_cells, _MOST)).round().astype(np.int64))


def start_cis(
    network: Network, data: CellData, rates: Callable[[torch.Tensor], torch.Tensor], length: float | None
) -> None:
    """Choose the law of distance, and the gains to start from, by what training counts say beyond the state's rates.

    Parameters
    ----------
    rates
        Rates of the genes at size factor 1 in some training cells, cells x genes, without the cis head.
    length
        Distance at which the weight of a window falls to 1 / e, if it is known.
    """
    head = network.cis
    if head is None or data.counts is None:
        return
    maker = BatchMaker(data, network.config)
    with torch.no_grad():
        law = laws(head, maker, rates, length)
        head.settle(*law)
        mean, each = gains(*ratio_sums(head, maker, rates)[0])
        head.gain_known.bias.copy_(torch.from_numpy(mean))
        head.gain_free.copy_(torch.from_numpy(each - mean))
    logger.debug(
        "Windows weigh (1 + d / %.0f bp)^-%g; gains of promoters and of what lies beyond: %.3f, %.3f on average",
        *law[:2],
        *mean,
    )


def _moments(windows: Rows) -> WindowMoments:
    n, width = max(windows.shape[0], 1), windows.shape[1]
    mean, square = np.zeros(width), np.zeros(width)
    for _, part in blocks(windows):
        value = part.data.astype(np.float64)
        mean += np.bincount(part.indices, weights=value, minlength=width) / n
        square += np.bincount(part.indices, weights=value * value, minlength=width) / n
    return WindowMoments(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(square.astype(np.float32)))


def _by_window(binding: sparse.csr_matrix) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """CSR over windows of the TFs that bind, scores divided by each TF's root mean square."""
    by_tf = binding.tocsr().astype(np.float64)
    n = np.maximum(np.diff(by_tf.indptr), 1)
    square = by_tf.multiply(by_tf).sum(1)
    rms = np.sqrt(np.asarray(square).ravel() / n)
    by_tf.data /= np.repeat(np.maximum(rms, 1e-12), np.diff(by_tf.indptr))
    by_window = by_tf.T.tocsr()
    by_window.sort_indices()
    return (
        torch.from_numpy(by_window.indptr.astype(np.int64)),
        torch.from_numpy(by_window.indices.astype(np.int64)),
        torch.from_numpy(by_window.data.astype(np.float32)),
    )


def learn_unseen(network: Network, data: CellData, distance: sparse.csr_matrix, folds: NDArray[np.int64]) -> None:
    """Fit the map from the windows around a gene to its loadings, on the trained genes.

    Parameters
    ----------
    data
        Training cells with counts.
    distance
        Genes x windows, bp to the TSS plus one.
    folds
        Chromosome of each gene.
    """
    if data.counts is None:
        msg = "The map is learned from training cells with their counts."
        raise ValueError(msg)
    data = data.take(_some(data.n_cells))
    known = np.zeros(0) if data.counts is None else column_sums(data.counts)
    weight = known**0.25 * (np.diff(distance.indptr) > 0)
    if not weight.any():
        return
    maker = BatchMaker(data, network.config)
    codes = np.zeros((data.n_cells, network.config.rank), dtype=np.float32)
    network.eval()
    with torch.no_grad():
        for rows in maker.slices():
            codes[rows] = network.context(maker.evaluate(rows)).numpy()
        side = network.genes()
        made = torch.cat([side.loadings, side.offset[:, None]], dim=1).numpy()
        states = window_states(in_memory(data.windows), codes)
        pooled = pool_windows(distance, states, network.config.pooling_lengths)
        found, penalty = fit_ridge(pooled, made, weight, folds)
        network.window_states.copy_(torch.from_numpy(states))
        network.unseen_map.copy_(torch.from_numpy(found))
    logger.debug("Genes without training are predicted by a ridge with penalty %g.", penalty)
