"""The verdict on other samples."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("torch")

import mudata as md
from tests.tl._ready import TINY, ready, sizes_of

import tilegrn as grn
from tilegrn._core.mudata import no_pull
from tilegrn.tl.training._compatibility import compatibility
from tilegrn.tl.training._train import train


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


@pytest.mark.slow
def test_models_of_two_real_samples_predict_each_other_and_say_how_far(real_data):
    """They share an assembly, few peaks and not all genes."""
    samples = []
    for name in ("sample1_hg38", "cell_lines_hg38"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # unplaced genes and what else real files hold
            mdata = grn.io.read_h5mu(real_data(f"multiome/{name}.h5mu"))
            grn.pp.intersect_cells(mdata)
            grn.pp.bin_peaks(mdata, "hg38")
            grn.pp.tss_distance(mdata, "hg38")
            grn.pp.mark_tfs(mdata, real_data("reference/allTFs_hg38.txt"))
        samples.append(mdata)
    for mine, other in (samples, samples[::-1]):
        model = train(mine, config=TINY, split=None, max_epochs=1, progress=False, accelerator="cpu")
        found = compatibility(model, other)
        assert found.verdict in ("with care", "poor"), str(found)
        assert found.reasons
        assert found.genes_trained + found.genes_from_windows + found.genes_not == pytest.approx(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            grn.tl.predict(other, model)
        layer, var = other["rna"].layers["predicted"], other["rna"].var
        assert np.isfinite(layer[:, var["predictable"]]).all()
        assert np.isnan(layer[:, ~var["predictable"]]).all()
        assert (var["predicted_from"] == "windows").any() or found.genes_from_windows == 0
        assert float(np.std(layer[:, (var["predicted_from"] == "trained").to_numpy()], axis=0).max()) > 0
