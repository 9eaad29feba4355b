"""A random model and its cells, for tests of the parts."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from tilegrn.model.batches import CellData
from tilegrn.model.config import ModelConfig
from tilegrn.model.module import Network
from tilegrn.model.pairs import Pairs


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
    """Return cells, pairs, a network in double precision, and its configuration."""
    rng = np.random.default_rng(seed)
    config = ModelConfig(
        **{"width": 16, "n_latents": 3, "n_heads": 4, "hidden": 12, "rank": 6, "cis_width": 4} | choices
    )

    def positive(shape, density):
        return sparse.random(*shape, density=density, format="csr", dtype=np.float32, random_state=seed + shape[1])

    data = CellData(
        tfs=positive((n_cells, n_tfs), 0.5),
        windows=positive((n_cells, n_windows), open_share),
        components=rng.normal(size=(n_cells, 3)).astype(np.float32),
        depth=rng.normal(size=(n_cells, 2)).astype(np.float32),
        size_factor=rng.uniform(0.5, 2, n_cells).astype(np.float32),
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
    return data, Pairs.from_matrix(distance), network, config, distance, binding
