"""Small runs of benchmarks/reliability, which say what each is about; the full ones stand in docs/reliability.md."""

from __future__ import annotations

import shutil
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
if sys.platform != "linux":
    pytest.skip("forks, limits and times of access as on Linux", allow_module_level=True)

from benchmarks.reliability import canaries, chains, damage, faults, hostile, kills
from benchmarks.reliability._made import ARCHIVE

pytestmark = pytest.mark.filterwarnings("ignore")  # children are forked from a process that has threads

QUICK = (
    "h5mu: external link for a layer",
    "h5mu: external storage",
    "h5mu: virtual data set",
    "h5mu: absurd shape",
    "h5mu: CSR index out of range",
    "h5mu: CSR indices as text",
    "h5mu: a billion paths",
    "h5mu: duplicate cell names",
    "h5mu: unknown encoding",
    "h5mu: schema a text",
    "10x: external link",
    "10x: external link for features",
    "10x: values as text",
    "model: arrays a link to another file",
    "model: no network",
    "model: 10^6 blocks",
    "model: distance offsets not rising",
    "model: distance to window 10^9",
    "model: safetensors with offsets outside",
    "bed: null bytes",
    "2bit: 4 billion blocks of N",
)
HARMLESS = {
    "h5mu: 6 MB of attributes",
    "h5mu: opaque data",
    "h5mu: object references",
    "model: path out in the manifest",
    "model: genome of 10^18 bp",
    "fasta: index of a genome of 10^12 bp",
}
"""Crafted files in which what is hostile is not used, so that they may be read."""


@pytest.fixture(scope="module", autouse=True)
def warmed():
    hostile.warm()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_writers_lose_nothing(tmp_path, number):
    found = kills.kill("h5mu", 4, number, tmp_path)
    assert found["old, identical"] + found["new, read back"] == 4
    assert not found["never swept"]


@pytest.mark.parametrize(
    ("name", "what", "counts"),
    [
        ("x.h5mu", "disk full", [2000, 60_000]),
        ("x.h5mu", "write", [3]),
        ("x.h5mu", "rename", [1]),
        ("x.zarr", "fsync", [2]),
        ("model", "disk full", [1000]),
        ("x.csv.gz", "write", [1]),
        ("x.csv", "forbidden", [1]),
    ],
)
def test_what_the_system_refuses_is_named_and_loses_nothing(name, what, counts):
    assert faults.run(name, what, counts) == {"named error": len(counts)}


def test_damage_of_models_is_caught(tmp_path):
    shutil.copytree(ARCHIVE / "model", tmp_path / "model")
    found = damage.damage(tmp_path / "model", damage.of_model(tmp_path / "model"), flips=40, cuts=20)
    assert {k for counts in found.values() for k in counts} <= {"flip caught", "cut caught"}
    assert sum(counts.total() for counts in found.values()) == 60


@pytest.mark.slow
def test_damage_of_checkpoints_is_caught_and_the_one_before_is_read(tmp_path):
    kept = damage.two_checkpoints(tmp_path)
    found = damage.damage(kept.steps()[-1], damage.of_checkpoint(kept), flips=40, cuts=20)
    assert {k for counts in found.values() for k in counts} <= {"flip caught", "cut caught"}
    assert sum(counts.total() for counts in found.values()) == 60


@pytest.mark.slow
def test_a_killed_training_ends_as_if_nothing_had_been():
    case = "teacher, saved at every step"
    found = chains.run(chains.ready(), case, n=1, n_kills=3, rng=np.random.default_rng(1))
    assert {kind: found[kind] for kind in chains.KINDS} == dict.fromkeys(chains.KINDS, 1)
    assert found["kills"] > 0
    assert not found["failed"]


def test_crafted_files_are_refused_by_name():
    found = hostile.crafted(list(QUICK))
    assert {name: said for name, said in found.items() if not said.startswith("named error")} == {}
    assert len(found) == len(QUICK)


@pytest.mark.slow
def test_all_crafted_files_are_refused_by_name():
    found = hostile.crafted([name for name in hostile.CRAFTED if name not in QUICK])
    assert {name for name, said in found.items() if not said.startswith("named error")} <= HARMLESS


@pytest.mark.parametrize("name", [name for name in hostile.FORMATS if name != "signal.bw"])
def test_mutated_files_are_read_or_refused_by_name(name):
    assert set(hostile.mutated(name, 3, seed=1)) <= set(hostile.GOOD)


def test_what_is_read_and_named_is_never_run():
    if shutil.which("perl") is None:
        pytest.skip("perl is not here")
    known, tried = canaries.run()
    assert all(known.values()), "the traps themselves do not work"
    assert {name for name, fired in tried.items() if fired} == set()
    assert len(tried) >= 30
