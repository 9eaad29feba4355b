"""A small random genome: chromosomes, peaks, TSSs, motifs, and the bases that carry them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn.errors import InputError
from tilegrn.motifs._motif import Motif
from tilegrn.motifs._pvalue import score_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOT = 1200
"""Room of one peak in bp: peaks never overlap, yet two can share a 1 kb window."""
WIDTHS = (400, 800)
"""Smallest and largest peak width in bp (even widths)."""
PAD = 20_000
"""Bases without peaks or genes at both ends of a chromosome."""
EDGE_N = 5_000
"""Length of the N run at both ends of a chromosome."""
WINDOW = 1_000
"""Border spacing at which some peaks split evenly."""
BASES = np.frombuffer(b"ACGT", dtype=np.uint8)
FAMILIES = ("Zf", "bZIP", "Homeobox", "bHLH", "ETS", "Forkhead", "NR", "HMG")


@dataclass(frozen=True, eq=False)
class Genome:
    """Where everything lies.

    Parameters
    ----------
    chrom_sizes
        Length of each chromosome in bp.
    peaks
        ``peak_id, chrom, start, end``, half-open, sorted.
    tss
        ``gene, chrom, pos, strand``: 0-based TSSs, one or more rows per gene.
    """

    chrom_sizes: dict[str, int]
    peaks: pd.DataFrame
    tss: pd.DataFrame


def place_peaks(
    rng: np.random.Generator, *, n_peaks: int, n_chroms: int, chrom_length: int, even_split: float
) -> pd.DataFrame:
    """Scatter non-overlapping peaks evenly over the chromosomes; some lie astride a window border, half in each."""
    n_slots = max((chrom_length - 2 * PAD) // SLOT, 0)
    per_chrom = np.full(n_chroms, n_peaks // n_chroms) + (np.arange(n_chroms) < n_peaks % n_chroms)
    if per_chrom.max() > n_slots:
        msg = (
            f"{n_peaks} peaks do not fit on {n_chroms} chromosomes of {chrom_length} bp ({n_slots} peaks each); "
            "ask for fewer peaks or a larger chrom_length."
        )
        raise InputError(msg)
    rows = []
    for c, n in enumerate(per_chrom):
        slots = PAD + SLOT * np.sort(rng.choice(n_slots, size=n, replace=False))
        widths = 2 * rng.integers(WIDTHS[0] // 2, WIDTHS[1] // 2 + 1, size=n)
        starts = slots + (rng.random(n) * (SLOT - widths + 1)).astype(np.int64)
        border = -(-(slots + widths // 2) // WINDOW) * WINDOW
        astride = (rng.random(n) < even_split) & (border + widths // 2 <= slots + SLOT)
        starts = np.where(astride, border - widths // 2, starts)
        rows.append(pd.DataFrame({"chrom": f"chr{c + 1}", "start": starts, "end": starts + widths}))
    peaks = pd.concat(rows, ignore_index=True)
    names = [f"{c}:{s}-{e}" for c, s, e in zip(peaks["chrom"], peaks["start"], peaks["end"], strict=True)]
    peaks.insert(0, "peak_id", names)
    return peaks


def place_genes(
    rng: np.random.Generator,
    genes: list[str],
    peaks: pd.DataFrame,
    chrom_length: int,
    *,
    promoters: float,
    several: float,
) -> pd.DataFrame:
    """Give each gene one or more TSSs: most inside a peak of their own, the rest anywhere."""
    n = len(genes)
    homes = rng.choice(len(peaks), size=n, replace=len(peaks) < n)
    widths = (peaks["end"] - peaks["start"]).to_numpy()[homes]
    pos = peaks["start"].to_numpy()[homes] + (rng.random(n) * widths).astype(np.int64)
    far = rng.random(n) >= promoters
    pos = np.where(far, rng.integers(PAD, chrom_length - PAD, size=n), pos)
    strand = np.where(rng.random(n) < 0.5, "+", "-")
    first = pd.DataFrame({"gene": genes, "chrom": peaks["chrom"].to_numpy()[homes], "pos": pos, "strand": strand})
    extra = first[rng.random(n) < several].copy()
    extra["pos"] = np.clip(
        extra["pos"] + rng.integers(500, 20_000, size=len(extra)) * np.where(extra["strand"] == "+", 1, -1),
        EDGE_N,
        chrom_length - EDGE_N - 1,
    )
    return pd.concat([first, extra], ignore_index=True).sort_values(["chrom", "pos"], ignore_index=True)


def draw_motifs(rng: np.random.Generator, tfs: list[str], *, p_value: float) -> list[Motif]:
    """Draw one random motif per TF, with the threshold that ``p_value`` of random sites reach."""
    motifs = []
    for k, tf in enumerate(tfs):
        length = int(rng.integers(10, 14))
        best = rng.integers(4, size=length)
        sharp = rng.uniform(0.75, 0.97, size=length)
        sharp[rng.choice(length, size=2, replace=False)] = rng.uniform(0.4, 0.6, size=2)
        rest = rng.dirichlet(np.ones(3), size=length) * (1 - sharp)[:, None]
        probabilities = np.empty((length, 4))
        for i in range(length):
            probabilities[i, best[i]] = sharp[i]
            probabilities[i, np.delete(np.arange(4), best[i])] = rest[i]
        probabilities = np.round(np.maximum(probabilities, 0.001), 3).astype(np.float64)
        motif = Motif(
            name=f"{tf}({FAMILIES[k % len(FAMILIES)]})/Simulated/tilegrn",
            probabilities=probabilities,
            threshold=0.0,
            consensus="".join("ACGT"[b] for b in best),
        )
        threshold = np.floor(1e6 * score_threshold(motif.log_odds, p_value)) / 1e6  # as many digits as the file holds
        motifs.append(replace(motif, threshold=float(threshold)))
    return motifs


def draw_sites(rng: np.random.Generator, motif: Motif, n: int) -> NDArray[np.int64]:
    """Draw ``n`` sites (n x length base codes) from a motif, each reaching its threshold."""
    weights = motif.log_odds
    cumulative = np.cumsum(motif.probabilities / motif.probabilities.sum(axis=1, keepdims=True), axis=1)
    sites = np.tile(weights.argmax(axis=1), (n, 1))
    left = np.arange(n)
    for _ in range(20):
        drawn = (rng.random((len(left), motif.length, 1)) > cumulative[None]).sum(axis=2).clip(max=3)
        good = weights[np.arange(motif.length), drawn].sum(axis=1) >= motif.threshold
        sites[left[good]] = drawn[good]
        left = left[~good]
        if not len(left):
            break
    return sites


def write_bases(
    rng: np.random.Generator, genome: Genome, motifs: list[Motif], planted: pd.DataFrame
) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Draw the bases of the genome and write the planted sites into the peaks.

    Parameters
    ----------
    planted
        ``peak`` and ``tf`` (numbers), one row per site to plant.

    Returns
    -------
    The bases of each chromosome (one byte each, repeats in lower case, N at the ends) and the planted sites:
    ``motif, source, peak_id, chrom, start, end, strand``.
    """
    length = max(m.length for m in motifs) + 1
    code = {c: rng.integers(4, size=n, dtype=np.int8) for c, n in genome.chrom_sizes.items()}
    chroms = genome.peaks["chrom"].to_numpy()
    starts, ends = genome.peaks["start"].to_numpy(), genome.peaks["end"].to_numpy()
    # Each site of a peak gets a lane of its own, so that no site overwrites another.
    order = planted.sort_values(["peak", "tf"], kind="stable", ignore_index=True)
    peak = order["peak"].to_numpy()
    rank = order.groupby("peak").cumcount().to_numpy()
    total = order.groupby("peak")["tf"].transform("size").to_numpy()
    lane = (ends[peak] - starts[peak]) // np.maximum(total, 1)
    if len(order) and lane.min() < length:
        msg = f"A peak was given {total.max()} motif sites, more than it can hold; lower sites_per_peak."
        raise InputError(msg)
    at = starts[peak] + rank * lane + (rng.random(len(order)) * (lane - length)).astype(np.int64)
    strand = np.where(rng.random(len(order)) < 0.5, "+", "-")
    which = order["tf"].to_numpy()
    sizes = np.array([m.length for m in motifs])[which]
    for t, motif in enumerate(motifs):
        rows = np.flatnonzero(which == t)
        for i, site in zip(rows, draw_sites(rng, motif, len(rows)), strict=True):
            bases = site if strand[i] == "+" else 3 - site[::-1]
            code[chroms[peak[i]]][at[i] : at[i] + len(bases)] = bases
    sites = pd.DataFrame(
        {
            "motif": np.array([m.name for m in motifs], dtype=object)[which],
            "source": np.array([m.name.partition("(")[0] for m in motifs], dtype=object)[which],
            "peak_id": genome.peaks["peak_id"].to_numpy()[peak],
            "chrom": chroms[peak],
            "start": at,
            "end": at + sizes,
            "strand": strand,
        }
    )
    return {c: _letters(rng, v) for c, v in code.items()}, sites


def _letters(rng: np.random.Generator, code: NDArray[np.int8]) -> bytes:
    """Bases as letters: about a third in lower case, as soft-masked repeats are, and N at both ends."""
    letters = BASES[code]
    runs = rng.geometric(1 / 400, size=len(letters) // 200 + 20)
    soft = np.repeat(np.arange(len(runs)) % 3 == 1, runs)[: len(letters)]
    letters[: len(soft)] += np.where(soft, np.uint8(32), np.uint8(0))
    edge = min(EDGE_N, len(letters) // 4)
    letters[:edge] = letters[len(letters) - edge :] = ord("N")
    return letters.tobytes()
