"""The course of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError
from tilegrn.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["training"]

_DOTS = 25
"""Up to so many epochs each is marked; of more, dots would make a thick line."""


def _histories(source: Any) -> list[dict[str, Any]]:
    """Losses per epoch of each network, of a model or of the record it left in a MuData."""
    record = getattr(source, "record", None)
    if isinstance(record, dict) and "history" in record:
        return [dict(h) for h in record["history"]]
    if not hasattr(source, "uns"):
        msg = f"Expected a model or a MuData, got {type(source).__name__}."
        raise InputError(msg)
    record = store.get_record(source, K.REC_TRAIN)
    histories: list[dict[str, Any]] = []
    while f"train_loss_{len(histories)}" in record:
        end = f"_{len(histories)}"
        histories.append({k.removesuffix(end): np.asarray(v) for k, v in record.items() if k.endswith(end)})
    return histories


def training(mdata: MuData | Any, *, ax: Axes | None = None) -> Axes:
    """Draw the loss per epoch on training and validation cells.

    Watch their courses, not the gap between them: the training loss is measured with dropout, against targets that a
    teacher has softened, the validation loss without dropout, against counts of genes that are no TFs. Losses leave out
    terms that do not depend on the prediction, so they may be below 0. Several networks are drawn over each other.

    Parameters
    ----------
    mdata
        A trained model, or the multiome data that :func:`tilegrn.tl.train` left its record in.
    ax
        Axes to draw into.

    Returns
    -------
    Axes.

    Raises
    ------
    MissingStepError
        If nothing was trained on the data.
    InputError
        If the argument is neither a model nor a MuData, or holds no history.

    Examples
    --------
    >>> ax = grn.pl.training(model)
    """
    from matplotlib.ticker import MaxNLocator

    histories = _histories(mdata)
    if not any(len(h.get("train_loss", ())) for h in histories):
        msg = "There is no history of losses to draw."
        raise InputError(msg)
    ax = _style.axes(ax)
    for i, history in enumerate(histories):
        for name, colour, label in (
            ("train_loss", _style.BASELINE, "training cells (dropout, softened targets)"),
            ("val_loss", _style.MODEL, "validation cells (counts)"),
        ):
            values = np.asarray(history.get(name, ()), dtype=np.float64)
            if not len(values):
                continue
            epochs = np.arange(1, len(values) + 1)
            dots: dict[str, Any] = {"marker": "o", "markersize": 2.5} if len(values) <= _DOTS else {}
            ax.plot(epochs, values, color=colour, linewidth=1.3, label=None if i else label, **dots)
            if name == "val_loss":
                best = int(np.nanargmin(values))
                ax.plot(
                    epochs[best], values[best], "o", color=_style.ACCENT, markersize=5, label=None if i else "lowest"
                )
    if max(len(h.get("train_loss", ())) for h in histories) == 1:
        ax.set_xlim(0.5, 1.5)  # or the axis would count parts of an epoch
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss, mean over cells and genes")
    ax.legend(frameon=False, fontsize=_style.SMALL)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _style.tidy(ax)
    return ax
