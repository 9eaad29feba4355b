"""What an h5mu file, a model folder or a result folder holds, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tilegrn._core import keys as K
from tilegrn._core.atomic import read_json
from tilegrn.cli._outputs import RECORD
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from mudata import MuData

__all__ = ["describe"]

_STEPS = {
    K.REC_GRID: "windows",
    K.REC_TSS: "distances to TSSs",
    K.REC_BINDING: "TF binding",
    K.REC_SPLIT: "held-out cells",
    K.REC_SCALE: "scaled inputs",
    K.REC_TRAIN: "training",
    K.REC_PREDICT: "predictions",
    K.REC_SCORECARD: "scorecard",
    K.REC_EDGES: "edges",
}


def describe(path: Path) -> str:
    """Describe what lies at ``path``.

    Raises
    ------
    InputError
        If nothing is there, or nothing that tilegrn knows.
    """
    if not path.exists():
        msg = f"'{path}' does not exist."
        raise InputError(msg)
    from tilegrn.io.h5mu._zarr import is_zarr, read_any

    if path.is_file() or is_zarr(path):
        return describe_mudata(read_any(path, backed=path.is_dir()), str(path))
    if (path / RECORD).is_file():
        return _describe_result(path)
    configs = sorted(p for p in path.glob("*.json"))
    if any(path.glob("*.safetensors")) and configs:
        return _describe_model(path, configs)
    msg = f"'{path}' is neither an h5mu file, nor a zarr folder, nor a model, nor the result of a run."
    raise InputError(msg)


def describe_mudata(mdata: MuData, name: str) -> str:
    """List modalities, annotation, and which steps of tilegrn were run."""
    lines = [f"{name}: {mdata.n_obs} cells"]
    for key, adata in mdata.mod.items():
        layers = [str(k) for k in adata.layers if k is not None]
        lines.append(f"  {key}: {adata.n_obs} cells x {adata.n_vars} features, {adata.var_names[0]} ...")
        if layers:
            lines.append(f"    layers: {', '.join(layers)}")
    columns = [c for c in mdata.obs.columns if ":" not in c]
    if columns:
        lines.append(f"  cells: {', '.join(f'{c} ({mdata.obs[c].nunique()})' for c in columns)}")
    records = mdata.uns.get(K.UNS, {})
    done = [text for key, text in _STEPS.items() if key in records]
    missing = [text for key, text in _STEPS.items() if key not in records]
    lines.append(f"  tilegrn: {', '.join(done) if done else 'nothing yet'}")
    if done and missing:
        lines.append(f"    not yet: {', '.join(missing)}")
    if K.REC_GRID in records:
        grid = records[K.REC_GRID]
        lines.append(f"    windows of {int(grid['window_size'])} bp on {grid.get('assembly') or 'a custom assembly'}")
    if K.REC_BINDING in records:
        lines.append(f"    {len(records[K.REC_BINDING]['tfs'])} TFs with binding")
    return "\n".join(lines)


def _describe_result(path: Path) -> str:
    record = read_json(path / RECORD)
    lines = [f"{path}: result of a run of tilegrn {record.get('versions', {}).get('tilegrn', '?')}"]
    lines.append(f"  started {record.get('started', '?')}: {' '.join(map(str, record.get('command', [])))}")
    for role, file in record.get("inputs", {}).items():
        lines.append(f"  {role}: {file['name']}, {file['bytes']:,} bytes, sha256 {file['sha256'][:12]}")
    seconds = record.get("seconds", {})
    lines.extend(f"  {value:8.1f} s  {step}" for step, value in seconds.items())
    lines.append(f"  holds: {', '.join(sorted(p.name for p in path.iterdir()))}")
    return "\n".join(lines)


def _describe_model(path: Path, configs: list[Path]) -> str:
    lines = [f"{path}: model"]
    for config in configs:
        for key, value in read_json(config).items():
            text = f"{len(value)} values" if isinstance(value, list | dict) and len(value) > 8 else json.dumps(value)
            lines.append(f"  {key}: {text if len(text) <= 100 else text[:97] + '...'}")
    return "\n".join(lines)
