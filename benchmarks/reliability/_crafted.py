"""Hostile files, each made to do one thing to its reader. ``canary`` is a file that nobody may open."""

from __future__ import annotations

import gzip
import os
import struct
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from benchmarks.reliability._crafted_models import CRAFTED_MODELS
from benchmarks.reliability._formats import BED, FORMATS, GTF, MOTIF, bgzip, twobit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY = 424242.0
"""Every number in the canary; an HDF5 file, and raw float64 from byte 4096 on as well."""
HUGE = 10**12


def canary(path: Path) -> None:
    """Write the file that nobody may open."""
    with h5py.File(path, "w") as file:
        file["x"] = np.full((12, 8), CANARY)


def _h5(base: str, change: Callable[[Any, Path], None]) -> Callable[[Path, Path], None]:
    def make(path: Path, secret: Path) -> None:
        FORMATS[base].make(path)
        with h5py.File(path, "r+") as file:
            change(file, secret)

    return make


def _put(where: str, value: Any) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        if where in file:
            del file[where]
        file[where] = value

    return change


def _set(where: str, place: int, value: float) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        file[where][place] = value

    return change


def _attr(where: str, name: str, value: Any) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        file[where].attrs[name] = value

    return change


def _external_link(where: str) -> Callable[[Any, Path], None]:
    def change(file: Any, secret: Path) -> None:
        if where in file:
            del file[where]
        file[where] = h5py.ExternalLink(str(secret), "/x")

    return change


def _external_group(file: Any, secret: Path) -> None:
    del file["mod/rna/uns"]
    file["mod/rna/uns"] = h5py.ExternalLink(str(secret), "/")


def _soft(where: str, to: str) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        file[where] = h5py.SoftLink(to)

    return change


def _storage(where: str) -> Callable[[Any, Path], None]:
    def change(file: Any, secret: Path) -> None:
        if where in file:
            del file[where]
        size = secret.stat().st_size // 8
        file.create_dataset(where, (size,), "f8", external=[(str(secret), 0, size * 8)])

    return change


def _relative_storage(file: Any, secret: Path) -> None:
    up = os.path.relpath(secret, os.fspath(secret.parent))
    file.create_dataset("mod/rna/layers/leak", (12, 8), "f8", external=[(f"../{secret.parent.name}/{up}", 0, 768)])


def _virtual(where: str) -> Callable[[Any, Path], None]:
    def change(file: Any, secret: Path) -> None:
        if where in file:
            del file[where]
        layout = h5py.VirtualLayout((12, 8), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (12, 8))
        file.create_virtual_dataset(where, layout)

    return change


def _claim(where: str, shape: tuple[int, ...], dtype: str = "f8") -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        if where in file:
            del file[where]
        file.create_dataset(where, shape, dtype, chunks=tuple(min(n, 100) for n in shape))

    return change


def _bomb(file: Any, _: Path) -> None:
    """Write 400 MB of zeros into some hundred kB, ten times."""
    for i in range(10):
        file.create_dataset(f"mod/rna/uns/z{i}", (5 * 10**7,), "f8", chunks=(5 * 10**6,), compression="gzip")[0] = 1


def _cycle(file: Any, _: Path) -> None:
    file["mod/rna/uns/loop"] = file["mod"]


def _deep(file: Any, _: Path) -> None:
    file.create_group("uns/" + "/".join("a" * 300))


def _lattice(file: Any, _: Path) -> None:
    """Thirty groups, each twice in the one above: a billion paths."""
    group = file["uns"].create_group("g")
    for _ in range(30):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def _many_attributes(file: Any, _: Path) -> None:
    group = file["mod/rna/obs"]
    for i in range(2000):
        group.attrs[f"a{i}"] = "x" * 3000


def _duplicates(file: Any, _: Path) -> None:
    index = file["mod/rna/obs"].attrs["_index"]
    names = file["mod/rna/obs"][index]
    if isinstance(names, h5py.Group):
        names = names["values"]
    names[1] = names[0]


def _type(where: str, dtype: Any) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        n = len(file[where])
        del file[where]
        file.create_dataset(where, (n,), dtype)

    return change


def _references(file: Any, secret: Path) -> None:
    file["mod/rna/uns/ref"] = np.array([file["mod"].ref] * 3, dtype=h5py.ref_dtype)


def _encoded(kind: str) -> Callable[[Any, Path], None]:
    def change(file: Any, _: Path) -> None:
        group = file.create_group("uns/thing")
        group.attrs["encoding-type"], group.attrs["encoding-version"] = kind, "0.1.0"

    return change


