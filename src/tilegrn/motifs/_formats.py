"""The motif formats line by line: HOMER, MEME, JASPAR, plain frequency matrices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PARSERS", "Draft", "fault", "recognise"]

_MEME_MARK = re.compile(r"\s*(MEME\s+version\b|MOTIF\s+\S)", re.IGNORECASE)
_MEME_HEADER = re.compile(r"MOTIF(?:\s+(?=\S)|(?=\d+\s+width\s*=))(.*)")  # MEME 3 and 4 write 'MOTIF100' from 100 on
_MEME_STATISTICS = re.compile(r"\s*\b(?:width|sites|nsites|llr|E-value|p-value)\s*=.*$", re.IGNORECASE)
_ALPHABET = re.compile(r"ALPHABET\s*(?:=\s*|(?=\"))(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\.?\d")
_JASPAR_ID = re.compile(r"[A-Z]{2}\d{4}(?:\.\d+)?")
_JASPAR_ROW = re.compile(r"^([ACGT])\s*\[?([^\]]*)\]?$", re.IGNORECASE)


@dataclass
class Draft:
    """A motif as found in a file, before its numbers are checked."""

    name: str
    line: int
    consensus: str = ""
    threshold: float | None = None
    rows: list[list[float]] = field(default_factory=list)
    row_lines: list[int] = field(default_factory=list)
    counts: bool = False


def fault(where: str, line: int, text: str) -> InputError:
    """Return the error that names file and line."""
    return InputError(f"{where}, line {line}: {text}" if line else f"{where}: {text}")


def recognise(lines: list[str], where: str) -> str:
    """Tell the format by its first lines; a full MEME text has hundreds of lines before its first motif."""
    first = next(i for i, line in enumerate(lines) if line.strip())
    head = lines[first].strip()
    if head.startswith("<"):
        text = f"'{head[:60]}' is HTML or XML. Give the text output of the same run (meme.txt, streme.txt, dreme.txt)."
        raise fault(where, first + 1, text)
    if not head.startswith(">"):
        if any(_MEME_MARK.match(line) for line in lines):
            return "meme"
        text = f"'{head[:60]}' begins no motif. HOMER, JASPAR and PFM files begin with '>', MEME's with 'MEME version'."
        raise fault(where, first + 1, text)
    body = []
    for line in lines[first + 1 :]:
        if line.startswith(">"):
            break
        if line.strip():
            body.append(line.strip())
    if body and _JASPAR_ROW.match(body[0]):
        return "jaspar"
    if len(head.split("\t")) >= 3 or len(body) != 4 or len(body[0].split()) == 4:
        return "homer"
    return "pfm"


def _number(text: str, what: str, where: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise fault(where, line, f"{what} '{text[:40]}' is no finite number.")
    return value


def _homer(lines: list[str], where: str) -> list[Draft]:
    drafts: list[Draft] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if line.startswith(">"):
            drafts.append(_homer_header(line, where, number))
            continue
        if not drafts:
            raise fault(where, number, "numbers before the first header '>'.")
        cells = line.rstrip().split("\t")
        if len(cells) != 4:
            spaced = len(line.split()) == 4
            why = "columns are separated by spaces, not tabs" if spaced else f"{len(cells)} columns, not 4 (A, C, G, T)"
            raise fault(where, number, f"row of motif '{drafts[-1].name}': {why}: '{line.strip()[:60]}'.")
        drafts[-1].rows.append([_number(c, "the value", where, number) for c in cells])
        drafts[-1].row_lines.append(number)
    return drafts


def _homer_header(line: str, where: str, number: int) -> Draft:
    fields = [f.strip() for f in line[1:].split("\t")]
    if len(fields[0].split()) >= 3:
        text = f"columns are separated by spaces, not tabs: '{line[:60]}'. Write '>consensus<tab>name<tab>threshold'."
        raise fault(where, number, text)
    name = fields[1] if len(fields) > 1 else fields[0]
    if not name:
        raise fault(where, number, f"the motif has no name: '{line[:60]}'. Its second column is the name.")
    draft = Draft(name=name, line=number, consensus=fields[0] if len(fields) > 1 else "")
    if len(fields) > 2 and fields[2]:
        draft.threshold = _number(fields[2], f"the threshold (third column) of motif '{name}'", where, number)
    return draft


def _meme(lines: list[str], where: str) -> list[Draft]:
    """MEME's minimal format, and the text outputs of MEME, STREME and DREME, which hold it between other tables."""
    drafts: list[Draft] = []
    width: int | None = None
    reading = False
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        _check_alphabet(text, where, number)
        if text.startswith("SUMMARY OF MOTIFS"):  # tables of sequences, whatever these are called
            break
        if header := _MEME_HEADER.match(text):
            _check_width(drafts, width, where)
            drafts.append(Draft(name=_meme_name(header[1], where, number), line=number))
            width, reading = None, False
        elif text.lower().startswith("letter-probability matrix"):
            if not drafts:
                raise fault(where, number, "a matrix before the first 'MOTIF' line.")
            if drafts[-1].rows:
                raise fault(
                    where, number, f"motif '{drafts[-1].name}' has a second matrix; each needs its 'MOTIF' line."
                )
            width = _stated_width(text, where, number)
            reading = True
        elif reading and _NUMBER.match(text):
            cells = text.split()
            if len(cells) != 4:
                raise fault(
                    where, number, f"row of motif '{drafts[-1].name}': {len(cells)} columns, not 4 (A, C, G, T)."
                )
            drafts[-1].rows.append([_number(c, "the value", where, number) for c in cells])
            drafts[-1].row_lines.append(number)
        elif reading and (text or drafts[-1].rows):
            reading = False
    _check_width(drafts, width, where)
    return drafts


