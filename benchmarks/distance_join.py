"""Windows and distances of 200,000 peaks and 25,000 TSSs, beside a bare numpy join and the interval libraries.

    python benchmarks/distance_join.py [--peers PYTHON] [--runs 5] [--write]

Drawn once, saved, and read by a child process for each method: seconds are medians of its runs, memory is what its peak
grew by over that before the first run. tilegrn assigns peaks to windows, finds all pairs of window and TSS within 1 Mb,
their distances, and the nearest TSS of each gene; all others, and tilegrn once more, are given the windows ready-made
and find pairs and distances alone. pyranges1 and bioframe need an interpreter that has them (``--peers``), for ours
does not depend on them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

REACH, SIZE, N_CHROMS, MOST = 1_000_000, 1_000, 22, 260_000
OWN = ("tilegrn", "join")
METHODS = (*OWN, "numpy", "pyranges", "pyranges1", "bioframe")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def draw(n_peaks: int, n_tss: int) -> dict[str, np.ndarray]:
    """Peaks and TSSs: half of the peaks near a TSS, as in real data."""
    rng = np.random.default_rng(0)
    length = np.linspace(250e6, 50e6, N_CHROMS).astype(np.int64)
    site_chrom = rng.choice(N_CHROMS, n_tss, p=length / length.sum())
    site = (rng.random(n_tss) * length[site_chrom]).astype(np.int64)
    chrom = rng.choice(N_CHROMS, n_peaks, p=length / length.sum())
    start = (rng.random(n_peaks) * (length[chrom] - 1000)).astype(np.int64)
    near = rng.random(n_peaks) < 0.5
    of = rng.integers(0, n_tss, near.sum())
    chrom[near] = site_chrom[of]
    start[near] = np.clip(site[of] + rng.normal(0, 20_000, near.sum()).astype(np.int64), 0, length[chrom[near]] - 1000)
    end = start + rng.integers(200, 900, n_peaks)
    from tilegrn.pp._windows import assign_windows

    window = occupied(chrom, assign_windows(start, end, SIZE, salt=chrom))
    return {
        "chrom": chrom.astype(np.int64),
        "start": start,
        "end": end,
        "site": site,
        "site_chrom": site_chrom.astype(np.int64),
        "gene": rng.integers(0, n_tss // 2, n_tss),
        "w_chrom": window // MOST,
        "w_start": window % MOST * SIZE,
    }


def occupied(chrom, number):
    """Windows with peaks, by chromosome and number."""
    seen = np.zeros(N_CHROMS * MOST, dtype=bool)
    seen[chrom * MOST + number] = True
    return np.flatnonzero(seen)


def tilegrn_call(d):
    from tilegrn._core.intervals import distance_pairs, sum_or_nearest
    from tilegrn.pp._windows import assign_windows

    def call():
        number = assign_windows(d["start"], d["end"], SIZE, salt=d["chrom"])
        window = occupied(d["chrom"], number)
        chrom, start = window // MOST, window % MOST * SIZE
        i, j, bp = distance_pairs(chrom, start, start + SIZE, d["site_chrom"], d["site"], max_distance=REACH)
        sum_or_nearest(d["gene"][j], i, bp, decay=None, multiple="nearest")
        return len(i)

    return call


def join_call(d):
    from tilegrn._core.intervals import distance_pairs

    def call():
        start = d["w_start"]
        return len(distance_pairs(d["w_chrom"], start, start + SIZE, d["site_chrom"], d["site"], max_distance=REACH)[0])

    return call


def numpy_call(d):
    """Return the pairs of two sorted lists by two searches, and their distances; nothing is put in order."""
    chrom, site = d["w_chrom"], d["site"]

    def call():
        found = []
        for c in range(N_CHROMS):
            windows, sites = np.flatnonzero(chrom == c), np.flatnonzero(d["site_chrom"] == c)
            start, pos = d["w_start"][windows], site[sites]  # sorted as they come
            low = np.searchsorted(start, pos - REACH - SIZE + 1)
            n = np.searchsorted(start, pos + REACH, side="right") - low
            which = np.repeat(np.arange(len(sites)), n)
            at = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + low[which]
            bp = np.maximum(0, np.maximum(start[at] - pos[which], pos[which] - (start[at] + SIZE - 1)))
            found.append((windows[at], sites[which], bp))
        return sum(len(np.concatenate(each)) for each in zip(*found, strict=True)) // 3

    return call


def frames(d, columns):
    import pandas as pd

    def frame(chrom, start, end):
        return pd.DataFrame(dict(zip(columns, ([f"chr{c}" for c in chrom], start, end), strict=True)))

    return frame(d["w_chrom"], d["w_start"], d["w_start"] + SIZE), frame(d["site_chrom"], d["site"], d["site"] + 1)


def between(start, pos):
    return np.maximum(0, np.maximum(start - pos, pos - (start + SIZE - 1)))


def pyranges_call(d):
    import pyranges

    windows, sites = (pyranges.PyRanges(f) for f in frames(d, ("Chromosome", "Start", "End")))

    def call():
        found = windows.join(sites, slack=REACH + 1, apply_strand_suffix=False).df
        return int((between(found["Start"].to_numpy(), found["Start_b"].to_numpy()) <= REACH).sum())

    return call


def pyranges1_call(d):
    try:
        import pyranges1 as pyranges
    except ImportError:
        import pyranges

    windows, sites = (pyranges.PyRanges(f) for f in frames(d, ("Chromosome", "Start", "End")))

    def call():
        found = windows.join_overlaps(sites, slack=REACH + 1)
        return int((between(found["Start"].to_numpy(), found["Start_b"].to_numpy()) <= REACH).sum())

    return call


def bioframe_call(d):
    import bioframe

    windows, sites = frames(d, ("chrom", "start", "end"))

    def call():
        wide = sites.assign(pos=sites["start"], start=sites["start"] - REACH, end=sites["end"] + REACH)
        found = bioframe.overlap(windows, wide, how="inner")
        return int((between(found["start"].to_numpy(), found["pos_"].to_numpy()) <= REACH).sum())

    return call


def peak() -> float:
    """Largest memory so far, in GB; of this process alone, which ``getrusage`` mixes with its parent's."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6


