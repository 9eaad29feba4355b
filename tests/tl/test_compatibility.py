"""The verdict on other samples."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import mudata as md

import tilegrn as grn
from tests.tl._ready import TINY, ready, sizes_of
from tilegrn._mudata import no_pull
from tilegrn.tl._compatibility import compatibility
from tilegrn.tl._train import train


@pytest.fixture(scope="module")
def model():
    return train(ready(), config=TINY, progress=False, accelerator="cpu")


def cut(mdata, *, genes=None, peaks=None):
    rna = mdata["rna"][:, genes].copy() if genes is not None else mdata["rna"].copy()
    atac = mdata["atac"][:, peaks].copy() if peaks is not None else mdata["atac"].copy()
    with no_pull():
        out = md.MuData({"rna": rna, "atac": atac})
    grn.pp.bin_peaks(out, sizes_of(mdata))
    grn.pp.tss_distance(out, mdata.uns["simulation"]["tss"])
    return out


def test_the_training_data_themselves_are_good(model):
    found = compatibility(model, ready())
    assert found.verdict == "good", str(found)
    assert found.genes_trained == 1.0
    assert found.rna_depth_ratio == pytest.approx(1, abs=0.2)
    assert found.windows_known > 0.99


@pytest.mark.filterwarnings("ignore:.*no window with a peak", "ignore:.*have no counts")
def test_lost_peaks_and_tfs_are_told(model):
    mdata = ready()
    genes = [g for g in mdata["rna"].var_names if g not in {f"Tf{i}" for i in range(1, 8)}]
    found = compatibility(model, cut(mdata, genes=genes, peaks=np.arange(150) >= 90))
    assert found.verdict == "poor"
    assert found.windows_present < 0.8
    assert found.tfs_known < 0.5
    assert "TF expression" in str(found)


def test_depth_is_told(model):
    mdata = ready()
    mdata["rna"].X = (mdata["rna"].X * 2).tocsr()
    found = compatibility(model, mdata)
    assert found.verdict == "with care"
    assert any("RNA depth is 2" in r for r in found.reasons), str(found)


def test_other_windows_are_impossible(model):
    mdata = ready()
    grn.pp.bin_peaks(mdata, sizes_of(mdata), window_size=500)
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    found = compatibility(model, mdata)
    assert found.verdict == "impossible"
    assert "500 bp" in str(found)
