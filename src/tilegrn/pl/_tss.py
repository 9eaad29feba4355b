"""TSSs of a locus, drawn as arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import keys as K
from tilegrn._core import store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["draw_tss", "tss_table"]


def tss_table(mdata: MuData) -> pd.DataFrame:
    """Return ``gene, chrom, pos, strand`` of the TSSs that ``tss_distance`` read."""
    record = store.get_record(mdata, K.REC_TSS)
    return pd.DataFrame({key: np.asarray(record[key]) for key in ("gene", "chrom", "pos", "strand")})


def draw_tss(
    ax: Axes, tss: pd.DataFrame, gene: str | None, view: tuple[float, float], *, foot: float, head: float, text: float
) -> None:
    """Draw arrows in the direction of transcription, the asked gene's dark, and names where there is room.

    Lines go from ``foot`` to ``head``; names are centred at ``text``.
    """
    low, high = view
    tss = tss[(tss["pos"] >= low) & (tss["pos"] < high)].sort_values("pos")
    tss = pd.concat([tss[tss["gene"] == gene], tss[tss["gene"] != gene]])  # the asked gene's name has precedence
    named: list[float] = []
    for name, pos, strand in zip(tss["gene"], tss["pos"], tss["strand"], strict=True):
        color = "black" if name == gene else "#6a7079"
        way = {"+": 1, "-": -1}.get(str(strand), 0)
        ax.vlines(pos, foot, head, color=color, linewidth=1.4 if name == gene else 1.0)
        if way:
            ax.annotate(
                "",
                xy=(pos + way * 0.015 * (high - low), head),
                xytext=(pos, head),
                arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0},
            )
        if all(abs(pos - other) > 0.07 * (high - low) for other in named):
            weight = "bold" if name == gene else "normal"
            ax.text(pos, text, str(name), ha="center", va="center", fontsize="x-small", color=color, weight=weight)
            named.append(float(pos))