def one(method: str, file: Path, runs: int) -> None:
    """Measure a method; its module is missing: say so."""
    if method not in (*OWN, "numpy") and importlib.util.find_spec(method) is None:
        print(json.dumps({"skipped": f"{method} is not installed for {sys.executable}"}))
        return
    call = globals()[f"{method}_call"](dict(np.load(file)))
    seconds, before = [], peak()
    call()  # imports and compiles
    for _ in range(runs):
        start = time.perf_counter()
        pairs = call()
        seconds.append(time.perf_counter() - start)
    grown = peak() - before
    number = version("tilegrn" if method in OWN else method)
    print(json.dumps({"s": statistics.median(seconds), "pairs": pairs, "gb": grown, "version": number}))


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peaks", type=int, default=200_000)
    parser.add_argument("--tss", type=int, default=25_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has pyranges1 and bioframe")
    parser.add_argument("--one", choices=METHODS)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    if args.one:
        one(args.one, args.file, args.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "drawn.npz"
        np.savez(file, **draw(args.peaks, args.tss))
        found = {}
        for method in METHODS:
            python = args.peers if method in ("pyranges1", "bioframe") else sys.executable
            command = [python, __file__, "--one", method, "--file", str(file), "--runs", str(args.runs)]
            done = subprocess.run(command, capture_output=True, text=True)
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            found[method] = json.loads(done.stdout.splitlines()[-1]) if not done.returncode else {"skipped": last}
    base = found["numpy"]["s"]
    lines = ["| method | s | of the numpy join | pairs | memory, GB |", "|---|---|---|---|---|"]
    for method, row in found.items():
        if "skipped" in row:
            lines.append(f"| {method} | skipped: {row['skipped']} | | | |")
        else:
            cells = f"{row['s']:.2f} | {row['s'] / base:.1f} | {row['pairs']:,} | {row['gb']:.2f}"
            name = {"tilegrn": "tilegrn, windows and nearest TSS too", "join": "tilegrn, pairs alone"}.get(
                method, method
            )
            lines.append(f"| {name} ({row['version']}) | {cells} |")
    print("\n".join(lines))
    if args.write:
        from _cortex import between_markers

        between_markers(PAGE, {"distance join": lines})


if __name__ == "__main__":
    main()
