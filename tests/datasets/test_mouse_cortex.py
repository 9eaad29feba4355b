"""The real sample inside the package."""

from __future__ import annotations

import socket
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tilegrn.datasets import _cortex

DATA = Path(str(resources.files("tilegrn").joinpath("data")))


@pytest.fixture(scope="module")
def mdata():
    return grn.datasets.mouse_cortex()


def test_the_file_is_small_and_the_one_that_was_recorded():
    file = DATA / _cortex.FILE
    assert file.stat().st_size < 3_000_000
    assert _cortex.SHA256 in (DATA / "ORIGIN.md").read_text(encoding="utf-8")
    assert grn.io.read_h5mu(file).shape == (2400, 1460 + 10387)


def test_it_needs_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the sample asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert grn.datasets.mouse_cortex().n_obs == 2400


def test_what_it_holds(mdata):
    rna, atac = mdata["rna"], mdata["atac"]
    assert list(rna.obs_names) == list(atac.obs_names) == list(mdata.obs_names)
    for adata, least in ((rna, 10), (atac, 8)):
        counts = adata.X
        assert counts.dtype == np.float32
        assert (counts.data > 0).all()
        assert (counts.data == np.rint(counts.data)).all()
        assert np.asarray((counts > 0).sum(axis=0)).min() >= least
        for column in ("cell_type", "cell_type_fine", "sample"):
            assert isinstance(adata.obs[column].dtype, pd.CategoricalDtype)
            assert list(adata.obs[column]) == list(mdata.obs[column])
        assert len(set(adata.uns["cell_type_colors"])) == adata.obs["cell_type"].cat.categories.size == 14
    assert sorted(mdata.obs["sample"].unique()) == [f"09{letter}" for letter in "ABCDEFGH"]
    assert rna.var["is_tf"].sum() == 101
    assert {"Sox10", "Rorb", "Fezf2"} <= set(rna.var_names[rna.var["is_tf"]])
    assert (np.median(np.asarray(rna.X.sum(axis=1))), np.median(np.asarray(atac.X.sum(axis=1)))) == (364, 107)


def test_every_call_reads_anew(mdata):
    other = grn.datasets.mouse_cortex()
    assert other is not mdata
    other["rna"].X.data[:] = 0
    del other["rna"].var["is_tf"]
    again = grn.datasets.mouse_cortex()
    assert again["rna"].X.sum() == mdata["rna"].X.sum() > 0
    assert "is_tf" in again["rna"].var


def test_a_damaged_file_is_told(monkeypatch):
    monkeypatch.setattr(_cortex, "SHA256", "0" * 64)
    with pytest.raises(grn.errors.InputError, match="missing or damaged; pip install --force-reinstall"):
        grn.datasets.mouse_cortex()


def test_it_is_a_cut_of_the_whole_set(mdata, real_data):
    whole = grn.io.read_h5mu(real_data("multiome/mouse_cortex_mm10.h5mu"))
    for name, adata in mdata.mod.items():
        same = whole[name][adata.obs_names, adata.var_names]
        assert (same.X != adata.X).nnz == 0
        assert list(same.obs["cell_type"]) == list(adata.obs["cell_type"])


def test_steps_before_training_take_it_as_it_is(tmp_path):
    """Warnings are errors here, so this also says that none is given."""
    mdata = grn.datasets.mouse_cortex()
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, "mm10")
    grn.pp.tss_distance(mdata, "mm10")
    grn.pp.split_cells(mdata, "sample")
    grn.pp.scale(mdata)
    assert set(mdata.obs["split"]) == {"train", "val", "test"}
    assert grn.get.peak_tg(mdata)["target_id"].nunique() > 1000
    grn.io.write_h5mu(tmp_path / "sample.h5mu", mdata)
