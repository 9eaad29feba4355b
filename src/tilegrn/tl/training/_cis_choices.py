"""How far the windows of the cis head act, where the data tell."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.rows import in_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.tl.training._source import Source

__all__ = ["with_reach"]


def with_reach(
    source: Source, train: NDArray[np.int64], targets: NDArray[np.int64], cfg: ModelConfig, seed: int
) -> ModelConfig:
    """Settle how far the promoter reaches, and the decay length, if the training cells show one."""
    promoter = 1.5 * source.grid.window_size if cfg.promoter is None else cfg.promoter
    cfg = dataclasses.replace(cfg, promoter=promoter)
    if cfg.cis_length is not None or not (cfg.use_cis and cfg.use_distance and cfg.use_windows):
        return cfg
    from tilegrn.model.prepare.reach import decay_length

    some = source.some(train)
    depth = np.maximum(source.depth[some], 1.0)
    found = decay_length(
        in_memory(source.counts, some)[:, targets],
        depth / np.median(depth),
        in_memory(source.open, some),
        source.distance[targets],
        promoter=promoter,
        seed=seed,
    )
    return cfg if found is None else dataclasses.replace(cfg, cis_length=found)
