"""Training: what it reads, what it may never read, what it leaves behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from tests._small import copied  # noqa: E402
from tests.tl._ready import TINY, ready, simulated, sizes_of  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn._core.mudata import no_pull  # noqa: E402
from tilegrn._stats.metrics import pearson  # noqa: E402
from tilegrn.errors import InputError, MissingStepError, StaleError  # noqa: E402
from tilegrn.tl.training._predict import predict  # noqa: E402
from tilegrn.tl.training._train import train  # noqa: E402

QUICK = {"config": TINY, "progress": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def trained():
    mdata = ready()
    model = train(mdata, **QUICK)
    predict(mdata, model)
    return mdata, model


def weights(model):
    return {k: v.clone() for net in model.networks for k, v in net.state_dict().items()}


def test_same_seed_same_predictions(trained):
    mdata, _ = trained
    again = ready()
    predict(again, train(again, **QUICK))
    np.testing.assert_array_equal(again["rna"].layers["predicted"], mdata["rna"].layers["predicted"])


def test_another_seed_gives_another_model(trained):
    mdata, _ = trained
    again = ready()
    predict(again, train(again, seed=5, **QUICK))
    assert not np.allclose(again["rna"].layers["predicted"], mdata["rna"].layers["predicted"])


def test_global_random_state_is_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    train(ready(), **QUICK)
    assert (torch.rand(1), np.random.random()) == expected  # noqa: NPY002


def test_test_cells_change_nothing(trained):
    _, model = trained
    mdata = ready()
    test = (mdata.obs["split"] == "test").to_numpy()
    for name in ("rna", "atac"):
        x = mdata[name].X.tolil()
        x[test] = 3
        mdata[name].X = x.tocsr()
    mdata["atac"].obsm["windows"] = (mdata["atac"].X @ mdata["atac"].varm["windows"]).tocsr().astype(np.float32)
    mine = weights(model)
    for name, tensor in weights(train(mdata, **QUICK)).items():
        torch.testing.assert_close(tensor, mine[name], rtol=0, atol=0)


def test_validation_cells_never_reach_scalers_teacher_or_gradients(trained):
    _, model = trained
    mdata = ready()
    val = (mdata.obs["split"] == "val").to_numpy()
    x = mdata["rna"].X.tolil()
    x[val] = 1
    mdata["rna"].X = x.tocsr()
    other = train(mdata, **QUICK)
    for name, array in model.preparation.arrays().items():
        np.testing.assert_array_equal(array, other.preparation.arrays()[name], err_msg=name)
    assert model.record["history"][0]["train_loss"] == other.record["history"][0]["train_loss"]
    assert model.record["history"][0]["val_loss"] != other.record["history"][0]["val_loss"]


def test_a_split_is_drawn_and_written_when_there_is_none():
    mdata = ready()
    del mdata.obs["split"]
    train(mdata, **QUICK)
    assert set(mdata.obs["split"]) == {"train", "val", "test"}


def test_without_a_split_every_cell_trains():
    mdata = ready()
    before = mdata.obs["split"].copy()
    model = train(mdata, split=None, **QUICK)
    assert model.record["n_train"] == mdata.n_obs
    assert model.record["history"][0]["val_loss"] == []
    assert (mdata.obs["split"] == before).all()
    predict(mdata, model)
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()


def test_record_says_what_was_done(trained):
    mdata, model = trained
    record = mdata.uns["tilegrn"]["train"]
    assert record["n_train"] + record["n_val"] + record["n_test"] == 120
    assert json.loads(record["config"])["width"] == TINY.width
    assert "torch" in json.loads(record["versions"])
    assert len(record["train_loss_0"]) == TINY.max_epochs
    assert record["input_sha256"] == model.record["input_sha256"]


def test_record_survives_h5mu(trained, tmp_path):
    mdata, _ = trained
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    back = grn.io.read_h5mu(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(
        back.uns["tilegrn"]["train"]["train_loss_0"], mdata.uns["tilegrn"]["train"]["train_loss_0"]
    )


def test_nothing_is_left_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(ready(), **QUICK)
    assert list(Path.cwd().iterdir()) == []


def test_it_learns():
    """Held-out cells are told better than by the genes' means, and not by the predictions of other cells."""
    mdata = ready(n_cells=400)
    config = dataclasses.replace(TINY, max_epochs=6)
    model = train(mdata, config=config, progress=False, accelerator="cpu")
    grn.tl.predict(mdata, model)
    rna, test = mdata["rna"], (mdata.obs["split"] == "test").to_numpy()
    observed = np.log1p(rna.X[test].toarray())
    r = pearson(observed, rna.layers["predicted"][test].astype(np.float64))
    shuffled = pearson(observed[::-1], rna.layers["predicted"][test].astype(np.float64))
    assert r.mean() > 0.1 > shuffled.mean()


