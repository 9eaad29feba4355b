"""A training that survives: the same weights after any stop, and nothing taken for another training."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import lightning.pytorch as pl  # noqa: E402
from tests.tl._ready import TINY, ready  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn.errors import InputError, StaleError  # noqa: E402
from tilegrn.tl.training._train import train  # noqa: E402

CONFIG = dataclasses.replace(TINY, max_epochs=4, batch_size=17)
"""Five steps an epoch; weights are averaged from step 14 of 20 on."""
QUICK = {"config": CONFIG, "progress": False, "accelerator": "cpu"}


class At(pl.Callback):
    """Does something before a step, and keeps the optimiser's state at the end."""

    def __init__(self, step=-1, what=None):
        self.step, self.what, self.steps = step, what, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.steps.append(pl_module.step)
        if pl_module.step == self.step:
            self.what()

    def on_train_end(self, trainer, pl_module):
        self.optimiser = trainer.optimizers[0].state_dict()


def lost():
    raise RuntimeError("the power is gone")


def fall(folder, step, **choices):
    with pytest.raises(RuntimeError, match="power"):
        train(ready(), checkpoint=folder, callbacks=[At(step, lost)], **(QUICK | choices))


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def alike(one, other):
    assert len(one.networks) == len(other.networks)
    for mine, its in zip(one.networks, other.networks, strict=True):
        assert same(dict(mine.state_dict()), dict(its.state_dict()))
    assert one.record["history"] == other.record["history"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the processes that tests start: what ran before (numba over OpenMP, for one) may have left more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(one_thread):
    end = At()
    model = train(ready(), callbacks=[end], **QUICK)
    return model, end.optimiser


def test_a_training_that_falls_again_and_again_ends_as_if_nothing_had_been(whole, tmp_path):
    """In the first step, within epochs, at their ends, while weights are averaged: the same to the last bit."""
    model, optimiser = whole
    for step in (0, 3, 5, 9, 16, 19):
        fall(tmp_path / "x", step, checkpoint_every=2)
    end = At()
    again = train(ready(), checkpoint=tmp_path / "x", callbacks=[end], **QUICK)
    assert end.steps[0] == 17  # of 20: every other one was kept after that at the end of the third epoch
    alike(again, model)
    assert same(end.optimiser, optimiser)
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["model"]
    assert grn.io.load_model(tmp_path / "x" / "model").record["history"] == model.record["history"]


@pytest.mark.parametrize(
    "choices",
    [
        {"config": dataclasses.replace(CONFIG, teacher=None, loss="nb"), "n_models": 2},
        {"config": dataclasses.replace(CONFIG, patience=1, learning_rate=0.05)},
        {"precision": "bf16-mixed"},
        {"split": None},
    ],
    ids=["regression", "early stop", "half precision", "no validation"],
)
def test_so_it_does_with_other_choices(choices, tmp_path):
    choices = QUICK | choices
    model = train(ready(), **choices)
    for step in (4, 8):
        fall(tmp_path, step, checkpoint_every=3, **choices)
    alike(train(ready(), checkpoint=tmp_path, **choices), model)


def test_states_are_kept_at_ends_of_epochs_the_last_two_and_that_of_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr("tilegrn.model.fit.training.Training._held_out", _worse(2))
    monkeypatch.setattr("tilegrn.model.fit.steps._SHARE", float("inf"))
    fall(tmp_path, 17)
    assert sorted(p.name for p in (tmp_path / "network1").iterdir()) == [
        "step-00000005",
        "step-00000010",
        "step-00000015",
    ]


def test_epochs_shorter_than_writing_allows_end_without_a_state(tmp_path, monkeypatch):
    monkeypatch.setattr("tilegrn.model.fit.steps._SHARE", 0.0)
    fall(tmp_path, 17)
    assert [p.name for p in (tmp_path / "network1").iterdir()] == ["step-00000005"]


def _worse(n):
    """Losses that rise from epoch to epoch."""
    calls = iter(range(1000))
    return lambda self, batch: torch.full((len(batch.cells),), float(next(calls)))


def test_networks_that_are_done_are_not_trained_again(tmp_path):
    first = At()
    with pytest.raises(RuntimeError, match="power"):
        train(ready(), n_models=2, checkpoint=tmp_path, callbacks=[first, Second()], **QUICK)
    assert [p.name for p in (tmp_path / "network1").iterdir()] == ["done"]
    again = At()
    model = train(ready(), n_models=2, checkpoint=tmp_path, callbacks=[again], **QUICK)
    assert again.steps == list(range(5, 20))
    plain = ready()
    alike(model, train(plain, n_models=2, **QUICK))
    mdata, none = ready(), At()
    read = train(mdata, n_models=2, checkpoint=tmp_path, callbacks=[none], **QUICK)
    assert none.steps == []
    alike(read, model)
    assert mdata.uns["tilegrn"]["train"]["n_models"] == 2
    for m, one in ((mdata, read), (plain, model)):
        grn.tl.predict(m, one)
    for layer in ("predicted", "predicted_sd"):
        np.testing.assert_array_equal(mdata["rna"].layers[layer], plain["rna"].layers[layer])


class Second(pl.Callback):
    """Fails in the second network's seventh step."""

    n = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.n += 1
        if self.n == 27:
            lost()


def test_another_training_is_named_and_refused(tmp_path):
    fall(tmp_path, 7)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(StaleError, match=r"width \(16 there, 32 now\), seed \(0 there, 1 now\)\. Name another"):
        train(ready(), seed=1, checkpoint=tmp_path, **(QUICK | {"config": dataclasses.replace(CONFIG, width=32)}))
    with pytest.raises(StaleError, match="counts and accessibility, TFs, distances and binding, training cells"):
        train(ready(seed=2, n_cells=130), checkpoint=tmp_path, **QUICK)
    other = ready()
    other.obs["split"] = other.obs["split"].to_numpy()[::-1]
    with pytest.raises(StaleError, match="differs: training cells, validation cells"):
        train(other, checkpoint=tmp_path, **QUICK)
    other = ready()
    other["rna"].varm["homer_binding"] *= 2
    with pytest.raises(StaleError, match=r"differs: TFs, distances and binding\."):
        train(other, checkpoint=tmp_path, **QUICK)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_damaged_state_is_named_and_the_one_before_it_taken(whole, tmp_path, caplog):
    fall(tmp_path, 12, checkpoint_every=100)
    newest = tmp_path / "network1" / "step-00000010" / "arrays.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    end = At()
    with caplog.at_level(logging.WARNING, "tilegrn"):
        alike(train(ready(), checkpoint=tmp_path, callbacks=[end], **QUICK), whole[0])
    assert end.steps[0] == 5
    assert f"'{newest}' does not match its SHA-256 sum" in caplog.text
    assert "The checkpoint before it is used." in caplog.text


def test_where_nothing_is_intact_it_says_how_to_start_over(tmp_path):
    fall(tmp_path, 12, checkpoint_every=100)
    for file in tmp_path.rglob("manifest.json"):
        file.unlink()
    with pytest.raises(InputError, match=r"network1' is intact: .*step-00000010.* Remove that folder"):
        train(ready(), checkpoint=tmp_path, **QUICK)


def test_a_damaged_end_says_how_to_start_over(tmp_path):
    train(ready(), checkpoint=tmp_path, **QUICK)
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"model\.json.*Or remove"):
        train(ready(), checkpoint=tmp_path, **QUICK)


