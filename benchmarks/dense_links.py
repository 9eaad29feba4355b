"""Links on cells simulated at the width and density of 10x: AUPRC of distal links, time and memory of ``tl.links``.

Usage: python benchmarks/dense_links.py [seeds]     (needs dense_multiome.py in $TILEGRN_REAL_DATA; 3 seeds by default)
       python benchmarks/dense_links.py states      (few or many programmes and cells: the weight of evidence)

Distal: the middle of the peak is 2 kb or more from the gene's nearest TSS. The pairs are all peaks within 1 Mb of the
genes' RefSeq TSSs. Prints a markdown table; time and peak memory are those of a fresh process that reads the file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(os.environ.get("TILEGRN_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SIZES = [(60_000, 12_000), (120_000, 20_000)]
CELLS = 2_000
DISTAL = 2_000


STATES = [(12, 2000), (12, 400), (12, 150), (4, 2000), (24, 2000)]
"""Programmes and cells."""
SCAN = (0.1, 0.2, 0.35, 0.5, 0.7)


def simulate(path: str, peaks: int, genes: int, seed: int, topics: int = 12, cells: int = CELLS) -> None:
    spec = importlib.util.spec_from_file_location("dense_multiome", DATA / "dense_multiome.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mdata = module.simulate(cells, peaks, genes, seed, n_topics=topics)
    del mdata["rna"].layers["rate"]
    mdata.write(path)


def measure(path: str) -> dict:
    from scipy.special import logit

    import tilegrn as grn
    from tilegrn._stats.ranking import METRICS, rank_metrics

    mdata = grn.io.read_h5mu(path)
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    start = time.monotonic()
    table = grn.tl.links(mdata, top=None)
    seconds = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    axes = table.attrs["effective_axes"]
    added = grn.tl.PairWeights.shipped().evidence * axes * table["correlation"].to_numpy(np.float64)
    log_distance = -np.log(table["distance"].to_numpy() + 5000.0)
    scores = {
        "distance": log_distance,
        "correlation": table["correlation"].to_numpy(),
        "distance + correlation": log_distance + added,
        "features": logit(table["score"].to_numpy()) - added,
        "tl.links": table["score"].to_numpy(),
    }
    pair = pd.MultiIndex.from_arrays([table["peak"].astype(str), table["target"].astype(str)])
    truth = pair.isin(pd.MultiIndex.from_frame(mdata.uns["links"][["peak", "gene"]]))
    distal = (table["distance"] >= DISTAL).to_numpy()
    auprc = METRICS.index("auprc")
    unit = axes * table["correlation"].to_numpy(np.float64)
    scores |= {f"weight {w}": log_distance + w * unit for w in SCAN}
    return {
        "pairs": int(distal.sum()),
        "true": int(truth[distal].sum()),
        "axes": axes,
        "seconds": seconds,
        "memory": memory,
        **{k: float(rank_metrics(v[distal].astype(np.float64), truth[distal])[auprc]) for k, v in scores.items()},
    }


def child(*arguments: object) -> str:
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def states() -> None:
    print("| programmes | cells | axes found | distance | " + " | ".join(f"{w}" for w in SCAN) + " |")
    print("|" + "---|" * (len(SCAN) + 4))
    for topics, cells in STATES:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/cells.h5mu"
            child("simulate", path, *SIZES[0], 0, topics, cells)
            row = json.loads(child("measure", path).splitlines()[-1])
        scan = " | ".join(f"{row[f'weight {w}']:.3f}" for w in SCAN)
        print(f"| {topics} | {cells:,} | {row['axes']:.1f} | {row['distance']:.3f} | {scan} |", flush=True)


def main(seeds: int) -> None:
    methods = ["distance", "correlation", "distance + correlation", "features", "tl.links"]
    print("| peaks x genes | seed | pairs (true) | " + " | ".join(methods) + " | gain | axes | seconds | GB |")
    print("|" + "---|" * (len(methods) + 7))
    for peaks, genes in SIZES:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/cells.h5mu"
                child("simulate", path, peaks, genes, seed)
                row = json.loads(child("measure", path).splitlines()[-1])
            print(
                f"| {peaks:,} x {genes:,} | {seed} | {row['pairs']:,} ({row['true']:,}) | "
                + " | ".join(f"{row[m]:.3f}" for m in methods)
                + f" | {row['tl.links'] / row['distance']:.2f} | {row['axes']:.1f} | {row['seconds']:.0f} | "
                f"{row['memory']:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) > 2 and sys.argv[1] == "simulate":
        simulate(sys.argv[2], *map(int, sys.argv[3:]))
    elif len(sys.argv) > 2 and sys.argv[1] == "measure":
        print(json.dumps(measure(sys.argv[2])))
    elif sys.argv[1:] == ["states"]:
        states()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
