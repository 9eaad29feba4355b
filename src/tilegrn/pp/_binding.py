"""TF binding: motif hits of peaks to TFs, their scores, and their means over windows."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.symbols import Found, find_symbols, warn_ambiguous
from tilegrn.errors import InputError
from tilegrn.motifs._resolve import resolve
from tilegrn.pp._binding_table import read_table, table_to_matrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from mudata import MuData

__all__ = ["Binding", "add_binding", "mark_tfs", "motifs_to_tfs", "store_binding", "window_means"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Binding:
    """Hits and scores of TFs in peaks.

    Attributes
    ----------
    counts, score
        Peaks x TFs, CSR float32: motif hits in the peak, and hits / hits of the TF over all peaks scanned.
    tfs
        Gene symbols of the columns.
    unresolved
        Sources that name no known TF.
    absent
        Sources whose TFs are known but not among the genes of the RNA.
    folded, ambiguous
        Symbols and genes that differ by letter case, matched and not; see :class:`tilegrn.motifs.Resolution`.
    """

    counts: sparse.csr_matrix
    score: sparse.csr_matrix
    tfs: list[str]
    unresolved: list[str]
    absent: list[str]
    folded: dict[str, str] = field(default_factory=dict)
    ambiguous: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)


def window_means(score: sparse.csr_matrix, membership: sparse.csr_matrix) -> sparse.csr_matrix:
    """TFs x windows mean of a peaks x TFs score over all peaks of each window (a peak without a hit counts as 0)."""
    peaks_in = np.asarray(membership.sum(axis=0)).ravel()
    sums = sparse.csr_matrix(score.T @ membership, dtype=np.float64)
    sums.data /= peaks_in[sums.indices]
    return sums


def motifs_to_tfs(
    counts: sparse.csr_matrix,
    sources: Sequence[str],
    genes: Iterable[str],
    *,
    aliases: Mapping[str, str | Sequence[str]] | None = None,
    score: sparse.csr_matrix | None = None,
) -> Binding:
    """Sum hits over the motifs of each TF, and score them.

    Parameters
    ----------
    counts
        Peaks x sources hits; sources are motif names or gene symbols. Scores divide by the column sums of this matrix.
    sources
        Names of the columns.
    genes
        Gene symbols of the RNA; TFs are found among these.
    aliases
        Motif name (or its part before the bracket) to gene symbols; overrules the built-in table.
    score
        Scores handed over for the sources; used for a TF that has one source only, as scores of several do not add up.
    """
    resolution = resolve(list(sources), list(genes), aliases=aliases)
    pairs = [(i, tf) for i, name in enumerate(sources) for tf in resolution.tfs.get(name, ())]
    tfs = sorted({tf for _, tf in pairs})
    column = {tf: j for j, tf in enumerate(tfs)}
    links = sparse.csr_matrix(
        (np.ones(len(pairs)), ([i for i, _ in pairs], [column[tf] for _, tf in pairs])), shape=(len(sources), len(tfs))
    )
    summed = sparse.csr_matrix(counts.astype(np.float64) @ links)
    totals = np.asarray(summed.sum(axis=0)).ravel()
    scores = summed.copy()
    scores.data = scores.data / totals[scores.indices]
    if score is not None and len(tfs):
        single = np.asarray(links.sum(axis=0)).ravel() == 1
        given = sparse.csr_matrix(score.astype(np.float64) @ links)
        pick = sparse.diags(single.astype(np.float64))
        rest = sparse.diags((~single).astype(np.float64))
        scores = sparse.csr_matrix(given @ pick + scores @ rest)
    return Binding(
        counts=_clean(summed),
        score=_clean(scores),
        tfs=tfs,
        unresolved=list(resolution.unresolved),
        absent=[name for name in resolution.absent if not resolution.tfs.get(name)],
        folded=resolution.folded,
        ambiguous=resolution.ambiguous,
    )


def _clean(mat: sparse.csr_matrix) -> sparse.csr_matrix:
    mat = sparse.csr_matrix(mat).astype(np.float32)
    mat.eliminate_zeros()
    mat.sort_indices()
    return mat


def store_binding(mdata: MuData, binding: Binding, params: Mapping[str, Any], *, rna: str, atac: str) -> None:
    """Write hits, scores and window means, mark the TFs, and report what did not resolve."""
    radata, aadata = mdata.mod[rna], mdata.mod[atac]
    if not binding.tfs:
        msg = (
            f"None of the {len(binding.unresolved) + len(binding.absent)} motif or TF names (e.g. "
            f"{(binding.unresolved + binding.absent)[:5]}) is a gene of '{rna}' (e.g. "
            f"{list(map(str, radata.var_names[:3]))}). "
            "Hand over aliases={name: gene symbol}."
        )
        raise InputError(msg)
    grid = store.get_grid(mdata)
    means = window_means(binding.score, store.peak_windows(mdata, atac)).tocoo()
    row = radata.var_names.get_indexer(binding.tfs)  # they were spelt as the genes are
    genes_windows = sparse.csr_matrix(
        (means.data.astype(np.float32), (row[means.row], means.col)), shape=(radata.n_vars, grid.n_windows)
    )
    genes_windows.sort_indices()
    is_tf = np.zeros(radata.n_vars, dtype=bool)
    is_tf[row] = True
    motifless: list[str] = []
    if K.IS_TF in radata.var:
        before = radata.var[K.IS_TF].to_numpy(bool)
        motifless = [str(g) for g in radata.var_names[before & ~is_tf]]
        is_tf |= before
    store.set_elem(aadata, "varm", K.PEAK_BINDING, binding.counts)
    store.set_elem(aadata, "varm", K.PEAK_BINDING_SCORE, binding.score)
    store.set_elem(radata, "varm", K.WINDOW_BINDING, genes_windows)
    store.set_elem(radata, "var", K.IS_TF, is_tf)
    store.put_record(
        mdata,
        K.REC_BINDING,
        {
            "tfs": np.asarray(binding.tfs, dtype=object),
            "unresolved": np.asarray(binding.unresolved, dtype=object),
            "absent": np.asarray(binding.absent, dtype=object),
            "grid": grid.fingerprint,
            "peaks": store.names_fingerprint(aadata.var_names),
            **params,
        },
    )
    logger.info("%d TFs bind in %d peaks.", len(binding.tfs), int((np.diff(binding.counts.indptr) > 0).sum()))
    if motifless:
        warnings.warn(
            f"{len(motifless)} genes marked as TFs have no motif in the binding given, e.g. {motifless[:5]}: their "
            "binding is 0 everywhere.",
            UserWarning,
            stacklevel=3,
        )
    if binding.unresolved:
        warnings.warn(
            f"{len(binding.unresolved)} motif or TF names resolve to no gene symbol, e.g. {binding.unresolved[:5]}; "
            f"all are in "
            f"mdata.uns['{K.UNS}']['{K.REC_BINDING}']['unresolved']. Name theirs with aliases={{...}}.",
            UserWarning,
            stacklevel=3,
        )
    said = Found(row, binding.folded, binding.ambiguous)
    if binding.folded:
        name, gene = next(iter(binding.folded.items()))
        warnings.warn(
            f"{len(binding.folded)} motif or TF names are taken for genes that differ by letter case only, e.g. "
            f"'{name}' for '{gene}'. If that is another gene, rename one of them.",
            UserWarning,
            stacklevel=3,
        )
    warn_ambiguous(
        said,
        "the motifs",
        f"'{rna}'",
        "They bind nowhere; name their genes with aliases={name: gene symbol}.",
        stacklevel=3,
    )
    if binding.absent:
        logger.info("%d motif or TF names belong to genes that '%s' does not measure.", len(binding.absent), rna)


def add_binding(
    mdata: MuData,
    table: pd.DataFrame | str | Path,
    *,
    aliases: Mapping[str, str | Sequence[str]] | None = None,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    """Add TF binding from a table of motif hits per peak, such as HOMER's.

    Hits of all motifs of a TF are added up. The binding score is hits in the peak / hits of the TF over all peaks of
    the table; a window's binding is the mean over its peaks.

    Parameters
    ----------
    mdata
        Multiome data after :func:`bin_peaks`.
    table
        Columns ``source_id`` (motif name or TF symbol), ``peak_id``, ``tf_motifs_in_peak`` and, if wanted,
        ``homer_binding_score``; a DataFrame or a .parquet, .tsv or .csv file. :func:`tilegrn.io.read_homer` makes it
        from an ``annotatePeaks.pl`` output.
    aliases
        Name of a motif, or its part before the bracket, to one or several gene symbols; overrules the built-in table.
    rna, atac
        Names of the modalities.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes ``atac.varm["homer_binding"]`` and ``["homer_binding_score"]`` (peaks x TFs,
    CSR float32), ``rna.varm["homer_binding"]`` (genes x windows, TF rows, CSR float32), ``rna.var["is_tf"]``, and the
    TF names with all unresolved and absent ones in ``uns``.

    Raises
    ------
    MissingStepError
        Before :func:`bin_peaks`.
    InputError
        If columns are missing, hits are no whole numbers, pairs repeat, or no peak or no TF matches.

    See Also
    --------
    homer_binding : counts hits itself, from a FASTA and motifs.

    Examples
    --------
    >>> hits = grn.io.read_homer("annotated.txt", peaks=mdata)
    >>> grn.pp.add_binding(mdata, hits)
    >>> mdata["atac"].varm["homer_binding"].shape  # peaks x TFs
    (150, 8)
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    radata, aadata = mdata.mod[rna], mdata.mod[atac]
    check.unique_names(radata.var_names, "gene names", "Merge them or keep one of each.")
    store.peak_windows(mdata, atac)
    counts, score, sources, outside = table_to_matrices(read_table(table), aadata.var_names)
    binding = motifs_to_tfs(counts, sources, radata.var_names, aliases=aliases, score=score)
    n = aadata.n_vars
    binding = replace(binding, counts=binding.counts[:n], score=binding.score[:n])
    store_binding(mdata, binding, {"source": "table", "peaks_outside": outside}, rna=rna, atac=atac)
    if outside:
        warnings.warn(
            f"{outside} peaks of the binding table are not among the {n} peaks and were left out.",
            UserWarning,
            stacklevel=2,
        )
    return mdata if copy else None


