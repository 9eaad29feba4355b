"""Cells of the simulation: states, TF activity, open peaks, expression, and the counts that a machine would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tilegrn.datasets._network import Network

N_STATES = 6
"""Dimensions of the hidden cell state."""
OWN_NOISE = 0.8
"""Standard deviation of a TF's log level that no hidden state explains: what tells TFs of one program apart."""
STEEPNESS = 4.0
"""Log fold change of a gene per unit of bound, open, undecayed TF activity."""
CEILING = 2.5
"""Largest log fold change of a gene in either direction."""
OVERDISPERSION = 0.2
"""Variance of the gamma noise around every expected count (the negative binomial's dispersion)."""
AMBIENT = 0.004
"""Fragments per cell and peak from closed chromatin."""
BLOCK = 512
"""Cells made at a time, so that memory does not grow with the number of cells."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What was drawn for the cells.

    Parameters
    ----------
    rna, atac
        Raw counts, cells x genes and cells x peaks, CSR float32.
    rate
        Expected count of each gene at size factor 1, cells x genes float32.
    obs
        ``sample``, ``cell_type``, ``size`` (true RNA size factor), ``depth`` (true ATAC depth factor).
    """

    rna: sparse.csr_matrix
    atac: sparse.csr_matrix
    rate: NDArray[np.float32]
    obs: pd.DataFrame


