"""GTF: the lines that name TSSs, and their attributes read as the format quotes them."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilegrn._core.text import data_lines, split_tabs
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["GtfRow", "attributes", "read_gtf"]

logger = logging.getLogger(__name__)

_WANTED = frozenset({"gene", "transcript"})
_NAME_KEYS = ("gene_name", "gene", "gene_symbol", "symbol")
_NO_NAME = frozenset({"", ".", "na", "nan", "none", "null"})
_STRANDS = frozenset({"+", "-", ".", "?", "*", ""})
_PAR_Y = "_PAR_Y"
_KEY = re.compile(r"[;\s]*([^\s;=\"']+)")
_BETWEEN = re.compile(r"[ \t]*=[ \t]*|[ \t]+")
# A quote closes a value where ';' or the end follows, unless a backslash escapes it.
_QUOTED = {q: re.compile(rf"{q}((?:\\.|[^\\])*?){q}(?=\s*(?:;|#|$))") for q in "\"'"}


@dataclass(frozen=True)
class GtfRow:
    """A gene or transcript: its name by the chosen attribute, 0-based half-open interval, strand, and line."""

    gene: str
    chrom: str
    start: int
    end: int
    strand: str
    line: int


@dataclass(frozen=True)
class _Line:
    number: int
    fields: list[str]
    held: dict[str, str]

    @property
    def feature(self) -> str:
        return self.fields[2].lower()

    def value(self, *keys: str) -> str:
        values = (self.held.get(key, "") for key in keys)
        return next((v for v in values if v.lower() not in _NO_NAME), "")


def attributes(text: str) -> dict[str, str] | None:
    r"""Read the ninth column of a GTF line.

    Values stand in double or single quotes, in which ``;`` and escaped quotes (``\"``) are text, or bare; ``key=value``
    is read as well. Of a key that comes several times the first value that is not empty counts.

    Returns
    -------
    Values by key, or None if a quote is never closed.
    """
    held: dict[str, str] = {}
    at = 0
    while at < len(text):
        key = _KEY.match(text, at)
        if key is None:  # what is no attribute ends at the next ';'
            at = _after_semicolon(text, at)
            continue
        if key[1].startswith("#"):
            break
        at = key.end()
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        mark = text[at : at + 1] if between else ""
        quoted = _QUOTED[mark].match(text, at) if mark in _QUOTED else None
        if quoted is not None:
            value = re.sub(r"\\(.)", r"\1", quoted[1])
            at = _after_semicolon(text, quoted.end())
        elif mark == '"':
            return None
        else:
            start, at = at, _after_semicolon(text, at)
            value = text[start:at].rstrip("; \t")
        if not held.get(key[1]):
            held[key[1]] = value.strip()
    return held


def _after_semicolon(text: str, at: int) -> int:
    end = text.find(";", at)
    return end + 1 if end >= 0 else len(text)


def read_gtf(text: str, path: Path, gene_key: str) -> list[GtfRow]:
    """Read the transcripts of a GTF, and the genes that it lists no transcript of.

    Parameters
    ----------
    text, path
        The file's text, and its name for messages.
    gene_key
        ``"gene_name"`` (where a line has none: the gene's line; else ``gene_id``) or ``"gene_id"``.

    Raises
    ------
    InputError
        With line and mend: not nine columns, a quote that is never closed, positions that are no numbers, no
        transcript nor gene at all, or none that has a name and a known TSS.
    """
    lines = _lines(text, path)
    names = _names(lines, gene_key)
    with_transcripts = {line.value("gene_id") for line in lines if line.feature == "transcript"}
    lines = [x for x in lines if x.feature == "transcript" or x.value("gene_id") not in with_transcripts]
    kept, nameless, strandless, copies = [], [], [], 0
    for line in lines:
        gene = names[line.number]
        on_y = _PAR_Y in line.value("gene_id") or _PAR_Y in line.value("transcript_id")
        if on_y and _PAR_Y not in gene:
            copies += 1
        elif not gene:
            nameless.append(line)
        elif line.fields[6] not in {"+", "-"} and line.fields[3] != line.fields[4]:
            strandless.append(line)
        else:
            kept.append((gene, line))
    for left, why in (
        (nameless, f"neither {gene_key} nor gene_id"),
        (strandless, "no strand, so that their TSS is unknown"),
    ):
        if left:
            _left_out(left, why, path, everything=not kept)
    if copies:
        logger.info("'%s': %d transcripts or genes of chrY that chrX has as well (_PAR_Y) left out", path, copies)
    if not kept:
        msg = f"'{path}' has only copies of pseudoautosomal genes (_PAR_Y); give a GTF of the whole genome."
        raise InputError(msg)
    return [_row(gene, line) for gene, line in kept]


def _left_out(left: Sequence[_Line], why: str, path: Path, *, everything: bool) -> None:
    first = left[0]
    text = (
        f"'{path}': {len(left)} transcripts or genes have {why}, first in line {first.number} "
        f"('{first.fields[8][:60]}')"
    )
    if everything:
        msg = f"{text}; no other is left. Fill it in, or give a BED file of the TSSs."
        raise InputError(msg)
    warnings.warn(f"{text}; they are left out.", UserWarning, stacklevel=6)


def _lines(text: str, path: Path) -> list[_Line]:
    lines = []
    for number, line in data_lines(text):
        if line.count("\t") < 8:
            split_tabs(line, number, path, 9)
            msg = f"'{path}', line {number}: a GTF line has 9 columns separated by tabs: '{line.strip()[:60]}'."
            raise InputError(msg)
        feature = line.split("\t", 3)[2].strip().lower()
        if feature not in _WANTED:  # exons are nine tenths of a GTF
            continue
        fields = [f.strip() for f in line.split("\t", 8)]
        held = attributes(fields[8])
        if held is None:
            msg = f"'{path}', line {number}: a quote is opened and never closed: '{fields[8][:80]}'. Close it."
            raise InputError(msg)
        for column, what in ((3, "start"), (4, "end")):
            if not re.fullmatch(r"[0-9]{1,15}", fields[column]) or int(fields[column]) < 1:
                msg = (
                    f"'{path}', line {number}: {what} is '{fields[column]}'; it must be a whole number of bp from 1 "
                    "on, digits only."
                )
                raise InputError(msg)
        if fields[6] not in _STRANDS:
            msg = (
                f"'{path}', line {number}: the strand is '{fields[6]}'; it must be '+' or '-' ('.' or '?' if unknown)."
            )
            raise InputError(msg)
        lines.append(_Line(number, fields, held))
    if not lines:
        msg = f"'{path}' has neither transcript nor gene lines, so it names no TSS. Give the full GTF or a BED file."
        raise InputError(msg)
    return lines


def _names(lines: Sequence[_Line], gene_key: str) -> dict[int, str]:
    """Name of each line by its number: its own, that of another line of the gene, or the identifier."""
    if gene_key == "gene_id":
        return {line.number: line.value("gene_id") for line in lines}
    by_id: dict[str, str] = {}
    for line in sorted(lines, key=lambda x: x.feature != "gene"):
        name, identifier = line.value(*_NAME_KEYS), line.value("gene_id")
        if name and identifier:
            by_id.setdefault(identifier, name)
    names = {}
    for line in lines:
        identifier = line.value("gene_id")
        names[line.number] = line.value(*_NAME_KEYS) or by_id.get(identifier, identifier)
    return names


def _row(gene: str, line: _Line) -> GtfRow:
    """Count from 0 and leave the end out; a GTF counts from 1 and includes it."""
    chrom, (start, end), strand = line.fields[0], line.fields[3:5], line.fields[6]
    return GtfRow(gene, chrom, int(start) - 1, int(end), strand if strand in {"+", "-"} else ".", line.number)
