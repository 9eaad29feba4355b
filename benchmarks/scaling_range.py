"""What the end of a feature's range does to transfer: the largest training count against quantiles of positive ones.

No model is trained. On the mouse cortex (sparse) and on simulated cells (dense): how the ranges of TFs grow with the
number of training cells, and by how much the scaled expression of the same held-out cells differs between ranges of a
small and of a large training set.

    python benchmarks/scaling_range.py
"""

from __future__ import annotations

import numpy as np
from _cortex import cortex
from scipy import sparse

import tilegrn as grn
from tilegrn._core.scaling import MinMax, fit_minmax

RULES = {"largest count": 1.0, "99 % quantile": 0.99, "95 % quantile": 0.95}
DRAWS = 20


def ends(counts: sparse.csr_matrix, share: float) -> np.ndarray:
    """Return the end of the range of each column, log1p counts."""
    return fit_minmax(counts, top=share).maximum


def growth(counts: sparse.csr_matrix, sizes: list[int], seed: int = 0) -> dict[str, list[float]]:
    """Mean over features and draws of the range on n cells over the range on all."""
    rng = np.random.default_rng(seed)
    picks = {n: [rng.choice(counts.shape[0], n, replace=False) for _ in range(DRAWS)] for n in sizes}
    out = {}
    for rule, share in RULES.items():
        whole = ends(counts, share)
        seen = whole > 0
        out[rule] = [np.mean([(ends(counts[p], share)[seen] / whole[seen]).mean() for p in picks[n]]) for n in sizes]
    return out


def change(counts: sparse.csr_matrix, few: int, many: int, held: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Mean absolute change of scaled values of held-out cells, and their mean, over expressed (cell, feature) pairs.

    Ranges of ``few`` training cells against ranges of ``many`` that contain them.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    for _ in range(DRAWS):
        order = rng.permutation(counts.shape[0])
        test = counts[order[:held]]
        train = order[held:]
        for rule, share in RULES.items():
            a, b = (ends(counts[train[:n]], share) for n in (few, many))
            both = (a > 0) & (b > 0)  # a TF that the small set does not express says nothing of ranges
            x, y = (MinMax(e[both]).transform(test[:, both]).toarray() for e in (a, b))
            there = test[:, both].toarray() > 0
            found[rule].append((float(np.abs(x - y)[there].mean()), float(y[there].mean())))
    return {rule: tuple(np.mean(got, axis=0)) for rule, got in found.items()}


def show(name: str, counts: sparse.csr_matrix, sizes: list[int], few: int, many: int, held: int) -> None:
    """Print a table of one data set."""
    grown, changed = growth(counts, sizes), change(counts, few, many, held)
    heads = " | ".join(f"range at {n:,} cells" for n in sizes)
    print(f"{name}: {counts.shape[0]:,} cells, {counts.shape[1]:,} TFs; {DRAWS} draws.\n")
    moved = f"change of a scaled value, {few:,} to {many:,} cells"
    print(f"| range ends at | {heads} | {moved} | mean value | change / mean |")
    print("|---|" + "---|" * (len(sizes) + 3))
    for rule in RULES:
        by, mean = changed[rule]
        shares = " | ".join(f"{v:.3f}" for v in grown[rule])
        print(f"| {rule} | {shares} | {by:.3f} | {mean:.3f} | {by / mean:.0%} |")
    print()


def main() -> None:
    """Print both tables."""
    mdata = cortex(0)
    rna = mdata["rna"]
    tfs = rna.X[:, rna.var["is_tf"].to_numpy()].tocsr()
    show("Mouse cortex", tfs, [250, 1000, 4000], 500, 5000, 1500)
    made = grn.datasets.simulate(n_cells=7000, seed=0)
    known = made["rna"].var_names.isin(made.uns["simulation"]["edges"]["source"].astype(str))
    show("Simulated", sparse.csr_matrix(made["rna"].X)[:, known], [250, 1000, 4000], 500, 5000, 1500)


if __name__ == "__main__":
    main()
