"""Execute notebooks/*.py (jupytext, percent format) into notebooks/*.ipynb, outputs included.

Usage: python tools/run_notebooks.py [--check] [NAME ...]

With ``--check`` the sources are executed and nothing is written; all are tried, and the exit status says whether one
failed. Notebooks on data that are not here are then left out, by name. Without it they are an error.
"""

from __future__ import annotations

import argparse
import base64
import io
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
LARGEST = 1_000_000
"""Bytes that an executed notebook may take in the repository."""
NEEDS = {"mouse_cortex": "TILEGRN_REAL_DATA"}
"""Environment variables that name the data of a notebook."""

logger = logging.getLogger("run_notebooks")


def executed(source: Path) -> NotebookNode:
    """Run all cells of a source in a new kernel, and return the notebook with their outputs."""
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=3000, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # random ids would change with every run
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                logger.warning("%s, cell %d, says: %s", source.stem, number, output["text"].strip()[:500])
    notebook.metadata.pop("widgets", None)
    return notebook


def smaller(png: str) -> str:
    """Bring a picture (base64) to 256 colours, which no figure here needs more of, if that takes fewer bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    out = io.BytesIO()
    flat.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    text = base64.b64encode(out.getvalue()).decode("ascii") + "\n"
    return min(png, text, key=len)


def shrink(notebook: NotebookNode) -> None:
    """Make the pictures of a notebook smaller, in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])


def keep(source: Path, notebook: NotebookNode) -> None:
    """Write an executed notebook beside its source."""
    shrink(notebook)
    text = nbformat.writes(notebook)
    if len(text) > LARGEST:
        sys.exit(f"{source.stem}.ipynb would take {len(text)} bytes, more than {LARGEST}")
    source.with_suffix(".ipynb").write_text(text + "\n", encoding="utf-8")
    logger.info("%s: %d bytes", source.stem, len(text))


def main() -> None:
    """Run the notebooks named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks without .py; all by default")
    parser.add_argument("--check", action="store_true", help="execute without writing; fail on errors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("traitlets").setLevel(logging.WARNING)
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # kernels inherit it; no page needs live progress bars
    failed = []
    for source in [FOLDER / f"{name}.py" for name in arguments.names] or sorted(FOLDER.glob("*.py")):
        if arguments.check and source.stem in NEEDS and not os.environ.get(NEEDS[source.stem]):
            logger.info("%s: left out, $%s names no data", source.stem, NEEDS[source.stem])
            continue
        start = time.perf_counter()
        try:
            notebook = executed(source)
        except CellExecutionError as error:
            if not arguments.check:
                raise
            failed.append(source.stem)
            logger.error("%s FAILED\n%s", source.stem, error)
            continue
        logger.info("%s: %.0f s", source.stem, time.perf_counter() - start)
        if not arguments.check:
            keep(source, notebook)
    if failed:
        sys.exit(f"{len(failed)} failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
