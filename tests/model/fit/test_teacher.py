"""The teacher: whom it finds alike."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tilegrn.model.fit import teacher as module  # noqa: E402
from tilegrn.model.fit.teacher import TeacherRates  # noqa: E402


def rates(n=60, seed=0):
    rng = np.random.default_rng(seed)

    def tensor(*shape):
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    return TeacherRates(tensor(n, 4), tensor(4, 30), tensor(30))


def test_alike_cells_are_the_nearest_in_log_rates_weighed_by_mean():
    teacher = rates()
    log_rate = (teacher.code @ teacher.loadings).numpy() * np.exp(teacher.offset.numpy() / 2)
    far = ((log_rate[:, None] - log_rate[None]) ** 2).sum(2)
    np.fill_diagonal(far, np.inf)
    np.testing.assert_array_equal(teacher.alike(5, seed=0), np.argsort(far, axis=1)[:, :5])


def test_alike_cells_are_looked_for_in_blocks_of_many_cells(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 20)
    teacher = rates(n=65)
    found = teacher.alike(3, seed=1)
    assert found.shape == (65, 3)
    assert (found != np.arange(65)[:, None]).all()
    blocks = np.array_split(np.random.default_rng(1).permutation(65), 3)
    of = np.empty(65, int)
    for i, block in enumerate(blocks):
        of[block] = i
    assert (of[found] == of[:, None]).all()
    np.testing.assert_array_equal(found, teacher.alike(3, seed=1))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_cells_have_few_others(n):
    assert rates(n=n).alike(10, seed=0).shape == (n, n - 1)
