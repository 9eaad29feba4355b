"""The true network: which peak regulates which gene, through which TFs, how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.datasets._genome import Genome

REACH = 2.5
"""Links are drawn from the peaks within this many decay lengths of a TSS."""
PROMOTER_LINK = 0.75
"""Chance that a peak that holds a gene's TSS regulates it."""
TWICE = 0.2
"""Chance that a bound TF has a second site in the peak."""


@dataclass(frozen=True, eq=False)
class Network:
    """Who regulates whom.

    Parameters
    ----------
    links
        ``peak`` and ``gene`` (numbers), ``distance`` in bp, ``weight`` exp(-distance / decay) x effect.
    bound
        Peaks x TFs, 1 where the TF binds when the peak is open, CSR float64.
    sign
        +1 or -1 for each TF.
    sites
        ``peak`` and ``tf`` (numbers), one row per motif site to plant.
    """

    links: pd.DataFrame
    bound: sparse.csr_matrix
    sign: NDArray[np.float64]
    sites: pd.DataFrame

    def signed_binding(self) -> sparse.csr_matrix:
        """TFs x peaks, the sign of each bound TF."""
        return sparse.csr_matrix((self.bound @ sparse.diags(self.sign)).T)

    def weights(self, n_genes: int) -> sparse.csr_matrix:
        """Peaks x genes, weight of each link."""
        peak, gene, weight = (self.links[k].to_numpy() for k in ("peak", "gene", "weight"))
        return sparse.csr_matrix((weight, (peak, gene)), shape=(self.bound.shape[0], n_genes))


def edge_distance(starts: NDArray[np.int64], ends: NDArray[np.int64], pos: int) -> NDArray[np.int64]:
    """Bases between half-open peaks and a TSS; 0 where the peak holds it."""
    return np.maximum(np.maximum(starts - pos, pos - (ends - 1)), 0)


def draw_network(
    rng: np.random.Generator,
    genome: Genome,
    genes: list[str],
    n_tfs: int,
    *,
    decay: float,
    enhancers: float,
    repressors: float,
    sites_per_peak: float,
) -> Network:
    """Draw links and bound TFs.

    Genes numbered below ``n_tfs`` are the TFs; they are drivers and have no links.
    """
    n_peaks = len(genome.peaks)
    links = _draw_links(rng, genome, genes, n_tfs, decay=decay, enhancers=enhancers)
    linked = np.zeros(n_peaks, dtype=bool)
    linked[links["peak"].to_numpy()] = True
    popularity = rng.gamma(4.0, size=n_tfs)
    popularity /= popularity.sum()
    counts = np.where(linked, 1 + rng.binomial(2, 0.25, size=n_peaks), rng.poisson(sites_per_peak, size=n_peaks))
    counts = np.minimum(counts, min(4, n_tfs))
    # Weighted draws without repeats for all peaks at once: the largest of log-chance plus Gumbel noise.
    keys = np.log(popularity)[None] + rng.gumbel(size=(n_peaks, n_tfs))
    best = np.argsort(-keys, axis=1)[:, : counts.max(initial=1)]
    use = np.arange(best.shape[1])[None] < counts[:, None]
    peak, tf = np.nonzero(use)[0], best[use]
    bound = sparse.csr_matrix((np.ones(len(peak)), (peak, tf)), shape=(n_peaks, n_tfs))
    again = rng.random(len(peak)) < TWICE
    sites = pd.DataFrame({"peak": np.concatenate([peak, peak[again]]), "tf": np.concatenate([tf, tf[again]])})
    sign = np.ones(n_tfs)
    sign[rng.choice(n_tfs, size=round(repressors * n_tfs), replace=False)] = -1.0
    return Network(links, bound, sign, sites)


def _draw_links(
    rng: np.random.Generator, genome: Genome, genes: list[str], n_tfs: int, *, decay: float, enhancers: float
) -> pd.DataFrame:
    on_chrom = {
        c: (rows, genome.peaks["start"].to_numpy()[rows], genome.peaks["end"].to_numpy()[rows])
        for c, rows in genome.peaks.groupby("chrom").indices.items()
    }
    tss = {g: (rows["chrom"].iloc[0], rows["pos"].to_numpy()) for g, rows in genome.tss.groupby("gene")}
    out: list[tuple[int, int, int, float]] = []
    for g in range(n_tfs, len(genes)):
        chrom, positions = tss[genes[g]]
        peaks, starts, ends = on_chrom[chrom]
        distance = np.min([edge_distance(starts, ends, int(p)) for p in positions], axis=0)
        near = np.flatnonzero(distance <= REACH * decay)
        promoter = near[distance[near] == 0]
        chosen = list(promoter[rng.random(len(promoter)) < PROMOTER_LINK])
        others = near[distance[near] > 0]
        n_others = min(rng.poisson(enhancers) + (not chosen), len(others))
        chosen += list(rng.choice(others, size=n_others, replace=False))
        for i in chosen:
            effect = float(rng.lognormal(0.0, 0.3))
            out.append((int(peaks[i]), g, int(distance[i]), float(np.exp(-distance[i] / decay)) * effect))
    return pd.DataFrame(out, columns=["peak", "gene", "distance", "weight"])


def window_names(genome: Genome, size: int = 1000) -> NDArray[np.object_]:
    """Window of each peak by largest overlap; ``""`` where the overlap is split evenly (``bin_peaks`` draws one)."""
    names = []
    for chrom, start, end in zip(genome.peaks["chrom"], genome.peaks["start"], genome.peaks["end"], strict=True):
        ks = np.arange(start // size, (end - 1) // size + 1)
        overlap = np.minimum(end, (ks + 1) * size) - np.maximum(start, ks * size)
        best = ks[overlap == overlap.max()]
        stop = min((int(best[0]) + 1) * size, genome.chrom_sizes[chrom])
        names.append(f"{chrom}:{int(best[0]) * size}-{stop}" if len(best) == 1 else "")
    return np.array(names, dtype=object)


def truth_tables(genome: Genome, network: Network, genes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tidy tables of the truth: TF -> peak -> TG triplets, and TF -> TG edges with the triplets summed."""
    links = network.links
    tfs = np.array(genes[: network.bound.shape[1]], dtype=object)
    per_link = network.bound[links["peak"].to_numpy()].tocoo()
    rows = links.iloc[per_link.row]
    sign = network.sign[per_link.col]
    triplets = pd.DataFrame(
        {
            "source": tfs[per_link.col],
            "target": np.array(genes, dtype=object)[rows["gene"].to_numpy()],
            "cre": genome.peaks["peak_id"].to_numpy()[rows["peak"].to_numpy()],
            "window": window_names(genome)[rows["peak"].to_numpy()],
            "distance": rows["distance"].to_numpy(),
            "sign": sign.astype(np.int64),
            "strength": rows["weight"].to_numpy(),
        }
    ).sort_values(["source", "target", "cre"], ignore_index=True)
    edges = triplets.groupby(["source", "target"], as_index=False, observed=True).agg(
        sign=("sign", "first"), strength=("strength", "sum"), n_cres=("cre", "size")
    )
    return triplets, edges
