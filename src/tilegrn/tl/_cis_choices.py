"""Whether the cis head suits the data, and where its reach starts from."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.tl._source import Source

__all__ = ["with_reach", "without_crowded_pairs"]

logger = logging.getLogger(__name__)


def without_crowded_pairs(
    source: Source, train: NDArray[np.int64], targets: NDArray[np.int64], cfg: ModelConfig
) -> ModelConfig:
    """Leave the cis head out where a step could only draw a small part of its pairs."""
    from tilegrn.model.config import too_many_pairs

    if not cfg.use_cis:
        return cfg
    genes_of = np.bincount(source.distance[targets].indices, minlength=source.distance.shape[1])
    n = float(np.asarray((source.open[train] > 0) @ genes_of.astype(np.float64)).mean()) if len(train) else 0.0
    if not too_many_pairs(n, cfg):
        return cfg
    logger.warning(
        "A cell has %.0f open window-gene pairs on average, too many for the cis head: the model is trained without it "
        "(use_cis=False). grn.tl.links and grn.tl.score_pairs rank links of windows without the model.",
        n,
    )
    return dataclasses.replace(cfg, use_cis=False)


def with_reach(
    source: Source, train: NDArray[np.int64], targets: NDArray[np.int64], cfg: ModelConfig, seed: int
) -> ModelConfig:
    """Let the heads of the cis head start from the decay length that the training cells show."""
    if cfg.cis_lengths is not None or not (cfg.use_cis and cfg.use_distance and cfg.use_windows):
        return cfg
    from tilegrn.model.reach import HEADS, decay_length

    depth = np.maximum(source.depth[train], 1.0)
    found = decay_length(
        source.counts[train][:, targets],
        depth / np.median(depth),
        source.open[train],
        source.distance[targets],
        promoter=1.5 * source.grid.window_size,
        seed=seed,
    )
    return cfg if found is None else dataclasses.replace(cfg, cis_lengths=tuple(found * h for h in HEADS))
