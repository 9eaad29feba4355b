"""Files and names that run a command where a reader unpickles them or hands them to a shell: none may.

Each tries to make a marker file. Two controls show that the traps work: the pickle is unpickled, and the stand-in for
HOMER, which treats names as HOMER's Perl does, is given one directly.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability._crafted_models import resigned
from benchmarks.reliability._formats import BED, FORMATS, GTF, MOTIF, NETWORK, PLACES
from benchmarks.reliability._made import ROOT, table

import tilegrn as grn
from tilegrn.motifs._motif import Motif

if TYPE_CHECKING:
    from collections.abc import Callable

STUB = ROOT / "tests" / "io" / "homer" / "stub_homer.pl"
MARKER = "fired"
"""Made in the working folder, so that names need no slash."""
TOUCH = f"touch {MARKER}"
YAML = f"!!python/object/apply:os.system ['{TOUCH}']\n"
EVIL = f"__import__('os').system('{TOUCH}')"


class Trap:
    """Run a command when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"cd {Path.cwd()} && {TOUCH}",)


def _any_reader(data: bytes | str) -> Callable[[Path], None]:
    """Give the bytes to every reader, under each one's usual name."""

    def call(folder: Path) -> None:
        for form in FORMATS.values():
            path = folder / f"as-{form.name}"
            path.write_bytes(data.encode() if isinstance(data, str) else data)
            with contextlib.suppress(Exception):
                form.read(path)

    return call


