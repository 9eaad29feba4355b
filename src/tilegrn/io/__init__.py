"""Reading and writing: h5mu, TSS tables, chromosome sizes, motifs, HOMER's tables, models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilegrn.io._activity import read_activity
from tilegrn.io._join import join
from tilegrn.io._links import write_links
from tilegrn.io._networks import read_crispri, read_network, write_network
from tilegrn.io._provenance import provenance
from tilegrn.io._tenx import read_10x
from tilegrn.io.annotation._genome import read_chrom_sizes
from tilegrn.io.annotation._tss import read_tss
from tilegrn.io.atac._read_atac import read_atac
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr
from tilegrn.io.h5mu._write_layer import write_layer
from tilegrn.io.h5mu._zarr import read_zarr
from tilegrn.io.homer._peaks import write_homer_peaks
from tilegrn.io.homer._run import run_homer
from tilegrn.io.homer._table import read_homer
from tilegrn.motifs._files import jaspar_motifs, read_motifs, write_motifs

if TYPE_CHECKING:
    from tilegrn.io._model import load_model

__all__ = [
    "jaspar_motifs",
    "join",
    "load_model",
    "provenance",
    "read_10x",
    "read_activity",
    "read_atac",
    "read_chrom_sizes",
    "read_crispri",
    "read_h5mu",
    "read_homer",
    "read_motifs",
    "read_network",
    "read_tss",
    "read_zarr",
    "run_homer",
    "write_h5mu",
    "write_homer_peaks",
    "write_layer",
    "write_links",
    "write_motifs",
    "write_network",
    "write_zarr",
]


def __getattr__(name: str) -> Any:
    if name == "load_model":  # the one reader that needs torch
        from tilegrn.io._model import load_model

        return load_model
    msg = f"module 'tilegrn.io' has no attribute '{name}'"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
