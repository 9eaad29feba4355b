"""Predicted against observed error, by predicted spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn import _keys as K
from tilegrn import _store
from tilegrn.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

    from tilegrn.tl._reliability import Reliability

__all__ = ["reliability"]


def reliability(mdata: MuData | Reliability, *, key: str = K.REC_RELIABILITY, ax: Axes | None = None) -> Axes:
    """Draw predicted against observed RMS error, a point for each bin of predicted spread.

    Where the points lie on the diagonal, counting noise and spread together tell the size of the error. The open
    points leave out the spread: how far they lie from the diagonal is the error of the predictions themselves.

    Parameters
    ----------
    mdata
        Multiome data after :func:`tilegrn.tl.reliability`, or the Reliability that it returned.
    key
        Record of ``mdata.uns["tilegrn"]`` to read.
    ax
        Axes to draw into.

    Returns
    -------
    Axes. Bars are 95 % intervals over cells.

    Raises
    ------
    MissingStepError
        Without a result of :func:`tilegrn.tl.reliability`.
    """
    from tilegrn.tl._reliability import Reliability

    result: Any = mdata if isinstance(mdata, Reliability) else Reliability.from_record(_store.get_record(mdata, key))
    table = result.table
    panel = _style.axes(ax, size=(4.6, 4.2))
    x, y = (table[c].to_numpy(dtype=float) for c in ("predicted_rms", "observed_rms"))
    alone = table["poisson_rms"].to_numpy(dtype=float)
    ends = table[["observed_rms_low", "observed_rms_high"]].to_numpy(dtype=float)
    bars = np.abs(ends - y[:, None]).T if np.isfinite(ends).all() else None
    values = np.concatenate([x, alone, y, ends[np.isfinite(ends)]])
    span = values.min(), values.max()
    room = 0.05 * (span[1] - span[0] or span[1] or 1.0)
    limits = max(span[0] - room, 0.0), span[1] + room
    panel.plot(limits, limits, color=_style.GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    panel.hlines(y, np.minimum(x, alone), np.maximum(x, alone), color=_style.BASELINE, linewidth=1, alpha=0.6, zorder=1)
    panel.plot(
        alone, y, "o", color=_style.BASELINE, markerfacecolor="white", markersize=4.5, label="counting noise alone",
        zorder=2,
    )  # fmt: skip
    kind = "calibrated" if result.parameters.get("calibrated") else "uncalibrated"
    panel.errorbar(
        x, y, yerr=bars, fmt="o", color=_style.MODEL, markersize=5, elinewidth=1, capsize=2,
        label=f"counting noise and {kind} spread", zorder=3,
    )  # fmt: skip
    panel.set_xlim(limits)
    panel.set_ylim(limits)
    panel.set_aspect("equal")
    panel.set_xlabel("predicted RMS error")
    panel.set_ylabel("observed RMS error")
    panel.legend(frameon=False, fontsize="small", loc="lower right", labelcolor="#3c4148")
    panel.set_title(
        f"{len(table)} bins of predicted spread; unit: {_style.LOG_UNIT}", fontsize="small", loc="left", color="#5a6069"
    )
    _style.tidy(panel)
    return panel
