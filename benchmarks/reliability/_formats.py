"""A good file of every format that tilegrn reads, and the public call that reads it, to the last byte."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from benchmarks.reliability._made import ARCHIVE, small
from scipy import sparse

import tilegrn as grn
from tilegrn.io.h5mu._h5check import matrices
from tilegrn.motifs.genome._fasta import open_sequences

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASES = "ACGTTGCANNACGTacgtGGCCATAT" * 8
INTERVALS = ["chr1:1-2", "chr1:3-4", "chr1:5-6", "chr1:1-9", "chr1:20-90", "chr2:3-70"]
PLACES = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [10, 50], "end": [90, 150]})


@dataclass(frozen=True)
class Format:
    """How a good file is made, and how any is read."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]


def _h5mu(path: Path) -> None:
    grn.io.write_h5mu(path, small(n_cells=12, n_genes=8, n_peaks=10))


def read_cells(path: Path) -> float:
    """Read an h5mu file and every number in it."""
    return _all_numbers(grn.io.read_h5mu(path))


def _all_numbers(mdata: Any) -> float:
    total = 0.0
    for _, value in matrices(mdata):
        if sparse.issparse(value) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):
            total += float(np.asarray(value.sum(), dtype=np.float64))
    return total


def _ten_counts() -> Any:
    x = sparse.random(6, 5, 0.5, format="csc", random_state=0, dtype=np.float32)
    x.data[:] = np.ceil(x.data * 5)
    return x


def tenx(path: Path) -> None:
    """Write a matrix as Cell Ranger ARC does."""
    x = _ten_counts()
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array([f"AC{i}-1" for i in range(5)], dtype="S")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(x, key).astype(np.float32 if key == "data" else np.int32)
        group["shape"] = np.array(x.shape, dtype=np.int32)
        features = group.create_group("features")
        features["id"] = np.array([f"E{i}" for i in range(6)], dtype="S")
        features["name"] = np.array(["A", "B", "C", "chr1:1-9", "chr1:20-90", "chr2:3-70"], dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * 3 + ["Peaks"] * 3, dtype="S")
        features["genome"] = np.array(["mm10"] * 6, dtype="S")
        features["interval"] = np.array(INTERVALS, dtype="S")


def tenx_folder(path: Path) -> None:
    """Write the same counts as the folder that Cell Ranger ARC writes."""
    x = _ten_counts().astype(np.int32)
    path.mkdir()
    names = ["A", "B", "C", "chr1:1-9", "chr1:20-90", "chr2:3-70"]
    places = [i.replace(":", "\t").replace("-", "\t") for i in INTERVALS]
    kinds = ["Gene Expression"] * 3 + ["Peaks"] * 3
    rows = zip(names, kinds, places, strict=True)
    texts = {
        "matrix.mtx.gz": _matrix_market(x),
        "features.tsv.gz": "".join(f"E{i}\t{n}\t{k}\t{p}\n" for i, (n, k, p) in enumerate(rows)),
        "barcodes.tsv.gz": "".join(f"AC{i}-1\n" for i in range(5)),
    }
    for name, content in texts.items():
        (path / name).write_bytes(gzip.compress(content.encode(), mtime=0))


def _matrix_market(x: Any) -> str:
    at = x.tocoo()
    head = f"%%MatrixMarket matrix coordinate integer general\n% by hand\n{x.shape[0]} {x.shape[1]} {at.nnz}\n"
    return head + "".join(f"{i + 1} {j + 1} {v}\n" for i, j, v in zip(at.row, at.col, at.data, strict=True))


def _accessibility(path: Path) -> None:
    """Write a folder as one exports it from R."""
    x = sparse.random(19, 5, 0.5, format="csc", random_state=0, dtype=np.float32)
    path.mkdir()
    (path / "matrix.mtx").write_text(_matrix_market((x * 9).astype(np.int32)))
    (path / "peaks.bed").write_text(BED)
    (path / "barcodes.tsv").write_text("".join(f"AC{i}-1\n" for i in range(5)))


