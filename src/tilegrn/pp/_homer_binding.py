"""TF binding counted by tilegrn itself, as HOMER would count it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import pandas as pd

from tilegrn._core import check, store
from tilegrn._core.peaks import parse_peaks
from tilegrn.motifs._scan import count_hits
from tilegrn.pp._binding import motifs_to_tfs, store_binding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mudata import MuData

    from tilegrn.motifs._motif import Motif

__all__ = ["homer_binding"]

logger = logging.getLogger(__name__)


def homer_binding(
    mdata: MuData,
    fasta: str | Path,
    motifs: str | Path | Sequence[Motif],
    *,
    size: int | Literal["given"] = "given",
    mask: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
    aliases: Mapping[str, str | Sequence[str]] | None = None,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    """Count motif hits in the peaks as HOMER does, without HOMER, and add them as TF binding.

    The counts are those of ``annotatePeaks.pl -nmotifs``, to the last hit; see :func:`tilegrn.motifs.count_hits` for
    the rule. Hits of all motifs of a TF are added up; the binding score is hits in the peak / hits of the TF over all
    peaks; a window's binding is the mean over its peaks.

    Parameters
    ----------
    mdata
        Multiome data after :func:`bin_peaks`; peak names are read as 0-based, half-open intervals.
    fasta
        Genome of the peaks: FASTA, plain or packed by bgzip, or 2bit. Nothing is written beside it.
    motifs
        Path of a HOMER motif file, or motifs (:func:`tilegrn.io.read_motifs` reads other formats, with thresholds from
        a p-value).
    size
        ``"given"``: the whole peak. A number N: the N + 1 bp around its centre, as HOMER's ``-size N``.
    mask
        Take soft-masked (lower-case) sequence for N, as HOMER's ``-mask``.
    n_jobs
        Threads; None takes all processors.
    progress
        Show a progress bar.
    aliases
        Name of a motif, or its part before the bracket, to one or several gene symbols; overrules the built-in table.
    rna, atac
        Names of the modalities.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes what :func:`add_binding` writes: ``atac.varm["homer_binding"]`` and
    ``["homer_binding_score"]`` (peaks x TFs, CSR float32), ``rna.varm["homer_binding"]`` (genes x windows, TF rows, CSR
    float32), ``rna.var["is_tf"]``, and in ``uns`` the TF names with all unresolved and absent motif names.

    Raises
    ------
    MissingStepError
        Before :func:`bin_peaks`.
    InputError
        If the FASTA or motif file cannot be used, lacks a chromosome of the peaks, is shorter than a peak says, or no
        motif names a gene. Nothing is written then.

    See Also
    --------
    add_binding : takes a table of hits, for instance from a real HOMER.

    Examples
    --------
    >>> grn.pp.homer_binding(mdata, "genome.fa", "motifs.motif")
    >>> mdata.uns["tilegrn"]["binding"]["tfs"][:3].tolist()
    ['Tf1', 'Tf2', 'Tf3']
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    radata, aadata = mdata.mod[rna], mdata.mod[atac]
    check.unique_names(radata.var_names, "gene names", "Merge them or keep one of each.")
    store.peak_windows(mdata, atac)
    chrom, start, end = parse_peaks(aadata.var_names)
    peaks = pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=aadata.var_names.astype(str))
    hits = count_hits(fasta, peaks, motifs, size=size, mask=mask, n_jobs=n_jobs, progress=progress)
    logger.info("%d hits of %d motifs in %d peaks.", int(hits.counts.data.sum()), len(hits.motifs), len(peaks))
    binding = motifs_to_tfs(hits.counts, hits.motifs, radata.var_names, aliases=aliases)
    params = {"source": "homer_binding", "size": str(size), "mask": bool(mask), "peaks_outside": 0}
    store_binding(mdata, binding, params, rna=rna, atac=atac)
    return mdata if copy else None
