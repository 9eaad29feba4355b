"""Reading windows of a genome: tilegrn's readers beside pyfaidx and py2bit (pip install pyfaidx biopython py2bit).

Writes one chromosome of 195 million letters as FASTA, bgzipped FASTA and 2bit to a temporary folder, and reads 50,000
windows of 500 bp in the order of a peak table. Medians of three, files in the page cache: seconds of the processor for
opening (tilegrn indexes in memory, pyfaidx writes an index file) and for reading, and seconds by the clock for reading
in four threads where the reader allows it.

Usage: python benchmarks/sequence_files.py [million letters]
"""

from __future__ import annotations

import statistics
import struct
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tilegrn.motifs.genome._fasta import open_sequences

N_WINDOWS, WIDTH, LINE = 50_000, 500, 50


def write_all(folder, n):
    """Return the paths of a FASTA, a bgzipped FASTA and a 2bit file with the same letters."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, n, dtype=np.uint8)
    letters = np.frombuffer(b"TCAG", dtype=np.uint8)[codes]
    text = (
        b">chr1\n"
        + np.column_stack([letters.reshape(-1, LINE), np.full(n // LINE, ord("\n"), dtype=np.uint8)]).tobytes()
    )
    paths = [folder / name for name in ("plain.fa", "packed.fa.gz", "genome.2bit")]
    paths[0].write_bytes(text)
    with paths[1].open("wb") as out:
        for at in [*range(0, len(text), 65280), None]:
            piece = b"" if at is None else text[at : at + 65280]
            packer = zlib.compressobj(1, zlib.DEFLATED, -15)
            body = packer.compress(piece) + packer.flush()
            out.write(struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25))
            out.write(body + struct.pack("<II", zlib.crc32(piece), len(piece)))
    four = codes.reshape(-1, 4)
    packed = (four[:, 0] << 6 | four[:, 1] << 4 | four[:, 2] << 2 | four[:, 3]).astype(np.uint8)
    head = struct.pack("<4I", 0x1A412743, 0, 1, 0) + b"\x04chr1" + struct.pack("<I", 25)
    paths[2].write_bytes(head + struct.pack("<4I", n, 0, 0, 0) + packed.tobytes())
    return paths


class Ours:
    name, threads = "tilegrn", True

    def __init__(self, path):
        self.file = open_sequences(path)

    def read(self, start):
        return self.file.fetch("chr1", start, start + WIDTH)


class Pyfaidx:
    name, threads = "pyfaidx", False  # one file position, behind one lock

    def __init__(self, path):
        import pyfaidx

        for index in path.parent.glob(path.name + ".*"):
            index.unlink()
        self.file = pyfaidx.Fasta(str(path), as_raw=True, sequence_always_upper=False)

    def read(self, start):
        return self.file["chr1"][start : start + WIDTH].encode()


class Py2bit:
    name, threads = "py2bit", False  # one file position

    def __init__(self, path):
        import py2bit

        self.file = py2bit.open(str(path), True)

    def read(self, start):
        return self.file.sequence("chr1", start, start + WIDTH).encode()


def read_all(reader, starts):
    return [reader.read(int(start)) for start in starts]


def measure(kind, path, starts):
    opened, read, threaded = [], [], []
    for _ in range(3):
        t0 = time.process_time()
        reader = kind(path)
        t1 = time.process_time()
        found = read_all(reader, starts)
        t2 = time.process_time()
        opened.append(t1 - t0)
        read.append(t2 - t1)
        if kind.threads:
            with ThreadPoolExecutor(4) as pool:
                t3 = time.perf_counter()
                list(pool.map(read_all, [reader] * 100, np.array_split(starts, 100)))
                threaded.append(time.perf_counter() - t3)
    left = sorted(p.name for p in path.parent.glob(path.name + ".*"))
    row = [statistics.median(opened), statistics.median(read), statistics.median(threaded) if threaded else np.nan]
    return found, row, left


def main():
    n = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 195_000_000
    n -= n % (4 * LINE)
    starts = np.sort(np.random.default_rng(1).integers(0, n - WIDTH, N_WINDOWS)).tolist()
    with tempfile.TemporaryDirectory() as name:
        plain, packed, twobit = write_all(Path(name), n)
        print("file,reader,open_s,read_s,read_4_threads_s,leaves")
        for path, kinds in ((plain, (Ours, Pyfaidx)), (packed, (Ours, Pyfaidx)), (twobit, (Ours, Py2bit))):
            first = None
            for kind in kinds:
                found, row, left = measure(kind, path, starts)
                first = first or found
                same = "" if found == first else " (other letters!)"
                cells = [path.name, kind.name + same, *(f"{v:.2f}" for v in row), " ".join(left) or "-"]
                print(*cells, sep=",", flush=True)


if __name__ == "__main__":
    main()
