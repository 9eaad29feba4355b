"""Plots: each takes ``ax``, returns what it drew on, and neither shows nor saves; and a report of them, as a file."""

from __future__ import annotations

from tilegrn.pl._heatmap import edge_heatmap
from tilegrn.pl._knockout import knockout, knockout_embedding
from tilegrn.pl._locus import locus
from tilegrn.pl._motifs import motif_hits, motif_logo
from tilegrn.pl._network import network
from tilegrn.pl._predicted import predicted_vs_observed, reliability
from tilegrn.pl._report import report
from tilegrn.pl._scorecard import scorecard
from tilegrn.pl._stability import stability
from tilegrn.pl._training import training

__all__ = [
    "edge_heatmap",
    "knockout",
    "knockout_embedding",
    "locus",
    "motif_hits",
    "motif_logo",
    "network",
    "predicted_vs_observed",
    "reliability",
    "report",
    "scorecard",
    "stability",
    "training",
]
