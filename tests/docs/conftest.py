"""The folder and names of the documentation's code, made once."""

from __future__ import annotations

import os
import shutil
import sys
from types import SimpleNamespace

import pytest

from tests.docs import _sandbox


@pytest.fixture(scope="session")
def walked(tmp_path_factory):
    """Files, and a MuData after preprocessing; no torch."""
    folder = tmp_path_factory.mktemp("docs")
    _sandbox.files(folder)
    return SimpleNamespace(folder=folder, mdata=_sandbox.walked(folder), model=None)


@pytest.fixture(scope="session")
def finished(walked):
    """The same with a model, predictions, scorecard and edges."""
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    mdata = _sandbox.copied(walked.mdata)
    return SimpleNamespace(folder=walked.folder, mdata=mdata, model=_sandbox.finished(walked.folder, mdata))


@pytest.fixture(autouse=True)
def same_threads():
    """Give torch its number of threads back: decoupler's compiled loops (``tl.regulons``) change it for the process."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if before is not None:
        torch.set_num_threads(before)


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Return a function that goes into a folder of links to a sandbox's files; what code writes stays there."""

    def enter(sandbox) -> dict[str, object]:
        for path in sandbox.folder.iterdir():
            if path.is_dir():
                shutil.copytree(path, tmp_path / path.name)
            else:
                os.link(path, tmp_path / path.name)
        monkeypatch.chdir(tmp_path)
        return _sandbox.names(sandbox.mdata, sandbox.model)

    return enter
