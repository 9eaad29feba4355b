"""Time and memory of ``grn.io.read_homer`` on wide HOMER outputs.

Writes an ``annotatePeaks.pl`` table of N peaks x 471 motifs with and without ``-nmotifs``, and its hits as a list
such as ``-find`` prints, about 0.24 hits per peak and motif as in real peaks; reads each in a process of its own.

Run: python benchmarks/read_homer.py [n_peaks] [folder]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_MOTIFS = 471
MEAN_HITS = 0.24
SITE = "{}(ACGTGGCATT,+,0.00)"


def write(folder: Path, n_peaks: int) -> list[Path]:
    """Write the three outputs; the same hits in each."""
    rng = np.random.default_rng(0)
    motifs = [f"Tf{i}(Zf)/Cell-Tf{i}-ChIP-Seq(GSE{i})/Homer" for i in range(N_MOTIFS)]
    rate = rng.gamma(0.8, MEAN_HITS / 0.8, N_MOTIFS)
    suffix = " Distance From Peak(sequence,strand,conservation)"
    fixed = "Chr\tStart\tEnd\tStrand\tPeak Score\tFocus Ratio/Region Size\tCpG%\tGC%\t" + "\t".join(
        m + suffix for m in motifs
    )
    paths = [folder / name for name in ("nmotifs.tsv", "sites.tsv", "find.tsv")]
    with paths[0].open("w") as counts, paths[1].open("w") as sites, paths[2].open("w") as find:
        counts.write(f"PeakID (cmd=annotatePeaks.pl peaks.bed genome.fa -m known.motifs -nmotifs -noann)\t{fixed}\n")
        sites.write(f"PeakID (cmd=annotatePeaks.pl peaks.bed genome.fa -m known.motifs -noann)\t{fixed}\n")
        find.write("PositionID\tOffset\tSequence\tMotif Name\tStrand\tMotifScore\n")
        for peak in range(n_peaks):
            n = rng.poisson(rate)
            start = 1000 * peak + 1
            front = f"p{peak}\tchr1\t{start}\t{start + 599}\t+\t0\tNA\t0.01\t0.45\t"
            counts.write(front + "\t".join(map(str, n.tolist())) + "\n")
            cells = [""] * N_MOTIFS
            for j in np.flatnonzero(n):
                cells[j] = ",".join(SITE.format(37 * k) for k in range(n[j]))
                find.write(f"p{peak}\t37\tACGTGGCATT\t{motifs[j]}\t+\t8.123456\n" * n[j])
            sites.write(front + "\t".join(cells) + "\n")
    return paths


def measure(path: Path) -> None:
    """Read one file and print seconds, peak memory and rows."""
    import pyarrow.csv  # noqa: F401  (its import is not read_homer's time)

    from tilegrn.io.homer._table import read_homer

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    table = read_homer(path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = path.stat().st_size / 2**20
    hits = int(table["tf_motifs_in_peak"].sum())
    print(
        f"{path.name:12s} {size:8.0f} MiB {seconds:7.2f} s  peak {peak:6.0f} MiB (imports {before:.0f})  "
        f"{len(table):,} rows, {hits:,} hits, table {table.memory_usage(deep=True).sum() / 2**20:.0f} MiB"
    )


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "--one":
        measure(Path(sys.argv[2]))
        return
    n_peaks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        for path in write(Path(folder), n_peaks):
            subprocess.run([sys.executable, __file__, "--one", str(path)], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
