"""TSSs of a locus, drawn as arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.pl._style import MUTED, SMALL, inches_wide, letters

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
    named: list[tuple[float, float]] = []
    letter = letters(1) * (high - low) / inches_wide(ax)
    for name, pos, strand in zip(tss["gene"], tss["pos"], tss["strand"], strict=True):
        color = "black" if name == gene else MUTED
        way = {"+": 1, "-": -1}.get(str(strand), 0)
        ax.vlines(pos, foot, head, color=color, linewidth=1.4 if name == gene else 1.0)
        if way:
            ax.annotate(
                "",
                xy=(pos + way * 0.02 * (high - low), head),
                xytext=(pos, head),
                arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7},
                annotation_clip=True,
            )
        half = (len(str(name)) / 2 + 0.5) * letter
        # a name at the edge stays in the picture
        middle = float(np.clip(pos, low + half, max(high - half, low + half)))
        if all(abs(middle - other) > half + its for other, its in named):
            weight = "bold" if name == gene else "normal"
            ax.text(middle, text, str(name), ha="center", va="center", fontsize=SMALL, color=color, weight=weight)
            named.append((middle, half))
