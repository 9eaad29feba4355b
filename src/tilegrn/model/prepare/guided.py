"""Guided components: what the open windows of a cell say about its expression, by ridge regression.

The components of :mod:`tilegrn._stats.lsi` are the axes along which accessibility varies most; these are the
directions of accessibility that go with the axes of expression. Each of tens of thousands of windows is open in few
cells, so windows are weighed by a ridge regression rather than by the steps of an optimiser.

The regression is cross-fitted: training cells fall into a few parts, and each is scored by the regression of the other
parts. A new cell is scored by the mean of the regressions. So the scores of training cells know no more of their own
counts than those of new ones, and a model that learned from the former can read the latter. Training cells are known
again, whoever asks for their scores, by a hash of which windows are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from tilegrn._core.mix import GOLDEN, mix
from tilegrn._stats.lsi import leading_directions, tf_idf

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["N_PARTS", "cell_hash", "expression_axes", "fit_guided", "guided_scores", "part_of_cells"]

N_PARTS = 5
"""Parts of the training cells; each regression is fitted on all but one of them."""
_LEAST_DEVIATION = 0.1
"""Genes are scaled by their standard deviation, but no gene that hardly varies is blown up more than this allows."""
_LEAST_ERRORS = 3.0
"""Standard errors by which scores must correlate with an axis for it to be kept."""
_TOLERANCE = 1e-3
"""Relative residual of the conjugate gradients; the error of the scores is about as large."""


def cell_hash(windows: sparse.csr_matrix) -> NDArray[np.uint64]:
    """Hash of which windows are open in each cell (sums of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = mix(np.arange(1, windows.shape[1] + 1, dtype=np.uint64) * GOLDEN)
        opened = sparse.csr_matrix(windows)
        used = z[opened.indices] * (opened.data > 0)
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(used, dtype=np.uint64)])
        return mix(total[opened.indptr[1:]] - total[opened.indptr[:-1]])


def part_of_cells(windows: sparse.csr_matrix, known: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Part of each cell: below :data:`N_PARTS` for training cells, :data:`N_PARTS` for new ones.

    Parameters
    ----------
    windows
        Cells x windows, counts; only open or closed is used.
    known
        Hashes of the training cells, sorted.
    """
    if not len(known):
        return np.full(windows.shape[0], N_PARTS, dtype=np.int64)
    found = cell_hash(windows)
    at = np.minimum(np.searchsorted(known, found), len(known) - 1)
    return np.where(known[at] == found, found % np.uint64(N_PARTS), N_PARTS).astype(np.int64)


def expression_axes(counts: sparse.csr_matrix, size_factor: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """Scores of cells on the leading axes of log1p(counts / size factor), genes scaled; cells x n, centred.

    Without centring before the decomposition, which keeps the matrix sparse; the mean profile takes one axis.
    """
    x = sparse.csr_matrix(counts, dtype=np.float32, copy=True)
    x.data = np.log1p(x.data / np.repeat(np.asarray(size_factor, np.float32), np.diff(x.indptr)))
    mean = np.asarray(x.mean(0)).ravel()
    deviation = np.sqrt(np.maximum(np.asarray(x.multiply(x).mean(0)).ravel() - mean**2, 0.0))
    x.data /= np.maximum(deviation, _LEAST_DEVIATION).astype(np.float32)[x.indices]
    scores = x @ leading_directions(x, n)
    return np.asarray(scores - scores.mean(0), dtype=np.float32)


def fit_guided(
    windows: sparse.csr_matrix, idf: NDArray[np.float32], axes: NDArray[np.float32], *, penalty: float
) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Fit the regressions.

    Parameters
    ----------
    windows
        Training cells x windows, counts; only open or closed is used.
    idf
        Of :func:`tilegrn._stats.lsi.fit_components`.
    axes
        Training cells x axes: what is to be told from the windows.
    penalty
        Of the ridge; the tf-idf of a cell has length 1.

    Returns
    -------
    Hashes of the cells, sorted; and parts x windows x axes, float32: for each part the weights fitted on the cells of
    all others, then their mean. Only of the axes that windows tell: those whose scores correlate with them by more than
    three standard errors of a correlation.
    """
    x = tf_idf(windows, idf)
    known = np.unique(cell_hash(windows))
    part = part_of_cells(windows, known)
    out = np.zeros((N_PARTS + 1, x.shape[1], axes.shape[1]), dtype=np.float32)
    for p in range(N_PARTS):
        others = part != p
        if others.any():
            out[p] = _ridge(x[others], axes[others], penalty)
    out[N_PARTS] = out[:N_PARTS].mean(0)
    told = _correlation(guided_scores(x, out, part), axes) > _LEAST_ERRORS / np.sqrt(max(len(axes), 1))
    return known, np.ascontiguousarray(out[:, :, told])


def guided_scores(x: sparse.csr_matrix, weights: NDArray[np.float32], part: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores of cells given by tf-idf, each by the weights of its part; cells x axes."""
    out = np.zeros((x.shape[0], weights.shape[2]), dtype=np.float32)
    for p in np.unique(part):
        mine = part == p
        out[mine] = x[mine] @ weights[p]
    return out


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pearson correlation of columns; 0 where one does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.asarray((a * b).sum(0) / np.where(size > 0, size, 1.0))


def _ridge(x: sparse.csr_matrix, y: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Weights of a ridge regression in its dual form: conjugate gradients for all axes at once, cost linear in x."""
    y = y - y.mean(0)
    if not y.any():
        return np.zeros((x.shape[1], y.shape[1]), dtype=np.float32)
    back = x.T.tocsr()

    def kernel(v: NDArray[np.float32]) -> NDArray[np.float32]:
        block = v.reshape(y.shape)
        return np.asarray((x @ (back @ block) + penalty * block).ravel())

    found, _ = cg(LinearOperator((y.size, y.size), kernel, dtype=np.float32), y.ravel(), rtol=_TOLERANCE)
    return np.asarray(back @ found.reshape(y.shape).astype(np.float32))