def _user_block(path: Path, _: Path) -> None:
    """An HDF5 file behind a block of a user's bytes that is a Python script."""
    FORMATS["tenx.h5"].make(path)
    body = path.read_bytes()
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_group("mod")
    data = path.read_bytes()
    path.write_bytes(b"#!/usr/bin/env python\nimport os; os.abort()\n".ljust(1024, b"\n") + data[1024:] + body)


def _sized(size: int) -> Callable[[Path, Path], None]:
    def make(path: Path, _: Path) -> None:
        with gzip.open(path, "wb", 9) as out:
            for _ in range(size >> 20):
                out.write(b"\n" * (1 << 20))

    return make


def _line(path: Path, _: Path) -> None:
    """One line of 700 MB in a file of 700 kB."""
    with gzip.open(path, "wb", 9) as out:
        for _ in range(700):
            out.write(b"A" * (1 << 20))


def _bytes(data: bytes | str) -> Callable[[Path, Path], None]:
    return lambda path, _: path.write_bytes(data.encode() if isinstance(data, str) else data) and None


def _bgzip_lie(path: Path, _: Path) -> None:
    data = bytearray(bgzip(b">chr1\n" + b"A" * 5000))
    data[16:18] = struct.pack("<H", 3)  # a block shorter than its own header, for ever at one place
    path.write_bytes(data)


def _fai(path: Path, _: Path) -> None:
    """An index that promises a chromosome of a thousand billion bp in lines that never end."""
    FORMATS["genome.fa"].make(path)
    index = path.with_name(path.name + ".fai")
    index.write_text(f"chr1\t{HUGE}\t6\t{HUGE}\t{HUGE + 1}\n")
    os.utime(index, (2**32, 2**32))


_CELLS, _TENX = "cells.h5mu", "tenx.h5"
_MANY = "".join(f"chr1\t{i}\t{i + 1}\tG{i}\t0\t+\n" for i in range(1, 50))

