"""What there is of a MuData, of files, and of the state that a process shares: as hashes that can be compared."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse


def digest(*parts: Any) -> str:
    """Hash text and bytes."""
    out = hashlib.sha256()
    for part in parts:
        out.update(part if isinstance(part, bytes) else str(part).encode())
        out.update(b"\0")
    return out.hexdigest()[:16]


def of_value(value: Any) -> str:
    """Hash any value that a slot holds: its type, its layout and every byte."""
    if value is None or isinstance(value, str | int | float | bool):
        return digest(type(value).__name__, repr(value))
    if sparse.issparse(value):
        parts = (value.data, value.indices, value.indptr)
        return digest(type(value).__name__, value.shape, *(of_value(part) for part in parts))
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return digest("objects", value.shape, *(of_value(v) for v in value.ravel()))
        return digest(value.dtype, value.shape, value.flags.f_contiguous, np.ascontiguousarray(value).tobytes())
    if isinstance(value, pd.DataFrame):
        return digest("frame", of_index(value.index), *(f"{c}:{of_value(value[c])}" for c in value.columns))
    if isinstance(value, pd.Series):
        return digest(value.dtype, *map(repr, value.tolist()))
    if isinstance(value, pd.Index):
        return of_index(value)
    if hasattr(value, "items"):
        return digest("mapping", *(f"{k}:{of_value(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple | set | frozenset):
        return digest(type(value).__name__, *map(of_value, value))
    if hasattr(value, "compute"):
        return digest("dask", value.chunks, of_value(value.compute()))
    if hasattr(value, "to_memory"):
        return digest("stored", of_value(value.to_memory()))
    if hasattr(value, "shape"):
        return digest("stored", of_value(np.asarray(value)))
    return digest(type(value).__name__, repr(value))


def of_index(index: pd.Index) -> str:
    """Hash names, their name and type."""
    return digest(index.name, index.dtype, *map(str, index))


def of_mudata(mdata: Any, *, layout: bool = True) -> dict[str, str]:
    """Hash every slot, by its path; of counts the values alone without ``layout``, for views that become data."""
    found = {"shape": str(mdata.shape), "mod": str(list(mdata.mod))}
    for prefix, data in [("", mdata), *((f"{name}.", a) for name, a in mdata.mod.items())]:
        for axis in ("obs", "var"):
            frame = getattr(data, axis)
            found[f"{prefix}{axis}_names"] = of_index(frame.index)
            found |= {f"{prefix}{axis}[{c}]": of_value(frame[c]) for c in frame.columns}
        for slot in ("obsm", "varm", "obsp", "varp", "layers"):
            held = getattr(data, slot, None) or {}
            found |= {f"{prefix}{slot}[{k}]": of_value(held[k]) for k in held}
        for key, value in data.uns.items():
            deeper = value.items() if key == "tilegrn" else [("", value)]
            found |= {f"{prefix}uns[{key}]{'/' if k else ''}{k}": of_value(v) for k, v in deeper}
        if data is not mdata:
            found[f"{prefix}X"] = of_value(data.X if layout else np.asarray(data.to_df(), dtype=np.float64))
            found[f"{prefix}raw"] = of_value(None if data.raw is None else data.raw.X)
    return found


def of_files(*folders: Path) -> dict[str, str]:
    """Hash all files below some folders."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def of_process() -> dict[str, str]:
    """Hash what all code of a process shares."""
    state = np.random.get_state()  # noqa: NPY002 - it is the global one that is watched
    package, root = logging.getLogger("tilegrn"), logging.getLogger()
    left = [p.name for p in Path(tempfile.gettempdir()).iterdir() if p.name.startswith("tilegrn")]
    found = {
        "numpy's random numbers": of_value(state[1]) + str(state[2:]),
        "Python's random numbers": digest(random.getstate()),
        "warnings": digest(warnings.filters),
        "environment": digest(sorted(os.environ.items())),
        "folder": str(Path.cwd()),
        "loggers": str([(log.level, log.handlers, log.propagate) for log in (package, root)]),
        "numpy's errors": str(np.geterr()),
        "signals": str([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]),
        "temporary files": str(sorted(left)),
        "path": str(sys.path),
        "pandas": str([pd.get_option(o) for o in ("display.max_rows", "display.width")]),
    }
    if "torch" in sys.modules:
        import torch

        found["torch's random numbers"] = of_value(torch.get_rng_state().numpy())
        modes = (torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled())
        found["torch"] = str((torch.get_num_threads(), torch.get_default_dtype(), *modes))
    if "numba" in sys.modules:
        import numba

        found["numba"] = str(numba.get_num_threads())
    if "matplotlib" in sys.modules:
        import matplotlib as mpl

        found |= {f"matplotlib {k}": str(v) for k, v in mpl.rcParams.items()}
    return found
