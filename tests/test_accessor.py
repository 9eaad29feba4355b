"""``mdata.grn`` has the functions that take a MuData, whichever of both packages is imported first."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._small import BINDING, SIZES, TSS, copied, small
from tilegrn._accessor import ROOMS, bound, data_parameter

if not hasattr(importlib.import_module("mudata"), "register_mudata_namespace"):
    pytest.skip("this mudata has no namespaces", allow_module_level=True)

FUNCTIONS = [
    pytest.param(getattr(getattr(grn, room), name), id=f"{room}.{name}")
    for room in ROOMS
    for name in getattr(grn, room).__all__
    if inspect.isfunction(getattr(getattr(grn, room), name))
]
ON_DATA = [p for p in FUNCTIONS if data_parameter(p.values[0])]


def fresh(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], check=True, capture_output=True, text=True
    )
    return run.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import mudata, tilegrn",
        "import tilegrn, mudata",
        "import tilegrn; from importlib.util import find_spec; find_spec('mudata'); import mudata",
        "import mudata, tilegrn, importlib; importlib.reload(tilegrn)",
    ],
)
def test_it_is_there_whichever_is_imported_first(code):
    assert fresh(f"{code}; print(mudata.MuData.grn.__name__)") == "GRN"


def test_tilegrn_does_not_load_mudata_and_leaves_no_finder_behind():
    code = "import sys, tilegrn; print('mudata' in sys.modules, 'numpy' in sys.modules, end=' '); import mudata;"
    code += "print(any('Waiting' in repr(f) for f in sys.meta_path))"
    assert fresh(code) == "False False False"


def test_a_name_that_is_taken_is_left_alone():
    code = "import mudata; mudata.MuData.grn = 7; import tilegrn; print(mudata.MuData.grn)"
    assert fresh(code) == "7"


@pytest.mark.parametrize("function", ON_DATA)
def test_signature_and_docstring_lack_the_data_alone(function):
    taken = data_parameter(function)
    method = bound(function, small())
    whole, rest = inspect.signature(function), inspect.signature(method)
    assert list(rest.parameters.values()) == [p for p in whole.parameters.values() if p.name != taken]
    assert rest.return_annotation == whole.return_annotation
    assert method.__name__ == function.__name__
    docs = (inspect.getdoc(function), method.__doc__)
    before, after = (doc.partition("\nExamples\n")[0].splitlines() for doc in docs)
    assert any(taken in line.split(", ") for line in before)
    assert not any(taken in line.split(", ") for line in after)
    kept = iter(line.replace(f"{taken}, ", "").replace(f", {taken}", "") for line in before)
    plain = [line.replace(f"{taken}, ", "").replace(f", {taken}", "") for line in after]
    assert all(line in kept for line in plain), "lines are only taken out, in their order"
    assert len(before) - len(after) < 12
    for name in rest.parameters:
        assert any(name in line.split(", ") for line in after), name


def test_rooms_hold_what_takes_data():
    mdata = small()
    for room in ROOMS:
        listed = dir(getattr(mdata.grn, room))
        assert {f"{room}.{name}" for name in listed} == {p.id for p in ON_DATA if p.id.startswith(f"{room}.")}
    assert "pp" in repr(mdata.grn)
    assert "bin_peaks" in repr(mdata.grn.pp)
    with pytest.raises(AttributeError, match=r"mdata.grn has no 'read_tss' here; it has .*write_h5mu"):
        mdata.grn.io.read_tss  # noqa: B018


@pytest.mark.filterwarnings("ignore:1 of 5 genes have no TSS")
def test_it_does_what_the_functions_do(tmp_path):
    mdata, other = small(), small()
    mdata.grn.pp.bin_peaks(SIZES, window_size=1000)
    assert mdata.grn.pp.tss_distance(TSS) is None
    mdata.grn.pp.add_binding(table=BINDING)
    grn.pp.bin_peaks(other, SIZES)
    grn.pp.tss_distance(other, TSS)
    grn.pp.add_binding(other, BINDING)
    assert (mdata["rna"].varm["homer_binding"] != other["rna"].varm["homer_binding"]).nnz == 0
    pd.testing.assert_frame_equal(mdata.grn.get.peak_tg(), grn.get.peak_tg(other))
    changed = mdata.grn.pp.split_cells("batch", seed=1, copy=True)
    assert "split" in changed.obs
    assert "split" not in mdata.obs
    mdata.grn.io.write_h5mu(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(grn.io.read_h5mu(tmp_path / "x.h5mu").obs_names, mdata.obs_names)
    with pytest.raises(TypeError, match="chrom_sizes"):
        mdata.grn.pp.bin_peaks()
    assert copied(mdata).grn.pp is not mdata.grn.pp


@pytest.mark.slow
def test_import_is_lighter_than_that_of_mudata():
    seconds = {
        name: min(
            float(fresh(f"import time; a = time.perf_counter(); import {name}; print(time.perf_counter() - a)"))
            for _ in range(3)
        )
        for name in ("mudata", "tilegrn")
    }
    assert seconds["tilegrn"] < 1.5 * seconds["mudata"]
