"""Say that torch is missing before any work is done, and what works without it."""

from __future__ import annotations

from importlib.util import find_spec

from tilegrn.errors import ToolError

__all__ = ["needs_torch"]


def needs_torch(call: str) -> None:
    """Raise unless torch and lightning can be imported.

    Raises
    ------
    ToolError
        Naming what is missing, and the steps that need neither.
    """
    missing = [name for name in ("torch", "lightning") if find_spec(name) is None]
    if missing:
        msg = (
            f"{call} needs {' and '.join(missing)}: pip install {' '.join(missing)}. Without a model there are grn.pp, "
            "grn.motifs, grn.tl.potentials, grn.tl.score_pairs and grn.tl.links (tilegrn links, tilegrn scan)."
        )
        raise ToolError(msg)
