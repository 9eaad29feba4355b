"""Public calls change what they say that they write, and nothing else: slots, arguments, files or global state."""

from __future__ import annotations

import tempfile

import pytest

pytest.importorskip("torch")
pytest.importorskip("decoupler")
pytest.importorskip("matplotlib")

import tilegrn as grn
from tests.tl._calls import CALLS, all_trespasses, given_in, warmed
from tests.tl._everything import public
from tests.tl._shapes import SHAPES
from tilegrn.errors import InputError

COVERED_ELSEWHERE = {
    "io.read_homer": "the MuData only names peaks",
    "io.run_homer": "needs HOMER, or a stand-in for it: tests/io/homer",
}
"""Shapes that differ most; benchmarks/reliability/unchanged.py goes through all."""
SHORT = ["full of things", "view of cells", "backed csr", "counts in a layer"]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    warmed()
    folder = tmp_path_factory.mktemp("given")
    return given_in(folder)


def test_every_public_call_is_watched():
    """A new public function that takes a MuData belongs into tests/tl/_calls.py."""
    assert public() == {call.name for call in CALLS} | set(COVERED_ELSEWHERE)
    assert len(SHAPES) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_nothing_else_changes(name, given, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests leave files in the usual one meanwhile
    like, others = given
    assert all_trespasses(name, like, others, tmp_path) == []


def test_what_stays_in_a_file_is_not_copied(given, tmp_path):
    shape = SHAPES["backed csr"](given[0], tmp_path)
    with pytest.raises(InputError, match=r"stay in .*cells\.h5mu"):
        grn.pp.intersect_cells(shape.mdata, copy=True)


def test_cells_are_not_taken_out_of_a_file(given, tmp_path):
    other = SHAPES["cells in another order"](given[0], tmp_path).mdata
    other.uns.clear()
    grn.io.write_h5mu(tmp_path / "x.h5mu", other)
    with pytest.raises(InputError, match=r"stay in .*x\.h5mu"):
        grn.pp.intersect_cells(grn.io.read_h5mu(tmp_path / "x.h5mu", backed=True))
