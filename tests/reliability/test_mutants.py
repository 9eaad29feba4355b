"""Mutation testing, on sources of a few lines."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("processes as on Linux", allow_module_level=True)

from benchmarks.reliability._mutations import mutants_of
from benchmarks.reliability.mutants import drawn, in_scope, interval

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reliability" / "mutants.py"


def changed(source: str) -> set[str]:
    return {m.applied(source.encode()).decode() for m in mutants_of("x.py", source.encode())}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a < b <= c", {"(a <= b <= c)", "(a < b < c)"}),
        ("a is not b", {"(a is b)"}),
        ("a + b * c", {"(a - b * c)", "a + (b / c)"}),
        ("a and b or not c", {"((a and b) and (not c))", "(a or b) or not c", "a and b or (c)"}),
        ("f(1.5, 'text', None, b=True)", {"f((2.5), 'text', None, b=True)", "f(1.5, 'text', None, b=(False))", "pass"}),
        ("x = f(a, b=c)", {"x = (f(a))", "pass"}),
        ("x[a:b]", {"x[:b]", "x[a:]"}),
        ("x: int = y", {"pass"}),
        ("if a:\n    raise b", {"if (not a):\n    raise b", "if a:\n    pass"}),
        ("if not a:\n    f", {"if (a):\n    f"}),
        ("x if a == b else y", {"x if (a != b) else y"}),
        ("[c for c in d if c]", {"[c for c in d if (not c)]"}),
        ("for a in b:\n    break", {"for a in b:\n    continue"}),
        ("def f(a=1):\n    return a", {"def f(a=(2)):\n    return a", "def f(a=1):\n    return None"}),
        ("f'{a + 1} b'", {"(f'{a - 1} b')", "(f'{a + 2} b')"}),
        ("'\u20ac' + a", {"('\u20ac' - a)"}),
        ("__all__ = [1]\nimport b\n'text'\nif TYPE_CHECKING:\n    f()\ndef g(a: 1) -> 2: ...", set()),
    ],
)
def test_changes(source, found):
    assert changed(source) == found


def test_where_tests_are_looked_for():
    source = """A = 1
def f(a,
      b=2):
    if a < (
        b
    ):
        return a
"""
    lines = {(m.what, m.line): m.lines for m in mutants_of("x.py", source.encode())}
    assert lines == {
        ("deleted", 1): None,
        ("constant", 1): None,
        ("constant", 3): frozenset(range(4, 8)),
        ("comparison", 4): frozenset((4, 5, 6)),
        ("condition", 4): frozenset((4, 5, 6)),
        ("returns None", 7): frozenset((7,)),
    }


def test_files_can_be_changed():
    root = Path(__file__).parents[2]
    mutants = {}
    for file in in_scope()[4::7]:
        source = (root / file).read_bytes()
        mutants[file] = mutants_of(file, source)
        for mutant in mutants[file][::20]:
            ast.parse(mutant.applied(source))
    sample = drawn(mutants, 200, 1)
    assert sum(map(len, sample.values())) == 200
    assert sample == drawn(mutants, 200, 1) != drawn(mutants, 200, 2)
    most = max(map(len, sample.values()))
    assert all(len(s) in (min(most, len(mutants[f])), most - 1) for f, s in sample.items())


def test_interval():
    assert interval(270, 300) == pytest.approx((0.8609, 0.9290), abs=1e-4)  # scipy.stats.binomtest(...).proportion_ci


@pytest.mark.slow
def test_a_toy(tmp_path):
    """Changes that a test notices, that no test notices, and that no test reaches."""
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "toy.py").write_text("def g(x):\n    return x < 3\n\n\ndef h(x):\n    return -x + 1\n")
    (tmp_path / "tests" / "test_toy.py").write_text("import toy\n\n\ndef test_g():\n    assert toy.g(2)\n")
    options = ["--root", tmp_path, "--tests", "tests", "--survivors", tmp_path / "survivors.diff"]
    done = subprocess.run([sys.executable, SCRIPT, "src/toy.py", *options], capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    assert ["src/toy.py", "6", "1", "0", "5", "16.7 %"] in rows
    survivors = (tmp_path / "survivors.diff").read_text()
    assert survivors.count("; no test)") == 3
    assert "+    return (x <= 3)\n" in survivors


def test_a_child_that_hangs_is_stopped_with_its_children(tmp_path):
    code = """
import subprocess, sys, time
from pathlib import Path
from benchmarks.reliability.mutants import adopt, in_child
def work():
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path("child").write_text(str(child.pid))
    time.sleep(600)
adopt()
assert in_child(Path(sys.argv[1]), lambda: 7, 30) == 7
assert in_child(Path(sys.argv[1]), work, 1) is None
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, cwd=SCRIPT.parents[2])
    assert not Path("/proc", (tmp_path / "child").read_text()).exists()
