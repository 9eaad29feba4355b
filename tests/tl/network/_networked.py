"""A small simulated sample with a trained pair of networks and its edges, made once."""

from __future__ import annotations

import functools

import pytest
from tests._small import copied
from tests.tl._ready import TINY, ready

import tilegrn as grn


@functools.cache
def trained():
    pytest.importorskip("torch")
    mdata = ready(1, 120)
    model = grn.tl.train(mdata, config=TINY, max_epochs=6, n_models=2, progress=False)
    return mdata, model


@functools.cache
def _networked():
    from tilegrn.tl.network._edges import edges

    mdata, model = trained()
    out = edges(mdata, model, max_cells=40, max_cres=50, copy=True)
    return out, model


def networked():
    mdata, model = _networked()
    return copied(mdata), model
