"""Cells, genes, peaks and modalities in another order, counts stored another way: the answers stay.

    python benchmarks/reliability/permutations.py [--cases 500] [--seed 0]

Each case draws an order of everything (before preprocessing, or by hand after it) and one of the kinds of storage of
tests/tl/_shapes.py, and compares what the public calls answer with the answers for the straight data, row by row after
they were brought back to one order. Every twentieth case runs all calls of tests/tl/_everything.py, the others those
that take less than a second. Prints a markdown table; exits with 1 if a case differs.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests._small import copied
from tests.tl._everything import (
    QUICK,
    assert_same,
    everything,
    frame,
    linked,
    listed,
    potentials,
    prepared,
    raw,
    rows,
    shuffled,
    stale,
    walk,
)
from tests.tl._shapes import SHAPES

import tilegrn as grn

CLOSE = {"rtol": 2e-3, "atol": 2e-5}
"""As in tests/tl/test_permutations.py: sums over cells are made in another order, in float32."""
SAME_COUNTS = [
    name
    for name in SHAPES
    if name.split()[0] in {"csr", "csc", "dense", "dask", "unsorted", "entries", "stored", "int64", "read-only"}
]


def quick(mdata, model) -> dict:
    """What takes less than a second."""
    out = prepared(mdata) | listed(mdata) | potentials(mdata) | linked(mdata)
    rna = mdata["rna"]
    grn.tl.predict(mdata, model)
    out["tl.predict: predicted"] = frame(rna.layers["predicted"], rna.obs_names, rna.var_names)
    table = grn.tl.knockout(mdata, model, "Tf2", groupby="cell_type")
    return out | {"tl.knockout": rows(table, "group", "target")}


def restored(mdata, kind: str, folder: Path):
    """The same MuData with its counts stored another way."""
    uns = dict(mdata.uns)
    made = SHAPES[kind](mdata, folder).mdata
    made.uns.update(uns)
    return made


def case(rng: np.random.Generator, straight, folder: Path):
    """Draw a case: data in another order and storage, preprocessed before or after."""
    kind = str(rng.choice(SAME_COUNTS))
    since = bool(rng.random() < 0.4)
    if since:
        return "after preprocessing", "csr float32", stale(straight, rng)
    return "before preprocessing", kind, walk(restored(shuffled(raw(), rng), kind, folder))


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    straight = walk(raw())
    model = grn.tl.train(copied(straight), **QUICK)
    whole = everything(copied(straight), model)
    want = quick(copied(straight), model)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.cases):
            rng = np.random.default_rng([args.seed, i])
            when, kind, mdata = case(rng, straight, Path(folder))
            counts[when, kind] += 1
            try:
                if i % 20:
                    assert_same(quick(mdata, model), want, **CLOSE)
                else:
                    assert_same(everything(mdata, model), whole, **CLOSE)
            except (AssertionError, grn.errors.TileGRNError) as err:
                differing += 1
                print(f"case {i}, {kind}, {when}: {err}", file=sys.stderr)
    print("| order changed | counts stored as | cases |\n|---|---|---|")
    for (when, kind), n in sorted(counts.items()):
        print(f"| {when} | {kind} | {n} |")
    print(f"\n{args.cases} cases, {differing} that differ")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
