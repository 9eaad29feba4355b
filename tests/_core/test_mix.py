"""Random bits by hash: the reference numbers of splitmix64, and shares."""

from __future__ import annotations

import numpy as np

from tilegrn._core.mix import drawn, limit, uniform


def test_draws_are_those_of_splitmix64():
    """The first numbers of the reference implementation with seed 1234567 (Vigna, splitmix64.c)."""
    want = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    np.testing.assert_array_equal(drawn(1234567, np.arange(5)), np.array(want, dtype=np.uint64))


def test_draws_are_uniform_and_follow_the_share():
    bits = drawn(np.arange(200, dtype=np.uint64)[:, None], np.arange(500))
    u = uniform(bits)
    assert 0 <= u.min() < 0.001
    assert 0.999 < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 0.3
    for share in (0.0, 0.2, 0.75):
        assert abs((bits < limit(share)).mean() - share) < 0.005
    assert (bits < limit(0.0)).sum() == 0
    assert (bits < limit(1.0)).all()
