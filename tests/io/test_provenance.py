import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests._small import SIZES, small

import tilegrn as grn
from tilegrn.errors import InputError

ARCHIVE = Path(__file__).parents[1] / "archive" / "0.1.0"


def test_of_a_mudata_and_of_its_file(tmp_path):
    mdata = small()
    with pytest.raises(InputError, match=r"holds no records of tilegrn .*bin_peaks"):
        grn.io.provenance(mdata)
    grn.pp.bin_peaks(mdata, SIZES)
    text = grn.io.provenance(mdata)
    assert "    window_size: 1000\n" in text
    assert f"    lengths: {list(SIZES.values())}\n" in text
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    again = grn.io.provenance(tmp_path / "x.h5mu")
    assert again.partition("\n")[2] == text.partition("\n")[2]


def test_order_changes_the_hash_of_names():
    mdata = small()
    mdata.uns["tilegrn"] = {"step": {"names": np.array(list("abcdefgh"), dtype=object)}}
    first = grn.io.provenance(mdata)
    mdata.uns["tilegrn"] = {"step": {"names": np.array(list("bacdefgh"), dtype=object)}}
    assert "names: 8 values, sha256 " in first
    assert grn.io.provenance(mdata) != first


def test_of_a_model_and_of_the_cells_it_was_trained_on(tmp_path):
    text = grn.io.provenance(ARCHIVE / "model")
    for said in ("width: 8", "input_sha256", "torch: ", "n_networks: 1"):
        assert said in text
    path = tmp_path / "cells.h5mu"
    path.write_bytes(gzip.decompress((ARCHIVE / "cells.h5mu.gz").read_bytes()))
    assert "  train:\n" in grn.io.provenance(path)


def test_what_is_neither(tmp_path):
    with pytest.raises(InputError, match="give a MuData"):
        grn.io.provenance(3)
    with pytest.raises(InputError, match="no tilegrn model"):
        grn.io.provenance(tmp_path)


def told(**step):
    mdata = small()
    mdata.uns["tilegrn"] = {"step": step}
    return grn.io.provenance(mdata).split("\n")


def digest(values):
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


VALUES = {
    "six": ([1, 2, 3, 4, 5, 6], "[1, 2, 3, 4, 5, 6]"),
    "seven": (np.arange(7), f"7 values, sha256 {digest(list(range(7)))}"),
    "a tuple": ((1.5,) * 7, f"7 values, sha256 {digest([1.5] * 7)}"),
    "a number of numpy": (np.float64(1.5), "1.5"),
    "JSON of a list": ("[1, 2]", "[1, 2]"),
    "JSON of a longer list": (json.dumps(list("abcdefg")), f"7 values, sha256 {digest(list('abcdefg'))}"),
    "no JSON": ("{x", "{x"),
    "no JSON of a list": ("[x", "[x"),
    "an empty dictionary": ({}, "{}"),
    "text": ("", ""),
    "100 letters": ("x" * 100, "x" * 100),
    "101 letters": ("x" * 101, "x" * 100 + "..."),
    "a table": (pd.DataFrame({"a": [1, 2], "b": [3, 4]}), "table of 2 rows: a, b"),
    "a wide table": (pd.DataFrame({"c" * 200: [1]}), "table of 1 rows: " + "c" * 83),
    "a matrix": (sparse.csr_matrix((3, 4)), "matrix 3 x 4"),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_are_told_in_a_line(case):
    value, said = VALUES[case]
    assert told(x=value) == ["MuData", "  step:", f"    x: {said}"]


def test_steps_and_their_values_stand_in_the_order_of_names():
    assert told(b=1, a={"z": 2, "y": '{"k": {"m": 1}}'})[2:] == [
        "    a:",
        "      y:",
        "        k:",
        "          m: 1",
        "      z: 2",
        "    b: 1",
    ]


@pytest.mark.parametrize("records", [{}, "text", None])
def test_no_records(records):
    mdata = small()
    if records is not None:
        mdata.uns["tilegrn"] = records
    said = r"^MuData holds no records of tilegrn \(uns\['tilegrn'\]\); run a step first, e\.g\. grn\.pp\.bin_peaks"
    with pytest.raises(InputError, match=said):
        grn.io.provenance(mdata)


def test_the_first_line_names_the_source(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    mdata = small()
    path = tmp_path / "x.h5mu"
    grn.io.write_h5mu(path, mdata)
    with pytest.raises(InputError, match=r"^.*x\.h5mu holds no records"):
        grn.io.provenance("~/x.h5mu")
    mdata.uns["tilegrn"] = {"step": {"x": 1}}
    grn.io.write_h5mu(path, mdata)
    assert grn.io.provenance("~/x.h5mu").split("\n") == [str(path), "  step:", "    x: 1"]
    first, second, *_ = grn.io.provenance(ARCHIVE / "model").split("\n")
    assert first == f"{ARCHIVE / 'model'}: model"
    assert second[:3].count(" ") == 2
