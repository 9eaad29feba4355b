"""Motif names to gene symbols of TFs: rules, an alias table, and a report of what did not resolve.

HOMER names its motifs by laboratory names (``Oct4``, ``PU.1``, ``AP-1``), by response elements (``GRE``, ``ISRE``) and
by complexes (``Oct4:Sox17``, ``NFAT:AP1``). The table ``aliases.tsv`` gives their gene symbols; ``tf_symbols.txt``
lists symbols that are TFs, so that a TF that a data set lacks is told from a name nobody knows. Both were written for
this package from the field's literature and nomenclature.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from tilegrn._core.symbols import Found, find_symbols
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

__all__ = ["Resolution", "resolve"]

# Once or twice: 'MA0035.4 MA0035.4.GATA1' are identifier and name of JASPAR's MEME files
_JASPAR_ID = re.compile(r"^(?:(?:MA|UN|PB|PF|PH|CN|PL|SA)\d{4}(?:\.\d+)?[\s_;|.:/-]+)+(?=\S)", re.IGNORECASE)
_HOCOMOCO = re.compile(r"(?:_(?:HUMAN|MOUSE))?\.H\d+[A-Z]+\..*$")
_CONDITION = re.compile(r"\+.*$")  # Stat3+il21: a treatment; Pit1+1bp: a spacing
_SUFFIX = re.compile(r"-(?:fusion|halfsite|distal|short|long|element|satelliteelement)$", re.IGNORECASE)
_SPLIT = re.compile(r"::|[:|&]")


@dataclass(frozen=True)
class Resolution:
    """What motif names stand for among the genes of a data set.

    Attributes
    ----------
    tfs
        Motif name to gene symbols, spelt as in the data set. Names without any such gene are not in it.
    unresolved
        Names that neither the rules nor the table know.
    absent
        Motif name to symbols it stands for that the data set lacks (all, or some members of a complex).
    how
        Motif name to the rule that resolved it: ``user``, ``table``, ``symbol`` or ``parts``.
    lost_parts
        Motif name to parts of a complex that are unknown, while others resolved.
    folded
        Symbol, as motif names gave it, to the gene it was taken for although they differ by letter case; only symbols
        of no known TF, as known ones are one gene however they are spelt.
    ambiguous
        Symbols, and the genes of which any could be meant, that differ by letter case only: these symbols are absent.

    Examples
    --------
    >>> found = grn.motifs.resolve(["Oct4(POU,Homeobox)/mES-Oct4/Homer", "NoSuch(?)/Homer"], ["Pou5f1", "Sox2"])
    >>> found.report().columns.tolist()
    ['motif', 'status', 'tfs', 'absent', 'unknown_parts', 'how']
    """

    tfs: dict[str, tuple[str, ...]]
    unresolved: list[str]
    absent: dict[str, tuple[str, ...]]
    how: dict[str, str] = field(default_factory=dict)
    lost_parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    ambiguous: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    def report(self) -> pd.DataFrame:
        """Return one row per name: ``motif, status, tfs, absent, unknown_parts, how``.

        ``status`` is ``resolved``, ``partly`` (some members absent or unknown), ``absent`` or ``unresolved``.
        """
        import pandas as pd

        rows = []
        for name in dict.fromkeys([*self.how, *self.unresolved]):
            tfs, absent, lost = (d.get(name, ()) for d in (self.tfs, self.absent, self.lost_parts))
            status = "unresolved" if name not in self.how else "absent" if not tfs else "resolved"
            if tfs and (absent or lost):
                status = "partly"
            rows.append((name, status, ",".join(tfs), ",".join(absent), ",".join(lost), self.how.get(name, "")))
        return pd.DataFrame(rows, columns=["motif", "status", "tfs", "absent", "unknown_parts", "how"])


def resolve(
    names: Iterable[str],
    symbols: Iterable[str],
    *,
    aliases: Mapping[str, str | Sequence[str]] | None = None,
) -> Resolution:
    """Find the gene symbols that motif names stand for.

    Parameters
    ----------
    names
        HOMER names (``Sox2(HMG)/mES-Sox2-ChIP-Seq(GSE11431)/Homer``), JASPAR names (``MA0139.2 CTCF``,
        ``MA0139.2.CTCF``, ``FOS::JUN``), HOCOMOCO names, or plain gene symbols, which stand for themselves.
    symbols
        Gene symbols of the data set, human or mouse. An exact match wins; else one that differs by letter case only, if
        unique; else another symbol of the same gene (``TP53``, ``Trp53``). Symbols of no known vertebrate TF that
        differ by letter case (``Dl``, ``dl``) are two genes.
    aliases
        Name to symbol or symbols, before all rules. A name may be the whole motif name or its part before the first
        ``/`` or ``(``; letter case does not matter where names stay unique. An empty value drops the motif.

    Returns
    -------
    The resolution; every name is in ``tfs``, ``absent`` or ``unresolved`` (in the first two if members of a complex are
    lacking), except those dropped by an empty alias.

    Raises
    ------
    InputError
        If ``symbols`` is empty, or two of them become one without their Ensembl versions.

    Notes
    -----
    Order of the rules: user's aliases; table entries for the whole name, for label and family (``Tcf3(HMG)``), for the
    label; gene symbols; then, for what is left, parts of a complex (at ``:``, ``::``, ``|``, or ``-`` if every part is
    a known TF), all of whose members count. Families stand for all members (``AP-1``, ``NF1``, ``GATA``).

    Examples
    --------
    >>> found = grn.motifs.resolve(["Oct4(POU,Homeobox)/mES-Oct4/Homer", "NoSuch(?)/Homer"], ["Pou5f1", "Sox2"])
    >>> found.tfs, found.unresolved
    ({'Oct4(POU,Homeobox)/mES-Oct4/Homer': ('Pou5f1',)}, ['NoSuch(?)/Homer'])
    """
    genes = [str(s) for s in symbols]
    if not genes:
        msg = "There are no gene symbols to resolve motif names to."
        raise InputError(msg)
    book = _Book(genes, aliases or {})
    meant: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {}
    unresolved: list[str] = []
    for name in dict.fromkeys(str(n) for n in names):
        found, how, lost = book.lookup(name)
        if how:
            meant[name] = (found, how, lost)
        else:
            unresolved.append(name)
    spelt, doubt = book.spell({s for found, _, _ in meant.values() for s in found})
    tfs: dict[str, tuple[str, ...]] = {}
    absent: dict[str, tuple[str, ...]] = {}
    for name, (found, _, _) in meant.items():
        present = tuple(dict.fromkeys(spelt[s] for s in found if s in spelt))
        lacking = tuple(s for s in found if s not in spelt)
        if present:
            tfs[name] = present
        if lacking:
            absent[name] = lacking
    return Resolution(
        tfs=tfs,
        unresolved=unresolved,
        absent=absent,
        how={name: how for name, (_, how, _) in meant.items()},
        lost_parts={name: lost for name, (_, _, lost) in meant.items() if lost},
        folded=doubt.folded,
        ambiguous=doubt.ambiguous,
    )


def _key(text: str) -> str:
    """Fold letter case and the punctuation that laboratories sprinkle: ``PU.1`` and ``pu1`` are one."""
    return re.sub(r"[\s._?-]", "", text).lower()


@cache
def _tables() -> tuple[dict[str, tuple[str, ...]], dict[str, str], dict[str, tuple[str, ...]]]:
    """Aliases by key, known TF symbols by key, and further symbols of a gene by its first one."""
    here = resources.files("tilegrn.motifs")
    aliases: dict[str, tuple[str, ...]] = {}
    for line in here.joinpath("aliases.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        if line and not line.startswith("#"):
            name, symbols = line.split("\t")[:2]
            aliases[_key(name)] = tuple(symbols.split(","))
    known: dict[str, str] = {}
    others: dict[str, tuple[str, ...]] = {}
    for line in here.joinpath("tf_symbols.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            first, *rest = line[2:].split()
            others[first] = tuple(rest)
            for symbol in (first, *rest):
                known.setdefault(_key(symbol), first)
        elif not line.startswith("#"):
            for symbol in line.split():
                known.setdefault(_key(symbol), symbol)
    return aliases, known, others


class _Book:
    """The tables together with one data set's genes and one user's aliases."""

    def __init__(self, genes: list[str], user: Mapping[str, str | Sequence[str]]) -> None:
        self.genes = genes
        self.aliases, self.known, self.others = _tables()
        self.user = {
            name: (value,) if isinstance(value, str) and value else tuple(value) for name, value in user.items()
        }
        lower = Counter(name.lower() for name in self.user)
        self.user_lower = {name.lower(): name for name in self.user if lower[name.lower()] == 1}
        self.folded = {gene.casefold() for gene in genes}

    def is_gene(self, text: str) -> bool:
        return text.casefold() in self.folded

    def spell(self, symbols: set[str]) -> tuple[dict[str, str], Found]:
        """Spell symbols as the data set does; those it lacks are left out. Return also what letter case left open."""
        spelt: dict[str, str] = {}
        # The case of a known TF's symbol tells its species at most: GLI3 and Gli3 are motifs of one TF.
        known = [s for s in sorted(symbols) if _key(s) in self.known]
        other = [s for s in sorted(symbols) if _key(s) not in self.known]
        wanted = [(s, alias) for s in known for alias in (s, *self.others.get(s, ()))]
        sure = find_symbols([alias for _, alias in wanted], self.genes, distinct=False)
        alone = find_symbols(other, self.genes)
        for (symbol, _), i in [
            *zip(wanted, sure.position, strict=True),
            *zip(((s, s) for s in other), alone.position, strict=True),
        ]:
            if i >= 0:
                spelt.setdefault(symbol, self.genes[i])
        missed = [(names, genes) for names, genes in sure.ambiguous if not all(n in spelt for n in names)]
        return spelt, Found(alone.position, alone.folded, [*missed, *alone.ambiguous])

    def lookup(self, name: str) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """Symbols of a name, the rule that found them, and unknown parts of a complex."""
        whole = _HOCOMOCO.sub("", _JASPAR_ID.sub("", name.strip()))
        front = whole.split("/")[0]
        label = front.split("(")[0].strip()
        tail = re.sub(r"^[^()]*(?:\([^()]*\))?", "", front)  # ",near_PU.1", ",IR3", ",longest"
        for text in (name, whole, front, label):
            given = text if text in self.user else self.user_lower.get(text.lower())
            if given is not None:
                return self.user[given], "user", ()
        without_source = re.sub(r"/Homer$", "", whole, flags=re.IGNORECASE)
        first_bracket = front[: len(front) - len(tail)] if tail else front
        for text in (without_source, front, f"{label}{tail}", first_bracket, label):
            if _key(text) in self.aliases:
                return self.aliases[_key(text)], "table", ()
        found = self.single(label)
        if found:
            return found, "symbol", ()
        return self.parts(label)

    def single(self, label: str) -> tuple[str, ...]:
        """Symbols of one name that is no complex: table, gene, known TF, or these without a suffix."""
        for text in dict.fromkeys((label, _CONDITION.sub("", label), _SUFFIX.sub("", _CONDITION.sub("", label)))):
            if not text:
                continue
            if _key(text) in self.aliases:
                return self.aliases[_key(text)]
            if self.is_gene(text):
                return (text,)
            if _key(text) in self.known:
                return (self.known[_key(text)],)
        return ()

    def parts(self, label: str) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """Members of a complex."""
        pieces = [p for p in _SPLIT.split(label) if p]
        if len(pieces) == 1:
            pieces = [p for p in label.split("-") if p]
            if len(pieces) < 2 or not all(_key(p) in self.aliases or _key(p) in self.known for p in pieces):
                return (), "", ()
        members = [(p, self.single(p) or self.parts(p)[0] if p != label else ()) for p in pieces]
        found = tuple(dict.fromkeys(s for _, symbols in members for s in symbols))
        lost = tuple(p for p, symbols in members if not symbols)
        return (found, "parts", lost) if found else ((), "", ())
