"""What is known of a gene from the windows around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["gene_features"]


def gene_features(
    distance_plus_one: sparse.csr_matrix,
    loadings: NDArray[np.float32],
    openness: NDArray[np.float32],
    lengths: tuple[float, ...],
) -> NDArray[np.float32]:
    """Pool window features around each gene at several reaches.

    Parameters
    ----------
    distance_plus_one
        Genes x windows, bp to the TSS plus one; no entry beyond reach.
    loadings
        Windows x features.
    openness
        Share of training cells in which each window is open.
    lengths
        Reaches in bp: weights are openness x exp(-d / reach).

    Returns
    -------
    Genes x (features + 1) * reaches, float32: weighted mean features and the log of the summed weight, zeros for a gene
    without windows.
    """
    parts = []
    for length in lengths:
        weight = sparse.csr_matrix(distance_plus_one, dtype=np.float32, copy=True)
        weight.data = np.exp(-(weight.data - 1) / np.float32(length)) * openness[weight.indices]
        total = np.asarray(weight.sum(1), dtype=np.float32).ravel()
        pooled = (weight @ loadings) / np.maximum(total, 1e-12)[:, None]
        parts += [pooled, np.log(total + 1e-4)[:, None] - np.log(1e-4)]
    return np.concatenate(parts, axis=1).astype(np.float32)
