"""The original notebook's walk in plain pandas, written from its text alone: the oracle of the parity tests.

Merges of long tables and a loop over peaks, as the notebook has them; nothing is shared with the package.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def peak_table(names):
    parts = pd.Series(names).str.extract(r"(?P<chrom>[^:]+):(?P<start>\d+)-(?P<end>\d+)")
    return pd.DataFrame(
        {
            "peak_id": list(names),
            "chrom": parts["chrom"],
            "start": parts["start"].astype(int),
            "end": parts["end"].astype(int),
        }
    )


def genes_near_peaks(peaks, tss, max_distance=1_000_000, decay=250_000):
    """All (peak, TSS) rows within reach of the peak's end."""
    rows = peaks.merge(tss[["chrom", "start", "gene"]].rename(columns={"start": "tss"}), on="chrom", how="inner")
    rows["TSS_dist"] = (rows["end"] - rows["tss"]).abs()
    rows = rows[rows["TSS_dist"] <= max_distance].copy()
    rows["TSS_dist_score"] = np.exp(-rows["TSS_dist"] / decay)
    return rows.rename(columns={"gene": "target_id"})[["peak_id", "target_id", "TSS_dist", "TSS_dist_score"]]


def binding_potential(homer, expression):
    table = homer.merge(expression.rename("x"), left_on="source_id", right_index=True, how="inner")
    table["tf_peak_binding_potential"] = table["homer_binding_score"] * table["x"]
    return table[["source_id", "peak_id", "tf_peak_binding_potential"]]


def regulatory_potential(near, accessibility):
    table = near.merge(accessibility.rename("a"), left_on="peak_id", right_index=True, how="inner")
    table["peak_tg_regulatory_potential"] = table["TSS_dist_score"] * table["a"]
    return table[["peak_id", "target_id", "peak_tg_regulatory_potential"]]


def triplet_scores(binding, regulatory):
    table = binding.merge(regulatory, on="peak_id", how="outer")
    table["tf_peak_tg_score"] = table["tf_peak_binding_potential"] * table["peak_tg_regulatory_potential"]
    return table[["source_id", "peak_id", "target_id", "tf_peak_tg_score"]]


def windowed(scores, peaks, window_size=1000):
    """Sum over the peaks of each window, leaving out peaks split evenly (their draw is the implementation's own)."""
    names = {}
    for peak_id, chrom, start, end in peaks.itertuples(index=False):
        overlaps = {}
        for k in range(start // window_size, (end - 1) // window_size + 1):
            overlaps[k] = min(end, (k + 1) * window_size) - max(start, k * window_size)
        best = [k for k, size in overlaps.items() if size == max(overlaps.values())]
        names[peak_id] = f"{chrom}:{best[0] * window_size}-{(best[0] + 1) * window_size}" if len(best) == 1 else None
    table = scores.assign(window_id=scores["peak_id"].map(names))
    return (
        table.dropna(subset=["window_id"])
        .groupby(["source_id", "window_id", "target_id"], observed=True)["tf_peak_tg_score"]
        .sum()
        .rename("tf_window_tg_score")
        .reset_index()
    ), [p for p, w in names.items() if w is None]
