"""Cells that statistics are fitted to."""

import numpy as np
from scipy import sparse

from tilegrn._core import some_cells as S


def test_all_or_as_many_as_memory_is_meant_for_by_name(monkeypatch):
    names = np.array([f"c{i}" for i in range(50)], dtype=object)
    assert S.drawn_by_name(names, what="Sums", each=1e9) is None  # never fewer than a thousand
    monkeypatch.setattr(S, "_LEAST", 5)
    monkeypatch.setattr(S, "MOST_CELLS", 12)
    order = np.random.default_rng(3).permutation(50)
    mine, theirs = (n[S.drawn_by_name(n, what="Sums")] for n in (names, names[order]))
    assert set(mine) == set(theirs)
    assert len(set(mine)) == 12
    assert len(S.drawn_by_name(names, what="Sums", each=S.MOST_VALUES / 7)) == 7


def test_values_of_a_cell():
    x = sparse.csr_matrix(np.tril(np.ones((400, 400), dtype=np.float32)))
    assert abs(S.values_in_cell(x) - 200.5) < 2
    assert S.values_in_cell(x, np.array([9, 19])) == 15
