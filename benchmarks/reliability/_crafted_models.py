"""Hostile model folders, each made to do one thing to its reader."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

from benchmarks.reliability._formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def resigned(path: Path) -> None:
    """Sign a changed model as if its writer had changed it."""
    manifest = json.loads((path / "manifest.json").read_text())
    for name in ("model.json", "arrays.safetensors"):
        manifest["sha256"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def _model_text(**changes: Any) -> Callable[[Path, Path], None]:
    def make(path: Path, _: Path) -> None:
        FORMATS["model"].make(path)
        text = json.loads((path / "model.json").read_text())
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(text.get(key), dict):
                text[key] |= value
            else:
                text[key] = value
        (path / "model.json").write_text(json.dumps(text))
        resigned(path)

    return make


def _model_arrays(change: Callable[[dict[str, Any]], None]) -> Callable[[Path, Path], None]:
    def make(path: Path, _: Path) -> None:
        from safetensors.numpy import load_file, save_file

        FORMATS["model"].make(path)
        arrays = load_file(path / "arrays.safetensors")
        change(arrays)
        save_file(arrays, path / "arrays.safetensors")
        resigned(path)

    return make


def _poke(name: str, place: int, value: int) -> Callable[[Path, Path], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return _model_arrays(change)


def _safetensors(header: bytes, length: int | None = None) -> Callable[[Path, Path], None]:
    def make(path: Path, _: Path) -> None:
        FORMATS["model"].make(path)
        data = struct.pack("<Q", len(header) if length is None else length) + header + bytes(64)
        (path / "arrays.safetensors").write_bytes(data)
        resigned(path)

    return make


def _model_escape(path: Path, secret: Path) -> None:
    FORMATS["model"].make(path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"] |= {f"../../{secret.name}": "0" * 64, str(secret): "0" * 64}
    (path / "manifest.json").write_text(json.dumps(manifest))


def _model_link(path: Path, secret: Path) -> None:
    FORMATS["model"].make(path)
    (path / "arrays.safetensors").unlink()
    (path / "arrays.safetensors").symlink_to(secret)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"]["arrays.safetensors"] = hashlib.sha256(secret.read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def _manifest(data: bytes) -> Callable[[Path, Path], None]:
    def make(path: Path, _: Path) -> None:
        FORMATS["model"].make(path)
        (path / "manifest.json").write_bytes(data)

    return make


CRAFTED_MODELS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "model: path out in the manifest": ("model", _model_escape),
    "model: arrays a link to another file": ("model", _model_link),
    "model: manifest a list": ("model", _manifest(b"[1]")),
    "model: manifest of nested braces": ("model", _manifest(b'{"a":' * 10**5)),
    "model: format a text": ("model", _manifest(b'{"format": "3", "sha256": {}}')),
    "model: sums a text": ("model", _manifest(b'{"format": 3, "sha256": "x"}')),
    "model: 10^9 networks": ("model", _model_text(n_networks=10**9)),
    "model: no network": ("model", _model_text(n_networks=0)),
    "model: network 10^6 wide": ("model", _model_text(config={"width": 4 * 10**6, "hidden": 10**6})),
    "model: 10^6 blocks": ("model", _model_text(config={"n_blocks": 10**6})),
    "model: configuration of texts": ("model", _model_text(config={"width": "../../x"})),
    "model: window size 0": ("model", _model_text(grid={"window_size": 0})),
    "model: genome of 10^18 bp": ("model", _model_text(grid={"lengths": [10**18, 10**18]})),
    "model: genes a number": ("model", _model_text(genes=5)),
    "model: distance offsets not rising": ("model", _poke("prep.distance.indptr", 1, 10**9)),
    "model: distance to window 10^9": ("model", _poke("prep.distance.indices", 0, 10**9)),
    "model: distance of 10^15 rows": ("model", _poke("prep.distance.shape", 0, 10**15)),
    "model: safetensors header of 10^18 bytes": ("model", _safetensors(b"{}", 10**18)),
    "model: safetensors with offsets outside": (
        "model",
        _safetensors(b'{"windows":{"dtype":"F64","shape":[1000000],"data_offsets":[0,8000000]}}'),
    ),
    "model: safetensors of absurd shape": (
        "model",
        _safetensors(b'{"windows":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,8]}}'),
    ),
}
