"""Run an installed HOMER on a data set's peaks, guarded against what its Perl does with names and errors."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from tilegrn.errors import InputError, ToolError
from tilegrn.io.homer._hits import HomerHits, read_hits
from tilegrn.io.homer._peaks import PeakSet, peak_lines, peak_set
from tilegrn.io.homer._private_fasta import private_fasta
from tilegrn.io.homer._process import find_homer, run_tool
from tilegrn.io.homer._table import hits_table
from tilegrn.motifs._files import read_motifs, write_motifs
from tilegrn.motifs._motif import Motif

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from mudata import MuData

__all__ = ["run_homer"]

logger = logging.getLogger(__name__)

_SCRIPTS = {"annotatePeaks": "annotatePeaks.pl", "find": "findMotifsGenome.pl"}
_GENOME_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*", re.ASCII)
# Signs in the messages of HOMER and of the shell below it that a step failed, although the exit code is 0. "No such
# file" is none: HOMER's own ls and rm say so in good runs.
_FAILED = re.compile(
    r"(?:\b(?:homer2|homerTools|\w+\.pl): (?:command )?not found"
    r"|Segmentation fault|Illegal instruction|Bus error|\bKilled\b|Out of memory|bad_alloc"
    r"|Can't locate \S+|error while loading shared libraries|No space left on device|cannot execute binary)",
    re.IGNORECASE,
)


def run_homer(
    peaks: MuData | pd.DataFrame | Sequence[str],
    genome: str | Path,
    motifs: str | Path | Sequence[Motif],
    *,
    homer: str | Path | None = None,
    method: Literal["annotatePeaks", "find"] = "annotatePeaks",
    size: int | Literal["given"] = "given",
    mask: bool = False,
    n_jobs: int = 1,
    timeout: float | None = None,
    keep: str | Path | None = None,
    atac: str = "atac",
) -> pd.DataFrame:
    """Count motif hits per peak with an installed HOMER.

    :func:`tilegrn.pp.homer_binding` gives the same counts without HOMER, in seconds; this is for those who want the
    program itself. It runs in a private temporary folder, where everything has fixed plain names, because HOMER hands
    file names to a shell; its results are checked against what was asked, because it ends without an error code when a
    step fails.

    Parameters
    ----------
    peaks
        A MuData, peak names such as ``chr1:3000-4000``, a table ``chrom, start, end`` (0-based), or a PyRanges.
    genome
        A FASTA file (plain or gzipped), or the name of a genome installed in HOMER (``"mm10"``).
    motifs
        A motif file that :func:`read_motifs` reads without further arguments (HOMER's), or motifs.
    homer
        HOMER's folder, its ``bin`` folder, or the script. By default the environment variable ``HOMER``, then ``PATH``.
    method
        ``"annotatePeaks"`` runs ``annotatePeaks.pl -m -nmotifs``; ``"find"`` runs ``findMotifsGenome.pl -find``, which
        first prepares background sequences that it then does not use (minutes for a whole genome).
    size
        ``"given"`` for whole peaks, or HOMER's ``-size``: around the centre, one base pair more than asked.
    mask
        Treat lower case as N (``-mask``).
    n_jobs
        Processors for HOMER.
    timeout
        Seconds after which HOMER is stopped.
    keep
        Folder to leave HOMER's inputs, output and messages in, also after a failure; made if absent.
    atac
        Name of the modality of a MuData.

    Returns
    -------
    The table that :func:`read_homer` returns, with the peaks' own names, in their order.

    Raises
    ------
    InputError
        Before HOMER starts: for peaks, motifs or options that cannot be, a FASTA without one of the peaks' chromosomes,
        or peaks past a chromosome's end.
    ToolError
        If HOMER is not found, cannot be started, fails, is stopped by ``timeout``, or returns an output that is empty,
        cut short, or of other peaks or motifs. The message ends with what HOMER said.

    Examples
    --------
    >>> hits = grn.io.run_homer(mdata, "genome.fa", "motifs.motif", homer="homer")
    >>> grn.pp.add_binding(mdata, hits)
    """
    script = _check_options(method, size, n_jobs, timeout)
    found = peak_set(peaks, atac=atac)
    if isinstance(motifs, str | Path):
        motifs = read_motifs(motifs)
    wanted = list(motifs)
    if not wanted or not all(isinstance(m, Motif) for m in wanted):
        msg = "motifs must be a motif file or a list of tilegrn motifs with at least one."
        raise InputError(msg)
    names = list(dict.fromkeys(m.name for m in wanted))
    executable = find_homer(script, homer)
    with tempfile.TemporaryDirectory(prefix="tilegrn-homer-") as name:
        folder = Path(name)
        genome_argument = _place_genome(genome, found, folder)
        ids = [f"p{i}" for i in range(len(found.names))]
        (folder / "peaks.bed").write_bytes(peak_lines(found, ids, as_bed=True).encode())
        number = {motif_name: i for i, motif_name in enumerate(names)}
        write_motifs(
            [Motif(f"m{number[m.name]}", m.probabilities, m.threshold) for m in wanted], folder / "known.motif"
        )
        argv = _arguments(str(executable), genome_argument, method, size, mask=mask, n_jobs=n_jobs)
        logger.info("Running %s on %d peaks and %d motifs.", script, len(ids), len(names))
        try:
            messages = run_tool(argv, folder, executable, timeout)
            hits = _checked(folder / "stdout.txt", script, messages, ids, len(names))
        finally:
            if keep is not None:
                _keep(folder, Path(keep).expanduser())
    return hits_table(HomerHits(hits, found.names, names), found.names)


def _check_options(method: str, size: int | str, n_jobs: int, timeout: float | None) -> str:
    if method not in _SCRIPTS:
        msg = f"method is '{method}'; choose 'annotatePeaks' or 'find'."
        raise InputError(msg)
    if size != "given" and (isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1):
        msg = f"size is {size!r}; give 'given' or a number of bp, at least 1."
        raise InputError(msg)
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer) or n_jobs < 1:
        msg = f"n_jobs is {n_jobs!r}; give a whole number, at least 1."
        raise InputError(msg)
    if timeout is not None and not timeout > 0:
        msg = f"timeout is {timeout!r}; give seconds above 0, or None."
        raise InputError(msg)
    return _SCRIPTS[method]


def _place_genome(genome: str | Path, peaks: PeakSet, folder: Path) -> str:
    """Put the FASTA where HOMER finds it under a plain name, or return the name of an installed genome."""
    path = Path(genome).expanduser()
    if path.is_file():
        lengths = private_fasta(path, folder / "genome.fa", set(peaks.chrom))
        _check_ends(peaks, lengths, path)
        return "genome.fa"
    if path.is_dir():
        msg = f"genome '{genome}' is a folder; give one FASTA file."
        raise InputError(msg)
    if isinstance(genome, str) and _GENOME_NAME.fullmatch(genome) and not path.suffix:
        return genome
    msg = (
        f"genome '{genome}' does not exist. Give a FASTA file or the name of a genome installed in HOMER, e.g. 'mm10'."
    )
    raise InputError(msg)


def _check_ends(peaks: PeakSet, lengths: dict[str, int], path: Path) -> None:
    over = peaks.end - np.array([lengths[c] for c in peaks.chrom], dtype=np.int64)
    if (over > 0).any():
        i = int(np.argmax(over))
        msg = (
            f"{int((over > 0).sum())} peaks reach past the end of their chromosome in '{path}', e.g. "
            f"'{peaks.names[i]}' by {over[i]:,} bp ({peaks.chrom[i]} has "
            f"{lengths[peaks.chrom[i]]:,}). Is it the right assembly?"
        )
        raise InputError(msg)


def _arguments(executable: str, genome: str, method: str, size: int | str, *, mask: bool, n_jobs: int) -> list[str]:
    if method == "annotatePeaks":
        argv = [executable, "peaks.bed", genome, "-m", "known.motif", "-nmotifs", "-noann", "-nogene"]
        argv += ["-cpu", str(n_jobs), "-size", str(size)]
    else:
        argv = [executable, "peaks.bed", genome, "found", "-find", "known.motif", "-size", str(size)]
        argv += ["-p", str(n_jobs), "-preparsedDir", "preparsed"]
    return [*argv, "-mask"] if mask else argv


def _checked(output: Path, script: str, messages: str, ids: list[str], n_motifs: int) -> sparse.csc_matrix:
    """Read HOMER's output and bring it to peaks x motifs as asked, or say how it differs."""
    said = f" HOMER said: {messages}" if messages else " HOMER said nothing."
    with output.with_name("stderr.txt").open(encoding="utf-8", errors="replace") as lines:
        failed = next((line.strip() for line in lines if _FAILED.search(line)), None)
    if failed is not None:
        msg = f"A step of {script} failed ('{failed[:120]}'), although it ended without an error.{said}"
        raise ToolError(msg)
    if output.stat().st_size == 0:
        msg = f"{script} ended without an error, but its output is empty.{said}"
        raise ToolError(msg)
    try:
        hits = read_hits(output)
    except InputError as err:
        msg = f"The output of {script} cannot be used: {err}{said}"
        raise ToolError(msg) from err
    place = {name: i for i, name in enumerate(ids)}
    row = np.array([place.get(p, -1) for p in hits.peaks], dtype=np.int64)
    is_list = script == _SCRIPTS["find"]
    if (row < 0).any() or (not is_list and len(row) != len(ids)):
        foreign = [p for p in hits.peaks if p not in place]
        msg = (
            f"{script} returned another set of peaks: {len(hits.peaks)} of which {len(foreign)} are not ours "
            f"({foreign[:3]}), for {len(ids)} asked.{said}"
        )
        raise ToolError(msg)
    known = {f"m{i}": i for i in range(n_motifs)}
    column = np.array([known.get(m, -1) for m in hits.motifs], dtype=np.int64)
    if (column < 0).any() or (not is_list and len(column) != n_motifs):
        msg = f"{script} returned other motifs: {len(hits.motifs)} for {n_motifs} asked.{said}"
        raise ToolError(msg)
    if hits.sequenced is not None and not hits.sequenced.all():
        n_without = int((~hits.sequenced).sum())
        msg = f"HOMER had no bases for {n_without} of {len(ids)} peaks (their GC% is NA)"
        if n_without == len(ids):
            msg += f": are the chromosomes named as in the genome?{said}"
            raise ToolError(msg)
        warnings.warn(f"{msg}: only N there? Their counts are 0.", UserWarning, stacklevel=3)
    found = hits.counts.tocoo()
    counts = sparse.csc_matrix(
        (found.data, (row[found.row], column[found.col])), shape=(len(ids), n_motifs), dtype=np.int32
    )
    counts.sort_indices()
    return counts


def _keep(folder: Path, target: Path) -> None:
    """Copy what is small from the private folder."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in ("peaks.bed", "known.motif", "stdout.txt", "stderr.txt"):
            shutil.copyfile(folder / name, target / name)
    except OSError as err:
        logger.warning("HOMER's files could not be kept in '%s': %s", target, err)
