"""Activity of places from peaks and coverage, whose reader runs in a process of its own."""

import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError, ToolError
from tilegrn.io import _bigwig, read_activity

PLACES = pd.DataFrame({"chrom": ["chr1", "chr1", "chr2", "chr9"], "start": [15, 20, 40, 1], "end": [110, 30, 60, 9]})


def bed(tmp_path, text, name="peaks.bed"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Peaks


def test_a_peak_counts_where_it_shares_a_base(tmp_path):
    """Against a loop over places and peaks."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, 60, 80)
    peaks = [(f"chr{1 + i % 2}", a, a + 1 + a % 9, a) for i, a in enumerate(start.tolist())]
    start = rng.integers(0, 60, 50)
    places = pd.DataFrame({"chrom": "chr2", "start": start, "end": start + start % 7 + 1})
    text = "".join(f"{c}\t{a}\t{b}\tname\t{k}\n" for c, a, b, k in peaks)
    found = read_activity(bed(tmp_path, text), places)
    total = sum(p[3] for p in peaks)
    want = [
        sum(k for c, a, b, k in peaks if c == "chr2" and a < high and b > low) / total * 1e6
        for low, high in zip(places["start"], places["end"], strict=True)
    ]
    np.testing.assert_allclose(found, want, atol=1e-9)
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("chr1\t20\t30", 1),
        ("chr1\t20\t30\tname", 1),
        ("chr1\t20\t30\tname\t.", 1),
        ("chr1\t20\t30\tname\t4", 4),
        ("chr1\t20\t30\tname\t4\t+\t7\t8", 4),  # eight columns: no format that has a signal
        ("chr1\t20\t30\tname\t4\t+\t7.5\t8\t9", 7.5),  # broadPeak
        ("chr1\t20\t30\tname\t4\t+\t7.5\t8\t9\t10", 7.5),  # narrowPeak
        ("chr1\t20\t30\tname\t4\t+\t.\t8\t9\t10", 1),
        ("chr1\t20\t30\tname\t4\t+\t7.5\t8\t9\t10\t11", 4),
        ("chr1\t20\t30\tname\t0", 0),
    ],
)
def test_the_column_of_the_signal(tmp_path, line, signal):
    other = "chr2\t0\t5\tname\t10\n"
    for data in (f"# x\n{line}\n{other}", gzip.compress(f"{line}\n{other}".encode())):
        found = read_activity(bed(tmp_path, data), PLACES)
        np.testing.assert_allclose(found, np.array([1, 1, 0, 0]) * signal / (signal + 10) * 1e6)


def test_peaks_and_places_are_half_open(tmp_path):
    path = bed(tmp_path, "chr1\t0\t15\tn\t1\nchr1\t110\t111\tn\t1\nchr1\t109\t110\tn\t1\nchr1\t15\t16\tn\t1\n")
    assert read_activity(path, PLACES).tolist() == [500_000, 0, 0, 0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\tx\t30", r"line 2: not chromosome, start, end \(and a signal\): 'chr1\tx\t30'"),
        ("chr1\t20\t30\tn\tx", "line 2: not chromosome, start, end"),
        ("chr1\t20", "line 2: not chromosome, start, end"),
        ("chr1 20 30", "line 2: columns are separated by spaces"),
        ("chr1\t20\t20", r"line 2: start, end or signal out of range: 'chr1\t20\t20'"),
        ("chr1\t-1\t20", "line 2: start, end or signal out of range"),
        ("chr1\t1\t20\tn\t-1", "line 2: start, end or signal out of range"),
        ("chr1\t1\t20\tn\tinf", "line 2: start, end or signal out of range"),
        ("chr1\t1\t20\tn\tnan", "line 2: start, end or signal out of range"),
    ],
)
def test_lines_that_are_no_peaks(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_activity(bed(tmp_path, f"chr1\t0\t1\n{line}\n"), PLACES)


def test_no_signal_where_it_is_asked_for(tmp_path):
    text = "3\t1\t2\n2\t1\t2\n1\t1\t2\n4\t1\t2\n"
    with pytest.raises(InputError) as error:
        read_activity(bed(tmp_path, text), PLACES)
    assert str(error.value) == (
        f"'{tmp_path}/peaks.bed' holds no signal on the elements' chromosomes: it has ['1', '2', '3'], the elements "
        "['chr1', 'chr2', 'chr9']. Give a file of the same assembly and spelling."
    )
    for none in ("", "chr1\t1\t2\tn\t0\n"):
        with pytest.raises(InputError, match="holds no signal on the elements' chromosomes"):
            read_activity(bed(tmp_path, none), PLACES)
    with pytest.raises(InputError, match=r"^The activity file '.*none\.bed' does not exist"):
        read_activity(tmp_path / "none.bed", PLACES)
    with pytest.raises(
        InputError, match=r"^The table of elements has no column \['start', 'end'\]; it has \['chrom'\]"
    ):
        read_activity(tmp_path / "none.bed", PLACES[["chrom"]])


# Coverage. A stand-in answers as pyBigWig documents it; its "file" is JSON: chromosome -> values of its bases.

STAND_IN = """
import io, json, os, signal

class File:
    def __init__(self, path):
        with io.open(path) as file:
            self.held = json.load(file)
        if self.held == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.held == "exit":
            raise SystemExit(3)
        if self.held == "list":
            print("[1]", end="", flush=True)
            os._exit(0)
        if self.held == "broken":
            raise RuntimeError("Received an error during file opening!")

    def chroms(self):
        return {name: len(values) for name, values in self.held.items()}

    def header(self):
        return {"version": 4, "sumData": sum(v for values in self.held.values() for v in values if v is not None)}

    def stats(self, chrom, start=0, end=0, type="mean", nBins=1, exact=False):
        if type != "sum" or exact is not True:
            return [-1.0]
        if not 0 <= start < end <= len(self.held[chrom]):
            raise RuntimeError("Invalid interval bounds!")
        print("a line that a library prints")
        values = [v for v in self.held[chrom][start:end] if v is not None]
        return [float(sum(values)) if values else None]

def open(path, mode="r"):
    if mode != "r":
        raise RuntimeError("read only")
    return File(path)
"""


@pytest.fixture
def coverage(tmp_path, monkeypatch):
    """A function that writes coverage, with the stand-in in the place of pyBigWig."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "pyBigWig.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "pyBigWig", None)  # so that what was there comes back
    del sys.modules["pyBigWig"]

    def write(held, name="x.bw"):
        (tmp_path / name).write_text(json.dumps(held))
        return tmp_path / name

    return write