def test_without_a_teacher_training_starts_from_a_regression_and_does_not_end_below_it():
    """A learning rate that ruins the network leaves the start."""
    mdata = ready(n_cells=300)
    config = dataclasses.replace(TINY, teacher=None, learning_rate=0.5, max_epochs=4, average_from=0.0)
    history = train(mdata, config=config, progress=False, accelerator="cpu").record["history"][0]
    assert history["averaged_val_loss"][0] > history["start_val_loss"][0]
    ruined = train(mdata, config=config, progress=False, accelerator="cpu")
    plain = train(mdata, config=dataclasses.replace(config, learning_rate=1e-12), progress=False, accelerator="cpu")
    got, want = (copied(mdata) for _ in range(2))
    predict(got, ruined)
    predict(want, plain)
    np.testing.assert_allclose(got["rna"].layers["predicted"], want["rna"].layers["predicted"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["nb", "mse"])
def test_other_losses(loss):
    mdata = ready()
    model = train(mdata, loss=loss, **QUICK)
    assert model.config.loss == loss
    predict(mdata, model)
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()


def test_several_networks_and_their_spread():
    mdata = ready()
    model = train(mdata, n_models=2, **QUICK)
    predict(mdata, model)
    sd = mdata["rna"].layers["predicted_sd"]
    assert sd.shape == mdata["rna"].shape
    assert (sd > 0).any()


def test_several_samples_train_together():
    a, b = ready(), ready(seed=2)
    with no_pull():
        b = b[:, b.var_names != "Gene9"].copy()
    grn.pp.tss_distance(b, a.uns["simulation"]["tss"])
    model = train([a, b], **QUICK)
    assert "Gene9" not in model.vocabulary.genes
    assert model.record["n_samples"] == 2
    assert set(model.vocabulary.windows) > set()
    for mdata in (a, b):
        assert "train" in mdata.uns["tilegrn"]


def test_samples_of_other_windows_are_refused():
    a, b = ready(), ready(seed=2)
    grn.pp.bin_peaks(b, sizes_of(b), window_size=500)
    grn.pp.tss_distance(b, b.uns["simulation"]["tss"])
    grn.pp.add_binding(b, b.uns["simulation"]["binding"])
    with pytest.raises(InputError, match="bin_peaks"):
        train([a, b], **QUICK)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decay": 5_000}, "decay="),
        ({"max_distance": 500_000}, "max_distance="),
        ({"anchor": "center"}, "anchor="),
        ({"multiple": "all"}, "multiple="),
        ({"tss": "other"}, "TSS tables of hash"),
    ],
)
def test_samples_whose_distances_mean_something_else_are_refused(trained, change, said):
    """In training together, and where a model meets another sample: in every call that takes both."""
    a, model = trained
    b = ready()
    table = a.uns["simulation"]["tss"]
    other = {k: v for k, v in change.items() if k != "tss"}
    grn.pp.tss_distance(b, table.assign(pos=table["pos"] + 7) if "tss" in change else table, **other)
    with pytest.raises(InputError, match=said):
        train([a, b], **QUICK)
    for call in (predict, grn.tl.edges):
        with pytest.raises(InputError, match=said):
            call(b, model)
    with pytest.raises(InputError, match=said):
        grn.tl.knockout(b, model, "Tf1")
    verdict = grn.tl.compatibility(model, b)
    assert verdict.verdict == "impossible"
    assert said in str(verdict)


