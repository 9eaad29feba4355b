"""Motif scanning: tilegrn beside lightmotif, MOODS, memelite and numpy, on one machine in one run.

    python benchmarks/motif_scan.py [--runs 5] [--data ../shared/data]

20,000 sequences of 600 bp (tiles of 4 Mb of human chr10, so overlapping), all 471 motifs of HOMER 5.0.1, both strands.
Every engine runs in a fresh process with one thread, where not said otherwise. Engines are handed what they like best:
sequences at hand, matrices built, lightmotif and MOODS one long text with N between the sequences. Peer engines are
benchmark-only dependencies: pip install lightmotif MOODS-python memelite.

Throughput is in 10^9 base x motif x strand per second: 12 Mb x 471 x 2 = 11.3.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

N_SEQUENCES, LENGTH = 20_000, 600
FASTA = "reference/hg38_chr10_87000000-91000000.fa.gz"
MOTIFS = "motifs/homer_v5.0.1_vertebrates_known.motifs"


def load(data: Path):
    from tilegrn.io import read_motifs

    text = b"".join(gzip.decompress((data / FASTA).read_bytes()).split(b"\n")[1:])
    starts = [s for offset in (0, 150, 300, 450) for s in range(offset, len(text) - LENGTH, LENGTH)][:N_SEQUENCES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one name stands there twice
        motifs = read_motifs(data / MOTIFS)
    return text, starts, [text[s : s + LENGTH] for s in starts], motifs


class Tilegrn:
    """count_sequences: counts per sequence and motif."""

    threads = 1

    def __init__(self, data):
        from tilegrn.motifs import count_sequences

        _, _, self.sequences, self.motifs = load(data)
        self.count = count_sequences

    def __call__(self):
        return int(self.count(self.sequences, self.motifs, n_jobs=self.threads).counts.data.sum())


class TilegrnTwo(Tilegrn):
    """The same on two threads."""

    threads = 2


class TilegrnHits(Tilegrn):
    """scan_sequences: a table of all hits with position, strand, score and letters."""

    def __call__(self):
        from tilegrn.motifs import scan_sequences

        return sum(len(scan_sequences(self.sequences[i : i + 500], self.motifs)) for i in range(0, N_SEQUENCES, 500))


class TilegrnFasta:
    """count_hits: from a FASTA file and a table of intervals."""

    threads = 1

    def __init__(self, data):
        import pandas as pd

        text, starts, _, self.motifs = load(data)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "genome.fa"
        lines = [text[i : i + 60] for i in range(0, len(text), 60)]
        self.path.write_bytes(b">chr10\n" + b"\n".join(lines) + b"\n")
        start = np.array(starts)
        self.table = pd.DataFrame({"chrom": "chr10", "start": start, "end": start + LENGTH})

    def __call__(self):
        from tilegrn.motifs import count_hits

        return int(count_hits(self.path, self.table, self.motifs, n_jobs=self.threads).counts.data.sum())


class TilegrnFastaTwo(TilegrnFasta):
    """The same on two threads."""

    threads = 2


class TilegrnWide(TilegrnFasta):
    """count_hits of 200,000 intervals: time and memory of a large data set."""

    threads = 2

    def __init__(self, data):
        super().__init__(data)
        start = np.random.default_rng(0).integers(0, 4_000_000 - LENGTH, size=200_000)
        self.table = self.table.iloc[:0].reindex(range(200_000)).assign(chrom="chr10", start=start, end=start + LENGTH)


class Lightmotif:
    """lightmotif.scan on one striped text, hits iterated but not kept."""

    def __init__(self, data):
        import lightmotif

        self.lib = lightmotif
        _, _, sequences, motifs = load(data)
        self.text = lightmotif.stripe(b"N".join(sequences).decode().upper())
        self.matrices = []
        for motif in motifs:
            columns = dict(zip("ACGT", motif.log_odds.T.tolist(), strict=True)) | {"N": [-np.inf] * motif.length}
            forward = lightmotif.ScoringMatrix(columns)
            self.matrices += [(forward, motif.threshold), (forward.reverse_complement(), motif.threshold)]

    def __call__(self):
        return sum(sum(1 for _ in self.lib.scan(m, self.text, threshold=t)) for m, t in self.matrices)


class Moods:
    """MOODS.scan.Scanner with all matrices of both strands on one text."""

    def __init__(self, data):
        import MOODS.scan
        import MOODS.tools

        _, _, sequences, motifs = load(data)
        self.text = b"N".join(sequences).decode().upper()
        forward = [m.log_odds.T.tolist() for m in motifs]
        matrices = forward + [MOODS.tools.reverse_complement(m) for m in forward]
        self.scanner = MOODS.scan.Scanner(7)
        self.scanner.set_motifs(matrices, MOODS.tools.flat_bg(4), [m.threshold for m in motifs] * 2)

    def __call__(self):
        return sum(len(r) for r in self.scanner.scan(self.text))


class Memelite:
    """memelite.fimo, counts only; it takes p-values (1e-4), not HOMER's thresholds, so its hits are others."""

    def __init__(self, data):
        import numba
        from memelite import fimo

        numba.set_num_threads(1)
        _, _, sequences, motifs = load(data)
        codes = np.frombuffer(b"".join(sequences).upper(), dtype=np.uint8).reshape(N_SEQUENCES, LENGTH)
        self.one_hot = np.stack([codes == ord(b) for b in "ACGT"], axis=1).astype(np.int8)
        self.motifs = {str(i): m.probabilities.T for i, m in enumerate(motifs)}
        self.fimo = fimo

    def __call__(self):
        return int(self.fimo(self.motifs, self.one_hot, threshold=1e-4, return_counts=True).sum())


