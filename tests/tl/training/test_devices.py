"""Training on several devices and in half precision."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.model._made import made  # noqa: E402
from tests.tl._ready import TINY, ready  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn.errors import InputError  # noqa: E402
from tilegrn.model.data.batches import BatchMaker  # noqa: E402
from tilegrn.model.fit.training import Training  # noqa: E402

SCRIPT = """
import os, sys, warnings
from pathlib import Path
from tests.tl._ready import ready
from tests.tl.training.test_devices import configs
import tilegrn as grn

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
for name, config in configs().items():
    model = grn.tl.train(
        ready(n_cells=200), config=config, n_models=2, progress=False, accelerator="cpu", devices=2, strategy="ddp"
    )
    model.save(folder / name)
    (folder / f"{name}-{os.environ.get('LOCAL_RANK', 0)}").touch()
"""


NODE = """
import sys, warnings
from pathlib import Path
from tests.tl._ready import ready
from tests.tl.training.test_devices import configs
import tilegrn as grn

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
model = grn.tl.train(
    ready(n_cells=200), config=configs()["teacher"], progress=False, accelerator="cpu", num_nodes=2, strategy="ddp",
    checkpoint=folder / "checkpoint",
)
model.save(folder / "model")
"""


def configs():
    choices = {"batch_size": 17, "max_epochs": 5}  # 17 cells: shares of 9 and 8
    return {
        "teacher": dataclasses.replace(TINY, **choices),
        "regression": dataclasses.replace(TINY, teacher=None, patience=1, **choices),
        "parts off": dataclasses.replace(TINY, use_windows=False, **choices),
    }


def tensors(model):
    return {f"{i}.{k}": v for i, net in enumerate(model.networks) for k, v in net.state_dict().items()}


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one(tmp_path):
    """Both see the same cells and noise in a step; they add gradients in another order, which Adam's steps pass on.

    So weights agree to 1e-4 of the largest of their tensor (measured: 5e-6), and losses to six digits.
    """
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env=env(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name, config in configs().items():
        assert (tmp_path / f"{name}-0").exists()
        assert (tmp_path / f"{name}-1").exists()  # the second process came to its end too
        one = grn.tl.train(ready(n_cells=200), config=config, n_models=2, progress=False, accelerator="cpu")
        alike(one, grn.io.load_model(tmp_path / name))


def alike(one, two):
    other = tensors(two)
    for key, tensor in tensors(one).items():
        size = float(tensor.abs().max()) if tensor.numel() else 0.0
        torch.testing.assert_close(other[key], tensor, rtol=0, atol=1e-4 * size, msg=lambda m, key=key: f"{key}: {m}")
    for mine, its in zip(one.record["history"], two.record["history"], strict=True):
        assert mine.keys() == its.keys()
        for key, losses in mine.items():
            np.testing.assert_allclose(its[key], losses, rtol=1e-6, atol=1e-6, err_msg=key)


@pytest.mark.slow
def test_two_nodes_train_to_the_weights_of_one(tmp_path):
    """Each node's process is started by hand, as Lightning wants it where no scheduler does; both are this machine."""
    script = tmp_path / "script.py"
    script.write_text(NODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    nodes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            cwd=Path(__file__).parents[3],
            env=env() | there | {"NODE_RANK": str(i)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    said = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    one = grn.tl.train(ready(n_cells=200), config=configs()["teacher"], progress=False, accelerator="cpu")
    alike(one, grn.io.load_model(tmp_path / "model"))


def env():
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
    return {k: v for k, v in os.environ.items() if not k.startswith("COV_")} | {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
    }


def test_shares_of_a_batch_give_its_gradient():
    """The mean over processes of the weighed losses' gradients, which DDP takes, is the gradient of the whole batch."""
    data, network, config, _, _ = made(n_cells=22, batch_size=11, dropout=0.3)
    module = Training(network, BatchMaker(data, config), None, None, torch.tensor([0, 2, -1, -1, 3]), config, 0)
    network.train()

    def gradient(batches):
        network.zero_grad()
        for batch in batches:
            (module.training_step(batch, 0) / len(batches)).backward()
        return {n: p.grad.clone() for n, p in network.named_parameters()}

    alone = list(module.maker.epoch(0, 1))
    shares = [list(module.maker.epoch(0, 1, rank=r, world=3)) for r in range(3)]
    for whole, *parts in zip(alone, *shares, strict=True):
        assert len({len(p.cells) for p in parts}) == 2
        want = gradient([whole])
        for name, got in gradient(parts).items():
            torch.testing.assert_close(got, want[name], rtol=1e-4, atol=1e-6, msg=name)


def test_a_failing_loss_names_its_epoch():
    config = dataclasses.replace(TINY, learning_rate=1e30, gradient_clip=1e30, teacher=None, max_epochs=5)
    with pytest.raises(FloatingPointError, match="in epoch 2, step 1 of 1, at the learning rate"):
        grn.tl.train(ready(), config=config, progress=False, accelerator="cpu")


def test_half_precision_trains_and_is_judged_in_full():
    full, half = (
        grn.tl.train(ready(), config=TINY, progress=False, accelerator="cpu", precision=p)
        for p in ("32-true", "bf16-mixed")
    )
    assert all(p.dtype == torch.float32 for p in half.networks[0].parameters())
    for key in ("train_loss", "val_loss"):
        a, b = (np.array(m.record["history"][0][key]) for m in (full, half))
        assert (a != b).any()
        np.testing.assert_allclose(a, b, rtol=0.01)
    mdata = ready()
    grn.tl.predict(mdata, half)
    assert np.isfinite(mdata["rna"].layers["predicted"]).all()
    for precision in ("bf16-true", "16-true"):
        with pytest.raises(InputError, match=precision.replace("true", "mixed")):
            grn.tl.train(ready(), config=TINY, progress=False, accelerator="cpu", precision=precision)


def test_history_and_end_come_back_from_a_spawned_process():
    data, network, config, _, _ = made()
    there, here = (Training(network, BatchMaker(data, config), None, None, torch.zeros(0), config, 0) for _ in "ab")
    there.history["train_loss"].append(0.5)
    there.done = True
    history = here.history
    here.load_state_dict(there.state_dict())
    assert history["train_loss"] == [0.5]
    assert here.done
    assert json.loads(json.dumps(here.get_extra_state())) == here.get_extra_state()
