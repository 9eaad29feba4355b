"""Prediction: what enters it, what it writes, and the model on disk."""

from __future__ import annotations

import dataclasses
import json
import warnings

import mudata as md
import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from tests.tl._ready import TINY, ready, sizes_of  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn._core.mudata import no_pull  # noqa: E402
from tilegrn.errors import InputError  # noqa: E402
from tilegrn.model.prepare.guided import N_PARTS  # noqa: E402
from tilegrn.model.prepare.preparation import Preparation  # noqa: E402
from tilegrn.tl.training._inputs import cell_data  # noqa: E402
from tilegrn.tl.training._predict import predict  # noqa: E402
from tilegrn.tl.training._source import read_source  # noqa: E402
from tilegrn.tl.training._train import train  # noqa: E402

QUICK = {"config": TINY, "progress": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def model():
    return train(ready(), **QUICK)


def predicted(mdata, model, **kwargs):
    predict(mdata, model, **kwargs)
    return mdata["rna"].layers["predicted"]


def test_unit_and_flags(model):
    mdata = ready()
    out = predicted(mdata, model)
    assert out.dtype == np.float32
    assert out.shape == mdata["rna"].shape
    assert (out >= 0).all()
    assert mdata["rna"].var["predictable"].all()
    counts = mdata["rna"].X.toarray()
    size = mdata.uns["tilegrn"]["predict"]["size_factor"]
    train_cells = (mdata.obs["split"] == "train").to_numpy()
    np.testing.assert_allclose(size, counts.sum(1) / np.median(counts.sum(1)[train_cells]), rtol=1e-6)
    observed = np.log1p(counts / size[:, None]).mean(0)
    assert np.corrcoef(observed, out.mean(0))[0, 1] > 0.7


def test_own_counts_of_a_tf_do_not_enter(model):
    """Move counts of one TF to another gene, so that no size factor changes: the TF's prediction stays."""
    mdata, moved = ready(), ready()
    x = moved["rna"].X.toarray()
    tf, other = list(moved["rna"].var_names).index("Tf3"), list(moved["rna"].var_names).index("Gene20")
    assert not moved["rna"].var["is_tf"].iloc[other]
    x[:, other] += x[:, tf]
    x[:, tf] = 0
    moved["rna"].X = type(mdata["rna"].X)(x)
    a, b = predicted(mdata, model), predicted(moved, model)
    np.testing.assert_array_equal(a[:, tf], b[:, tf])
    assert (a != b).any()


def test_a_gene_that_is_no_tf_never_enters(model):
    mdata, moved = ready(), ready()
    x = moved["rna"].X.toarray()
    names = list(moved["rna"].var_names)
    x[:, names.index("Gene20")] += x[:, names.index("Gene21")]
    x[:, names.index("Gene21")] = 0
    moved["rna"].X = type(mdata["rna"].X)(x)
    np.testing.assert_array_equal(predicted(mdata, model), predicted(moved, model))


def test_batch_size_and_order_of_cells_do_not_matter(model):
    mdata = ready()
    a = predicted(mdata, model).copy()
    np.testing.assert_allclose(predicted(mdata, model, batch_size=7), a, rtol=1e-4, atol=1e-5)
    order = np.random.default_rng(0).permutation(mdata.n_obs)
    with no_pull():
        shuffled = mdata[order].copy()
    np.testing.assert_allclose(predicted(shuffled, model), a[order], rtol=1e-4, atol=1e-5)


def test_copy_leaves_the_original(model):
    mdata = ready()
    out = predict(mdata, model, copy=True)
    assert "predicted" in out["rna"].layers
    assert "predicted" not in mdata["rna"].layers


def test_save_and_load_predict_alike(model, tmp_path):
    model.save(tmp_path / "m")
    again = grn.io.load_model(tmp_path / "m")
    np.testing.assert_array_equal(predicted(ready(), model), predicted(ready(), again))
    assert again.vocabulary.genes == model.vocabulary.genes
    assert again.config == model.config
    assert again.record["input_sha256"] == model.record["input_sha256"]
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["arrays.safetensors", "manifest.json", "model.json"]


def test_a_saved_model_is_replaced_whole_and_other_folders_are_refused(model, tmp_path):
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="no tilegrn model"):
        model.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "m" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds more than a model \(notes\.txt\); move that away"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m" / "notes.txt").exists()


