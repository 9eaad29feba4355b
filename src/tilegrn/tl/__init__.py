"""Tools: potentials, the model, its predictions and what they are worth."""

from __future__ import annotations

from tilegrn.tl._potential import Potentials, potentials

__all__ = ["Potentials", "potentials"]
