"""Execute notebooks/*.py (jupytext, percent format) into notebooks/*.ipynb, outputs included.

Usage: python tools/run_notebooks.py [NAME ...]
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
LARGEST = 1_000_000
"""Bytes that an executed notebook may take in the repository."""

logger = logging.getLogger("run_notebooks")


def run(source: Path) -> None:
    """Execute one notebook and keep it with its outputs."""
    start = time.perf_counter()
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=3000, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # random ids would change with every run
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    text = nbformat.writes(notebook)
    if len(text) > LARGEST:
        sys.exit(f"{source.stem}.ipynb would take {len(text)} bytes, more than {LARGEST}")
    source.with_suffix(".ipynb").write_text(text + "\n", encoding="utf-8")
    logger.info("%s: %.0f s, %d bytes", source.stem, time.perf_counter() - start, len(text))


def main() -> None:
    """Run the notebooks named, or all."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # kernels inherit it; no page needs live progress bars
    for source in [FOLDER / f"{name}.py" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.py")):
        run(source)


if __name__ == "__main__":
    main()
