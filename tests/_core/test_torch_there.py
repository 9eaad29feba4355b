"""Without torch: what needs it says so before any work."""

from __future__ import annotations

import pytest
from tests._small import small

import tilegrn as grn
from tilegrn._core import torch_there
from tilegrn.cli import main
from tilegrn.errors import ToolError
from tilegrn.tl.evaluate._scorecard import _fit_baseline


@pytest.fixture(params=[("torch",), ("lightning",), ("torch", "lightning")], ids="-".join)
def missing(request, monkeypatch):
    monkeypatch.setattr(torch_there, "find_spec", lambda name: None if name in request.param else name)
    return request.param


def test_calls_name_what_is_missing_and_what_works_without(missing, tmp_path):
    said = rf"needs {' and '.join(missing)}: pip install {' '.join(missing)}\. Without a model there are"
    with pytest.raises(ToolError, match=rf"^grn\.tl\.train {said}"):
        grn.tl.train(small())
    with pytest.raises(ToolError, match=rf"^grn\.io\.load_model {said}"):
        grn.io.load_model(tmp_path)
    with pytest.raises(ToolError, match=rf"^The baseline 'mlp_teacher' {said}"):
        _fit_baseline("mlp_teacher", None, 0, 1)


@pytest.mark.parametrize("words", [["demo"], ["run", "cells.h5mu", "--genome", "mm10"]], ids=lambda w: w[0])
def test_commands_end_before_they_begin(missing, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert f"error: tilegrn {words[0]} needs {missing[0]}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_said_where_both_are_there(monkeypatch):
    monkeypatch.setattr(torch_there, "find_spec", lambda name: name)
    torch_there.needs_torch("x")
