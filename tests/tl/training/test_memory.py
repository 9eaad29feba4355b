"""The memory that a training is said to need."""

from __future__ import annotations

import dataclasses
import logging

import pytest

torch = pytest.importorskip("torch")

from tests.tl._ready import TINY, ready  # noqa: E402

from tilegrn.errors import InputError  # noqa: E402
from tilegrn.model.config import ModelConfig  # noqa: E402
from tilegrn.tl.training import _memory  # noqa: E402
from tilegrn.tl.training._source import read_source  # noqa: E402
from tilegrn.tl.training._train import train  # noqa: E402

QUICK = {"config": dataclasses.replace(TINY, max_epochs=1), "progress": False, "accelerator": "cpu"}


@pytest.mark.parametrize("choices", [{}, {"width": 128, "n_blocks": 3}], ids=["default", "wide"])
def test_weights_are_counted_to_a_few_per_cent(choices):
    mdata = ready()
    config = ModelConfig(max_epochs=1, teacher=None, **choices)
    model = train(mdata, **(QUICK | {"config": config}))
    (net,), v = model.networks, model.vocabulary
    there = sum(p.numel() for p in net.parameters())
    config = dataclasses.replace(config, n_components=model.preparation.components.n, n_guided=0)
    told = _memory.n_weights(config, n_windows=len(v.windows), n_genes=len(v.genes), n_tfs=len(v.tfs))
    assert told == pytest.approx(there, rel=0.05)


def test_it_grows_with_what_it_is_of():
    source = read_source(ready(), rna="rna", atac="atac", layer=None, for_training=True)
    config = ModelConfig()

    def told(**choices):
        return _memory.expected_memory(source, 90, 40, dataclasses.replace(config, **choices))

    plain = told()
    assert told(batch_size=20)["a step"] < plain["a step"]
    assert told(width=128)["optimiser and copies"] > plain["optimiser and copies"]
    assert told(teacher=None)["optimiser and copies"] == pytest.approx(plain["optimiser and copies"] * 6 / 5)
    saving = _memory.expected_memory(source, 90, 40, config, saving=True)
    assert saving["optimiser and copies"] == pytest.approx(3 * plain["optimiser and copies"])


def test_it_is_told_before_the_start_with_a_warning_where_less_is_free(monkeypatch, caplog):
    monkeypatch.setattr(_memory, "_there", lambda: (1e6, 1e12))
    with caplog.at_level(logging.INFO, "tilegrn"):
        train(ready(), **QUICK)
    said = caplog.messages
    first = next(i for i, text in enumerate(said) if "GB for training (matrices" in text)
    assert "needs about" in said[first + 1]
    assert "0.001 GB are free: it may be killed. Keep fewer cells" in said[first + 1]
    assert first < next(i for i, text in enumerate(said) if "Fitting the teacher" in text)


def test_what_cannot_be_is_refused(monkeypatch):
    monkeypatch.setattr(_memory, "_there", lambda: (1e6, 1e6))
    mdata = ready()
    with pytest.raises(InputError, match=r"there are 0\.001 GB in all\. Keep fewer"):
        train(mdata, **QUICK)
    assert "train" not in mdata.uns["tilegrn"]
    monkeypatch.setattr(_memory, "_there", lambda: (None, None))
    train(mdata, **QUICK)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    machine = _memory._there()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert _memory._there()[1] == machine[1]
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("active_file 7\ninactive_file 100000\n")
    assert _memory._there() == (500000.0, 1000000.0)
