"""Cross-validation over the libraries of the mouse cortex: the model beside baselines with as many seeds.

    python benchmarks/cortex_libraries.py [--folds 0 1 2 3] [--models 3]

Each fold holds two libraries out whole. Appends to docs/benchmarks/libraries.csv (folds that are there already are not
run again) and writes the table in docs/benchmarks/model.md anew. A fold takes about eight minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from _cortex import FOLDS, between_markers, cortex, fit_and_judge

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
BASELINES = ("ridge", "low_rank", "mlp_teacher", "deepset_teacher")
COLUMNS = ["pearson", "pearson_median", "pearson_above_0.1", "pearson_tf", "deviance_explained", "metacell",
           "difference", "difference_low", "difference_high", "genes_better", "seconds"]  # fmt: skip


def run(fold: int, models: int) -> list[dict]:
    """Fit and judge the model and the baselines on one fold."""
    return [{"fold": fold} | row for row in fit_and_judge(cortex(fold), models, BASELINES, COLUMNS)]


def table(rows: list[dict]) -> list[str]:
    """Render means over the folds, and the lead of the model in each of them."""
    folds = sorted({r["fold"] for r in rows})
    lines = [
        f"{len(folds)} folds of two libraries each ({', '.join('/'.join(FOLDS[int(f)]) for f in folds)}), "
        f"{rows[0]['models']} seeds averaged in every trained method but the first row.",
        "",
        "| method | mean r | r per fold | median r | TF genes | D2 | lead of the model (95 %) | genes better | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    def mean(mine: list[dict], column: str) -> str:
        values = [float(r[column]) for r in mine if r.get(column) not in ("", None)]
        return f"{np.mean(values):.4f}" if values and not np.isnan(values).all() else ""

    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        lead = [
            f"{float(r['difference']):.4f} ({float(r['difference_low']):.4f} to {float(r['difference_high']):.4f})"
            for r in mine
            if r.get("difference") not in ("", None, "nan")
        ]
        each = ", ".join(f"{float(r['pearson']):.4f}" for r in mine)
        cells = [
            method, mean(mine, "pearson"), each, mean(mine, "pearson_median"), mean(mine, "pearson_tf"),
            mean(mine, "deviance_explained"), "; ".join(lead), mean(mine, "genes_better"),
            f"{np.mean([float(r['seconds']) for r in mine]):.0f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(len(FOLDS))), choices=range(len(FOLDS)))
    parser.add_argument("--models", type=int, default=3)
    args = parser.parse_args()
    path = DOCS / "libraries.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    for fold in args.folds:
        if (str(fold), str(args.models)) in {(r["fold"], r["models"]) for r in rows}:
            continue
        found = [{k: str(v) for k, v in row.items()} for row in run(fold, args.models)]
        for row in found:
            print(row, flush=True)
        rows += found
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["fold", "models", "genes", "method", *COLUMNS])
            writer.writeheader()
            writer.writerows(rows)
    between_markers(DOCS / "model.md", {"libraries": table([r for r in rows if r["models"] == str(args.models)])})


if __name__ == "__main__":
    main()
