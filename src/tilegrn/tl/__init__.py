"""Tools: potentials, the model, its predictions and what they are worth."""

from __future__ import annotations

from tilegrn.tl._compatibility import Compatibility, compatibility
from tilegrn.tl._evaluate import scorecard
from tilegrn.tl._potential import Potentials, potentials
from tilegrn.tl._predict import predict
from tilegrn.tl._scorecard import Scorecard
from tilegrn.tl._train import train

__all__ = [
    "Compatibility",
    "Potentials",
    "Scorecard",
    "compatibility",
    "potentials",
    "predict",
    "scorecard",
    "train",
]
