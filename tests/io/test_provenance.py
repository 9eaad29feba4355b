import gzip
from pathlib import Path

import numpy as np
import pytest
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
