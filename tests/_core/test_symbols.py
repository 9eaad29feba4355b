"""Symbols of one table among those of another: exactly, else by letter case where nothing else could be meant."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilegrn._core.symbols import find_symbols, match_symbols, warn_ambiguous

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