def _cells(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        path = folder / "x.h5mu"
        FORMATS["cells.h5mu"].make(path)
        with h5py.File(path, "r+") as file:
            change(file)
        for safe in (True, False):
            grn.io.read_h5mu(path, safe=safe)

    return call


def _model(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        path = folder / "model"
        FORMATS["model"].make(path)
        change(path)
        resigned(path)
        grn.io.load_model(path)

    return call


def _with_config(value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = json.loads((path / "model.json").read_text())
        text["config"] |= {"py/reduce": value, "loss": EVIL}
        (path / "model.json").write_text(json.dumps(text))

    return change


def _modules(path: Path) -> None:
    for name in ("__init__.py", "conftest.py", "model.py", "sitecustomize.py"):
        (path / name).write_text(f"import os; os.system({TOUCH!r})\n")
    (path / "model.pkl").write_bytes(pickle.dumps(Trap()))


def _torch(path: Path) -> None:
    import torch

    torch.save(Trap(), path)


def _torch_folder(folder: Path) -> None:
    _torch(folder / "m.pt")
    grn.io.load_model(folder / "m.pt")


def _yaml_text(path: Path) -> None:
    (path / "model.json").write_text(YAML)


def _as_torch_arrays(path: Path) -> None:
    _torch(path / "arrays.safetensors")


def _homer(
    genome: str = "genome.fa",
    motifs: str = "known.motif",
    motif: str = "m",
    peak: str = "p",
    chrom: str = "chr1",
    **more: Any,
) -> Callable[[Path], None]:
    """Run the stand-in for HOMER with such names."""

    def call(folder: Path) -> None:
        bin_ = folder / more.get("bin", "bin")
        bin_.mkdir()
        shutil.copy(STUB, bin_ / "annotatePeaks.pl")
        (bin_ / "annotatePeaks.pl").chmod(0o755)
        if not more.get("installed"):
            (folder / genome).write_text(f">{chrom.split()[0]}\n{'ACGTTGCA' * 20}\n>chr2\nACGT\n")
        places = pd.DataFrame({"chrom": [chrom], "start": [0], "end": [50], "name": [peak]})
        known: Any = [Motif(motif, np.full((4, 4), 0.25), 1.0)]
        if motifs != "known.motif":
            (folder / motifs).write_text(MOTIF)
            known = folder / motifs
        keep = folder / more["keep"] if "keep" in more else None
        with _environment(folder, bin_, more):
            target = genome if more.get("installed") else folder / genome
            grn.io.run_homer(places, target, known, homer=None if more.get("by_path") else bin_, keep=keep, timeout=20)

    return call


@contextlib.contextmanager
def _environment(folder: Path, bin_: Path, more: dict[str, Any]) -> Any:
    before = dict(os.environ)
    os.environ["PATH"] = f"{bin_}{os.pathsep}{before['PATH']}"
    if "tmp" in more:
        (folder / more["tmp"]).mkdir()
        os.environ["TMPDIR"] = str(folder / more["tmp"])
        tempfile.tempdir = None
    if "variable" in more:
        os.environ["HOMER"] = more["variable"]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None


def _path_names(call: Callable[[str], Any]) -> Callable[[Path], None]:
    def run(_: Path) -> None:
        for name in (
            f"$({TOUCH})",
            f"`{TOUCH}`",
            f"{TOUCH}|",
            f"|{TOUCH}",
            f"a; {TOUCH}",
            f"a\n{TOUCH}\n",
            f"file://$({TOUCH})",
        ):
            with contextlib.suppress(Exception):
                call(name)

    return run


def _text(read: Callable[[Path], Any], content: str) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        path = folder / "x.txt"
        path.write_text(content)
        read(path)

    return call


def _result(folder: Path) -> None:
    from tilegrn.cli import main

    (folder / "run.json").write_text(json.dumps({"versions": {"tilegrn": EVIL}, "command": [f"$({TOUCH})", YAML]}))
    with contextlib.redirect_stdout(io.StringIO()):
        main(["info", str(folder)])


def _written(folder: Path) -> None:
    """Write tables under names that a shell would read."""
    for name in (f"$({TOUCH}).csv", f"{TOUCH}|", f"`{TOUCH}`.graphml"):
        grn.io.write_network(folder / name, pd.DataFrame({"source": [f"$({TOUCH})"], "target": [EVIL]}))


def _pickled() -> bytes:
    return pickle.dumps(Trap())


def canaries() -> dict[str, Callable[[Path], None]]:
    """Return what is tried, by name; built in the working folder, which the traps name."""
    raw = _pickled()
    frame = f"cos\nsystem\n(S'{TOUCH}'\ntR.".encode()
    opaque = np.frombuffer(raw.ljust(256, b"\0"), dtype="V256")
    return {
        "a pickle, to every reader": _any_reader(raw),
        "a pickle of protocol 0, to every reader": _any_reader(frame),
        "a pickle behind a gzip header": _any_reader(gzip.compress(raw)),
        "an npy file of objects": _any_reader(_npy(raw)),
        "YAML with a constructor, to every reader": _any_reader(YAML),
        "a shell script, to every reader": _any_reader(f"#!/bin/sh\n{TOUCH}\n"),
        "a Python script, to every reader": _any_reader(f"import os; os.system({TOUCH!r})\n"),
        "XML with an outside entity": _any_reader('<!DOCTYPE a [<!ENTITY x SYSTEM "expect://id">]><a>&x;</a>'),
        "h5mu: pickle as opaque data in uns": _cells(lambda file: file.create_dataset("uns/p", data=opaque)),
        "h5mu: pickle as an attribute": _cells(lambda file: file["mod/rna/obs"].attrs.update({"_index_class": opaque})),
        "h5mu: pickle as text in uns": _cells(lambda f: f.create_dataset("uns/p", data=base64.b64encode(raw).decode())),
        "h5mu: PyTables' pickle marks": _cells(
            lambda file: file["mod/rna/obs"].attrs.update({"pandas_type": "frame", "PSEUDOATOM": "object", "x": frame})
        ),
        "h5mu: code as a record": _cells(lambda file: file["uns/tilegrn"].create_dataset("train", data=EVIL)),
        "h5mu: code as an encoding": _cells(lambda file: file["uns"].attrs.update({"encoding-type": EVIL})),
        "model: a torch file for its arrays": _model(_as_torch_arrays),
        "model: a torch file for the folder": _torch_folder,
        "model: pickles and modules beside it": _model(_modules),
        "model: jsonpickle in its configuration": _model(
            _with_config([{"py/function": "os.system"}, {"py/tuple": [TOUCH]}])
        ),
        "model: YAML for its text": _model(_yaml_text),
        "HOMER: $(cmd) in the genome's path": _homer(genome=f"$({TOUCH}).fa"),
        "HOMER: back-ticks in the genome's path": _homer(genome=f"`{TOUCH}`.fa"),
        "HOMER: cmd| for the genome's path": _homer(genome=f"{TOUCH}|"),
        "HOMER: a command after the genome's name": _homer(genome=f"mm10;{TOUCH}", installed=True),
        "HOMER: an option for the genome's name": _homer(genome=f"-bg $({TOUCH})", installed=True),
        "HOMER: $(cmd) in the motifs' path": _homer(motifs=f"$({TOUCH}).motif"),
        "HOMER: $(cmd) in a motif's name": _homer(motif=f"$({TOUCH})"),
        "HOMER: back-ticks in a motif's name": _homer(motif=f"`{TOUCH}`"),
        "HOMER: $(cmd) in a peak's name": _homer(peak=f"$({TOUCH})"),
        "HOMER: newline in a peak's name": _homer(peak=f"p\n{TOUCH}\n"),
        "HOMER: $(cmd) in a chromosome's name": _homer(chrom=f"$({TOUCH})"),
        "HOMER: newline in a chromosome's name": _homer(chrom=f"chr1\n{TOUCH}"),
        "HOMER: $(cmd) in the folder to keep": _homer(keep=f"$({TOUCH})"),
        "HOMER: $(cmd) in HOMER's own folder": _homer(bin=f"$({TOUCH})"),
        "HOMER: $(cmd) in the temporary folder": _homer(tmp=f"$({TOUCH})"),
        "HOMER: $(cmd) in the variable HOMER": _homer(variable=f"$({TOUCH})", by_path=True),
        "paths: TSS tables": _path_names(grn.io.read_tss),
        "paths: networks": _path_names(grn.io.read_network),
        "paths: motifs": _path_names(grn.io.read_motifs),
        "paths: activity": _path_names(lambda name: grn.io.read_activity(name, PLACES)),
        "paths: cells": _path_names(grn.io.read_h5mu),
        "names: genes of a BED": _text(grn.io.read_tss, BED.replace("G3", EVIL).replace("G4", f"$({TOUCH})")),
        "names: attributes of a GTF": _text(grn.io.read_tss, GTF.replace("gene_name", EVIL)),
        "names: genes of a network": _text(grn.io.read_network, NETWORK.replace("g3", EVIL).replace("g4", f"@{EVIL}")),
        "names: tables that are written": _written,
        "a run's record, to 'tilegrn info'": _result,
    }


def _npy(raw: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + raw


def fires(call: Callable[[Path], None]) -> bool:
    """Run one, whatever it raises, in a folder of its own; tell whether a marker is anywhere there."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception, SystemExit):
            call(Path(name))
        return any(Path(name).rglob(MARKER))


def controls() -> dict[str, Callable[[Path], None]]:
    """Return what has to fire."""

    def unpickled(_: Path) -> None:
        pickle.loads(_pickled())

    def shelled(folder: Path) -> None:
        (folder / "x.bed").write_text("chr1\t1\t9\tp\n")
        subprocess.run(["perl", str(STUB), f"$({TOUCH})", "genome.fa", "-m", "x"], check=False, capture_output=True)

    return {"unpickled": unpickled, "the stand-in for HOMER": shelled}


def run() -> tuple[dict[str, bool], dict[str, bool]]:
    """Try all; return what fired, of the controls and of the canaries."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        names = list(canaries())
    tried = {}
    for trap in names:
        # Built anew in the folder that it is to betray.
        tried[trap] = fires(lambda folder, trap=trap: canaries()[trap](folder))
    return {name: fires(call) for name, call in controls().items()}, tried


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    known, tried = run()
    for name, fired in tried.items():
        print(f"{'FIRED' if fired else 'quiet'}  {name}", file=sys.stderr)
    rows = [[len(tried), sum(tried.values()), f"{sum(known.values())} of {len(known)}"]]
    print(table(("canaries", "fired", "controls that fire"), rows))


if __name__ == "__main__":
    main()
