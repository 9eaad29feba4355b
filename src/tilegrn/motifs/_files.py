"""Motif files: HOMER, MEME, JASPAR and plain frequency matrices, and JASPAR's own database."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import warnings
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tilegrn._core.atomic import write_text
from tilegrn._core.text import existing_file, read_text
from tilegrn.errors import InputError, ToolError
from tilegrn.motifs._formats import PARSERS, Draft, fault, recognise
from tilegrn.motifs._motif import Motif
from tilegrn.motifs._pvalue import score_threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["jaspar_motifs", "read_motifs", "write_motifs"]

logger = logging.getLogger(__name__)

Format = Literal["homer", "meme", "jaspar", "pfm"]
_MAX_BYTES = 256 * 2**20
_SUM_TOLERANCE = 0.05  # HOMER rounds each entry to 0.001; its own files are off by up to 0.003
_MAX_LENGTH = 200


def read_motifs(
    path: str | Path,
    *,
    pvalue: float | None = None,
    pseudocount: float = 0.0,
    format: Format | None = None,
) -> list[Motif]:
    """Read motifs from a HOMER, MEME, JASPAR or PFM file, gzipped or not.

    Parameters
    ----------
    path
        HOMER ``.motif`` (header ``>consensus<tab>name<tab>threshold``, then one row of A, C, G, T per position); MEME
        (minimal or full text); JASPAR (``>id name`` and four rows ``A [ ... ]``); PFM (``>name`` and four bare rows).
        Byte-order marks and CRLF line ends are read.
    pvalue
        Chance of a random word (bases independent, 1/4 each) to be a hit. Thresholds are derived from it by the exact
        score distribution. Needed where the file states no thresholds (all but HOMER's); given for a HOMER file, it
        replaces the file's thresholds.
    pseudocount
        Added to each count of JASPAR and PFM counts before they become probabilities. HOMER's scoring has a floor of
        0.001 for a probability, so none is needed.
    format
        Name the format instead of having it recognised.

    Returns
    -------
    Motifs in the file's order. A name that occurs twice is kept twice, with a warning: HOMER sums hits by name.

    Raises
    ------
    InputError
        Naming file, line and mend: no such file, empty file, damaged gzip, spaces in place of tabs, a row that has not
        four columns, a row that does not sum to 1, a value that is no number or negative, no threshold, no motif.

    Notes
    -----
    Scores follow HOMER: the sum over positions of ln(max(p, 0.001) / 0.25); a position is a hit from the threshold on.

    Examples
    --------
    >>> motifs = grn.io.read_motifs("motifs.motif")
    >>> len(motifs)
    8
    >>> jaspar = grn.io.read_motifs("motifs.jaspar", pvalue=1e-3)  # no thresholds in the file
    """
    if pvalue is not None and not 0 < pvalue < 1:
        msg = f"pvalue is {pvalue}; it must lie between 0 and 1, e.g. pvalue=1e-4."
        raise InputError(msg)
    if not (math.isfinite(pseudocount) and pseudocount >= 0):
        msg = f"pseudocount is {pseudocount}; it must be 0 or more."
        raise InputError(msg)
    if format is not None and format not in PARSERS:
        msg = f"format '{format}' is unknown; choose one of {', '.join(PARSERS)}."
        raise InputError(msg)
    file = existing_file(path, "Motif file")
    lines = read_text(file, max_bytes=_MAX_BYTES).splitlines()
    where = f"'{file}'"
    if not any(line.strip() for line in lines):
        msg = f"Motif file {where} is empty."
        raise InputError(msg)
    kind = format or recognise(lines, where)
    drafts = PARSERS[kind](lines, where)
    if not drafts:
        msg = f"{where} holds no motif (read as {kind}): HOMER, JASPAR, PFM motifs begin with '>', MEME's with 'MOTIF'."
        raise InputError(msg)
    return _finish(drafts, where, pvalue, pseudocount)


def jaspar_motifs(
    names: Sequence[str] | None = None,
    *,
    pvalue: float = 1e-4,
    release: str = "JASPAR2024",
    collection: str = "CORE",
    tax_group: str | None = "vertebrates",
    species: str | int | None = None,
    pseudocount: float = 0.0,
) -> list[Motif]:
    """Take motifs from the JASPAR database that the package ``pyjaspar`` carries (no download).

    Parameters
    ----------
    names
        TF names (``CTCF``) or matrix ids (``MA0139.2`` or ``MA0139``); all of the collection if not given.
    pvalue
        Chance of a random word to be a hit; see :func:`read_motifs`.
    release
        JASPAR release, for instance ``"JASPAR2024"``; it belongs in a paper's methods.
    collection, tax_group, species
        Which profiles; ``species`` is an NCBI taxonomy number (9606 human, 10090 mouse). Ignored for matrix ids.
    pseudocount
        Added to each count.

    Returns
    -------
    Motifs named ``MA0139.2 CTCF``, by matrix id.

    Raises
    ------
    ToolError
        If pyjaspar is not installed.
    InputError
        If nothing matches, or one of ``names`` is not there.

    Examples
    --------
    >>> motifs = grn.io.jaspar_motifs(["GATA1", "SOX9"])
    >>> motifs[0].name
    'MA0035.5 GATA1'
    """
    try:
        from pyjaspar import jaspardb
    except ImportError as err:
        msg = "jaspar_motifs needs the package pyjaspar. Install it with: pip install 'tilegrn[jaspar]'."
        raise ToolError(msg) from err
    if not 0 < pvalue < 1:
        msg = f"pvalue is {pvalue}; it must lie between 0 and 1, e.g. pvalue=1e-4."
        raise InputError(msg)
    for text in (release, collection, tax_group or "", str(species or ""), *(names or ())):
        if not re.fullmatch(r"[\w.:() -]*", text):  # pyjaspar pastes these into SQL
            msg = f"'{text}' is no TF name, matrix id, release, collection, group or species of JASPAR."
            raise InputError(msg)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # for an unknown release pyjaspar prints a line and goes on without data
        database = jaspardb(release=release)
    if not hasattr(database, "conn"):
        msg = f"pyjaspar has no JASPAR release '{release}': {' '.join(printed.getvalue().split())}"
        raise InputError(msg)
    groups = {
        "collection": collection,
        "tax_group": [tax_group] if tax_group else None,
        "species": [str(species)] if species is not None else None,
    }
    found: list[Any] = []
    with contextlib.closing(database.conn), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pyjaspar")  # told below, as an error
        for name in [None] if names is None else names:
            if name is not None and re.fullmatch(r"[A-Z]{2}\d{4}(\.\d+)?", name):
                hits = [database.fetch_motif_by_id(name)]
            else:
                hits = list(database.fetch_motifs(tf_name=name, **groups))
            hits = [hit for hit in hits if hit is not None]
            if not hits:
                what = f"profile '{name}'" if name is not None else f"profile for {groups}"
                msg = f"{release} ({collection}) has no {what}. Give a TF name ('CTCF') or an id ('MA0139')."
                raise InputError(msg)
            found.extend(hits)
    drafts = []
    for profile in sorted({m.matrix_id: m for m in found}.values(), key=lambda m: m.matrix_id):
        rows = np.array([profile.counts[base] for base in "ACGT"], dtype=np.float64).T
        drafts.append(Draft(name=f"{profile.matrix_id} {profile.name}", line=0, rows=rows.tolist(), counts=True))
    return _finish(drafts, release, pvalue, pseudocount)


def write_motifs(motifs: Iterable[Motif], path: str | Path) -> None:
    """Write motifs as a HOMER ``.motif`` file; numbers are written so that they read back bit for bit.

    Parameters
    ----------
    motifs
        Motifs to write.
    path
        File to write, replaced if it exists.

    Raises
    ------
    InputError
        If a name holds a tab or line break, which the format cannot carry.

    Examples
    --------
    >>> motifs = grn.io.read_motifs("motifs.motif")
    >>> grn.io.write_motifs(motifs[:2], "two.motif")
    """
    parts = []
    for motif in motifs:
        if not motif.name or re.search(r"[\t\r\n]", motif.name + motif.consensus):
            msg = f"Motif name {motif.name!r} is empty or holds a tab or line break; HOMER's format cannot carry it."
            raise InputError(msg)
        letters = motif.consensus or consensus(motif.probabilities)
        parts.append(f">{letters}\t{motif.name}\t{float(motif.threshold)!r}\n")
        parts.extend("\t".join(repr(float(p)) for p in row) + "\n" for row in motif.probabilities)
    write_text(path, "".join(parts))


def consensus(probabilities: NDArray[np.float64]) -> str:
    """Most probable base of each position."""
    return "".join("ACGT"[i] for i in np.argmax(probabilities, axis=1))


def _probabilities(draft: Draft, where: str, pseudocount: float) -> NDArray[np.float64]:
    matrix = np.asarray(draft.rows, dtype=np.float64).reshape(-1, 4)
    lines = draft.row_lines or [0] * len(matrix)
    name = draft.name
    if not 1 <= len(matrix) <= _MAX_LENGTH:
        raise fault(where, draft.line, f"motif '{name}' has {len(matrix)} positions; 1 to {_MAX_LENGTH} are possible.")
    if (matrix < 0).any():
        i = int(np.flatnonzero((matrix < 0).any(axis=1))[0])
        raise fault(where, lines[i], f"motif '{name}', position {i + 1} has the negative value {matrix[i].min():g}.")
    totals: NDArray[np.float64] = matrix.sum(axis=1)
    if draft.counts:
        totals = totals + 4 * pseudocount
        if (totals <= 0).any():
            i = int(np.flatnonzero(totals <= 0)[0])
            raise fault(where, lines[i], f"motif '{name}', position {i + 1} has no counts.")
        return np.asarray((matrix + pseudocount) / totals[:, None], dtype=np.float64)
    off = np.abs(totals - 1) > _SUM_TOLERANCE
    if off.any():
        i = int(np.flatnonzero(off)[0])
        text = (
            f"motif '{name}', position {i + 1} sums to {totals[i]:g}, not 1. Give probabilities of A, C, G, T "
            "(counts belong in a JASPAR or PFM file)."
        )
        raise fault(where, lines[i], text)
    return matrix


def _finish(drafts: list[Draft], where: str, pvalue: float | None, pseudocount: float) -> list[Motif]:
    """Check the numbers, settle the thresholds, warn of what the user should know."""
    matrices = [_probabilities(d, where, pseudocount) for d in drafts]
    bare = [d for d in drafts if d.threshold is None]
    if pvalue is None and bare:
        text = (
            f"motif '{bare[0].name}' has no threshold ({len(bare)} of {len(drafts)} motifs have none). Give pvalue=, "
            "e.g. read_motifs(path, pvalue=1e-4), or HOMER's third header column."
        )
        raise fault(where, bare[0].line, text)
    motifs = []
    short = []
    for draft, matrix in zip(drafts, matrices, strict=True):
        motif = Motif(draft.name, matrix, draft.threshold or 0.0, draft.consensus or consensus(matrix))
        if pvalue is not None:
            if 4.0 ** -len(matrix) > pvalue:
                short.append(draft.name)
            motif = replace(motif, threshold=score_threshold(motif.log_odds, pvalue))
        motifs.append(motif)
    if short:
        msg = (
            f"{len(short)} motifs are too short for pvalue={pvalue:g} (e.g. '{short[0]}'): their thresholds accept "
            "only the best-scoring words, which are commoner than that."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    twice = sorted(name for name, n in Counter(m.name for m in motifs).items() if n > 1)
    if twice:
        msg = (
            f"{where}: {len(twice)} motif names occur more than once (e.g. '{twice[0]}'); their hits are summed, as "
            "HOMER does."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    logger.info("Read %d motifs from %s.", len(motifs), where)
    return motifs
