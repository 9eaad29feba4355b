"""Whether a TSS table is of the species and the assembly of the data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.chroms import is_contig, is_mitochondrial
from tilegrn._core.symbols import Found, find_symbols, listed, warn_ambiguous
from tilegrn.errors import InputError
from tilegrn.io.annotation._genome import ASSEMBLIES, identify_assembly, read_chrom_sizes, with_chr
from tilegrn.io.annotation._tss import TSS_TABLES, read_tss

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid

__all__ = ["own_rows", "refuse_other_assembly", "warn_far_from_peaks", "warn_letter_case"]

_REACH = 500  # bp around a TSS, in which most promoters' peaks lie
_SHIFTS = (-100_000, -50_000, -20_000, 20_000, 50_000, 100_000)
_MIN_SITES = 200
_MIN_EXPECTED = 10


def own_rows(table: pd.DataFrame, genes: pd.Index) -> tuple[pd.DataFrame, Found]:
    """Return the TSSs of the genes at hand, with the gene's position as ``row``, and how their names were found.

    Raises
    ------
    InputError
        If no gene is in the table, or most that are differ from it by letter case, as symbols of two species do.
    """
    found = find_symbols(table["gene"], genes)
    own = table.assign(row=found.position).loc[found.position >= 0]
    if own.empty:
        doubt = f" Letter case does not tell {_groups(found)} apart." if found.ambiguous else ""
        msg = (
            f"None of the {len(genes)} genes (e.g. {list(map(str, genes[:3]))}) is in the TSS table "
            f"(e.g. {list(map(str, table['gene'].unique()[:3]))}).{doubt} Is it of the right species, and are the "
            "names of one kind? Ensembl ids need a GTF and gene_key='gene_id'."
        )
        raise InputError(msg)
    n_found = own["row"].nunique()
    if 2 * len(found.folded) > n_found:
        _refuse_other_case(found, n_found, genes, str(table.attrs.get("origin", "")))
    return own, found


def warn_letter_case(found: Found, *, stacklevel: int) -> None:
    """Say which genes have the TSSs of a name in another letter case, and which have none because there are several."""
    if found.folded:
        name, gene = next(iter(found.folded.items()))
        warnings.warn(
            f"{len(found.folded)} genes take the TSSs of a name that differs by letter case only, e.g. "
            f"'{gene}' those of '{name}'. If that is another gene, rename one of them, or take its rows out of the "
            "table.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    warn_ambiguous(
        found,
        "the TSS table",
        "the data",
        "These genes get no TSS; spell them in the data as in the table to give them theirs.",
        stacklevel=stacklevel + 1,
    )


def _groups(found: Found) -> str:
    return "; ".join(f"{listed(names)} and {listed(genes)}" for names, genes in found.ambiguous[:3])


def _refuse_other_case(found: Found, n_found: int, genes: pd.Index, origin: str) -> None:
    """Raise the error for a table whose symbols are mostly those of the data in another letter case.

    Symbols of one species are spelt alike to the last one: 100 % of the four real data sets' genes that are in the
    table of their own species, and 0.1 % (``F3``, ``C9``, ``H19``) in that of the other. Half is far from both.
    """
    exact = n_found - len(found.folded)
    names, mine = list(found.folded), list(found.folded.values())
    shipped = {a: float(genes.isin(read_tss(a)["gene"]).mean()) for a in TSS_TABLES}
    best = max(shipped, key=shipped.__getitem__)
    fits = (
        f"The shipped table of {best} spells {shipped[best]:.0%} of the genes as the data do: if that is the assembly "
        f"of the data, run grn.pp.bin_peaks(mdata, '{best}') and grn.pp.tss_distance(mdata, '{best}'). "
        if shipped[best] >= 0.5
        else "Give the TSS table of the data's species. "
    )
    msg = (
        f"The TSS table{f' {origin!r}' if origin else ''} is of another species, or spells its genes another way: of "
        f"the {n_found} genes that it shares with the data, {exact} ({exact / n_found:.0%}) are spelt alike, and "
        f"{len(names)} differ by letter case (data {listed(mine, 3)}; table {listed(names, 3)}), as human and mouse "
        f"symbols do. {fits}If it is of the data's species, spell the genes as it does: spelt = {{g.upper(): g for g "
        f"in grn.io.read_tss(tss)['gene']}}; rna = mdata['rna']; rna.var_names = [spelt.get(g.upper(), g) for g in "
        "rna.var_names]; mdata.update()."
    )
    raise InputError(msg)


def refuse_other_assembly(origin: str, grid: Grid) -> None:
    """Raise if a shipped TSS table is of another assembly than the windows, told by chromosome lengths."""
    if origin not in ASSEMBLIES:
        return
    theirs = read_chrom_sizes(origin)
    for chrom, length in zip(grid.chroms, map(int, grid.lengths), strict=True):
        name = with_chr(chrom)
        if is_mitochondrial(chrom) or is_contig(chrom) or theirs.get(name, length) == length:
            continue
        sizes = dict(zip(grid.chroms, map(int, grid.lengths), strict=True))
        windows = grid.assembly or identify_assembly(sizes)
        mend = f"grn.pp.tss_distance(mdata, '{windows}')" if windows in TSS_TABLES else "a BED or GTF file of its TSSs"
        msg = (
            f"The windows are of {windows or 'another assembly'} and the TSSs of {origin}: {chrom} has {length} bp "
            f"there and {theirs[name]} here. If the data are of {origin}, run grn.pp.bin_peaks(mdata, '{origin}') "
            f"first; else give {mend}."
        )
        raise InputError(msg)


def warn_far_from_peaks(own: pd.DataFrame, windows: NDArray[np.int64], grid: Grid, *, stacklevel: int) -> None:
    """Warn if peaks lie at TSSs no more often than beside them, as if either were of another assembly.

    In the four real data sets 57 to 87 % of the TSSs of measured genes have a peak's window within 500 bp, at least six
    times as many as places 20 to 100 kb away (0 to 14 %); with all TSSs displaced, as many as those. Only data with
    enough genes and peaks to tell are judged.

    Parameters
    ----------
    own
        TSSs, ``row``, ``chrom`` and ``pos``.
    windows
        Numbers of the windows that hold peaks.
    """
    sites = own.drop_duplicates("row")
    if len(sites) < _MIN_SITES:
        return
    occupied = np.zeros(grid.n_windows + 1, dtype=np.int64)
    occupied[windows + 1] = 1
    before = np.cumsum(occupied)
    code = grid.chrom_codes(sites["chrom"])
    pos, length = sites["pos"].to_numpy(np.int64), np.asarray(grid.lengths, dtype=np.int64)[code]

    def held(shift: int) -> NDArray[np.bool_]:
        first = np.clip(pos + shift - _REACH, 0, length - 1) // grid.window_size + grid.offsets[code]
        last = np.clip(pos + shift + _REACH, 0, length - 1) // grid.window_size + grid.offsets[code]
        hit: NDArray[np.bool_] = before[last + 1] > before[first]
        return hit

    near = float(held(0).mean())
    beside = float(np.mean([held(s).mean() for s in _SHIFTS]))
    if beside > 0.3 or beside * len(sites) < _MIN_EXPECTED or near >= 2 * beside:
        return
    warnings.warn(
        f"{near:.0%} of {len(sites)} genes have a peak within {_REACH} bp of their TSS, and {beside:.0%} have one "
        f"equally near a place 20 to 100 kb away: peaks usually mark at least half of all TSSs. Are peaks and TSSs of "
        f"one assembly ({grid.assembly or 'that of the chromosome sizes given'})?",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
