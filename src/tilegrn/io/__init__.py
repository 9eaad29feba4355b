"""Reading and writing: h5mu, TSS tables, chromosome sizes, motifs, HOMER's tables, models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilegrn.io._genome import read_chrom_sizes
from tilegrn.io._h5mu import read_10x, read_h5mu, write_h5mu
from tilegrn.io._motif_files import jaspar_motifs, read_motifs, write_motifs
from tilegrn.io._tss import read_tss

if TYPE_CHECKING:
    from tilegrn.io._model import load_model

__all__ = [
    "jaspar_motifs",
    "load_model",
    "read_10x",
    "read_chrom_sizes",
    "read_h5mu",
    "read_motifs",
    "read_tss",
    "write_h5mu",
    "write_motifs",
]


def __getattr__(name: str) -> Any:
    if name == "load_model":  # the one reader that needs torch
        from tilegrn.io._model import load_model

        return load_model
    msg = f"module 'tilegrn.io' has no attribute '{name}'"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