def test_seeds_of_even_splits_must_agree(trained):
    a, model = trained
    b = ready()
    grn.pp.bin_peaks(b, sizes_of(b), seed=1)
    grn.pp.tss_distance(b, a.uns["simulation"]["tss"])
    grn.pp.add_binding(b, b.uns["simulation"]["binding"])
    with pytest.raises(InputError, match=r"drawn with seed 1.*bin_peaks"):
        train([a, b], **QUICK)
    with pytest.raises(InputError, match=r"drawn with seed 1.*bin_peaks"):
        predict(b, model)


@pytest.mark.filterwarnings("ignore:.*no window with a peak")
def test_windows_that_appear_after_distances_were_measured_are_refused():
    mdata = ready()
    table = mdata.uns["simulation"]["tss"]
    whole = mdata["atac"].copy()
    mdata.mod["atac"] = whole[:, :100].copy()
    with no_pull():
        mdata.update()
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, table)
    mdata.mod["atac"] = whole
    with no_pull():
        mdata.update()
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    with pytest.raises(StaleError, match=r"windows with peaks were not there.*Run grn\.pp\.tss_distance"):
        train(mdata, **QUICK)


def test_genes_excluded_by_any_sample_are_held_out():
    """The second sample alone has a gene's second TSS on the excluded chromosome: it is held out all the same."""
    a, b = ready(), ready(seed=2)
    table = a.uns["simulation"]["tss"]
    extra = table[(table["gene"] == "Gene12")].assign(chrom=lambda t: t["chrom"].map({"chr1": "chr2", "chr2": "chr1"}))
    both = pd.concat([table, extra], ignore_index=True)
    for m in (a, b):
        grn.pp.tss_distance(m, both)
    record = a.uns["tilegrn"]["tss"]
    mine = record["gene"] != "Gene12"  # as if the first sample had taken the first TSS only
    mine |= record["chrom"] == table.loc[table["gene"] == "Gene12", "chrom"].iloc[0]
    cut = {k: record[k][mine] for k in ("gene", "chrom", "pos", "strand")}
    a.uns["tilegrn"] = {**a.uns["tilegrn"], "tss": {**record, **cut}}
    model = train([a, b], exclude_chromosomes=[str(extra["chrom"].iloc[0])], **QUICK)
    assert "Gene12" not in model.vocabulary.genes


def test_the_ranges_of_scale_are_those_that_train_reads(trained):
    mdata = ready()
    grn.pp.scale(mdata)
    model = train(mdata, **QUICK)
    tfs = list(model.vocabulary.tfs)
    np.testing.assert_array_equal(model.preparation.tf_max, mdata["rna"].var.loc[tfs, "scale_max"])
    record = mdata.uns["tilegrn"]["scale"]
    at = np.searchsorted(record["window"], model.vocabulary.windows)
    np.testing.assert_array_equal(model.preparation.window_max, record["window_max"][at])
    plain = trained[1].preparation  # fitted by train itself, in the same way
    np.testing.assert_array_equal(plain.tf_max, model.preparation.tf_max)
    mdata["rna"].var["scale_max"] *= 2  # and not fitted anew
    assert (train(mdata, **QUICK).preparation.tf_max == 2 * plain.tf_max).all()


def test_ranges_of_other_cells_counts_or_tfs_are_refused():
    mdata = ready()
    grn.pp.scale(mdata)
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    with pytest.raises(StaleError, match=r"scaled by the layer 'X', not by 'counts'\. Run grn\.pp\.scale"):
        train(mdata, layer="counts", **QUICK)
    grn.pp.mark_tfs(mdata, ["Gene3"])
    with pytest.raises(StaleError, match=r"1 TFs were marked after.*'Gene3'\. Run grn\.pp\.scale"):
        train(mdata, **QUICK)
    grn.pp.scale(mdata)
    grn.pp.split_cells(mdata, seed=5)
    with pytest.raises(StaleError, match=r"other training cells.*Run grn\.pp\.scale"):
        train(mdata, **QUICK)


