"""Files that earlier versions wrote are read by this one; those of a later version are named."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError

VERSIONS = sorted(p.name for p in Path(__file__).parent.iterdir() if (p / "known.json").is_file())


def unpacked(version, folder):
    path = folder / "cells.h5mu"
    path.write_bytes(gzip.decompress((Path(__file__).parent / version / "cells.h5mu.gz").read_bytes()))
    return path


def test_this_version_is_archived():
    assert VERSIONS[0] == "0.1.0"


@pytest.mark.parametrize("version", VERSIONS)
def test_cells_are_read_with_all_their_records(tmp_path, version):
    path = unpacked(version, tmp_path)
    mdata = grn.io.read_h5mu(path)
    known = json.loads((Path(__file__).parent / version / "known.json").read_text())
    assert list(mdata["rna"].var_names) == known["genes"]
    assert mdata.n_obs == known["n_cells"]
    for step in (K.REC_GRID, K.REC_TSS, K.REC_BINDING, K.REC_SPLIT, K.REC_TRAIN, K.REC_PREDICT):
        assert store.has_record(mdata, step)
    grn.io.write_h5mu(tmp_path / "again.h5mu", mdata)
    assert grn.io.read_h5mu(tmp_path / "again.h5mu").n_obs == known["n_cells"]


@pytest.mark.parametrize("version", VERSIONS)
def test_models_are_read_and_predict_what_they_did(tmp_path, version):
    pytest.importorskip("torch")
    mdata = grn.io.read_h5mu(unpacked(version, tmp_path))
    known = json.loads((Path(__file__).parent / version / "known.json").read_text())
    grn.tl.predict(mdata, grn.io.load_model(Path(__file__).parent / version / "model"))
    predicted = np.asarray(mdata["rna"].layers["predicted"])[0]
    np.testing.assert_allclose(predicted, np.array(known["of_first_cell"]), rtol=1e-4, atol=1e-5)


def test_a_later_schema_is_named(tmp_path):
    path = unpacked(VERSIONS[-1], tmp_path)
    with h5py.File(path, "r+") as file:
        file[f"uns/{K.UNS}/schema"][()] = K.SCHEMA + 1
    with pytest.raises(InputError, match=rf"tilegrn schema {K.SCHEMA + 1}, newer than {K.SCHEMA}; upgrade tilegrn"):
        grn.io.read_h5mu(path)
    mdata = grn.io.read_h5mu(unpacked(VERSIONS[-1], tmp_path))
    mdata.uns[K.UNS]["schema"] = K.SCHEMA + 1
    with pytest.raises(InputError, match="upgrade tilegrn"):
        grn.get.window_tg(mdata)


def test_a_later_model_format_is_named(tmp_path):
    pytest.importorskip("torch")
    model = tmp_path / "model"
    shutil.copytree(Path(__file__).parent / VERSIONS[-1] / "model", model)
    text = json.loads((model / "model.json").read_text())
    for number, said in ((99, "model format 99, newer than .*; upgrade tilegrn"), (1, "saved by an earlier tilegrn")):
        (model / "model.json").write_text(json.dumps({**text, "format": number}))
        sums = {n: hashlib.sha256((model / n).read_bytes()).hexdigest() for n in ("model.json", "arrays.safetensors")}
        (model / "manifest.json").write_text(json.dumps({"format": number, "sha256": sums}))
        with pytest.raises(InputError, match=said):
            grn.io.load_model(model)
