"""Fixtures shared by all tests: where the real data lie, and loaders that skip by name where they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data():
    """Return a function that gives the path of a real data file, or skips the test naming it."""

    def find(name: str) -> Path:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"real data file {name} is not here (looked in {REAL_DATA}; set TILEGRN_REAL_DATA)")
        return path

    return find
