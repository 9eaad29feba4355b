"""How far the calibrated spread of five networks tells their error on held-out libraries of the cortex.

    python benchmarks/cortex_reliability.py [--models 5]

Prints the figures that docs/benchmarks/model.md quotes and draws docs/_static/cortex_reliability.png. Takes about five
minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from _cortex import cortex, held_out_pearson

import tilegrn as grn

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "_static" / "cortex_reliability.png"


def main() -> None:
    """Fit, predict, judge and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5)
    args = parser.parse_args()
    mdata = cortex(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = grn.tl.train(mdata, n_models=args.models, seed=0, progress=False, accelerator="cpu")
        grn.tl.predict(mdata, model)
        found = grn.tl.reliability(mdata)
    calibration = {k: v for k, v in model.record.items() if k.startswith("spread")}
    print("mean r", round(held_out_pearson(mdata), 4), calibration)
    print(found.sentence)
    print(found.parameters)
    grn.pl.reliability(found)
    plt.savefig(FIGURE, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