def poisson_from_uniform(mean: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Poisson counts by inverting the distribution, so that equal uniforms and means give equal counts."""
    shape = mean.shape
    lam, u = np.minimum(mean.ravel(), 600.0), uniform.ravel()
    count = np.zeros(lam.size, dtype=np.int64)
    term = np.exp(-lam)
    left = np.flatnonzero(u > term)
    lam, u, term = lam[left], u[left], term[left]
    total, k = term.copy(), 0
    while len(left) and k < 2000:
        k += 1
        term = term * lam / k
        total = total + term
        # Rounding can keep the sum below u for good: stop when terms no longer count.
        done = (u <= total) | ((k > lam) & (term < 1e-17))
        count[left[done]] = k
        keep = ~done
        left, lam, u, term, total = left[keep], lam[keep], u[keep], term[keep], total[keep]
    return count.reshape(shape)


def draw_obs(
    rng: np.random.Generator, n_cells: int, n_samples: int, n_types: int
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Draw samples, cell types, hidden states (cells x states) and depths."""
    sample = np.arange(n_cells) * n_samples // n_cells
    mix = rng.dirichlet(np.full(n_types, 6.0), size=n_samples)
    kind = (rng.random(n_cells)[:, None] > np.cumsum(mix[sample], axis=1)[:, :-1]).sum(axis=1)
    centers = rng.normal(size=(n_types, N_STATES))
    # Within a type, cells spread along one direction of its own and a little in all others.
    along = rng.normal(size=(n_types, N_STATES)) * 0.5
    state = centers[kind] + along[kind] * rng.normal(size=(n_cells, 1)) + 0.3 * rng.normal(size=(n_cells, N_STATES))
    common = rng.normal(size=n_cells)
    size = np.exp(0.3 * rng.normal(size=n_cells) + 0.2 * common + rng.normal(0, 0.15, size=n_samples)[sample])
    depth = np.exp(0.4 * rng.normal(size=n_cells) + 0.2 * common + rng.normal(0, 0.15, size=n_samples)[sample])
    obs = pd.DataFrame(
        {
            "sample": pd.Categorical([f"S{s + 1}" for s in sample]),
            "cell_type": pd.Categorical([f"type{k + 1}" for k in kind]),
            "size": size / size.mean(),
            "depth": depth / depth.mean(),
        },
        index=pd.Index(_barcodes(rng, sample), name="barcode"),
    )
    return obs, state


def _barcodes(rng: np.random.Generator, sample: NDArray[np.int64]) -> list[str]:
    """Sixteen bases and the number of the sample, each once."""
    numbers = rng.permutation(np.unique(rng.integers(2**32, size=2 * len(sample), dtype=np.int64)))[: len(sample)]
    digits = (numbers[:, None] >> (2 * np.arange(16))) & 3
    return [f"{''.join('ACGT'[d] for d in row)}-{s + 1}" for row, s in zip(digits, sample, strict=True)]


def draw_cells(
    seeds: Mapping[str, np.random.SeedSequence],
    network: Network,
    promoters: NDArray[np.bool_],
    n_genes: int,
    *,
    n_cells: int,
    n_samples: int,
    n_types: int,
    factors: NDArray[np.float64],
) -> Cells:
    """Draw everything that differs between cells.

    Parameters
    ----------
    seeds
        Independent seeds ``obs``, ``traits`` and ``counts``.
    promoters
        Which peaks hold a TSS; they are open more often.
    factors
        What the expression of each TF is multiplied by (1 = untouched). All random draws stay the same.
    """
    n_peaks, n_tfs = network.bound.shape
    obs, state = draw_obs(np.random.default_rng(seeds["obs"]), n_cells, n_samples, n_types)
    rng = np.random.default_rng(seeds["traits"])
    # TFs follow one or two states; a peak follows the TFs that it binds, and states of its own.
    follows = rng.normal(0, 0.8, size=(n_tfs, N_STATES)) * (rng.random((n_tfs, N_STATES)) < 0.3)
    opens = 0.5 * (network.bound @ follows) + rng.normal(0, 0.5, size=(n_peaks, N_STATES))
    base_open = np.where(promoters, -0.2, -1.8) + rng.normal(0, 0.6, size=n_peaks)
    detect = rng.lognormal(np.log(0.4), 0.3, size=n_peaks)
    base_rate = np.where(np.arange(n_genes) < n_tfs, 1.5, 0.4) * rng.lognormal(0, 0.6, size=n_genes)
    batch = rng.normal(0, 0.1, size=(n_samples, n_genes))
    signed, weights = network.signed_binding(), network.weights(n_genes)
    sample = obs["sample"].cat.codes.to_numpy()
    size, depth = obs["size"].to_numpy(), obs["depth"].to_numpy()

    # First pass: open chromatin and TF levels. Second: genes, measured against the mean over untouched cells.
    starts = range(0, n_cells, BLOCK)
    seeds_of_block = [seed.spawn(2) for seed in seeds["counts"].spawn(len(starts))]
    untouched = np.zeros(n_genes)
    atac, drives, levels = [], [], []
    for start, (seed, _) in zip(starts, seeds_of_block, strict=True):
        rows = slice(start, min(start + BLOCK, n_cells))
        block_rng = np.random.default_rng(seed)
        shown = state[rows]
        m = len(shown)
        noise = block_rng.normal(size=(m, n_tfs))
        log_level = shown @ follows.T + OWN_NOISE * noise
        level = np.exp(log_level - 0.5 * (follows**2).sum(axis=1) - 0.5 * OWN_NOISE**2)
        chance = 1 / (1 + np.exp(-(base_open + shown @ opens.T)))
        is_open = (block_rng.random((m, n_peaks)) < chance).astype(np.float64)
        atac.append(
            sparse.csr_matrix(block_rng.poisson(depth[rows, None] * (is_open * detect + AMBIENT)), dtype=np.float32)
        )
        untouched += ((is_open * ((level / (1 + level)) @ signed)) @ weights).sum(axis=0)
        changed = level * factors
        drives.append((is_open * ((changed / (1 + changed)) @ signed)) @ weights)
        levels.append(changed)

    reference = untouched / n_cells
    rna, rates = [], []
    for start, (_, seed), drive, level in zip(starts, seeds_of_block, drives, levels, strict=True):
        rows = slice(start, min(start + BLOCK, n_cells))
        block_rng = np.random.default_rng(seed)
        response = np.exp(CEILING * np.tanh(STEEPNESS * (drive - reference) / CEILING))
        response[:, :n_tfs] = level
        rate = base_rate * response * np.exp(batch[sample[rows]])
        wobble = block_rng.gamma(1 / OVERDISPERSION, OVERDISPERSION, size=rate.shape)
        counts = poisson_from_uniform(size[rows, None] * rate * wobble, block_rng.random(rate.shape))
        rna.append(sparse.csr_matrix(counts, dtype=np.float32))
        rates.append(rate.astype(np.float32))
    return Cells(
        sparse.csr_matrix(sparse.vstack(rna)),
        sparse.csr_matrix(sparse.vstack(atac)),
        np.vstack(rates),
        obs,
    )