BASES = {"chr1": [0.5] * 20 + [None] * 80 + [2.0] * 20, "chr2": [None] * 30 + [1.0] * 20, "chr3": [3.0]}


@pytest.mark.parametrize("name", ["x.bw", "x.BigWig"])
def test_coverage_is_summed_over_the_bases_of_a_place(coverage, name):
    """chr1: bases 15-19 and 100-109; none; chr2: 40-49, cut at its end; chr9 is not there."""
    found = read_activity(coverage(BASES, name), PLACES)
    np.testing.assert_allclose(found, np.array([5 * 0.5 + 10 * 2, 0, 10, 0]) / (10 + 40 + 20 + 3) * 1e6)
    assert found.dtype == np.float64
    behind = PLACES.assign(start=[120, 119, 50, 0], end=[130, 900, 60, 1])
    np.testing.assert_allclose(read_activity(coverage(BASES, name), behind), np.array([0, 2, 0, 0]) / 73 * 1e6)


def test_what_the_child_answers_is_what_the_function_gives(coverage):
    """The same lines, here and in the child."""
    path = coverage(BASES)
    places = [("chr1", 15, 110), ("chr1", 20, 30), ("chr2", 40, 60), ("chr9", 1, 9), ("chr1", 120, 130)]
    want = {"chroms": {"chr1": 120, "chr2": 50, "chr3": 1}, "total": 73.0, "sums": [22.5, 0.0, 10.0, 0.0, 0.0]}
    assert _bigwig._read(str(path), places) == want
    assert _bigwig.bigwig_sums(path, places) == want
    assert _bigwig._read(str(coverage("broken")), places) == {
        "error": "RuntimeError: Received an error during file opening!"
    }


@pytest.mark.parametrize(
    ("held", "how"),
    [
        ("crash", rf"it is damaged \(pyBigWig ended with signal {signal.SIGSEGV.value}\)"),
        ("exit", r"it is damaged \(pyBigWig ended with exit code 3\)"),
        ("broken", "RuntimeError: Received an error during file opening!"),
        ("list", "it is damaged"),
    ],
)
def test_damage_does_not_reach_this_process(coverage, held, how):
    with pytest.raises(InputError, match=rf"^'.*x\.bw' cannot be read as bigWig: {how}\. Copy or download it again\.$"):
        read_activity(coverage(held), PLACES)


def test_coverage_of_another_assembly(coverage):
    with pytest.raises(InputError, match=r"it has \['1', '2'\], the elements \['chr1', 'chr2', 'chr9'\]"):
        read_activity(coverage({"1": [1.0] * 200, "2": [1.0] * 200}), PLACES)
    with pytest.raises(InputError, match="holds no signal on the elements' chromosomes"):
        read_activity(coverage({"chr1": [0.0]}), PLACES)


def test_without_pybigwig(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    assert _bigwig._read("x.bw", []) == {"error": "missing"}
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pyBigWig.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    with pytest.raises(ToolError, match=r"^Reading a bigWig needs pyBigWig: pip install 'tilegrn\[bigwig\]'\. Or give"):
        read_activity(bed(tmp_path, "x", "x.bw"), PLACES)


def test_the_child_imports_nothing_of_tilegrn_nor_of_the_folder_it_is_started_in(coverage, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    asked = json.dumps([str(coverage(BASES)), [["chr3", 0, 1]]])
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", _bigwig.__file__],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"]},
    )
    assert json.loads(done.stdout.rpartition("\n")[2])["sums"] == [3.0]
    assert not [x for x in done.stderr.splitlines() if x.rpartition("|")[2].strip().startswith(("tilegrn", "numpy"))]


def test_the_last_lines_as_the_child_runs_them(coverage, monkeypatch, capsys):
    """The part that runs as a script only, run here."""
    import io
    import runpy

    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([str(coverage(BASES)), [["chr3", 0, 1]]])))
    runpy.run_path(_bigwig.__file__, run_name="__main__")
    assert json.loads(capsys.readouterr().out.rpartition("\n")[2])["sums"] == [3.0]
