"""Time of the network against open windows, genes and windows of the genome; beside a dense transformer and the floor.

    python benchmarks/model_cost.py [--device cpu] [--write]

Three tables, one thread on the CPU. Growth: each size grows tenfold while the others stay; the growth of the time tells
the exponent. Peers: a training pass (forward and backward) of the network beside one of ``torch.nn.TransformerEncoder``
of the same width, heads and number of blocks over the same open windows as tokens, and the memory of each beyond its
inputs. Floor: what has to be read of all open windows (their vectors, and their pairs with genes, each twice: there and
back) by bandwidth and by arithmetic measured in the same run, over the time of the pass.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import time
from pathlib import Path

import numpy as np
import torch
from _cortex import between_markers
from scipy import sparse

from tilegrn.model.config import ModelConfig
from tilegrn.model.data.batches import BatchMaker, CellData
from tilegrn.model.data.pairs import PairLists
from tilegrn.model.data.sums import Lists
from tilegrn.model.net.cis import WindowMoments
from tilegrn.model.net.network import Network

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BASE = {"n_open": 1_000, "n_genes": 4_000, "n_windows": 100_000}


def drawn(n_open: int, n_genes: int, n_windows: int, n_cells: int = 32, reach: int = 10):
    """Return a maker of batches and a network; each window reaches ``reach`` genes."""
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
    return BatchMaker(data, config), network


def measure(n_open: int, n_genes: int, n_windows: int, n_cells: int = 32) -> tuple[float, float]:
    """Return milliseconds per cell of making batches and of the forward pass."""
    maker, network = drawn(n_open, n_genes, n_windows, n_cells)
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


def best(call, device: str, runs: int) -> tuple[float, float]:
    """Seconds of the quickest run after a first one, and GB that its peak lies over what was there before."""
    on_gpu = device != "cpu"

    def wait():
        if on_gpu:
            torch.cuda.synchronize()

    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, or it would hide what is used
        reset_peak()
        before = memory("VmRSS")
    seconds = []
    for _ in range(runs + 1):
        wait()
        start = time.perf_counter()
        call()
        wait()
        seconds.append(time.perf_counter() - start)
    after = torch.cuda.max_memory_allocated() if on_gpu else memory("VmHWM")
    return min(seconds[1:]), max(0.0, after - before) / 1e9


def memory(name: str) -> int:
    """Bytes of this process: now (VmRSS), or at most since :func:`reset_peak` (VmHWM)."""
    return 1000 * int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


def reset_peak() -> None:
    """Have Linux count the largest memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def floor(device: str) -> tuple[float, float]:
    """Bytes a second of a sum over memory, and floating point operations a second of a product of matrices."""
    long = torch.ones(1 << 26, device=device)
    square = torch.ones(2048, 2048, device=device)
    return 4 * len(long) / best(long.sum, device, 5)[0], 2 * 2048**3 / best(lambda: square @ square, device, 5)[0]


def passes(n_open: int, n_cells: int, device: str, rates: tuple[float, float]) -> list[str]:
    """Return the row of a number of open windows."""
    maker, network = drawn(n_open, 4_000, 100_000, n_cells)
    network.to(device).train()
    batch = maker.evaluate(np.arange(n_cells)).to(device)
    config = network.config

    def ours():
        network.zero_grad(set_to_none=True)
        network(batch).sum().backward()

    seconds, held = best(ours, device, 3)
    # Without dropout, so that its attention takes the kernel that keeps no weights.
    layer = torch.nn.TransformerEncoderLayer(config.width, config.n_heads, 2 * config.width, 0.0, batch_first=True)
    dense = torch.nn.TransformerEncoder(layer, config.n_blocks, enable_nested_tensor=False).to(device).train()
    # One cell where cells stand for each other: its cost is that of a cell, and its memory that of a batch of one.
    tokens = torch.randn(1, n_open, config.width, device=device)

    def theirs():
        dense.zero_grad(set_to_none=True)
        dense(tokens).sum().backward()

    slow, much = best(theirs, device, 1)
    opened, pairs = n_cells * n_open, n_cells * n_open * 10
    size = 2 * (4 * opened * (2 * config.pooled) + pairs * (4 + 8 + 4) + 4 * opened)
    work = 2 * (opened * 2 * config.pooled + 2 * pairs) + 6 * len(batch.used) * (64 + 2 * config.pooled) * config.width
    least = max(size / rates[0], work / rates[1])
    each = 1e3 / n_cells
    return [
        f"{n_open:,}",
        f"{seconds * each:.1f}",
        f"{held:.2f} ({n_cells} cells)",
        f"{slow * 1e3:,.0f}",
        f"{much:.2f} (1 cell)",
        f"{slow * 1e3 / (seconds * each):,.0f}",
        f"{size / n_cells / 1e6:.1f} MB, {work / n_cells / 1e6:.0f} MFLOP",
        f"{least * each:.2f}",
        f"{least / seconds:.0%}",
    ]


def growth() -> list[str]:
    """Return the table of exponents."""
    lines = [
        "| varied | size | batch, ms per cell | forward, ms per cell | exponent |",
        "|---|---|---|---|---|",
    ]
    for name, value in BASE.items():
        first = None
        for factor in (1, 3, 10):
            sizes = BASE | {name: value * factor}
            make, forward = measure(**sizes)
            first = first or make + forward
            exponent = "" if factor == 1 else f"{np.log((make + forward) / first) / np.log(factor):.2f}"
            lines.append(f"| {name} | {value * factor:,} | {make:.2f} | {forward:.2f} | {exponent} |")
    return lines


def peers(device: str, sizes=(1_000, 3_000, 10_000), n_cells: int = 32) -> list[str]:
    """Return the table of training passes."""
    rates = floor(device)
    lines = [
        f"Floor: {rates[0] / 1e9:.1f} GB/s read, {rates[1] / 1e9:.0f} GFLOP/s.",
        "",
        "| open windows | network, ms a cell | GB | TransformerEncoder, ms a cell | GB | times as long | read and done "
        "a cell | floor, ms a cell | of the time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for n_open in sizes:
        lines.append(f"| {' | '.join(passes(n_open, n_cells, device, rates))} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables = {"model cost": growth(), "transformer": peers(args.device)}
    for lines in tables.values():
        print("\n".join(lines) + "\n")
    if args.write:
        between_markers(PAGE, tables)


if __name__ == "__main__":
    main()
