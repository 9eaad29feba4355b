"""A written h5mu, and a copy of it for each test."""

import pytest
from tests.io.h5mu._files import build

from tilegrn.io.h5mu._h5mu import write_h5mu


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "x.h5mu"
    write_h5mu(path, build())
    return path.read_bytes()


@pytest.fixture
def path(written, tmp_path):
    (tmp_path / "x.h5mu").write_bytes(written)
    return tmp_path / "x.h5mu"
