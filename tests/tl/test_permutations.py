"""No answer depends on the order of cells, genes, peaks or modalities."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("decoupler")
pytest.importorskip("lightgbm")
pytest.importorskip("matplotlib")

import tilegrn as grn
from tests._small import copied
from tests.tl._everything import (
    EXEMPT,
    QUICK,
    assert_same,
    everything,
    of_card,
    of_network,
    public,
    raw,
    shuffled,
    stale,
    walk,
)

CLOSE = {"rtol": 2e-3, "atol": 2e-5}
"""Sums over cells are made in another order, in float32."""


@pytest.fixture(scope="module")
def straight():
    return walk(raw())


@pytest.fixture(scope="module")
def model(straight):
    return grn.tl.train(copied(straight), **QUICK)


class Answers(dict):
    """So many tables that hypothesis should not print them."""

    def __repr__(self):
        return f"{len(self)} answers"


@pytest.fixture(scope="module")
def answers(straight, model):
    return Answers(everything(copied(straight), model))


def test_every_public_call_is_covered_or_exempt(answers):
    """A new public function that takes a MuData belongs into tests/tl/_everything.py."""
    covered = {name.split(":")[0] for name in answers} | {"tl.train"}
    assert public() == covered | set(EXEMPT)
    assert not covered & set(EXEMPT)


@settings(max_examples=3, deadline=None, database=None, phases=[Phase.generate])  # a smaller seed explains nothing
@given(seed=st.integers(0, 2**32 - 1), since=st.booleans())
def test_answers_do_not_depend_on_any_order(straight, model, answers, seed, since):
    rng = np.random.default_rng(seed)
    mdata = stale(straight, rng) if since else walk(shuffled(raw(), rng))
    assert_same(everything(mdata, model), answers, **CLOSE)


@pytest.mark.parametrize("kind", ["raw", "prepared"])
def test_training_does_not_depend_on_any_order(straight, model, kind):
    rng = np.random.default_rng(5)
    mdata = walk(shuffled(raw(), rng)) if kind == "raw" else stale(straight, rng)
    again = grn.tl.train(mdata, **QUICK)
    assert again.record["input_sha256"] == model.record["input_sha256"]
    assert again.vocabulary.genes == model.vocabulary.genes
    for a, b in zip(again.networks, model.networks, strict=True):
        mine, its = a.state_dict(), b.state_dict()
        assert list(mine) == list(its)
        for name, value in its.items():
            np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def judged(mdata, model):
    """What is drawn and trained anew for judging."""
    grn.tl.predict(mdata, model)
    grn.tl.edges(mdata, model, max_cells=20)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Depth alone explains")
        card = grn.tl.scorecard(mdata, baselines=["mlp", "deepset"], n_bootstrap=0, n_models=1)
    truth = mdata.uns["simulation"]["edges"]
    score = grn.tl.evaluate_network(mdata, truth, baselines=["trees"], targets="truth", max_cells=60, min_targets=2)
    return of_card(card) | of_network(score)


def test_trained_baselines_do_not_depend_on_any_order(straight, model):
    want = judged(copied(straight), model)
    assert_same(judged(stale(straight, np.random.default_rng(7)), model), want, **CLOSE)
