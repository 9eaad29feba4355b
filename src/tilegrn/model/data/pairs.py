"""Window-gene pairs: which genes each window can reach, as lists, never as genes x windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from tilegrn.model.data.sums import Lists

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PairLists", "pair_lists"]


@dataclass(frozen=True, eq=False)
class PairLists:
    """Window-gene pairs within reach, as CSR over windows.

    Attributes
    ----------
    lists
        Gene of each pair.
    distance
        Bp per pair, float32.
    n_genes
        Number of genes.
    """

    lists: Lists
    distance: Tensor
    n_genes: int


def pair_lists(distance_plus_one: sparse.csr_matrix) -> PairLists:
    """List the pairs of genes x windows of distance + 1 (so that 0 bp is stored)."""
    by_window = sparse.csr_matrix(distance_plus_one.T)
    by_window.sort_indices()
    return PairLists(
        Lists(
            torch.from_numpy(by_window.indptr.astype(np.int64)), torch.from_numpy(by_window.indices.astype(np.int64))
        ),
        torch.from_numpy((by_window.data - 1).astype(np.float32)),
        int(distance_plus_one.shape[0]),
    )