def test_broken_folders_are_told_apart(model, tmp_path):
    model.save(tmp_path / "m")
    with pytest.raises(InputError, match="no tilegrn model"):
        grn.io.load_model(tmp_path)
    path = tmp_path / "m" / "arrays.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        grn.io.load_model(tmp_path / "m")
    flipped = bytearray(whole)
    flipped[-10] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="SHA-256"):
        grn.io.load_model(tmp_path / "m")
    path.unlink()
    with pytest.raises(InputError, match="incomplete"):
        grn.io.load_model(tmp_path / "m")
    manifest = tmp_path / "m" / "manifest.json"
    manifest.write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="upgrade tilegrn"):
        grn.io.load_model(tmp_path / "m")
    manifest.write_text("{")
    with pytest.raises(InputError, match="JSON"):
        grn.io.load_model(tmp_path / "m")


def test_networks_get_their_mode_back(model):
    model.networks[0].train()
    predict(ready(), model)
    assert model.networks[0].training
    model.networks[0].eval()


def test_between_batches_modes_and_gradients_are_the_callers(model):
    mdata = ready()
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)
    data = cell_data(source, model.vocabulary, model.preparation, model.config)
    model.networks[0].train()
    seen = 0
    for rows, rates, _ in model.iter_rates(data, batch_size=50):
        assert torch.is_grad_enabled()
        assert model.networks[0].training
        assert rates.shape == (1, len(rows), len(model.vocabulary.genes))
        seen += len(rows)
    assert seen == mdata.n_obs
    stopped = model.iter_rates(data, batch_size=50)
    next(stopped)
    with torch.no_grad():
        next(stopped)
        assert not torch.is_grad_enabled()
    assert model.networks[0].training
    model.networks[0].eval()


def test_networks_go_to_the_device_once_and_come_back(model, monkeypatch):
    source = read_source(ready(), rna="rna", atac="atac", layer=None, for_training=False)
    data = cell_data(source, model.vocabulary, model.preparation, model.config)
    want = [rates for _, rates, _ in model.iter_rates(data, batch_size=40)]
    went = []
    plain = type(model.networks[0]).to
    monkeypatch.setattr(type(model.networks[0]), "to", lambda net, at: went.append(str(at)) or plain(net, at))
    got = list(model.iter_rates(data, batch_size=40, device="cpu"))
    assert went == ["cpu", "cpu"]  # there and back, whatever the number of batches
    assert len(got) == 3
    for (_, rates, _), mine in zip(got, want, strict=True):
        assert isinstance(rates, np.ndarray)
        np.testing.assert_array_equal(rates, mine)
    with model.on("cpu") as at:
        for batch in model.batches(data, batch_size=40, device=at):
            assert all(t.device.type == "cpu" for t in (batch.tf_dense, batch.own.window, batch.own_value))
    with pytest.raises(RuntimeError, match="nowhere"):
        next(model.iter_rates(data, device="nowhere"))


