"""Symbols of one table among those of another: exactly, else by letter case where nothing else could be meant."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilegrn._core.symbols import find_symbols, labelled, listed, match_symbols, warn_ambiguous
from tilegrn.errors import InputError

SPELLINGS = ["Dl", "dl", "DL", "dL", "Sox2", "SOX2", "sox2", "A1"]
some = st.lists(st.sampled_from(SPELLINGS), unique=True, max_size=6)


@given(some, some)
def test_a_match_is_exact_or_the_only_one_either_way(names, genes):
    found = find_symbols(names, genes)
    for name, i in zip(names, found.position, strict=True):
        same = [g for g in genes if g.lower() == name.lower()]
        rivals = [n for n in names if n.lower() == name.lower()]
        if name in genes:
            assert genes[i] == name
        elif len(same) == len(rivals) == 1:
            assert genes[i] == same[0] == found.folded[name]
        else:
            assert i == -1
            left = [g for g in same if g not in names]
            assert any(name in n and set(g) == set(same) for n, g in found.ambiguous) == bool(left)
    back = match_symbols(genes, names)
    assert {(n, i) for n, i in enumerate(found.position) if i >= 0} == {(n, i) for i, n in enumerate(back) if n >= 0}


@given(some, some)
def test_names_of_one_thing_each_are_looked_up_alone(names, genes):
    together = find_symbols(names, genes, distinct=False).position
    alone = [find_symbols([n], genes).position[0] for n in names]
    assert together.tolist() == alone


def test_a_repeated_name_is_one_name_and_versions_are_cut_off():
    assert match_symbols(["SOX2", "SOX2", "A"], ["Sox2", "B"]).tolist() == [0, 0, -1]
    assert match_symbols(["ENSG00000000001.2"], ["x", "ENSG00000000001.7"]).tolist() == [1]
    assert match_symbols([], ["x"]).tolist() == match_symbols([], []).tolist() == []
    assert match_symbols(["x"], []).tolist() == [-1]
    assert match_symbols(np.array(["RP11-34P13.7"]), ["rp11-34p13.7"]).tolist() == [0]


def test_the_warning_names_both_sides_where_it_was_called_from():
    found = find_symbols(
        ["DL", *(f"g{i}" for i in range(12))], ["Dl", "dl", *(f"{c}{i}" for c in "gG" for i in range(6))]
    )
    with pytest.warns(UserWarning, match=r"1 names .*'DL' of mine for 'Dl', 'dl' of yours\. Mend it") as seen:
        warn_ambiguous(found, "mine", "yours", "Mend it.", stacklevel=1)
    assert seen[0].filename == __file__
    many = find_symbols([f"g{i}" for i in range(12)], [f"{c}{i}" for c in "gG" for i in range(12)][12:])
    assert len(many.folded) == 12
    many = find_symbols([f"aB{i}" for i in range(12)], [f"{c}{i}" for c in ("ab", "AB") for i in range(12)])
    with pytest.warns(UserWarning, match=r"^12 names.*'ab9', 'AB9' of yours; and 2 more\."):
        warn_ambiguous(many, "mine", "yours", "", stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_ambiguous(find_symbols(["Dl"], ["Dl", "dl"]), "mine", "yours", "", stacklevel=1)


def test_ensembl_versions_are_cut_off_and_nothing_else():
    names = ["ENSMUSG00000000001.12", "ENST00000000001.1", "ENSG00000000001.2_PAR_Y", "ENSG00000000001.2"]
    genes = ["ENSG00000000001", "ENSG00000000001_PAR_Y", "ENST00000000001.9", "ENSMUSG00000000001"]
    assert match_symbols(names, genes).tolist() == [3, 2, 1, 0]
    for kept in ("AC012345.1", "ENSG0000000001.2", "ENSP00000000001.2", "ENSG00000000001.2_PAR", "xENSG00000000001.2"):
        assert match_symbols([kept], [kept.split(".")[0]]).tolist() == [-1]
        assert match_symbols([kept], [kept]).tolist() == [0]


def test_genes_that_are_one_without_their_versions_are_refused():
    said = r"^Genes 'ENSG00000000001\.1' and 'ENSG00000000001\.2' are one gene once the Ensembl version is cut off\."
    with pytest.raises(InputError, match=said):
        find_symbols(["x"], ["a", "ENSG00000000001.1", "ENSG00000000001.2"])


def test_what_was_folded_is_told_by_the_genes_own_name():
    found = find_symbols(["ENSG00000000001.1", "SOX2", "DL"], ["ensg00000000001.2", "Sox2", "Dl", "dl"])
    assert found.position.tolist() == [-1, 1, -1]
    assert found.folded == {"SOX2": "Sox2"}
    assert found.ambiguous == [(("DL",), ("Dl", "dl"))]
    together = find_symbols(["GLI3", "Gli3", "gli3"], ["Gli3"], distinct=False)
    assert together.position.tolist() == [0, 0, 0]
    assert together.folded == {"GLI3": "Gli3", "gli3": "Gli3"}


@pytest.mark.parametrize(
    ("n", "most", "said"), [(0, 5, ""), (2, 5, "'0', '1'"), (3, 3, "'0', '1', '2'"), (4, 3, "'0', '1', '2' and 1 more")]
)
def test_names_are_listed(n, most, said):
    assert listed(range(n), most) == said


def test_five_names_are_listed_by_default():
    assert listed("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"


def test_no_ambiguity_no_warning_and_ten_groups_without_more():
    warn_ambiguous(find_symbols(["Dl"], ["Dl", "dl"]), "mine", "yours", "", stacklevel=1)
    ten = find_symbols([f"aB{i}" for i in range(10)], [f"{c}{i}" for c in ("ab", "AB") for i in range(10)])
    with pytest.warns(UserWarning, match=r"^10 names differ .*'ab9', 'AB9' of yours\. Mend$"):
        warn_ambiguous(ten, "mine", "yours", "Mend", stacklevel=1)
    more = find_symbols([f"aB{i:x}" for i in range(11)], [f"{c}{i:x}" for c in ("ab", "AB") for i in range(11)])
    with pytest.warns(UserWarning, match=r"^11 names differ .*'ab9', 'AB9' of yours; and 1 more\. Mend$"):
        warn_ambiguous(more, "mine", "yours", "Mend", stacklevel=1)


def test_positions_as_names():
    names = labelled(np.array([1, 0, -1, 1], dtype=np.int16), ["a", 3])
    assert isinstance(names, pd.Categorical)
    assert list(names) == ["3", "a", np.nan, "3"]
    assert names.categories.dtype == object
