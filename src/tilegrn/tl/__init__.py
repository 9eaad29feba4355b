"""Tools: potentials, the model, its predictions and what they are worth, and the network."""

from __future__ import annotations

from tilegrn.get._potentials import Potentials, potentials
from tilegrn.tl._compatibility import Compatibility, compatibility
from tilegrn.tl._edges import edges
from tilegrn.tl._evaluate import scorecard
from tilegrn.tl._fit_pairs import fit_pairs
from tilegrn.tl._link_score import LinkScore
from tilegrn.tl._links import links
from tilegrn.tl._network import NetworkScore, evaluate_network
from tilegrn.tl._pair_weights import PairWeights
from tilegrn.tl._pairs import score_pairs
from tilegrn.tl._perturb import knockout
from tilegrn.tl._predict import predict
from tilegrn.tl._regulons import regulons
from tilegrn.tl._scorecard import Scorecard
from tilegrn.tl._train import train

__all__ = [
    "Compatibility",
    "LinkScore",
    "NetworkScore",
    "PairWeights",
    "Potentials",
    "Scorecard",
    "compatibility",
    "edges",
    "evaluate_network",
    "fit_pairs",
    "knockout",
    "links",
    "potentials",
    "predict",
    "regulons",
    "score_pairs",
    "scorecard",
    "train",
]
