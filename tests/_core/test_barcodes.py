"""Barcodes of two modalities, and what would make them the same."""

import re

import pandas as pd
import pytest

from tilegrn._core.barcodes import matched_cores, shared_barcodes, suggestion
from tilegrn.errors import InputError


def test_shared_barcodes_stand_in_the_order_of_the_rna():
    assert list(shared_barcodes(pd.Index(["c", "a", "b"]), pd.Index(["b", "x", "c"]))) == ["c", "b"]


@pytest.mark.parametrize(("rna", "atac"), [("aa", "ab"), ("ab", "aa")])
def test_repeated_barcodes_are_refused(rna, atac):
    which = "RNA" if rna == "aa" else "ATAC"
    with pytest.raises(InputError, match=rf"^1 {which} barcodes occur more than once, e\.g\. \['a'\]\. Barcodes must"):
        shared_barcodes(pd.Index(list(rna)), pd.Index(list(atac)))


def test_none_shared_shows_three_of_both():
    rna, atac = pd.Index(["AC-1", "GT-1", "TT-1", "CC-1"]), pd.Index(["AC-2", "GG-2", "TT-2", "AA-2"])
    said = "RNA has e.g. ['AC-1', 'GT-1', 'TT-1'], ATAC has e.g. ['AC-2', 'GG-2', 'TT-2']."
    with pytest.raises(InputError, match=re.escape(said) + r" Without prefixes.*, 2 of them match\. Cut"):
        shared_barcodes(rna, atac)
    with pytest.raises(InputError, match=r"Check that both modalities are of the same experiment"):
        shared_barcodes(pd.Index(["AC"]), pd.Index(["GT"]))


AROUND = [
    *(("AC", f"AC{end}") for end in ("-1", "_2", ".3", "-12")),
    *((f"{sample}AC-1", "AC-2") for sample in ("s#", "s:", "a:b#", "s_1#")),
    ("s#AC_1", "s#AC_2"),
]


@pytest.mark.parametrize(("rna", "atac"), AROUND)
def test_the_recipe_makes_as_many_match_as_are_counted(rna, atac):
    pair = [pd.Index([name, name.replace("AC", "GT")]) for name in (rna, atac)]
    assert matched_cores(*pair) == 2
    pattern = re.search(r"replace\(r'(.*)', '', regex=True\)", suggestion(*pair))[1]
    assert pair[0].str.replace(pattern, "", regex=True).equals(pair[1].str.replace(pattern, "", regex=True))


@pytest.mark.parametrize(("rna", "atac"), [("AC-1", "s_AC-1"), ("AC-1", "AC-1x"), ("x#s_AC-1", "AC-1")])
def test_what_the_recipe_leaves_apart_is_not_counted(rna, atac):
    assert matched_cores(pd.Index([rna]), pd.Index([atac])) == 0


def test_endings_that_tell_cells_apart_stay():
    """Two samples whose barcodes differ in the number only: cut off, cells would be taken for one another."""
    twice = pd.Index(["AC-1", "AC-2"])
    assert matched_cores(twice, pd.Index(["AC"])) == matched_cores(pd.Index(["AC"]), twice) == 0
