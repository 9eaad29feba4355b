"""What a long training is going to take is said once."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from tilegrn.model.fit import foretell


@pytest.mark.parametrize(("ms", "said"), [(100, "A step takes 100 ms, an epoch about 2 min; all 20 epochs"), (1, "")])
def test_time_is_foretold(ms, said, caplog, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(foretell.time, "monotonic", lambda: clock[0])
    trainer = SimpleNamespace(is_global_zero=True, max_epochs=20)
    callback = foretell.Foretells()
    with caplog.at_level(logging.INFO, logger="tilegrn"):
        for step in range(60):
            clock[0] += 5.0 if step < 4 else ms / 1000  # the first steps compile
            callback.on_train_batch_end(
                trainer, SimpleNamespace(step=step + 1, n_steps=lambda: 20_000), None, None, step
            )
    assert len(caplog.messages) == bool(said)
    assert not said or caplog.messages[0].startswith(said)
    assert not said or caplog.messages[0].endswith("at most 33 min more.")


@pytest.mark.parametrize(("seconds", "words"), [(40.4, "40 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations_are_said_as_people_do(seconds, words):
    assert foretell.in_words(seconds) == words
