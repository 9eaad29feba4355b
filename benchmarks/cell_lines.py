"""The model on four cell lines (SNARE-seq), beside its baselines, over random splits.

    python benchmarks/cell_lines.py [--splits 0 1 2] [--models 5] [--share 0.05]

Judged are genes that at least ``--share`` of all cells express. Appends to docs/benchmarks/cell_lines.csv and writes
the table in docs/benchmarks/model.md anew. A split takes about five minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
from _cortex import DATA, between_markers, fit_and_judge

import tilegrn as grn

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
BASELINES = ("ridge", "low_rank", "mlp", "deepset_teacher")
COLUMNS = ["pearson", "deviance_explained", "difference", "difference_low", "difference_high", "seconds"]


def prepared(split: int, share: float):
    """Return the cell lines, prepared, without genes that few cells express; a fifth of the cells held out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = grn.io.read_h5mu(DATA / "multiome" / "cell_lines_hg38.h5mu")
        grn.pp.intersect_cells(mdata)
        seen = np.asarray((mdata["rna"].X > 0).mean(axis=0)).ravel()
        mdata.mod["rna"] = mdata["rna"][:, seen >= share].copy()
        mdata.update()
        grn.pp.bin_peaks(mdata, "hg38")
        grn.pp.tss_distance(mdata, "hg38")
        grn.pp.mark_tfs(mdata, DATA / "reference" / "allTFs_hg38.txt")
        grn.pp.split_cells(mdata, seed=split)
    return mdata


def run(split: int, models: int, share: float) -> list[dict]:
    """Fit and judge on one split."""
    found = fit_and_judge(prepared(split, share), models, BASELINES, COLUMNS, seed=split)
    return [{"split": split} | row for row in found]


def table(rows: list[dict]) -> list[str]:
    """Render means over the splits and the lead of the model in each."""
    lines = ["| method | mean r | r per split | D2 | lead of the model (95 %) | s |", "|---|---|---|---|---|---|"]
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        values = [float(r["pearson"]) for r in mine]
        deviance = [float(r["deviance_explained"]) for r in mine if r.get("deviance_explained")]
        lead = [
            f"{float(r['difference']):.4f} ({float(r['difference_low']):.4f} to {float(r['difference_high']):.4f})"
            for r in mine
            if r.get("difference") not in ("", None, "nan")
        ]
        shown = f"{np.mean(deviance):.3f}" if deviance else ""
        each = ", ".join(f"{v:.4f}" for v in values)
        seconds = np.mean([float(r["seconds"]) for r in mine])
        lines.append(f"| {method} | {np.mean(values):.4f} | {each} | {shown} | {'; '.join(lead)} | {seconds:.0f} |")
    return lines


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.05)
    args = parser.parse_args()
    path = DOCS / "cell_lines.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    for split in args.splits:
        if (str(split), str(args.models)) in {(r["split"], r["models"]) for r in rows}:
            continue
        found = [{k: str(v) for k, v in row.items()} for row in run(split, args.models, args.share)]
        for row in found:
            print(row, flush=True)
        rows += found
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["split", "models", "genes", "method", *COLUMNS])
            writer.writeheader()
            writer.writerows(rows)
    between_markers(DOCS / "model.md", {"cell lines": table([r for r in rows if r["models"] == str(args.models)])})


if __name__ == "__main__":
    main()
