"""What the module of readers and writers shows."""

from __future__ import annotations

import pytest

from tilegrn import io


def test_names_are_those_that_are_there():
    assert dir(io) == sorted(io.__all__)
    with pytest.raises(AttributeError, match=r"^module 'tilegrn.io' has no attribute 'read_gff'$"):
        io.read_gff  # noqa: B018


def test_a_model_is_read_where_torch_is(tmp_path):
    pytest.importorskip("torch")
    from tilegrn.errors import InputError
    from tilegrn.io._model import load_model

    assert io.load_model is load_model
    with pytest.raises(InputError, match="nothing"):
        io.load_model(tmp_path / "nothing")
