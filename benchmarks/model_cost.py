"""Time of the forward pass against open windows, genes and all windows of the genome.

    python benchmarks/model_cost.py

Prints a table: each size grows tenfold while the others stay; the growth of the time tells the exponent. One thread.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy import sparse

from tilegrn.model.config import ModelConfig
from tilegrn.model.data.batches import BatchMaker, CellData
from tilegrn.model.data.pairs import PairLists
from tilegrn.model.data.sums import Lists
from tilegrn.model.net.cis import WindowMoments
from tilegrn.model.net.network import Network

BASE = {"n_open": 1_000, "n_genes": 4_000, "n_windows": 100_000}


def measure(n_open: int, n_genes: int, n_windows: int, n_cells: int = 32, reach: int = 10) -> tuple[float, float]:
    """Return milliseconds per cell of making batches and of the forward pass; each window reaches ``reach`` genes."""
    rng = np.random.default_rng(0)
    config = ModelConfig()
    columns = np.concatenate([np.sort(rng.choice(n_windows, n_open, replace=False)) for _ in range(n_cells)])
    windows = sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, np.arange(n_cells + 1) * n_open), shape=(n_cells, n_windows)
    )
    n_tfs = 200
    data = CellData(
        tfs=sparse.random(n_cells, n_tfs, density=0.1, format="csr", dtype=np.float32, random_state=0),
        windows=windows,
        components=rng.normal(size=(n_cells, 50)).astype(np.float32),
        depth=np.zeros((n_cells, 2), np.float32),
        size_factor=np.ones(n_cells, np.float32),
        opened=np.full(n_cells, n_open, np.float32),
    )
    gene = torch.from_numpy(np.sort(rng.integers(0, n_genes, (n_windows, reach)), axis=1).ravel())
    pairs = PairLists(Lists(torch.arange(n_windows + 1) * reach, gene), 1e6 * torch.rand(len(gene)), n_genes)
    share = torch.full((n_windows,), n_open / n_windows)
    network = Network(
        n_tfs=n_tfs,
        n_components=50,
        log_mean=torch.zeros(n_genes),
        loadings=torch.randn(n_windows, 64),
        features=torch.randn(n_genes, 195),
        pairs=pairs,
        moments=WindowMoments(share, share),
        binding=None,
        config=config,
    ).eval()
    maker = BatchMaker(data, config)
    times = []
    with torch.no_grad():
        for _ in range(4):
            t0 = time.perf_counter()
            batch = maker.evaluate(np.arange(n_cells))
            t1 = time.perf_counter()
            network(batch)
            times.append((t1 - t0, time.perf_counter() - t1))
    make, forward = np.min(times[1:], axis=0) * 1e3 / n_cells
    return float(make), float(forward)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| varied | size | batch, ms per cell | forward, ms per cell | exponent |")
    print("|---|---|---|---|---|")
    for name, value in BASE.items():
        first = None
        for factor in (1, 3, 10):
            sizes = BASE | {name: value * factor}
            make, forward = measure(**sizes)
            first = first or make + forward
            exponent = "" if factor == 1 else f"{np.log((make + forward) / first) / np.log(factor):.2f}"
            print(f"| {name} | {value * factor:,} | {make:.2f} | {forward:.2f} | {exponent} |", flush=True)


if __name__ == "__main__":
    main()