def _meme_name(text: str, where: str, number: int) -> str:
    """Return identifier and alternate name, without what MEME's text says of the motif behind them."""
    words = _MEME_STATISTICS.sub("", text).split()[:2]
    if not words:
        raise fault(where, number, "the motif has no name. Write 'MOTIF identifier name'.")
    return _joined(words)


def _joined(words: list[str]) -> str:
    """Join identifier and name as ``MA0035.4 GATA1``; newer JASPAR files spell the second ``MA0035.4.GATA1``."""
    if len(words) == 2 and _JASPAR_ID.fullmatch(words[0]):
        name = re.fullmatch(rf"{re.escape(words[0])}(?:\.\d+)?[._](\S+)", words[1])
        words = [words[0], name[1]] if name else words
    return " ".join(words)


def _check_alphabet(text: str, where: str, number: int) -> None:
    stated = _ALPHABET.match(text)
    if stated is None:
        return
    alphabet = stated[1].strip().strip('"')
    like = re.search(r"(\w+)-LIKE$", stated[1], re.IGNORECASE)
    if (like[1] if like else alphabet).upper() not in {"ACGT", "DNA"}:
        raise fault(where, number, f"the alphabet is '{alphabet}'; DNA motifs (ACGT) are needed.")


def _stated_width(text: str, where: str, number: int) -> int | None:
    letters = re.search(r"\balength=\s*(\d+)", text)
    if letters and letters.group(1) != "4":
        raise fault(where, number, f"alength is {letters.group(1)}; DNA motifs have 4 columns.")
    stated = re.search(r"\bw=\s*(\d+)", text)
    return int(stated.group(1)) if stated else None


def _check_width(drafts: list[Draft], width: int | None, where: str) -> None:
    if drafts and width is not None and len(drafts[-1].rows) != width:
        text = (
            f"motif '{drafts[-1].name}' states w= {width} but has {len(drafts[-1].rows)} rows; is the file cut short?"
        )
        raise fault(where, drafts[-1].line, text)


def _four_rows(lines: list[str], where: str) -> list[Draft]:
    """Four rows of L counts or probabilities per motif, with or without base letters and brackets."""
    drafts: list[Draft] = []
    bases: list[dict[str, list[float]]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith(">"):
            name = _joined(text[1:].split())
            if not name:
                raise fault(where, number, "the motif has no name.")
            drafts.append(Draft(name=name, line=number, counts=True))
            bases.append({})
        elif text:
            if not drafts:
                raise fault(where, number, "numbers before the first header '>'.")
            lettered = _JASPAR_ROW.match(text)
            base = lettered.group(1).upper() if lettered else "ACGT"[len(bases[-1]) % 4]
            if base in bases[-1]:
                raise fault(
                    where, number, f"motif '{drafts[-1].name}' has more than one row for {base}; it needs four."
                )
            values = (lettered.group(2) if lettered else text).split()
            bases[-1][base] = [_number(v, "the value", where, number) for v in values]
    for draft, rows in zip(drafts, bases, strict=True):
        if sorted(rows) != list("ACGT") or len({len(r) for r in rows.values()}) != 1:
            shape = ", ".join(f"{b}: {len(r)}" for b, r in rows.items()) or "none"
            raise fault(where, draft.line, f"motif '{draft.name}' needs four rows of one length (found {shape}).")
        draft.rows = [list(column) for column in zip(*(rows[b] for b in "ACGT"), strict=True)]
        draft.row_lines = [draft.line] * len(draft.rows)
    return drafts


PARSERS: Final[dict[str, Callable[[list[str], str], list[Draft]]]] = {
    "homer": _homer,
    "meme": _meme,
    "jaspar": _four_rows,
    "pfm": _four_rows,
}
"""Lines and a name of the file for messages -> drafts."""