def _h5ad(path: Path) -> None:
    """Write tiles as SnapATAC2 does."""
    import anndata

    x = sparse.random(5, 8, 0.5, format="csr", random_state=0, dtype=np.float32)
    x.data[:] = np.ceil(x.data * 9)
    var = pd.DataFrame(index=[f"chr1:{i * 500}-{i * 500 + 500}" for i in range(8)])
    anndata.AnnData(x, obs=pd.DataFrame({"n": range(5)}, index=[f"AC{i}" for i in range(5)]), var=var).write_h5ad(path)


def read_accessibility(path: Path) -> float:
    """Read accessibility and every number in it."""
    return float(grn.io.read_atac(path).X.sum())


def _model(path: Path) -> None:
    shutil.copytree(ARCHIVE / "model", path)


def read_sequences(path: Path) -> int:
    """Open a genome file and fetch all of it."""
    file = open_sequences(path)
    try:
        return sum(len(file.fetch(name, 0, length)) for name, length in file.lengths.items())
    finally:
        file.close()


def _fasta(path: Path) -> None:
    lines = "".join(
        f">{c}\n" + "\n".join(BASES[i : i + 50] for i in range(0, len(BASES), 50)) + "\n" for c in ("chr1", "chr2")
    )
    path.write_text(lines)


def bgzip(data: bytes) -> bytes:
    """Pack as bgzip does."""
    out = []
    for piece in [data[i : i + 200] for i in range(0, len(data), 200)] + [b""]:
        pack = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = pack.compress(piece) + pack.flush()
        size = len(body) + 25
        out.append(b"\x1f\x8b\x08\x04" + b"\0" * 4 + b"\0\xff\x06\0BC\x02\0" + struct.pack("<H", size) + body)
        out.append(struct.pack("<II", zlib.crc32(piece), len(piece)))
    return b"".join(out)


def _bgzipped(path: Path) -> None:
    _fasta(path)
    path.write_bytes(bgzip(path.read_bytes()))


def twobit(path: Path, *, length: int = 200, n_blocks: int = 1, count: int = 2) -> None:
    """Write a 2bit file, perhaps with lies in its header."""
    record = struct.pack("<II", length, n_blocks) + struct.pack("<II", 8, 2) + struct.pack("<III", 1, 3, 20)
    record += struct.pack("<I", 0) + bytes(range(50))
    head = struct.pack("<IIII", 0x1A412743, 0, count, 0)
    at = len(head) + 2 * 9
    index = b"".join(b"\x04chr" + str(i + 1).encode() + struct.pack("<I", at + i * len(record)) for i in range(2))
    path.write_bytes(head + index + 2 * record)