CRAFTED: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "h5mu: external link for a layer": (_CELLS, _h5(_CELLS, _external_link("mod/rna/layers/counts"))),
    "h5mu: external link for a group": (_CELLS, _h5(_CELLS, _external_group)),
    "h5mu: soft link to elsewhere": (_CELLS, _h5(_CELLS, _soft("mod/rna/layers/s", "/mod/atac/X"))),
    "h5mu: soft link to itself": (_CELLS, _h5(_CELLS, _soft("mod/rna/layers/s", "/mod/rna/layers/s"))),
    "h5mu: external storage": (_CELLS, _h5(_CELLS, _storage("mod/rna/X/data"))),
    "h5mu: external storage by ../": (_CELLS, _h5(_CELLS, _relative_storage)),
    "h5mu: virtual data set": (_CELLS, _h5(_CELLS, _virtual("mod/rna/layers/counts"))),
    "h5mu: absurd shape": (_CELLS, _h5(_CELLS, _claim("mod/rna/uns/big", (10**6, 10**6)))),
    "h5mu: zeros by the gigabyte": (_CELLS, _h5(_CELLS, _bomb)),
    "h5mu: absurd shape of names": (_CELLS, _h5(_CELLS, _claim("mod/rna/obs/_index", (10**10,)))),
    "h5mu: CSR index out of range": (_CELLS, _h5(_CELLS, _set("mod/rna/X/indices", 0, 10**6))),
    "h5mu: CSR index negative": (_CELLS, _h5(_CELLS, _set("mod/rna/layers/counts/indices", 1, -5))),
    "h5mu: CSR offsets not rising": (_CELLS, _h5(_CELLS, _set("mod/rna/X/indptr", 3, 10**6))),
    "h5mu: CSR with too few indices": (_CELLS, _h5(_CELLS, _type("mod/rna/X/indptr", "i4"))),
    "h5mu: CSR shape of 10^12 rows": (_CELLS, _h5(_CELLS, _attr("mod/rna/X", "shape", np.array([HUGE, 8])))),
    "h5mu: CSR of 10^12 columns": (_CELLS, _h5(_CELLS, _attr("mod/rna/X", "shape", np.array([12, HUGE])))),
    "h5mu: CSR shape negative": (_CELLS, _h5(_CELLS, _attr("mod/rna/X", "shape", np.array([-1, -1])))),
    "h5mu: CSR shape as text": (_CELLS, _h5(_CELLS, _attr("mod/rna/X", "shape", "12 x 8"))),
    "h5mu: CSR indices as text": (_CELLS, _h5(_CELLS, _type("mod/rna/X/indices", h5py.string_dtype()))),
    "h5mu: group within itself": (_CELLS, _h5(_CELLS, _cycle)),
    "h5mu: 300 groups deep": (_CELLS, _h5(_CELLS, _deep)),
    "h5mu: a billion paths": (_CELLS, _h5(_CELLS, _lattice)),
    "h5mu: duplicate cell names": (_CELLS, _h5(_CELLS, _duplicates)),
    "h5mu: 6 MB of attributes": (_CELLS, _h5(_CELLS, _many_attributes)),
    "h5mu: opaque data": (_CELLS, _h5(_CELLS, _put("uns/o", np.array([b"\x80\x04cos\nsystem\n."], dtype="V16")))),
    "h5mu: object references": (_CELLS, _h5(_CELLS, _references)),
    "h5mu: unknown encoding": (_CELLS, _h5(_CELLS, _encoded("python-pickle"))),
    "h5mu: categories without codes": (_CELLS, _h5(_CELLS, _encoded("categorical"))),
    "h5mu: schema a text": (_CELLS, _h5(_CELLS, _put("uns/tilegrn/schema", "newest"))),
    "h5mu: mod a data set": (_CELLS, _h5(_CELLS, _put("mod", np.zeros(3)))),
    "h5mu: a script before the file": (_CELLS, _user_block),
    "10x: external link": (_TENX, _h5(_TENX, _external_link("matrix/data"))),
    "10x: external link for features": (_TENX, _h5(_TENX, _external_link("matrix/features/genome"))),
    "10x: external storage": (_TENX, _h5(_TENX, _storage("matrix/data"))),
    "10x: virtual data set": (_TENX, _h5(_TENX, _virtual("matrix/data"))),
    "10x: an external link beside the matrix": (_TENX, _h5(_TENX, _external_link("other"))),
    "10x: absurd shape": (_TENX, _h5(_TENX, _put("matrix/shape", np.array([6, HUGE])))),
    "10x: offsets not rising": (_TENX, _h5(_TENX, _set("matrix/indptr", 2, 10**6))),
    "10x: index out of range": (_TENX, _h5(_TENX, _set("matrix/indices", 0, 10**6))),
    "10x: indices as text": (_TENX, _h5(_TENX, _type("matrix/indices", h5py.string_dtype()))),
    "10x: values as text": (_TENX, _h5(_TENX, _type("matrix/data", h5py.string_dtype()))),
    **CRAFTED_MODELS,
    "gtf: gzip bomb of 9 GB": ("genes.gtf.gz", _sized(9 << 30)),
    "gtf: one line of 700 MB": ("genes.gtf.gz", _line),
    "gtf: positions of 10^18": ("genes.gtf", _bytes(GTF.replace("\t100\t", f"\t{10**18}\t"))),
    "gtf: half a million open quotes": (
        "genes.gtf",
        _bytes(GTF + 'chr1\tx\tgene\t1\t2\t.\t+\t.\tgene_id "' + 'a"b ' * 50_000),
    ),
    "bed: null bytes": ("tss.bed", _bytes(BED.replace("G3", "G\x003"))),
    "bed: positions in scientific notation": ("tss.bed", _bytes(BED.replace("\t300\t", "\t3e2\t"))),
    "bed: a binary file": ("tss.bed", _bytes(bytes(range(256)) * 40)),
    "motif: gzip bomb": ("known.motif", _sized(2 << 30)),
    "motif: 100,000 positions": ("known.motif", _bytes(">A\tx\t1\n" + "0.25\t0.25\t0.25\t0.25\n" * 100_000)),
    "motif: not a number": ("known.motif", _bytes(MOTIF.replace("0.97", "nan"))),
    "motif: XML with an outside entity": (
        "meme.txt",
        _bytes('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
    ),
    "2bit: 4 billion sequences": ("genome.2bit", lambda path, _: twobit(path, count=2**32 - 1)),
    "2bit: sequence of 4 billion bp": ("genome.2bit", lambda path, _: twobit(path, length=2**32 - 1)),
    "2bit: 4 billion blocks of N": ("genome.2bit", lambda path, _: twobit(path, n_blocks=2**32 - 1)),
    "fasta: index of a genome of 10^12 bp": ("genome.fa", _fai),
    "fasta: bgzip block that holds itself": ("genome.fa.gz", _bgzip_lie),
    "fasta: plain gzip bomb": ("genome.fa.gz", _sized(1 << 30)),
    "homer: gzip bomb": ("homer.tsv", _sized(9 << 30)),
    "homer: 10^6 columns": (
        "homer.tsv",
        _bytes(
            "PeakID (cmd=x -nmotifs)\t"
            + "\t".join(["m Distance From Peak(sequence,strand,conservation)"] * 10**5)
            + "\np\n"
        ),
    ),
    "network: gzip bomb": ("network.csv", _sized(9 << 30)),
    "bigwig: a header without a file": (
        "signal.bw",
        _bytes(struct.pack("<IHHQQQ", 0x888FFC26, 4, 60000, 2**60, 2**61, 2**62) + bytes(28)),
    ),
}