@pytest.mark.filterwarnings("ignore:.*no window with a peak")
def test_another_sample_with_other_peaks_and_genes():
    other = ready(seed=2)
    keep = [g for g in other["rna"].var_names if g not in {"Gene12", "Tf2"}]
    rename = {f"Gene{i}": f"Novel{i}" for i in range(20, 33)}
    rna = other["rna"][:, keep].copy()
    rna.var_names = [rename.get(g, g) for g in rna.var_names]
    atac = other["atac"][:, 15:].copy()
    with no_pull():
        other = md.MuData({"rna": rna, "atac": atac})
    mdata = ready()
    tss = mdata.uns["simulation"]["tss"]
    new = tss[tss["gene"].isin(rename)].assign(gene=lambda t: t["gene"].map(rename))
    both = pd.concat([tss, new], ignore_index=True)  # one table for both samples
    grn.pp.tss_distance(mdata, both)
    model = grn.tl.train(mdata, config=TINY, progress=False, accelerator="cpu")
    grn.pp.bin_peaks(other, sizes_of(ready(seed=2)))
    grn.pp.tss_distance(other, both)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = predicted(other, model)
    origin = other["rna"].var["predicted_from"]
    np.testing.assert_array_equal(np.isfinite(out).all(0), origin != "none")
    new = [f"Novel{i}" for i in range(20, 33)]
    assert set(origin[new]) >= {"windows"}
    assert set(origin.drop(new)) == {"trained"}


def test_window_only_genes_do_not_depend_on_the_cells_or_peaks_in_the_call():
    mdata = ready()
    model = grn.tl.train(mdata, config=TINY, exclude_chromosomes=["chr2"], progress=False, accelerator="cpu")
    whole = predicted(mdata, model)
    windows = mdata["rna"].var["predicted_from"].to_numpy() == "windows"
    assert windows.sum() > 3
    for cells in ([3], [40, 2, 77]):
        with no_pull():
            few = mdata[mdata.obs_names[cells]].copy()
        rows = mdata.obs_names.get_indexer(few["rna"].obs_names)
        got = predicted(few, model)
        np.testing.assert_allclose(got, whole[rows], rtol=1e-4, atol=1e-6)
        assert (few["rna"].var["predicted_from"] == mdata["rna"].var["predicted_from"]).all()


def test_genes_out_of_reach_are_nan_and_flagged(model):
    mdata = ready()
    rna = mdata["rna"]
    names = list(rna.var_names)
    names[names.index("Gene20")] = "Nowhere"
    rna.var_names = names
    record = mdata.uns["tilegrn"]["tss"]  # its TSS is still that of Gene20: no TSS has its new name
    assert "Nowhere" not in record["gene"]
    with pytest.warns(UserWarning, match="Nowhere"):
        predict(mdata, model)
    assert np.isnan(rna.layers["predicted"][:, names.index("Nowhere")]).all()
    assert not rna.var.loc["Nowhere", "predictable"]
    assert rna.var["predictable"].sum() == len(names) - 1


def test_other_windows_are_refused(model):
    mdata = ready()
    grn.pp.bin_peaks(mdata, sizes_of(mdata), window_size=500)
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    with pytest.raises(InputError, match="window_size"):
        predict(mdata, model)


def test_training_cells_are_scored_by_regressions_that_have_not_seen_them(tmp_path):
    mdata = ready(n_cells=400)
    model = grn.tl.train(mdata, config=TINY, progress=False, accelerator="cpu")
    assert model.record["n_guided"] == model.preparation.guided.shape[2] > 0
    model.save(tmp_path / "m")
    again = grn.io.load_model(tmp_path / "m")
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)
    data = cell_data(source, model.vocabulary, model.preparation, model.config)
    same = cell_data(source, again.vocabulary, again.preparation, again.config)
    np.testing.assert_array_equal(same.components, data.components)
    np.testing.assert_array_equal(same.part, data.part)
    trained = (mdata.obs["split"] == "train").to_numpy()
    assert (data.part[trained] < N_PARTS).all()
    assert (data.part[~trained] == N_PARTS).all()


def test_a_model_without_guided_components_is_saved_and_an_older_one_refused(tmp_path):
    mdata = ready()
    config = dataclasses.replace(TINY, n_guided=0)
    model = grn.tl.train(mdata, config=config, progress=False, accelerator="cpu")
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(predicted(mdata, model), predicted(mdata, grn.io.load_model(tmp_path / "m")))
    arrays = model.preparation.arrays()
    del arrays["guided"]
    with pytest.raises(InputError, match="Train it again"):
        Preparation.from_arrays(arrays)
