"""Time and memory of grn.pp on real data, each step of the walk.

Usage: python benchmarks/preprocessing.py [--data DIR] [--runs 3]

Every data set runs in a process of its own, so that peak memory is its own. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
import warnings
from pathlib import Path

import tilegrn as grn

SETS = {
    "mouse cortex": ("multiome/mouse_cortex_mm10.h5mu", "mm10"),
    "cell lines": ("multiome/cell_lines_hg38.h5mu", "hg38"),
}


def walk(data: Path, name: str):
    file, assembly = SETS[name]
    seconds = {}
    start = time.perf_counter()
    mdata = grn.io.read_h5mu(data / file)
    seconds["read_h5mu"] = time.perf_counter() - start
    if assembly == "mm10":
        table = data / "multiome/mouse_cortex_mm10_promoter_binding.parquet"
        tfs = ("add_binding", lambda: grn.pp.add_binding(mdata, table))
    else:
        tfs = ("mark_tfs", lambda: grn.pp.mark_tfs(mdata, data / "reference/allTFs_hg38.txt"))
    steps = [
        ("intersect_cells", lambda: grn.pp.intersect_cells(mdata)),
        ("bin_peaks", lambda: grn.pp.bin_peaks(mdata, assembly)),
        ("tss_distance", lambda: grn.pp.tss_distance(mdata, assembly)),
        tfs,
        ("split_cells", lambda: grn.pp.split_cells(mdata)),
        ("scale", lambda: grn.pp.scale(mdata)),
    ]
    for step, call in steps:
        start = time.perf_counter()
        call()
        seconds[step] = time.perf_counter() - start
    return seconds, mdata.mod["rna"].shape, mdata.mod["atac"].n_vars


def measured(data: Path, name: str, runs: int, out):
    warnings.simplefilter("ignore", UserWarning)
    results = [walk(data, name) for _ in range(runs)]
    medians = {step: statistics.median(r[0][step] for r in results) for step in results[0][0]}
    out.put((medians, *results[0][1:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for name in SETS:
        out = context.Queue()
        process = context.Process(target=measured, args=(arguments.data, name, arguments.runs, out))
        process.start()
        medians, (cells, genes), peaks, peak = out.get()
        process.join()
        print(f"\n{name}: {cells} cells x {genes} genes x {peaks} peaks, peak memory {peak:.2f} GB\n")
        print("| step | median s |")
        print("|---|---|")
        for step, seconds in medians.items():
            print(f"| `{step}` | {seconds:.2f} |")
        print(f"| all | {sum(medians.values()):.2f} |")


if __name__ == "__main__":
    main()
