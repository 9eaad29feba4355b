"""A random model and its cells, for tests of the parts."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from tilegrn.model.config import ModelConfig
from tilegrn.model.data.batches import CellData
from tilegrn.model.data.pairs import pair_lists
from tilegrn.model.net.cis import WindowMoments
from tilegrn.model.net.network import Network


def made(
    seed: int = 0,
    n_cells: int = 7,
    n_tfs: int = 5,
    n_windows: int = 30,
    n_genes: int = 11,
    open_share: float = 0.3,
    reach_share: float = 0.3,
    **choices,
):
    """Return cells, a network, its configuration, and the distances and binding that it knows."""
    rng = np.random.default_rng(seed)
    config = ModelConfig(
        **{"width": 16, "n_latents": 3, "n_heads": 4, "hidden": 12, "rank": 6, "promoter": 10_000.0} | choices
    )

    def positive(shape, density):
        return sparse.random(*shape, density=density, format="csr", dtype=np.float32, random_state=seed + shape[1])

    windows = positive((n_cells, n_windows), open_share)
    data = CellData(
        tfs=positive((n_cells, n_tfs), 0.5),
        windows=windows,
        components=rng.normal(size=(n_cells, 3)).astype(np.float32),
        depth=rng.normal(size=(n_cells, 2)).astype(np.float32),
        size_factor=rng.uniform(0.5, 2, n_cells).astype(np.float32),
        opened=np.asarray(windows.sum(1), dtype=np.float32).ravel(),
        counts=sparse.csr_matrix(rng.poisson(1.0, (n_cells, n_genes)).astype(np.float32)),
    )
    distance = positive((n_genes, n_windows), reach_share)
    distance.data = np.floor(distance.data * 50_000) + 1
    binding = positive((n_windows, n_tfs), 0.4)
    binding.sort_indices()
    torch.manual_seed(seed)
    network = Network(
        n_tfs=n_tfs,
        n_components=3,
        log_mean=torch.randn(n_genes),
        loadings=torch.randn(n_windows, 8),
        features=torch.randn(n_genes, 9),
        pairs=pair_lists(distance),
        moments=WindowMoments(
            torch.from_numpy(np.asarray(data.windows.mean(0), dtype=np.float32).ravel() + 0.01),
            torch.from_numpy(np.asarray(data.windows.multiply(data.windows).mean(0), dtype=np.float32).ravel() + 0.01),
        ),
        binding=(
            torch.from_numpy(binding.indptr.astype(np.int64)),
            torch.from_numpy(binding.indices.astype(np.int64)),
            torch.from_numpy(binding.data),
        ),
        config=config,
    ).eval()
    with torch.no_grad():
        for p in network.parameters():
            if not p.any():
                p.normal_(0, 0.3)
    return data, network, config, distance, binding
