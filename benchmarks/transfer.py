"""A model of one sample on another that shares the assembly but few peaks: what it is worth, and whether it says so.

    python benchmarks/transfer.py

Writes the table in docs/benchmarks/model.md anew. About three minutes on 2 cores.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from _cortex import DATA, between_markers

import tilegrn as grn
from tilegrn._stats.metrics import expected_log1p, pearson

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
NAMES = {"sample1_hg38": "sample1 (300 cells, 1,000 genes, 9,860 peaks)",
         "cell_lines_hg38": "cell lines (1,047 cells, 18,666 genes, 136,771 peaks)"}  # fmt: skip


def prepared(name: str):
    """Return a prepared sample, with the TFs of a public list."""
    mdata = grn.io.read_h5mu(DATA / "multiome" / f"{name}.h5mu")
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, "hg38")
    grn.pp.tss_distance(mdata, "hg38")
    grn.pp.mark_tfs(mdata, DATA / "reference" / "allTFs_hg38.txt")
    return mdata


def score(mdata, use: np.ndarray) -> tuple[float, float, int]:
    """Mean per-gene r over all cells, of the prediction and of the depth alone, over genes that 5 cells express."""
    counts = mdata["rna"].X.toarray()
    size = mdata.uns["tilegrn"]["predict"]["size_factor"]
    use = use & ((counts > 0).sum(0) >= 5) & ~mdata["rna"].var["is_tf"].to_numpy()
    if not use.any():
        return float("nan"), float("nan"), 0
    observed = np.log1p(counts[:, use] / size[:, None])
    depth = expected_log1p(np.tile(counts[:, use].sum(0) / size.sum(), (len(size), 1)), size)
    layer = mdata["rna"].layers["predicted"][:, use]
    return float(pearson(observed, layer).mean()), float(pearson(observed, depth).mean()), int(use.sum())


def main() -> None:
    """Train on each sample, all cells, and predict the other."""
    lines = ["| trained on | predicted | verdict | trained genes: n, r (depth alone) | by windows only: n, r (depth) |",
             "|---|---|---|---|---|"]  # fmt: skip
    reasons = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = {name: prepared(name) for name in NAMES}
        for mine, other in (("cell_lines_hg38", "sample1_hg38"), ("sample1_hg38", "cell_lines_hg38")):
            model = grn.tl.train(samples[mine], split=None, progress=False, accelerator="cpu")
            mdata = samples[other]
            found = grn.tl.compatibility(model, mdata)
            grn.tl.predict(mdata, model)
            source = mdata["rna"].var["predicted_from"].to_numpy()
            cells = [
                f"{n:,}, {r:.3f} ({d:.3f})" for r, d, n in (score(mdata, source == s) for s in ("trained", "windows"))
            ]
            lines.append(f"| {NAMES[mine]} | {NAMES[other]} | {found.verdict} | {cells[0]} | {cells[1]} |")
            reasons.append(f"`compatibility` of the model of {NAMES[mine]} says: {' '.join(found.reasons)}")
            print(lines[-1], reasons[-1], sep="\n", flush=True)
    between_markers(DOCS / "model.md", {"transfer": [*lines, "", *reasons]})


if __name__ == "__main__":
    main()