def test_genes_of_excluded_chromosomes_are_predicted_from_their_windows():
    mdata = ready()
    model = train(mdata, exclude_chromosomes=["chr2"], **QUICK)
    assert 0 < len(model.vocabulary.genes) < mdata["rna"].n_vars
    predict(mdata, model)
    origin = mdata["rna"].var["predicted_from"]
    assert set(origin) == {"trained", "windows"}
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()


def test_without_binding_it_trains_from_names_alone():
    mdata = simulated()
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.mark_tfs(mdata, [f"Tf{i}" for i in range(1, 9)])
    predict(mdata, train(mdata, **QUICK))
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()


def test_missing_steps_name_the_call():
    mdata = simulated()
    with pytest.raises(MissingStepError, match="bin_peaks"):
        train(mdata, **QUICK)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    with pytest.raises(MissingStepError, match="tss_distance"):
        train(mdata, **QUICK)
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    with pytest.raises(MissingStepError, match="mark_tfs"):
        train(mdata, **QUICK)


def test_a_failing_loss_is_named():
    config = dataclasses.replace(TINY, learning_rate=1e30, gradient_clip=1e30, teacher=None)
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train(ready(), config=config, progress=False, accelerator="cpu")


def test_ctrl_c_keeps_the_best_so_far():
    import lightning.pytorch as pl

    class Interrupt(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    mdata = ready()
    config = dataclasses.replace(TINY, max_epochs=30)
    model = train(mdata, config=config, n_models=3, callbacks=[Interrupt()], progress=False, accelerator="cpu")
    assert len(model.networks) == model.record["n_models"] == 1  # those to come were not wanted any more
    assert len(model.record["history"][0]["train_loss"]) == 1
    predict(mdata, model)
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()


def test_a_killed_training_ends_the_process():
    import lightning.pytorch as pl

    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        train(ready(), callbacks=[Kill()], **QUICK)
    assert stop.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_lightning_callbacks_and_loggers_are_handed_on(tmp_path):
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import CSVLogger

    seen = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            seen.append(float(trainer.callback_metrics["val_loss"]))

    train(ready(), callbacks=[Watch()], logger=CSVLogger(tmp_path), **QUICK)
    assert len(seen) == TINY.max_epochs
    assert any(name.endswith("metrics.csv") for _, _, names in os.walk(tmp_path) for name in names)


def test_bad_arguments():
    with pytest.raises(InputError, match="n_models"):
        train(ready(), n_models=0, **QUICK)
    with pytest.raises(InputError, match="empty list"):
        train([], **QUICK)
    with pytest.raises(InputError, match="chr9"):
        train(ready(), exclude_chromosomes=["chr9"], **QUICK)
    with pytest.raises(InputError, match="No obs column 'donor'"):
        train(ready(), sample="donor", **QUICK)
    with pytest.raises(InputError, match="loss"):
        train(ready(), loss="l1", **QUICK)


def test_an_early_stop_of_the_callers_takes_the_place_of_ours():
    """Lightning refuses two that watch the same loss."""
    from lightning.pytorch.callbacks import EarlyStopping

    config = dataclasses.replace(TINY, max_epochs=4)
    stop = EarlyStopping("val_loss", patience=1, min_delta=1e9)
    model = train(ready(), config=config, callbacks=[stop], progress=False, accelerator="cpu")
    assert len(model.record["history"][0]["val_loss"]) == 2


def test_the_promoter_is_as_wide_as_the_windows():
    mdata = simulated()
    grn.pp.bin_peaks(mdata, sizes_of(mdata), window_size=2000)
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    grn.pp.split_cells(mdata, seed=0)
    model = train(mdata, **QUICK)
    head = model.networks[0].cis
    near = head.pairs.distance <= 3000
    assert model.config.promoter == 3000
    assert near.any()
    np.testing.assert_array_equal(head.column % 2, ~near)