def mark_tfs(mdata: MuData, tfs: Iterable[str] | str | Path, *, rna: str = "rna", copy: bool = False) -> MuData | None:
    """Mark genes as TFs without binding, from a list of symbols.

    Parameters
    ----------
    mdata
        Multiome data.
    tfs
        Gene symbols, or the path of a text file with one in each line.
    rna
        Name of the RNA modality.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy. Writes ``rna.var["is_tf"]`` (bool), added to the TFs marked before.

    Raises
    ------
    InputError
        If the file does not exist or none of the symbols is a gene.

    Examples
    --------
    >>> grn.pp.mark_tfs(mdata, ["Tf1", "Tf2", "Gene12"])
    >>> int(mdata["rna"].var["is_tf"].sum())  # Gene12 beside those with a motif
    9
    """
    mdata = check.start(mdata, rna, copy=copy)
    adata = mdata.mod[rna]
    if isinstance(tfs, str | Path):
        path = Path(tfs)
        if not path.is_file():
            msg = f"The TF list '{path}' does not exist. Symbols themselves are given as a list: ['{path}']."
            raise InputError(msg)
        tfs = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    names = list(dict.fromkeys(str(t) for t in tfs))
    found = find_symbols(names, adata.var_names)
    row = found.position
    if not (row >= 0).any():
        doubt = f" Letter case does not tell {found.ambiguous[0]} apart: spell them alike." if found.ambiguous else ""
        msg = (
            f"None of the {len(names)} TFs (e.g. {names[:3]}) is a gene of '{rna}' (e.g. "
            f"{list(map(str, adata.var_names[:3]))}).{doubt} Is the list of the right species?"
        )
        raise InputError(msg)
    is_tf = np.zeros(adata.n_vars, dtype=bool)
    is_tf[row[row >= 0]] = True
    if K.IS_TF in adata.var:
        is_tf |= adata.var[K.IS_TF].to_numpy(bool)
    store.set_elem(adata, "var", K.IS_TF, is_tf)
    warn_ambiguous(found, "the TF list", f"'{rna}'", "They are not marked; spell them as the genes are.", stacklevel=2)
    logger.info(
        "%d of %d listed TFs are genes of '%s', %d of them in another letter case.",
        int((row >= 0).sum()),
        len(names),
        rna,
        len(found.folded),
    )
    return mdata if copy else None