def test_folders_of_something_else_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"more than checkpoints \(notes.txt\)"):
        train(ready(), checkpoint=tmp_path, **QUICK)
    with pytest.raises(InputError, match="no folder"):
        train(ready(), checkpoint=tmp_path / "notes.txt", **QUICK)
    with pytest.raises(InputError, match="checkpoint_every is 0"):
        train(ready(), checkpoint=tmp_path / "x", checkpoint_every=0, **QUICK)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_two_trainings_in_one_folder_are_refused(tmp_path, monkeypatch, caplog):
    """Before any work, and by the lock of the system: a process that is killed holds nothing."""
    fall(tmp_path, 2)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="Another training keeps itself"):
        train(ready(), checkpoint=tmp_path, **QUICK)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    os.close(held)

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    train(ready(), checkpoint=tmp_path, **QUICK)
    assert "lies on a disk without locks" in caplog.text


def test_a_full_disk_does_not_end_the_training(whole, tmp_path, monkeypatch, caplog):
    from tilegrn.errors import WriteError

    def full(*_args, **_choices):
        raise WriteError("'x' could not be written: no space left. Make room.")

    monkeypatch.setattr("tilegrn.model.fit.checkpoints.Checkpoints.save", full)
    with caplog.at_level(logging.WARNING, "tilegrn"):
        alike(train(ready(), checkpoint=tmp_path, **QUICK), whole[0])
    assert "no space left. Make room. Training goes on." in caplog.text


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_step_and_saves(number, whole, tmp_path, caplog):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    seen = At(7, send(number))
    asked = {"checkpoint": tmp_path, "callbacks": [seen], **QUICK}
    with caplog.at_level(logging.WARNING, "tilegrn"):
        if number == signal.SIGTERM:
            with pytest.raises(SystemExit) as stop:
                train(ready(), **asked)
            assert stop.value.code == 143
        else:
            model = train(ready(), **asked)
            assert model.record["interrupted"]
            assert len(model.record["history"][0]["train_loss"]) == 1
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert "interrupted in epoch 2 after step 2" in caplog.text
    assert "goes on from" in caplog.text
    assert "step-00000007" in caplog.text
    end = At()
    again = train(ready(), checkpoint=tmp_path, callbacks=[end], **QUICK)
    assert end.steps[0] == 7
    alike(again, whole[0])
    assert "interrupted" not in again.record


