"""Gene-regulatory networks from single-cell multiome data.

The walk: ``grn.pp`` (windows, distances, binding, scaling), ``grn.tl`` (potentials, model, predictions, scorecard,
edges), ``grn.pl`` (plots); ``grn.io`` reads and writes, ``grn.get`` gives labelled tables, ``grn.datasets`` simulates
data, ``grn.motifs`` scans sequences. What takes a MuData is also found on it: ``mdata.grn.pp.bin_peaks("mm10")``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tilegrn import errors
from tilegrn._accessor import register_once

if TYPE_CHECKING:
    from tilegrn import datasets, get, io, motifs, pl, pp, tl

__all__ = ["__version__", "datasets", "errors", "get", "io", "motifs", "pl", "pp", "tl"]

__version__ = version("tilegrn")

# Loaded when first used: torch, scanpy and matplotlib take seconds, and most sessions need one of them at most.
_LAZY = frozenset({"datasets", "get", "io", "motifs", "pl", "pp", "tl"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"tilegrn.{name}")
    msg = f"module 'tilegrn' has no attribute '{name}'"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)


register_once()
