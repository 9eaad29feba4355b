"""Accessibility components: tf-idf, then a truncated SVD, fitted on training cells only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Components", "fit_components"]


@dataclass(frozen=True)
class Components:
    """Loadings of windows on accessibility components.

    Attributes
    ----------
    idf
        Float32 per window: log(1 + cells / open cells).
    loadings
        Windows x components, float32: right singular vectors.
    scale
        Float32 per component: standard deviation of the training cells' scores.
    center
        Float32 per component: their mean.
    """

    idf: NDArray[np.float32]
    loadings: NDArray[np.float32]
    scale: NDArray[np.float32]
    center: NDArray[np.float32]

    def transform(self, windows: sparse.csr_matrix) -> NDArray[np.float32]:
        """Scores of cells (cells x components), standardised by the training cells."""
        raw = _tf_idf(windows, self.idf) @ self.loadings
        return np.asarray((raw - self.center) / self.scale, dtype=np.float32)


def _tf_idf(windows: sparse.csr_matrix, idf: NDArray[np.float32]) -> sparse.csr_matrix:
    x = sparse.csr_matrix(windows, dtype=np.float32, copy=True)
    x.data[:] = (x.data > 0).astype(np.float32)
    x.data *= idf[x.indices]
    norm = np.sqrt(np.asarray(x.multiply(x).sum(1), dtype=np.float32)).ravel()
    x.data /= np.repeat(np.maximum(norm, 1e-8), np.diff(x.indptr))
    return x


def fit_components(windows: sparse.csr_matrix, n: int, *, seed: int, n_iter: int = 4) -> Components:
    """Fit components by a randomised SVD (Halko, Martinsson and Tropp 2011).

    Parameters
    ----------
    windows
        Training cells x windows, counts; only open or closed is used.
    n
        Number of components; cut at what the data can give.
    seed
        Of the random start.
    """
    cells, width = windows.shape
    n = max(1, min(n, cells - 1, width - 1))
    opened = np.bincount(windows.indices[windows.data > 0], minlength=width)
    idf = np.where(opened > 0, np.log1p(cells / np.maximum(opened, 1)), 0.0).astype(np.float32)
    x = _tf_idf(windows, idf)
    rng = np.random.default_rng(seed)
    k = min(n + 10, cells, width)
    q = rng.standard_normal((width, k)).astype(np.float32)
    xt = x.T.tocsr()
    for _ in range(n_iter):
        q, _ = np.linalg.qr(xt @ (x @ q))
    b = x @ q
    _, _, vt = np.linalg.svd(b, full_matrices=False)
    loadings = (q @ vt[:n].T).astype(np.float32)
    sign = np.sign(loadings[np.abs(loadings).argmax(0), np.arange(n)])
    loadings *= np.where(sign == 0, 1, sign).astype(np.float32)
    raw = x @ loadings
    scale = np.maximum(raw.std(0), 1e-6).astype(np.float32)
    return Components(idf, loadings, scale, raw.mean(0).astype(np.float32))
