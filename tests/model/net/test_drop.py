"""Dropout by hash: shares, scale, and the reference of the hash."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tilegrn._core.mix import mix  # noqa: E402
from tilegrn.model.net.drop import CellDropout, _mix, number_dropouts  # noqa: E402


def test_torch_and_numpy_hash_alike():
    x = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    got = _mix(torch.from_numpy(x.view(np.int64))).numpy().view(np.uint64)
    np.testing.assert_array_equal(got, mix(x))


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_units_are_dropped_in_the_share_asked_for_and_the_rest_made_up(rate):
    layer = CellDropout(rate)
    x = torch.ones(300, 7, 11)
    out = layer(x, torch.arange(300) * 7919)
    assert abs((out == 0).float().mean() - rate) < 0.01
    assert abs(out.mean() - 1) < 0.02
    units = (out == 0).float().mean(0)
    assert (units < rate + 0.15).all()  # no unit falls out of every cell
    layer.eval()
    assert layer(x, torch.arange(300)).equal(x)
    assert layer(x, None).equal(x)


def test_layers_draw_apart():
    net = torch.nn.ModuleList([CellDropout(0.5), torch.nn.Linear(2, 2), CellDropout(0.5)])
    number_dropouts(net)
    x, noise = torch.ones(50, 40), torch.arange(50)
    first, second = (net[i](x, noise) == 0 for i in (0, 2))
    assert 0.4 < (first == second).float().mean() < 0.6
    assert first.equal(net[0](x, noise) == 0)