class Twice(pl.Callback):
    """Two signals within one step."""

    def __init__(self, number):
        self.number, self.finished = number, False

    def on_before_backward(self, trainer, pl_module, loss):
        if pl_module.step == 7:
            send(self.number)()
            send(self.number)()
            self.finished = True


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_second_signal_ends_at_once(number, error, tmp_path):
    twice = Twice(number)
    before = signal.getsignal(number)
    with pytest.raises(error):
        train(ready(), checkpoint=tmp_path, callbacks=[twice], **QUICK)
    assert not twice.finished
    assert signal.getsignal(number) is before
    assert [p.name for p in (tmp_path / "network1").iterdir()] == ["step-00000005"]


def test_signals_are_left_alone_outside_the_main_thread():
    from concurrent.futures import ThreadPoolExecutor

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        model = pool.submit(train, ready(), **QUICK).result()
    assert len(model.networks) == 1
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_at_its_step_and_names_the_cells(what, tmp_path):
    mdata = ready()
    names = []

    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if pl_module.step == 8:
                cells = sorted(mdata.obs_names[mdata.obs["split"] == "train"])
                names.extend(cells[i] for i in batch.cells.tolist())
                if what == "loss":
                    batch.counts[3] = float("nan")

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            if what == "gradient" and pl_module.step == 8:
                pl_module.network.gene_bias.grad[2] = float("inf")

    said = "training loss became nan" if what == "loss" else "gradient's norm became inf"
    keys = set(mdata.uns["tilegrn"])
    with pytest.raises(FloatingPointError, match=rf"{said} in epoch 2, step 4 of 5, at the learning rate") as error:
        train(mdata, checkpoint=tmp_path, callbacks=[Poison()], **QUICK)
    assert ", ".join(f"'{n}'" for n in names[:3]) in str(error.value)
    assert f"{len(names) - 3} more" in str(error.value)
    assert set(mdata.uns["tilegrn"]) == keys
    assert [p.name for p in (tmp_path / "network1").iterdir()] == ["step-00000005"]


KILLED = """
import os, signal, sys
import lightning.pytorch as pl
from tests.tl._ready import ready
from tests.tl.training.test_resume import QUICK, At
from tilegrn.tl.training._train import train

end = At(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))
train(ready(), checkpoint=sys.argv[1], checkpoint_every=2, callbacks=[end], **QUICK)
"""


def run(*words, code=KILLED):
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    script = Path(words[0]).with_suffix(".py")  # which Lightning starts once more for a second process
    script.write_text(code)
    return subprocess.run(
        [sys.executable, str(script), *words], cwd=root, env=environment, capture_output=True, timeout=300
    )


@pytest.mark.slow
def test_sigkill_too(whole, tmp_path):
    for step in ("7", "13"):
        done = run(str(tmp_path / "x"), step)
        assert done.returncode == -signal.SIGKILL, done.stderr
    alike(train(ready(), checkpoint=tmp_path / "x", **QUICK), whole[0])


TWO = """
import os, signal, sys, warnings
from tests.tl._ready import ready
from tests.tl.training.test_resume import QUICK, At
from tilegrn.tl.training._train import train

warnings.simplefilter("ignore")
checkpoint, step, out = sys.argv[1:]
end = At(int(step), lambda: os.kill(os.getpid(), signal.SIGKILL))
kept = {"checkpoint": checkpoint, "checkpoint_every": 3} if checkpoint != out else {}
model = train(ready(), devices=2, strategy="ddp", callbacks=[end], **kept, **QUICK)
model.save(out)
"""


@pytest.mark.slow
def test_two_processes_go_on_as_one(tmp_path):
    """Both are killed in one step; the first alone writes, and both take up what it wrote."""
    wanted, kept, out = (str(tmp_path / name) for name in ("wanted", "kept", "out"))
    done = run(wanted, "-1", wanted, code=TWO)
    assert done.returncode == 0, done.stderr
    assert run(kept, "8", out, code=TWO).returncode != 0
    assert [p.name for p in sorted((tmp_path / "kept" / "network1").iterdir())] == ["step-00000003", "step-00000005"]
    done = run(kept, "-1", out, code=TWO)
    assert done.returncode == 0, done.stderr
    alike(grn.io.load_model(out), grn.io.load_model(wanted))
