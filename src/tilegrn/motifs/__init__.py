"""Motifs: their type, HOMER-exact scanning, thresholds from p-values, and the TFs behind motif names."""

from __future__ import annotations

from tilegrn.motifs._counts import MotifCounts
from tilegrn.motifs._motif import Motif
from tilegrn.motifs._resolve import Resolution, resolve
from tilegrn.motifs._scan import count_hits, count_sequences, find_hits, scan_sequences

__all__ = [
    "Motif",
    "MotifCounts",
    "Resolution",
    "count_hits",
    "count_sequences",
    "find_hits",
    "resolve",
    "scan_sequences",
]
