"""Time and peak memory of every step on files of many cells, each step in a process of its own.

    python benchmarks/atlas.py 10k.h5mu --cells 10000
    python benchmarks/scale.py 10k.h5mu 100k.h5mu [10k.zarr] [--steps pp train predict scorecard edges links knockout]

The files are those of atlas.py. ``pp-memory`` reads the file to memory, all other steps leave the counts in it
(``backed=True``). ``train`` is one epoch with all that comes before and after it; its model, kept in ``--work``, is
what the steps after it read. ``predict`` writes predictions of all cells and genes to a file (float16), ``scorecard``
judges them; edges, links and knock-outs are of the ten cell types. Prints a markdown table, and how times grow from the
first file to the last (exponent of the cells): by the clock, and by the processors' seconds of the whole process, which
other work on the machine moves less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

STEPS = ("pp-memory", "pp", "train", "predict", "scorecard", "edges", "links", "knockout")


def prepare(path: Path, *, backed: bool):
    """Open a file and lay windows, distances, TFs and a split over it; with the seconds it took."""
    import tilegrn as grn

    mdata = (grn.io.read_zarr if path.is_dir() else grn.io.read_h5mu)(path, backed=backed)
    began = time.monotonic()
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    tfs = [str(t) for t in mdata.uns["tfs"]]
    # Any binding: each TF binds a twentieth of the peaks.
    rng = np.random.default_rng(0)
    import pandas as pd

    peaks = mdata["atac"].var_names.to_numpy()
    table = pd.concat(
        [pd.DataFrame({"source_id": t, "peak_id": rng.choice(peaks, len(peaks) // 20, replace=False)}) for t in tfs]
    ).assign(tf_motifs_in_peak=1)
    grn.pp.add_binding(mdata, table)
    grn.pp.split_cells(mdata, test=0.1, val=0.05, seed=0)
    grn.pp.scale(mdata)
    return mdata, time.monotonic() - began


def one(step: str, path: Path, work: Path) -> dict[str, float]:
    """Do one step; returns seconds, and what else is to be said."""
    import anndata

    import tilegrn as grn

    mdata, seconds = prepare(path, backed=step != "pp-memory")
    if step.startswith("pp"):
        return {"seconds": seconds}
    model, made = work / f"{path.stem}-model", work / f"{path.stem}-predicted.h5ad"
    began = time.monotonic()
    if step == "train":
        found = grn.tl.train(mdata, max_epochs=1, progress=False)
        seconds = time.monotonic() - began
        found.save(model)
        return {"seconds": seconds}
    trained = grn.io.load_model(model)
    began = time.monotonic()
    if step == "predict":
        grn.tl.predict_file(mdata, trained, made, dtype="float16", overwrite=True)
    elif step == "scorecard":
        card = grn.tl.scorecard(
            mdata, predicted=anndata.read_h5ad(made, backed="r"), baselines=["mean", "lsi", "ridge"]
        )
        sys.stderr.write(card.sentence + "\n")
    elif step == "edges":
        grn.tl.edges(mdata, trained, groupby="cell_type", max_cells=200)
    elif step == "links":
        grn.tl.links(mdata, groupby="cell_type")
    elif step == "knockout":
        grn.tl.knockout(mdata, trained, str(mdata.uns["tfs"][0]), groupby="cell_type")
    return {"seconds": time.monotonic() - began}


def peak_gb() -> float:
    """Largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def child(step: str, path: Path, work: Path) -> None:
    """Do a step and print its figures as JSON."""
    found = one(step, path, work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(json.dumps({**found, "cpu": used.ru_utime + used.ru_stime, "peak": peak_gb()}) + "\n")


def main() -> None:
    """Run every step on every file in a process each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--work", type=Path, default=Path("/tmp/tilegrn-scale"))
    parser.add_argument("--child", choices=STEPS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="Cannot set|.*lightgbm")
    if args.child:
        child(args.child, args.files[0], args.work)
        return
    args.work.mkdir(exist_ok=True)
    import h5py
    import zarr

    print("| step | cells | input, GB | s | ms a cell | processor, s | peak, GB |", flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    times: dict[str, list[tuple[int, float, float]]] = {}
    for step in args.steps:
        for path in args.files:
            parts = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
            file = zarr.open_group(path, mode="r") if path.is_dir() else h5py.File(path)
            cells = file["obs/_index"].shape[0]
            if not path.is_dir():
                file.close()
            command = [sys.executable, __file__, str(path), "--child", step, "--work", str(args.work)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                print(f"| {step} | {cells:,} | failed: {done.returncode} |", flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            times.setdefault(step, []).append((cells, found["seconds"], found["cpu"]))
            size = sum(p.stat().st_size for p in parts) / 2**30
            each = 1000 * found["seconds"] / cells
            print(
                f"| {step} | {cells:,} | {size:.2f} | {found['seconds']:.1f} | {each:.2f} | "
                f"{found['cpu']:.0f} | {found['peak']:.2f} |",
                flush=True,
            )
    for step, each in times.items():
        if len(each) > 1 and each[-1][0] > each[0][0]:
            (few, *short), (many, *long) = each[0], each[-1]
            clock, cpu = np.log(np.divide(long, short)) / np.log(many / few)
            print(f"{step}: cells ** {clock:.2f} by the clock, {cpu:.2f} by the processors")


if __name__ == "__main__":
    main()
