"""What a training leaves on record, in the model and in each MuData."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegrn._core import keys as K

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.prepare.preparation import Vocabulary

__all__ = ["flat", "train_record"]


def train_record(
    vocabulary: Vocabulary,
    cfg: ModelConfig,
    histories: list[dict[str, list[float]]],
    label: NDArray[np.object_],
    samples: NDArray[np.int64],
    seed: int,
    seconds: float,
    *,
    data_hash: str,
    interrupted: bool,
) -> dict[str, Any]:
    """Return parameters, sizes, hashes, versions, threads and losses of a training."""
    import torch

    return {
        "config": cfg.to_dict(),
        "seed": int(seed),
        "n_models": len(histories),
        "n_train": int((label == K.TRAIN).sum()),
        "n_val": int((label == K.VAL).sum()),
        "n_test": int((label == K.TEST).sum()),
        "n_samples": len(np.unique(samples)),
        "n_genes": len(vocabulary.genes),
        "n_tfs": len(vocabulary.tfs),
        "n_windows": len(vocabulary.windows),
        "grid": vocabulary.grid.fingerprint,
        "input_sha256": data_hash,
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "versions": {p: version(p) for p in ("tilegrn", "torch", "lightning", "numpy", "scipy")},
        "history": histories,
    } | ({"interrupted": True} if interrupted else {})


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """Bring a record to what h5mu keeps: arrays, strings, numbers."""
    out: dict[str, Any] = {k: v for k, v in record.items() if isinstance(v, (int, float, str))}
    out["config"] = json.dumps(record["config"])
    out["versions"] = json.dumps(record["versions"])
    for i, history in enumerate(record["history"]):
        for name, values in history.items():
            out[f"{name}_{i}"] = np.asarray(values, dtype=np.float64)
    return out
