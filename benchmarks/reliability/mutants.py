"""Change single spots of the readers, the writers and the checks; count the changes that no test notices.

The changes stand in ``_mutations.py``: comparisons, operators, ``and`` / ``or``, ``not``, numbers and truths,
conditions, returns, statements, keyword arguments, ``break`` / ``continue``, bounds of slices; no strings. They are
made in a copy of the tree. A first run of the tests notes which of them reaches which line, a second one how long each
takes. Each mutant is a process that runs the tests that reach its lines, the quickest first, until one fails. One that
takes five times as long as a test did is stopped and counts as noticed. One that no test reaches counts as
survived, and so does one that changes nothing that could be seen. 240 mutants take about 15 minutes of one core.

`mutmut <https://mutmut.readthedocs.io>`_ (3.8.1) was looked at and set aside: it leaves out decorated functions, which
here are the context managers of every write, and all that stands outside functions; and it changes words of messages.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import ctypes
import difflib
import gc
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._mutations import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
CHECKS = ("check", "atomic", "store", "barcodes", "chroms", "symbols")
TESTS = (
    "tests/io",
    "tests/_core",
    "tests/get",
    "tests/pp",
    "tests/archive",
    "tests/model/test_checkpoint.py",
    "tests/test_package.py",
    "tests/test_state.py",
    "tests/test_catalogue_cells.py",
    "tests/test_catalogue_names.py",
    "tests/test_catalogue_peaks.py",
)
IMPORTED = ("numpy", "scipy.sparse", "pandas", "anndata", "mudata", "h5py", "zarr", "numba", "pyarrow.csv", "sklearn")
IMPORTED += (
    "pyarrow.parquet",
    "yaml",
    "requests",
    "pooch",
    "pyranges",
    "dask.array",
    "hypothesis",
    "pytest",
    "coverage",
)
"""What is imported once, not in each child."""
MEMORY, FILE_SIZE = 6 << 30, 16 << 30
"""Bytes that a child may take beyond what is imported, and that a file of it may hold."""
SLOWER = 5
START = 4.0
"""Seconds that a process takes to collect its tests, on a busy machine."""


def in_scope() -> list[str]:
    """Return the files that are changed."""
    files = sorted((ROOT / "src/tilegrn/io").rglob("*.py")) + [ROOT / f"src/tilegrn/_core/{n}.py" for n in CHECKS]
    return [str(f.relative_to(ROOT)) for f in files]


def copied(root: Path, target: Path) -> None:
    """Copy the tree, and compile it such that no source can pass for another one of its time and size."""
    left_out = shutil.ignore_patterns(".git", ".venv*", ".tools", "__pycache__", ".*_cache", ".coverage*", "_build")
    shutil.copytree(root, target, ignore=left_out, symlinks=True)
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "src"]
    subprocess.run(command, cwd=target, check=True)


def drawn(mutants: dict[str, list[Mutant]], n: int, seed: int) -> dict[str, list[Mutant]]:
    """Draw about ``n`` mutants, as many of each file as it has and the others leave."""
    left, share = n, {}
    for i, file in enumerate(sorted(mutants, key=lambda f: (len(mutants[f]), f))):
        share[file] = min(len(mutants[file]), math.ceil(left / (len(mutants) - i)))
        left -= share[file]
    # Of each file its own draw, so that a change of one moves no other's.
    found = {f: random.Random(f"{seed} {f}").sample(m, share[f]) for f, m in mutants.items()}
    return {f: sorted(m, key=lambda one: (one.start, one.end, one.text)) for f, m in found.items()}


class Chosen:
    """A plugin of pytest: runs the tests that are named, in their order, and notes seconds and failures."""

    def __init__(self, names: Sequence[str] | None, usual: dict[str, float] | None = None) -> None:
        self.usual = usual
        self.place = None if names is None else {name: i for i, name in enumerate(names)}
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)  # then pytest brings those together that share a fixture with parameters
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.place is not None:
            place = self.place
            items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[Any]:
        if self.usual is not None:  # SIGALRM ends the process
            signal.setitimer(signal.ITIMER_REAL, SLOWER * (START + self.usual[item.nodeid]))
        return (yield)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


def in_child(tree: Path, work: Callable[[], int], seconds: float | None) -> int | None:
    """Run in a process of its own in the copied tree, of which nothing stays; return its code, None if stopped."""
    log = tree / "output.txt"
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            base = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
            resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY, base + MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
            os.chdir(tree)
            code = work()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    started, code = time.monotonic(), None
    try:
        while code is None and (seconds is None or time.monotonic() - started < seconds):
            done, status = os.waitpid(pid, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
            time.sleep(0.02)
    finally:
        _reap()
        shutil.rmtree(tree / "tmp", ignore_errors=True)
    return code


def adopt() -> None:
    """Have every process whose parent ends become a child of this one, which stops it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _reap() -> None:
    """Kill a child that is still there and what children left behind, which is handed to this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for pid in map(int, left):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _pytest(tree: Path, arguments: list[str], plugin: Chosen) -> int:
    sys.path[:0] = [str(tree / "src"), str(tree)]
    quiet = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tree / 'tmp'}"]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins are imported before the children
    return int(pytest.main([*quiet, *arguments], plugins=[plugin]))


def _noted(tree: Path, arguments: list[str], names: Sequence[str] | None) -> Chosen:
    """Run tests; return what each takes, in seconds, and which of them fail."""

    def work() -> int:
        plugin = Chosen(names)
        code = _pytest(tree, arguments, plugin)
        (tree / "notes.json").write_text(json.dumps([plugin.seconds, sorted(plugin.failed)]))
        return code

    code = in_child(tree, work, None)
    if code not in (0, 1):
        raise SystemExit(f"The tests cannot be run:\n{(tree / 'output.txt').read_text()[-3000:]}")
    if code:
        print((tree / "output.txt").read_text()[-5000:], file=sys.stderr)
    plugin = Chosen(names)
    plugin.seconds, failed = json.loads((tree / "notes.json").read_text())
    plugin.failed = set(failed)
    return plugin


def reached(tree: Path, tests: Sequence[str]) -> dict[str, Any]:
    """Run the tests twice; return which of them reach which line of which file, and what each takes, in seconds."""
    import coverage

    first = _noted(tree, ["-m", "not slow", "--cov=src", "--cov-context=test", "--cov-report=", *tests], None)
    second = _noted(tree, [*tests], in_order(first.seconds, first.seconds))
    failed = first.failed | second.failed
    data = coverage.CoverageData(str(tree / ".coverage"))
    data.read()
    lines = {}
    for file in data.measured_files():
        contexts = data.contexts_by_lineno(file)
        lines[str(Path(file).relative_to(tree))] = {
            str(line): sorted({c.rsplit("|", 1)[0] for c in names} - failed) for line, names in contexts.items()
        }
    return {"seconds": second.seconds, "failed": sorted(failed), "lines": lines}


def in_order(names: Iterable[str], seconds: dict[str, float]) -> list[str]:
    """Order tests: quickest first, files kept together, which share what was made for them."""
    files: dict[str, float] = defaultdict(float)
    known = {name: seconds[name] for name in names if name in seconds}  # some names hold the time, or a draw
    for name, one in known.items():
        files[name.split("::")[0]] += one
    return sorted(known, key=lambda name: (files[name.split("::")[0]], name.split("::")[0], known[name], name))


def tests_for(mutant: Mutant, reach: dict[str, Any]) -> list[str]:
    """Return the tests that reach a mutant, in their order."""
    lines = reach["lines"].get(mutant.file, {})
    wanted = lines if mutant.lines is None else [str(n) for n in mutant.lines]
    names = {name for line in wanted for name in lines.get(line, ())}
    if names == {""}:  # run at import alone, where any test may feel it
        names = {name for some in lines.values() for name in some}
    return in_order(names, reach["seconds"])


def tried(tree: Path, mutant: Mutant, reach: dict[str, Any]) -> str:
    """Run the tests that reach a mutant; say what became of it."""
    names = tests_for(mutant, reach)
    if not names:
        return "survived"
    file = tree / mutant.file
    source = file.read_bytes()
    changed = mutant.applied(source)
    ast.parse(changed)  # an error here is one of this script

    def work() -> int:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        files = list(dict.fromkeys(name.split("::")[0] for name in names))
        return _pytest(tree, ["-x", "--tb=no", *files], Chosen(names, reach["seconds"]))

    file.write_bytes(changed)
    try:
        code = in_child(tree, work, SLOWER * (2 * START + sum(reach["seconds"][name] for name in names)))
    finally:
        file.write_bytes(source)
    if code in (None, -signal.SIGALRM):
        return "timed out"
    return "survived" if code == 0 else "killed"


def interval(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    middle, width = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return (middle - width) / (n + z * z), (middle + width) / (n + z * z)


def difference(mutant: Mutant, source: bytes, note: str = "") -> str:
    """Return a mutant as a diff."""
    texts = (source.decode().splitlines(keepends=True), mutant.applied(source).decode().splitlines(keepends=True))
    lines = difflib.unified_diff(*texts, mutant.file, f"{mutant.file} ({mutant.what}{note})", n=1)
    return "".join(lines) + "\n"


def show(found: dict[str, Counter[str]], first: str) -> None:
    """Print a table."""
    from benchmarks.reliability._made import table  # not above: it imports tilegrn, which only the children may

    rows, total = [], Counter[str]()
    for name, what in found.items():
        total += what
        rows.append([name.removeprefix("src/tilegrn/"), *_row(what)])
    low, high = interval(total["killed"] + total["timed out"], total.total())
    rows.append(["all", *_row(total)])
    rows[-1][-1] += f" (95 %: {100 * low:.1f} to {100 * high:.1f})"
    print(table((first, "tried", "a test fails", "stopped", "survived", "noticed"), rows))


def _row(what: Counter[str]) -> list[Any]:
    share = (what["killed"] + what["timed out"]) / what.total()
    return [what.total(), what["killed"], what["timed out"], what["survived"], f"{100 * share:.1f} %"]


def run(root: Path, files: list[str], options: argparse.Namespace) -> None:
    """Try mutants of files; print the table, write the survivors."""
    notes: Path | None = options.notes
    sources = {f: (root / f).read_bytes() for f in files}
    mutants = {f: mutants_of(f, source) for f, source in sources.items()}
    mutants = {f: m for f, m in mutants.items() if m}
    chosen = drawn(mutants, options.mutants, options.seed)
    with tempfile.TemporaryDirectory(prefix="tilegrn-mutants-") as folder:
        tree = Path(folder).resolve() / "tree"
        copied(root, tree)
        os.environ["PYTHONPATH"] = str(tree / "src")
        if notes is not None and notes.exists():
            reach = json.loads(notes.read_text())
        else:
            reach = reached(tree, options.tests)
            if notes is not None:
                notes.write_text(json.dumps(reach))
        if reach["failed"]:
            print(f"Left out, as they fail by themselves: {reach['failed']}", file=sys.stderr)
        files_found, kinds = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
        order = [mutant for some in chosen.values() for mutant in some]
        random.Random(options.seed).shuffle(order)  # so that a part of a run is a sample too
        with options.survivors.open("w") as out, contextlib.suppress(KeyboardInterrupt):
            for mutant in order:
                what = tried(tree, mutant, reach)
                files_found[mutant.file][what] += 1
                kinds[mutant.what][what] += 1
                if what == "survived":
                    note = "" if tests_for(mutant, reach) else "; no test"
                    out.write(difference(mutant, sources[mutant.file], note))
                    out.flush()
    n = sum(c.total() for c in kinds.values())
    print(f"{n} of {sum(map(len, mutants.values()))} mutants, seed {options.seed}\n")
    show(dict(sorted(files_found.items())), "file")
    print()
    show(dict(sorted(kinds.items())), "change")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="files to change, from the root; else all readers, writers and checks")
    parser.add_argument("--mutants", type=int, default=240, help="to draw, evenly over the files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--survivors", type=Path, default=Path("survivors.diff"), help="file for their diffs")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree")
    parser.add_argument("--notes", type=Path, help="file to keep which test reaches which line; read if it is there")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    for name in ("TILEGRN_REAL_DATA", "PYTEST_ADDOPTS"):  # the tests that a clone can run, one at a time
        os.environ.pop(name, None)
    warnings.simplefilter("ignore")
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # children need not walk through what is imported
    adopt()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C shows what has been tried, in the background too
    run(options.root.resolve(), options.files or in_scope(), options)


if __name__ == "__main__":
    main()
