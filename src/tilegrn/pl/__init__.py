"""Plots: each takes ``ax``, returns what it drew on, and neither shows nor saves."""

from __future__ import annotations

from tilegrn.pl._motifs import motif_hits, motif_logo
from tilegrn.pl._predicted import predicted_vs_observed
from tilegrn.pl._scorecard import scorecard
from tilegrn.pl._training import training

__all__ = ["motif_hits", "motif_logo", "predicted_vs_observed", "scorecard", "training"]
