"""Read a model that :meth:`tilegrn.model.grn_model.GRNModel.save` wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilegrn._core.torch_there import needs_torch

if TYPE_CHECKING:
    from pathlib import Path

    from tilegrn.model.grn_model import GRNModel

__all__ = ["load_model"]


def load_model(folder: str | Path) -> GRNModel:
    """Read a trained model from its folder (safetensors and JSON; nothing in it is executed).

    Parameters
    ----------
    folder
        As given to ``model.save(folder)``.

    Returns
    -------
    The model, ready for :func:`tilegrn.tl.predict`.

    Raises
    ------
    InputError
        If the folder is no model, is truncated or changed (SHA-256), or has a newer format.
    ToolError
        If torch or lightning is not installed.

    Examples
    --------
    >>> model = grn.io.load_model("model")
    >>> len(model.vocabulary.genes)
    40
    """
    needs_torch("grn.io.load_model")
    from tilegrn.model.grn_model import GRNModel

    return GRNModel.load(folder)
