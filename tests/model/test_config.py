"""What the defaults make of depth and density."""

from __future__ import annotations

import pytest

from tilegrn.model.config import ModelConfig, default_config


def test_the_teacher_fades_with_depth():
    def share(depth):
        teacher = default_config(n_cells=2000, depth=depth).teacher
        return 0.0 if teacher is None else teacher.weight

    assert [share(d) for d in (0, 1000, 2000, 3000, 9000)] == pytest.approx([0.9, 0.9, 0.45, 0.0, 0.0])


def test_guided_components_are_for_cells_with_few_open_windows():
    few, many = (default_config(n_cells=2000, n_open=n).n_guided for n in (78, 10_000))
    assert few == ModelConfig().n_guided > 0
    assert many == 0
