"""Would the baselines do as well if they were given the model's guided components?

    python benchmarks/cortex_guided.py [--folds 0 1] [--models 3]

The MLP and the DeepSet, taught as the model is, read the guided components beside their other inputs. Appends to
docs/benchmarks/guided.csv and writes the table in docs/benchmarks/model.md anew. A fold takes about five minutes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from pathlib import Path

import numpy as np
from _cortex import FOLDS, between_markers, cortex, held_out_pearson

from tilegrn.model.config import default_config
from tilegrn.tl.evaluate._baseline_data import make_inputs
from tilegrn.tl.evaluate._baseline_nets import fit_deepset, fit_mlp
from tilegrn.tl.training._inputs import cell_data, fit_preparation
from tilegrn.tl.training._source import read_source

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def run(fold: int, models: int) -> list[dict]:
    """Fit both baselines with guided components on one fold."""
    mdata = cortex(fold)
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=True)
    split = mdata.obs["split"].to_numpy()
    train, val, test = (np.flatnonzero(split == part) for part in ("train", "val", "test"))
    config = default_config(n_cells=len(train))
    vocabulary, preparation = fit_preparation(source, train, np.arange(len(source.genes)), config, seed=0)
    guided = cell_data(source, vocabulary, preparation, config).components[:, config.n_components :]
    inputs = make_inputs(source.counts, source.open, source.is_tf, (train, val, test))
    context = np.concatenate([inputs.context[:, :-2], guided, inputs.context[:, -2:]], axis=1)
    inputs = dataclasses.replace(inputs, context=np.ascontiguousarray(context, dtype=np.float32))
    everything = np.arange(len(source.genes))
    mdata.uns["tilegrn"]["predict"] = {"size_factor": inputs.size_factor}
    rows = []
    for name, fit in (("mlp_teacher", fit_mlp), ("deepset_teacher", fit_deepset)):
        fitted = fit(inputs, n_models=models, teacher=True)
        layer = np.full(mdata["rna"].shape, np.nan, dtype=np.float32)
        layer[test] = fitted.predict(everything, inputs.size_factor[test])[0]
        mdata["rna"].layers["predicted"] = layer
        rows.append({"fold": fold, "models": models, "method": name, "components": guided.shape[1],
                     "pearson": round(held_out_pearson(mdata), 4)})  # fmt: skip
    return rows


def table(rows: list[dict]) -> list[str]:
    """Render the score of each fold."""
    folds = sorted({int(r["fold"]) for r in rows})
    out = ["| given guided components | " + " | ".join("/".join(FOLDS[f]) for f in folds) + " |"]
    out.append("|" + "---|" * (len(folds) + 1))
    for method in dict.fromkeys(r["method"] for r in rows):
        each = {int(r["fold"]): r["pearson"] for r in rows if r["method"] == method}
        out.append(f"| {method} | " + " | ".join(str(each.get(f, "")) for f in folds) + " |")
    return out


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1], choices=range(len(FOLDS)))
    parser.add_argument("--models", type=int, default=3)
    args = parser.parse_args()
    path = DOCS / "guided.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    for fold in args.folds:
        if (str(fold), str(args.models)) in {(r["fold"], r["models"]) for r in rows}:
            continue
        found = [{k: str(v) for k, v in row.items()} for row in run(fold, args.models)]
        print(found, flush=True)
        rows += found
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    between_markers(DOCS / "model.md", {"guided": table([r for r in rows if r["models"] == str(args.models)])})


if __name__ == "__main__":
    main()