GTF = "".join(
    f'chr1\tx\t{kind}\t{100 * i}\t{100 * i + 50}\t.\t+\t.\tgene_id "E{i}"; transcript_id "T{i}"; gene_name "G{i}";\n'
    for i in range(1, 9)
    for kind in ("gene", "transcript")
)
BED = "".join(f"chr1\t{100 * i}\t{100 * i + 50}\tG{i}\t0\t{'+-'[i % 2]}\n" for i in range(1, 20))
MOTIF = "".join(
    f">ACGT\tTf{i}(x)\t4.5\n0.97\t0.01\t0.01\t0.01\n0.01\t0.97\t0.01\t0.01\n0.25\t0.25\t0.25\t0.25\n" for i in range(5)
)
MEME = "MEME version 4\n\nALPHABET= ACGT\n\n" + "".join(
    f"MOTIF M{i} Tf{i}\nletter-probability matrix: alength= 4 w= 2 nsites= 20\n0.9 0.05 0.03 0.02\n0.1 0.2 0.3 0.4\n\n"
    for i in range(4)
)
JASPAR = "".join(f">MA000{i}.1 Tf{i}\nA [ 3 4 0 ]\nC [ 1 0 9 ]\nG [ 0 2 1 ]\nT [ 6 4 0 ]\n" for i in range(4))
_TAIL = " Distance From Peak(sequence,strand,conservation)"
HOMER = (
    "PeakID (cmd=annotatePeaks.pl p.bed mm10 -m k.motif -nmotifs)\tChr\tStart\tEnd\tStrand\tGC%\t"
    + "\t".join(f"m{i}{_TAIL}" for i in range(4))
    + "\n"
    + "".join(f"p{i}\tchr1\t{i * 10 + 1}\t{i * 10 + 9}\t+\t0.5\t{i % 3}\t0\t1\t{i % 2}\n" for i in range(12))
)
NETWORK = "source,target,weight\n" + "".join(f"T{i % 3},g{i},{(-1) ** i}\n" for i in range(20))
CRISPRI = "chrom,start,end,gene,regulated\n" + "".join(f"chr1,{i},{i + 9},g{i},{i % 2}\n" for i in range(20))
SIZES = "".join(f"chr{i}\t{100000 - i}\n" for i in range(1, 20))


def text(content: str) -> Callable[[Path], None]:
    """Return a function that writes a text."""
    return lambda path: path.write_text(content) and None


def zipped(content: str) -> Callable[[Path], None]:
    """Return a function that writes a gzipped text."""
    return lambda path: path.write_bytes(gzip.compress(content.encode(), mtime=0)) and None


def _bigwig(path: Path) -> None:
    import pyBigWig

    file = pyBigWig.open(str(path), "w")
    file.addHeader([("chr1", 1000), ("chr2", 1000)])
    file.addEntries(["chr1"] * 3, [0, 100, 125], ends=[50, 120, 126], values=[1.0, 2.0, 3.0])
    file.close()


def read_motifs(path: Path) -> Any:
    """Read motifs with thresholds of our own."""
    return grn.io.read_motifs(path, pvalue=1e-2)


def read_activity(path: Path) -> Any:
    """Read the activity of two places."""
    return grn.io.read_activity(path, PLACES)


FORMATS = {
    f.name: f
    for f in (
        Format("cells.h5mu", _h5mu, read_cells),
        Format("tenx.h5", tenx, lambda path: _all_numbers(grn.io.read_10x(path, duplicates="drop"))),
        Format("outs", tenx_folder, lambda path: _all_numbers(grn.io.read_10x(path, duplicates="drop"))),
        Format("atac", _accessibility, read_accessibility),
        Format("tiles.h5ad", _h5ad, read_accessibility),
        Format("model", _model, lambda path: grn.io.load_model(path)),
        Format("genes.gtf", text(GTF), grn.io.read_tss),
        Format("genes.gtf.gz", zipped(GTF), grn.io.read_tss),
        Format("tss.bed", text(BED), grn.io.read_tss),
        Format("known.motif", text(MOTIF), read_motifs),
        Format("meme.txt", text(MEME), read_motifs),
        Format("jaspar.txt", text(JASPAR), read_motifs),
        Format("genome.fa", _fasta, read_sequences),
        Format("genome.fa.gz", _bgzipped, read_sequences),
        Format("genome.2bit", twobit, read_sequences),
        Format("homer.tsv", text(HOMER), grn.io.read_homer),
        Format("network.csv", text(NETWORK), grn.io.read_network),
        Format("crispri.csv", text(CRISPRI), grn.io.read_crispri),
        Format("chrom.sizes", text(SIZES), grn.io.read_chrom_sizes),
        Format("peaks.bed", text(BED.replace("\t0\t", "\t7.5\t")), read_activity),
    )
}
if importlib.util.find_spec("pyBigWig"):
    FORMATS["signal.bw"] = Format("signal.bw", _bigwig, read_activity)
