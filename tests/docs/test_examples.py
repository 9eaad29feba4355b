"""Every public name has an example, and all of them run as they stand."""

from __future__ import annotations

import doctest
import inspect
import shutil
from importlib import import_module

import pytest

from tests.docs import _sandbox

ROOMS = ("pp", "tl", "pl", "io", "get", "datasets", "motifs")
MORE = {"model.GRNModel": "tilegrn.model.grn_model", "model.ModelConfig": "tilegrn.model.config"}
MORE["model.TeacherConfig"] = "tilegrn.model.config"
"""Names on the pages of the API that no room lists."""

WITH_MODEL = {"get.edges", "io.load_model", "io.provenance", "io.write_network"}
"""Names outside ``tl``, ``pl`` and ``model`` whose example begins where a model was trained."""

NEEDS = {"io.jaspar_motifs": "pyjaspar", "tl.regulons": "decoupler"}
"""Packages that an example needs beside those that tilegrn requires."""


def public() -> list[str]:
    names = [f"{room}.{name}" for room in ROOMS for name in _listed(room)]
    return [*names, *MORE]


def _listed(room: str) -> list[str]:
    """Read ``__all__`` without importing what it names (``tl`` needs torch)."""
    return list(import_module(f"tilegrn.{room}").__all__)


def documented(name: str):
    room, attribute = name.split(".")
    return getattr(import_module(MORE.get(name, f"tilegrn.{room}")), attribute)


def with_model(name: str) -> bool:
    return name.split(".")[0] in {"tl", "pl", "model"} or name in WITH_MODEL


@pytest.mark.parametrize("name", public())
def test_example(name, request, inside):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name == "io.run_homer" and not shutil.which("perl"):
        pytest.skip("HOMER's stand-in needs perl")
    sandbox = request.getfixturevalue("finished" if with_model(name) else "walked")
    text = inspect.getdoc(documented(name)) or ""
    example = doctest.DocTestParser().get_doctest(text, inside(sandbox), name, None, None)
    assert example.examples, f"grn.{name} has no example: add a section 'Examples' to its docstring"
    skipped = [e.source for e in example.examples if doctest.SKIP in e.options]
    assert not skipped, f"grn.{name}: an example that is skipped is none: {skipped}"
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    with _sandbox.quiet(), _sandbox.tiny():
        runner.run(example, out=output.append)
    _sandbox.close_figures()
    assert not runner.summarize(verbose=False).failed, "".join(output)
