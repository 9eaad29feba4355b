"""What each part of the model is worth on the mouse cortex, on libraries it never saw.

    python benchmarks/cortex_ablation.py [--folds 0 1] [--seeds 0] [--variants full "no cis head" ...]

Appends to docs/benchmarks/ablation.csv (variants that are there already are not run again) and writes the table in
docs/benchmarks/model.md anew. One fit takes about a minute on 2 cores.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np
from _cortex import FOLDS, between_markers, cortex, genes_on, held_out_pearson, shuffle_windows

import tilegrn as grn
from tilegrn.model.config import default_config

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
HELD = ("chr1", "chr8", "chr19")
VARIANTS = {
    "full": {},
    "no windows": {"use_windows": False},
    "windows shuffled between cells": {},
    "no TFs": {"use_tfs": False},
    "no accessibility components": {"use_components": False},
    "no guided components": {"n_guided": 0},
    "windows never swapped": {"window_swap": 0.0},
    "no cis head": {"use_cis": False},
    "no binding": {"use_binding": False},
    "no distance": {"use_distance": False},
    "no teacher": {"teacher": None},
}


def run(variant: str, fold: int, seed: int, held: bool) -> dict:
    """Fit one variant and score it on the test libraries."""
    mdata = cortex(fold)
    if "shuffled" in variant:
        shuffle_windows(mdata)
    n_train = int((mdata.obs["split"] == "train").sum())
    config = dataclasses.replace(default_config(n_cells=n_train), **VARIANTS[variant])
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = grn.tl.train(
            mdata, config=config, seed=seed, exclude_chromosomes=HELD if held else (), progress=False, accelerator="cpu"
        )
        seconds = time.monotonic() - start
        grn.tl.predict(mdata, model)
    genes = genes_on(mdata, HELD) if held else None
    r = held_out_pearson(mdata, genes=genes)
    return {"variant": variant, "held_out": "chromosomes" if held else "cells", "fold": fold, "seed": seed,
            "r": round(r, 4), "seconds": round(seconds)}  # fmt: skip


def table(rows: list[dict], held_out: str) -> list[str]:
    """Render the mean over folds and seeds of each variant."""
    rows = [r for r in rows if r["held_out"] == held_out]
    out = ["| variant | mean r | change | fits | seconds per fit |", "|---|---|---|---|---|"]
    full = {(r["fold"], r["seed"]): float(r["r"]) for r in rows if r["variant"] == "full"}
    for variant in VARIANTS:
        mine = [r for r in rows if r["variant"] == variant]
        if not mine:
            continue
        gaps = [float(r["r"]) - full[r["fold"], r["seed"]] for r in mine if (r["fold"], r["seed"]) in full]
        change = f"{np.mean(gaps):+.4f}" if gaps and variant != "full" else ""
        r, s = np.mean([float(m["r"]) for m in mine]), np.mean([float(m["seconds"]) for m in mine])
        out.append(f"| {variant} | {r:.4f} | {change} | {len(mine)} | {s:.0f} |")
    return out


def main() -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0], choices=range(len(FOLDS)))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--held-out-chromosomes", action="store_true")
    args = parser.parse_args()
    path = DOCS / "ablation.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    held = args.held_out_chromosomes
    where = "chromosomes" if held else "cells"
    for variant in args.variants:
        for fold in args.folds:
            for seed in args.seeds:
                key = (variant, where, str(fold), str(seed))
                if key in {(r["variant"], r["held_out"], r["fold"], r["seed"]) for r in rows}:
                    continue
                row = {k: str(v) for k, v in run(variant, fold, seed, held).items()}
                rows.append(row)
                print(row, flush=True)
                with path.open("w", newline="") as handle:
                    writer = csv.DictWriter(handle, list(row))
                    writer.writeheader()
                    writer.writerows(rows)
    between_markers(DOCS / "model.md", {name: table(rows, name) for name in ("cells", "chromosomes")})


if __name__ == "__main__":
    main()
