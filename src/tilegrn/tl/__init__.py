"""Tools: potentials, the model, its predictions and what they are worth, and the network."""

from __future__ import annotations

from tilegrn.get._potentials import Potentials, potentials
from tilegrn.tl.evaluate._link_score import LinkScore
from tilegrn.tl.evaluate._network_score import NetworkScore, evaluate_network
from tilegrn.tl.evaluate._report import Scorecard
from tilegrn.tl.evaluate._scorecard import scorecard
from tilegrn.tl.network._edges import edges
from tilegrn.tl.network._knockout import knockout
from tilegrn.tl.network._regulons import regulons
from tilegrn.tl.pairs._fit_pairs import fit_pairs
from tilegrn.tl.pairs._links import links
from tilegrn.tl.pairs._score_pairs import score_pairs
from tilegrn.tl.pairs._weights import PairWeights
from tilegrn.tl.training._compatibility import Compatibility, compatibility
from tilegrn.tl.training._predict import predict
from tilegrn.tl.training._predict_file import predict_file
from tilegrn.tl.training._train import train

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
    "predict_file",
    "regulons",
    "score_pairs",
    "scorecard",
    "train",
]
