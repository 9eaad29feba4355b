"""tools/run_notebooks.py --check: executes without writing, tries all, fails if one does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TOOL = Path(__file__).resolve().parents[1] / "tools" / "run_notebooks.py"


@pytest.fixture
def tool(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("run_notebooks", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "")  # main sets it; restored afterwards
    monkeypatch.setattr("sys.argv", ["run_notebooks.py", "--check"])
    return module


def test_needed_data_that_are_absent_leave_a_notebook_out(tool, monkeypatch, tmp_path, caplog):
    (tmp_path / "mouse_cortex.py").write_text("# %%\nraise ValueError\n")
    monkeypatch.delenv("TILEGRN_REAL_DATA", raising=False)
    caplog.set_level("INFO")
    tool.main()
    assert "mouse_cortex: left out, $TILEGRN_REAL_DATA names no data" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_all_are_tried_and_nothing_is_written(tool, tmp_path, caplog):
    (tmp_path / "bad.py").write_text("# %%\nassert 1 + 1 == 3, 'wrong sum'\n")
    (tmp_path / "good.py").write_text("# %%\n1 + 1\n")
    caplog.set_level("INFO")
    with pytest.raises(SystemExit, match="1 failed: bad"):
        tool.main()
    assert "wrong sum" in caplog.text
    assert "good:" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.py", "good.py"]


def test_every_needed_notebook_exists(tool):
    assert set(tool.NEEDS) <= {path.stem for path in (TOOL.parents[1] / "notebooks").glob("*.py")}
