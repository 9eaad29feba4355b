"""Simulated multiome cells with their genome, motifs, TSSs and the network that made them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from tilegrn._core.mudata import no_pull
from tilegrn.datasets._cells import draw_cells
from tilegrn.datasets._genome import Genome, draw_motifs, place_genes, place_peaks, write_bases
from tilegrn.datasets._network import draw_network, truth_tables
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.datasets._cells import Cells
    from tilegrn.motifs._motif import Motif

logger = logging.getLogger(__name__)

SIMULATION = "simulation"
"""``mdata.uns`` key of the truth."""
PROMOTERS = 0.85
"""Share of genes with a TSS inside a peak."""
SEVERAL_TSS = 0.1
"""Share of genes with a second TSS."""
EVEN_SPLIT = 0.04
"""Share of peaks that are placed astride a window border where there is room."""
P_VALUE = 2e-5
"""Chance that a random site reaches a motif's threshold: about one false hit per peak over 60 motifs."""


def simulate(
    n_cells: int = 2000,
    n_genes: int = 600,
    n_peaks: int = 3000,
    *,
    n_tfs: int = 60,
    n_cell_types: int = 5,
    n_samples: int = 4,
    n_chroms: int = 4,
    chrom_length: int = 8_000_000,
    decay: float = 25_000,
    enhancers_per_gene: float = 1.5,
    sites_per_peak: float = 1.0,
    repressors: float = 0.2,
    knockout: Mapping[str, float] | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> MuData:
    r"""Simulate multiome cells from a known gene-regulatory network.

    Parameters
    ----------
    n_cells, n_genes, n_peaks
        Sizes. TFs count among the genes.
    n_tfs
        The first ``n_tfs`` genes, ``Tf1, Tf2, ...``, are TFs, each with one motif; the others, ``Gene1, ...``, are TGs.
    n_cell_types, n_samples
        Values of ``obs["cell_type"]`` and ``obs["sample"]``. Samples differ in depth, in their mix of types, and by a
        small batch effect per gene.
    n_chroms, chrom_length
        Chromosomes ``chr1, chr2, ...`` of ``chrom_length`` bp each.
    decay
        Decay length of a peak's effect with its distance to the TSS, in bp.
    enhancers_per_gene
        Mean number of links per gene beside its promoter's.
    sites_per_peak
        Mean number of TFs that bind a peak that regulates nothing (decoys).
    repressors
        Share of TFs that repress.
    knockout
        What the expression of a TF is multiplied by, e.g. ``{"Tf3": 0.0}``. With the same ``seed`` the cells, peaks and
        all random draws are the same, so that only the TF and the genes it regulates change.
    seed
        Seed of everything.
    folder
        Where to write ``multiome.h5mu``, ``genome.fa``, ``genome.chrom.sizes``, ``tss.bed``, ``motifs.motif`` (HOMER's
        format), ``truth.tsv``, ``truth_edges.tsv`` and ``sites.tsv``. Files of these names are replaced.

    Returns
    -------
    MuData ``rna`` + ``atac`` of raw counts (CSR float32) with ``obs["sample"]`` and ``obs["cell_type"]``.
    ``rna.layers["true_rate"]`` holds the expected counts at size factor 1 (float32). ``uns["simulation"]`` holds

    - ``truth``: one row per TF -> peak -> TG, columns ``source, target, cre, window, distance, sign, strength``
      (``window`` is empty where the peak lies half in each of two windows),
    - ``edges``: the same summed to TF -> TG, columns ``source, target, sign, strength, n_cres``,
    - ``binding``: the planted sites, columns ``source_id, peak_id, tf_motifs_in_peak`` (a table for
      :func:`tilegrn.pp.add_binding` that knows more than a motif scan would),
    - ``tss``: ``gene, chrom, pos, strand`` (0-based), ``chrom_sizes``: bp by chromosome, ``decay``, ``seed``,
      ``knockout_tf`` and ``knockout_factor``.

    Raises
    ------
    InputError
        If the sizes do not fit one another or ``knockout`` names no TF.

    Notes
    -----
    The cells are made as follows; nothing in it is copied from a data set.

    1. *Genome.* Peaks of 400-800 bp lie evenly on random sequence, some half in each of two 1 kb windows. Most genes
       have their TSS inside a peak, a tenth have a second TSS up to 20 kb away.
    2. *Links.* A TG is regulated by its promoter's peak (3 of 4 times) and by some peaks drawn evenly from those
       within ``2.5 * decay`` of its nearest TSS. A link's weight is :math:`w = e^{-d / decay} \cdot` a log-normal
       effect, *d* the bases between peak and TSS. Linked peaks are bound by 1 to 3 TFs. Other peaks are bound too,
       without effect.
    3. *Sequence.* A motif site per bound TF, now and then two, drawn from its motif, is written into the peak. Chance
       hits of the motifs elsewhere are as common as planted ones.
    4. *States.* A cell has a type and moves along a direction of its type in a hidden space of 6 dimensions. A TF's
       level *x* is log-normal, following some of these and noise of its own. TFs are drivers: no gene regulates them.
       Activity is :math:`A = x / (1 + x)`.
    5. *Chromatin.* Peak *p* is open (:math:`z = 1`) or closed in each cell, by a logistic chance that follows the
       states of the TFs that bind it and states of its own. Open promoters are common, open enhancers rare. Fragments
       are Poisson with the cell's depth; most open peaks of a cell show none, closed ones rarely show any.
    6. *Genes.* :math:`u_g = \sum_p z_p w_{pg} \sum_{t \in p} s_t A_t`, *s* the sign of the TF. The rate is
       :math:`b_g \exp(c \tanh(k (u_g - \bar u_g) / c))` with *k* = 4, *c* = 2.5, the mean taken over untouched cells.
       Counts are negative binomial (dispersion 0.2) with the cell's size factor.

    Examples
    --------
    >>> import tilegrn as grn
    >>> mdata = grn.datasets.simulate(n_cells=100, n_genes=40, n_peaks=150, n_tfs=8, n_chroms=2, seed=1)
    >>> without = grn.datasets.simulate(
    ...     n_cells=100, n_genes=40, n_peaks=150, n_tfs=8, n_chroms=2, seed=1, knockout={"Tf3": 0.0}
    ... )
    """
    sizes = {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "n_peaks": n_peaks,
        "n_tfs": n_tfs,
        "n_cell_types": n_cell_types,
        "n_samples": n_samples,
        "n_chroms": n_chroms,
    }
    for name, value in sizes.items():
        if value < 1:
            msg = f"{name} is {value}; it must be at least 1."
            raise InputError(msg)
    if n_tfs >= n_genes:
        msg = f"n_tfs is {n_tfs} of n_genes {n_genes}; at least one gene must be no TF."
        raise InputError(msg)
    if n_samples > n_cells:
        msg = f"n_samples is {n_samples} for {n_cells} cells; each sample needs a cell."
        raise InputError(msg)
    if decay <= 0:
        msg = f"decay is {decay}; it must be a positive number of bp."
        raise InputError(msg)
    if not 0 <= repressors <= 1:
        msg = f"repressors is {repressors}; it is a share between 0 and 1."
        raise InputError(msg)
    tfs = [f"Tf{k + 1}" for k in range(n_tfs)]
    genes = tfs + [f"Gene{k + 1}" for k in range(n_genes - n_tfs)]
    factors = _factors(knockout or {}, tfs)

    layout, net, motif, bases, obs, traits, counts = np.random.SeedSequence(seed).spawn(7)
    rng = np.random.default_rng(layout)
    peaks = place_peaks(rng, n_peaks=n_peaks, n_chroms=n_chroms, chrom_length=chrom_length, even_split=EVEN_SPLIT)
    tss = place_genes(rng, genes, peaks, chrom_length, promoters=PROMOTERS, several=SEVERAL_TSS)
    genome = Genome({f"chr{c + 1}": int(chrom_length) for c in range(n_chroms)}, peaks, tss)
    network = draw_network(
        np.random.default_rng(net),
        genome,
        genes,
        n_tfs,
        decay=decay,
        enhancers=enhancers_per_gene,
        repressors=repressors,
        sites_per_peak=sites_per_peak,
    )
    cells = draw_cells(
        {"obs": obs, "traits": traits, "counts": counts},
        network,
        _holds_tss(genome),
        n_genes,
        n_cells=n_cells,
        n_samples=n_samples,
        n_types=n_cell_types,
        factors=factors,
    )
    truth, edges = truth_tables(genome, network, genes)
    sites = network.sites.groupby(["tf", "peak"], as_index=False).size()
    mdata = _to_mudata(cells, genome, genes, n_tfs)
    mdata.uns[SIMULATION] = {
        "truth": truth,
        "edges": edges,
        "binding": pd.DataFrame(
            {
                "source_id": np.array(tfs, dtype=object)[sites["tf"].to_numpy()],
                "peak_id": peaks["peak_id"].to_numpy()[sites["peak"].to_numpy()],
                "tf_motifs_in_peak": sites["size"].to_numpy(dtype=np.float64),
            }
        ),
        "tss": tss,
        "chrom_sizes": dict(genome.chrom_sizes),
        "decay": float(decay),
        "seed": int(seed),
        "knockout_tf": np.array(list(knockout or {}), dtype=object),
        "knockout_factor": np.array(list((knockout or {}).values()), dtype=np.float64),
    }
    if folder is not None:
        motifs = draw_motifs(np.random.default_rng(motif), tfs, p_value=P_VALUE)
        _write(Path(folder), mdata, genome, motifs, network.sites, np.random.default_rng(bases))
    logger.info("Simulated %d cells x %d genes x %d peaks, %d true TF-TG edges.", n_cells, n_genes, n_peaks, len(edges))
    return mdata


def _factors(knockout: Mapping[str, float], tfs: list[str]) -> NDArray[np.float64]:
    factors = np.ones(len(tfs))
    for tf, factor in knockout.items():
        if tf not in tfs:
            msg = f"knockout names '{tf}', which is no TF of this simulation; the TFs are {tfs[0]} to {tfs[-1]}."
            raise InputError(msg)
        if not factor >= 0 or not np.isfinite(factor):
            msg = f"knockout factor of '{tf}' is {factor}; it multiplies the expression, so it must be 0 or more."
            raise InputError(msg)
        factors[tfs.index(tf)] = factor
    return factors


def _holds_tss(genome: Genome) -> NDArray[np.bool_]:
    """Tell which peaks hold a TSS; peaks are sorted and do not overlap."""
    holds = np.zeros(len(genome.peaks), dtype=bool)
    for chrom, rows in genome.peaks.groupby("chrom").indices.items():
        starts, ends = genome.peaks["start"].to_numpy()[rows], genome.peaks["end"].to_numpy()[rows]
        pos = genome.tss.loc[genome.tss["chrom"] == chrom, "pos"].to_numpy()
        at = np.searchsorted(starts, pos, side="right") - 1
        inside = (at >= 0) & (pos < ends[at])
        holds[rows[at[inside]]] = True
    return holds


def _to_mudata(cells: Cells, genome: Genome, genes: list[str], n_tfs: int) -> MuData:
    import anndata as ad
    import mudata as md

    obs = cells.obs[["sample", "cell_type"]]
    rna = ad.AnnData(
        sparse.csr_matrix(cells.rna),
        obs=obs.copy(),
        var=pd.DataFrame({"simulated_tf": np.arange(len(genes)) < n_tfs}, index=pd.Index(genes, name="gene")),
        layers={"true_rate": cells.rate},
    )
    rna.obs["true_size"] = cells.obs["size"].to_numpy()
    atac = ad.AnnData(
        sparse.csr_matrix(cells.atac),
        obs=obs.copy(),
        var=genome.peaks.set_index("peak_id")[["chrom", "start", "end"]].astype({"chrom": "category"}),
    )
    atac.obs["true_depth"] = cells.obs["depth"].to_numpy()
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs = obs.loc[mdata.obs_names].copy()
    return mdata


def _write(
    folder: Path, mdata: MuData, genome: Genome, motifs: list[Motif], planted: pd.DataFrame, rng: np.random.Generator
) -> None:
    from tilegrn.io.h5mu._h5mu import write_h5mu
    from tilegrn.motifs._files import write_motifs

    folder.mkdir(parents=True, exist_ok=True)
    bases, sites = write_bases(rng, genome, motifs, planted)
    with (folder / "genome.fa").open("wb") as fasta:
        for chrom, letters in bases.items():
            fasta.write(f">{chrom}\n".encode())
            for at in range(0, len(letters), 60):
                fasta.write(letters[at : at + 60])
                fasta.write(b"\n")
    sizes = "".join(f"{c}\t{n}\n" for c, n in genome.chrom_sizes.items())
    (folder / "genome.chrom.sizes").write_text(sizes)
    tss = genome.tss
    bed = pd.DataFrame(
        {
            "chrom": tss["chrom"],
            "start": tss["pos"],
            "end": tss["pos"] + 1,
            "name": tss["gene"],
            "score": 0,
            "strand": tss["strand"],
        }
    )
    bed.to_csv(folder / "tss.bed", sep="\t", header=False, index=False)
    write_motifs(motifs, folder / "motifs.motif")
    truth = mdata.uns[SIMULATION]
    truth["truth"].to_csv(folder / "truth.tsv", sep="\t", index=False)
    truth["edges"].to_csv(folder / "truth_edges.tsv", sep="\t", index=False)
    sites.to_csv(folder / "sites.tsv", sep="\t", index=False)
    write_h5mu(folder / "multiome.h5mu", mdata)
