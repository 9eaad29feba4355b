"""The shape of the public API, what an import may load, and the house rules that a test can hold."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import tilegrn as grn

ROOT = Path(__file__).resolve().parents[1]
SRC = Path(grn.__file__).parent
SOURCES = sorted(SRC.rglob("*.py"))
MODULES = ["pp", "tl", "pl", "io", "get", "datasets", "motifs"]
HEAVY = ["torch", "lightning", "scanpy", "muon", "matplotlib"]
ON_DATA = ["pp", "tl", "get"]
NO_AXES = {"pl.report"}  # writes a page of figures
NOT_ON_DATA = {"tl.evaluate_network", "tl.compatibility"}  # judge a table of edges; a model against data


def public_functions():
    for module_name in MODULES:
        module = importlib.import_module(f"tilegrn.{module_name}")
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield pytest.param(module_name, name, thing, id=f"{module_name}.{name}")


FUNCTIONS = list(public_functions())


def in_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_nothing_heavy():
    code = f"import sys, tilegrn; print(*(m for m in {HEAVY} if m in sys.modules))"
    assert in_fresh_python(code) == ""


@pytest.mark.parametrize("module", ["pp", "io", "get", "datasets", "motifs"])
def test_module_loads_no_torch_and_no_figures(module):
    code = (
        f"import sys, tilegrn; tilegrn.{module}; [getattr(tilegrn.{module}, n) for n in tilegrn.{module}.__all__];"
        f"print(*(m for m in {HEAVY} if m in sys.modules))"
    )
    assert in_fresh_python(code) == ""


@pytest.mark.parametrize("module", ["pp", "tl", "get", "io", "motifs", "datasets"])
def test_names_compile_nothing(module):
    code = (
        f"import sys, tilegrn; [getattr(tilegrn.{module}, n) for n in tilegrn.{module}.__all__];"
        "print(*(m for m in ('torch', 'numba') if m in sys.modules))"
    )
    assert in_fresh_python(code) == ""


def test_submodules_are_attributes():
    code = f"import tilegrn as grn; print(*(getattr(grn, m).__name__ for m in {MODULES}))"
    assert in_fresh_python(code).split() == [f"tilegrn.{m}" for m in MODULES]


@pytest.mark.parametrize("module_name", MODULES)
def test_all_resolves_and_is_sorted(module_name):
    module = importlib.import_module(f"tilegrn.{module_name}")
    missing = [n for n in module.__all__ if not hasattr(module, n)]
    assert missing == []
    assert len(set(module.__all__)) == len(module.__all__) > 0
    assert all(not n.startswith("_") for n in module.__all__)


@pytest.mark.parametrize(("module_name", "name", "function"), FUNCTIONS)
def test_at_most_three_positional_arguments_and_no_tunnels(module_name, name, function):
    parameters = inspect.signature(function).parameters.values()
    positional = [p.name for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    assert len(positional) <= 3, positional
    assert not [p.name for p in parameters if p.kind is p.VAR_KEYWORD], "a **kwargs tunnel"


@pytest.mark.parametrize(
    ("module_name", "name", "function"), [p for p in FUNCTIONS if p.values[0] in ON_DATA and p.id not in NOT_ON_DATA]
)
def test_first_argument_is_the_data(module_name, name, function):
    assert next(iter(inspect.signature(function).parameters)) == "mdata"


@pytest.mark.parametrize(("module_name", "name", "function"), [p for p in FUNCTIONS if p.values[0] == "pp"])
def test_steps_write_in_place_unless_asked_for_a_copy(module_name, name, function):
    parameter = inspect.signature(function).parameters["copy"]
    assert parameter.default is False
    assert parameter.kind is parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    ("module_name", "name", "function"), [p for p in FUNCTIONS if p.values[0] == "pl" and p.id not in NO_AXES]
)
def test_plots_take_axes_and_never_show(module_name, name, function):
    parameters = inspect.signature(function).parameters
    assert parameters["ax"].default is None
    assert "show" not in parameters
    assert "save" not in parameters


@pytest.mark.parametrize(("module_name", "name", "function"), FUNCTIONS)
def test_docstring_has_its_sections(module_name, name, function):
    doc = inspect.getdoc(function) or ""
    assert doc.partition("\n")[0].endswith("."), "the first line is a sentence"
    assert re.search(r"^Parameters\n-+$", doc, flags=re.MULTILINE) or not inspect.signature(function).parameters
    returns_nothing = inspect.signature(function).return_annotation in {"None", None}
    assert returns_nothing or re.search(r"^(Returns|Yields)\n-+$", doc, flags=re.MULTILINE), "no Returns section"
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^(\w+, )*{parameter}\b", doc, flags=re.MULTILINE), f"{parameter} is not described"


def raised_by(path: Path) -> set[str]:
    return {
        node.exc.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }


@pytest.mark.parametrize(("module_name", "name", "function"), FUNCTIONS)
def test_docstring_says_what_is_raised(module_name, name, function):
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(ast.parse(inspect.getsource(function))))
    assert not raises or re.search(r"^Raises\n-+$", inspect.getdoc(function) or "", flags=re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SRC)))
def test_house_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(tree), "a module says what it is for"
    asserts = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    prints = [
        n.lineno
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in {"print", "exec", "eval"}
    ]
    assert asserts == []
    assert prints == []
    for forbidden in ("np.random.seed", "shell=True", "weights_only=False", "import pickle"):
        assert forbidden not in text


def test_dependencies_are_what_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [r for listed in project["optional-dependencies"].values() for r in listed]
    declared = {re.match(r"[\w-]+", r)[0] for r in [*project["dependencies"], *extras]}
    imported = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"tilegrn"}
    assert {{"sklearn": "scikit-learn", "yaml": "pyyaml"}.get(name, name) for name in others} == declared


def test_no_module_raises_bare_exceptions():
    offenders = {p.name for p in SOURCES if raised_by(p) & {"Exception", "BaseException"}}
    assert offenders == set()


@pytest.mark.parametrize("module_name", MODULES)
def test_every_public_name_has_its_line_in_the_api_pages(module_name):
    page = (ROOT / "docs" / "api" / f"{module_name}.md").read_text()
    listed = re.findall(r"^   (\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(importlib.import_module(f"tilegrn.{module_name}").__all__)


def test_every_plot_is_in_the_gallery():
    page = (ROOT / "docs" / "gallery.md").read_text()
    assert sorted(re.findall(r"^### (\w+)$", page, flags=re.MULTILINE)) == sorted(grn.pl.__all__)
    assert sorted(re.findall(r"<tilegrn\.pl\.(\w+)>", page)) == sorted(grn.pl.__all__), "a link to each API entry"
    pictures = re.findall(r"\(_static/gallery/(.+?)\)", page)
    drawn = {p.name: p.stat().st_size for p in (ROOT / "docs" / "_static" / "gallery").iterdir()}
    assert sorted(pictures) == sorted(drawn)
    assert max(drawn.values()) < 60_000


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.py")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_name_only_what_exists(page):
    named = set(re.findall(r"(?:grn|tilegrn)\.(pp|tl|pl|io|get|datasets|motifs)\.(\w+)", page.read_text()))
    gone = [f"{m}.{n}" for m, n in sorted(named) if n not in importlib.import_module(f"tilegrn.{m}").__all__]
    assert gone == []


def test_without_torch_the_names_of_tl_still_resolve():
    if find_spec("torch") is not None:
        pytest.skip("torch is installed here; the legs without torch run this")
    assert [n for n in grn.tl.__all__ if not hasattr(grn.tl, n)] == []