class Numpy:
    """A sliding sum of table look-ups in float64, on 1 of 50 sequences; time is multiplied by 50."""

    share = 50

    def __init__(self, data):
        _, _, sequences, self.motifs = load(data)
        letters = np.frombuffer(b"".join(sequences[:: self.share]).upper(), dtype=np.uint8).reshape(-1, LENGTH)
        self.codes = np.searchsorted(np.frombuffer(b"ACGT", dtype=np.uint8), letters)

    def __call__(self):
        hits = 0
        for motif in self.motifs:
            n = LENGTH - motif.length + 1
            for scores in (motif.log_odds, motif.log_odds[::-1, ::-1]):
                total = np.zeros((len(self.codes), n))
                for k, row in enumerate(scores):
                    total += row[self.codes[:, k : k + n]]
                hits += int((total >= motif.threshold).sum())
        return hits


WIDE = "tilegrn, from FASTA, 200,000 intervals, 2 threads"
ENGINES = {
    "tilegrn, 1 thread": (Tilegrn, "tilegrn", ""),
    "tilegrn, 2 threads": (TilegrnTwo, "tilegrn", ""),
    "tilegrn, all hits listed": (TilegrnHits, "tilegrn", ""),
    "tilegrn, from FASTA, 1 thread": (TilegrnFasta, "tilegrn", ""),
    "tilegrn, from FASTA, 2 threads": (TilegrnFastaTwo, "tilegrn", ""),
    WIDE: (TilegrnWide, "tilegrn", ""),
    "lightmotif (GPL)": (Lightmotif, "lightmotif", "float32"),
    "MOODS (GPL)": (Moods, "MOODS", ""),
    "memelite": (Memelite, "memelite", "p < 1e-4 in place of HOMER's thresholds"),
    "numpy": (Numpy, "numpy", "1 of 50 sequences, scaled"),
}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, data: Path, runs: int) -> None:
    """Run in a process of its own: the first call, then the others, and how far memory rose."""
    engine = ENGINES[name][0](data)
    share = getattr(engine, "share", 1)
    before = peak_mib()
    times, hits = [], 0
    for _ in range(runs + 1):
        begin = time.perf_counter()
        hits = engine()
        times.append((time.perf_counter() - begin) * share)
    print(json.dumps({"times": times, "hits": hits * share if share > 1 else hits, "mib": peak_mib() - before}))


def child(name: str, data: Path, runs: int, **environment: str) -> dict[str, object]:
    command = [sys.executable, __file__, "--engine", name, "--runs", str(runs), "--data", str(data)]
    threads = {f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "NUMBA", "OPENBLAS")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **threads, **environment}
    )
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> str:
    import numba

    from tilegrn.motifs._lookup import LOOKUP

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    versions = f"Python {sys.version.split()[0]}, numpy {np.__version__}, numba {numba.__version__}"
    return f"{cpu}, {os.cpu_count()} processors, {versions}, lookup instruction {LOOKUP}"


def report(data: Path, runs: int) -> str:
    work = N_SEQUENCES * LENGTH * len(load(data)[3]) * 2 / 1e9
    with tempfile.TemporaryDirectory() as empty:
        fresh = child("tilegrn, 1 thread", data, 1, NUMBA_CACHE_DIR=empty)
    rows, seconds = [], {}
    for name, (_, module, remark) in ENGINES.items():
        if importlib.util.find_spec(module) is None:
            rows.append(f"| {name} | not installed | | | | | |")
            continue
        found = child(name, data, max(runs if name.startswith("tilegrn") else 3, 3))
        times = found["times"][1:]
        seconds[name] = statistics.median(times)
        per_second = work / seconds[name] * (10 if name == WIDE else 1)
        rows.append(
            f"| {name} | {seconds[name]:.2f} | {min(times):.2f}-{max(times):.2f} | {per_second:.2f} "
            f"| {found['hits']:,} | {found['mib']:.0f} | {remark} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    one = seconds["tilegrn, 1 thread"]
    lines = [
        f"{machine()}; median of {max(runs, 3)} runs (peers: 3) after a first one that is not counted.",
        "",
        "| engine | s | range | 10^9 base x motif x strand / s | hits | MiB above the data | remark |",
        "|---|---:|---:|---:|---:|---:|---|",
        *rows,
        "",
        f"- First call with nothing compiled: {fresh['times'][0]:.1f} s, the second {fresh['times'][1]:.2f} s; later "
        "processes read the compiled code from disk.",
        f"- Two threads: {one / seconds['tilegrn, 2 threads']:.2f} times one.",
    ]
    if "lightmotif (GPL)" in seconds:
        lines.append(f"- Beside lightmotif, one thread: {seconds['lightmotif (GPL)'] / one:.1f} times.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[1]
    default = Path(os.environ.get("TILEGRN_REAL_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engine", choices=list(ENGINES))
    options = parser.parse_args()
    if options.engine:
        measure(options.engine, options.data, options.runs)
    else:
        print(report(options.data, options.runs))


if __name__ == "__main__":
    main()
