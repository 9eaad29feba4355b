"""What the model learned about its inputs from the training cells, and the names of its axes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tilegrn.errors import InputError
from tilegrn.model.prepare.features import gene_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn._core.grid import Grid
    from tilegrn._core.intervals import DistanceRule
    from tilegrn.model.prepare.components import Components

__all__ = ["Preparation", "Vocabulary"]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Names of the axes of a model.

    Attributes
    ----------
    genes, tfs
        Names of the genes it was trained to predict, and of the TFs it reads.
    windows
        Genome-wide numbers of the windows it knows, int64, increasing.
    grid
        What numbers the windows.
    rule
        How distances were measured and are scored.
    all_genes
        Names of all genes that made up the RNA depth of the training cells, targets or not.
    """

    genes: tuple[str, ...]
    tfs: tuple[str, ...]
    windows: NDArray[np.int64]
    grid: Grid
    rule: DistanceRule
    all_genes: tuple[str, ...]

    def positions(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Columns of genome-wide window numbers; -1 where the model does not know a window."""
        if not len(self.windows):
            return np.full(len(windows), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.windows, windows), len(self.windows) - 1)
        return np.where(self.windows[at] == windows, at, -1)


@dataclass(frozen=True, eq=False)
class Preparation:
    """Numbers fitted on training cells that turn counts into model inputs. Arrays only.

    Attributes
    ----------
    tf_max, window_max
        Ends of the ranges of the min-max scaling of log1p counts, float64; they begin at 0.
    idf, loadings
        Of accessibility, see :class:`tilegrn.model.prepare.components.Components`; the columns make the tokens of
        windows.
    guided, known, component_scale, component_center
        Of the components of a cell: the first columns of ``loadings``, then the guided ones.
    depth_mean, depth_scale
        Of log size factor and log1p ATAC depth.
    median_depth
        RNA depth at size factor 1.
    gene_mean
        Mean count of each of ``all_genes`` over the training cells: the depth to expect of a subset of genes.
    openness
        Share of the training cells in which each window is open.
    feature_mean, feature_scale
        Of the gene features.
    tf_target
        Gene number of each TF, -1 where the TF is no target.
    distance
        Genes x windows, bp to the TSS plus one, CSR.
    """

    tf_max: NDArray[np.float64]
    window_max: NDArray[np.float64]
    idf: NDArray[np.float32]
    loadings: NDArray[np.float32]
    guided: NDArray[np.float32]
    known: NDArray[np.uint64]
    component_scale: NDArray[np.float32]
    component_center: NDArray[np.float32]
    depth_mean: NDArray[np.float64]
    depth_scale: NDArray[np.float64]
    median_depth: float
    gene_mean: NDArray[np.float64]
    openness: NDArray[np.float32]
    feature_mean: NDArray[np.float32]
    feature_scale: NDArray[np.float32]
    tf_target: NDArray[np.int64]
    distance: sparse.csr_matrix

    @property
    def components(self) -> Components:
        """The accessibility components of cells."""
        from tilegrn.model.prepare.components import Components

        plain = len(self.component_scale) - self.guided.shape[2]
        return Components(
            self.idf, self.loadings[:, :plain], self.guided, self.known, self.component_scale, self.component_center
        )

    def features(self, distance: sparse.csr_matrix, lengths: tuple[float, ...]) -> NDArray[np.float32]:
        """Return standardised features of genes from the windows around them, genes x features."""
        raw = gene_features(distance, window_features(self.loadings, self.idf), self.openness, lengths)
        return ((raw - self.feature_mean) / self.feature_scale).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by name, for saving."""
        out: dict[str, NDArray[Any]] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, sparse.csr_matrix):
                out |= {f"{f.name}.data": value.data, f"{f.name}.indices": value.indices.astype(np.int64)}
                out |= {f"{f.name}.indptr": value.indptr.astype(np.int64), f"{f.name}.shape": np.asarray(value.shape)}
            else:
                out[f.name] = np.asarray(value)
        return out

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Preparation:
        """Rebuild from :meth:`arrays`.

        Raises
        ------
        InputError
            If an array is missing: an earlier version saved the model.
        ValueError
            If the offsets or columns of the distances lie outside its shape.
        """
        values: dict[str, Any] = {}
        for f in fields(cls):
            if f.name != "distance" and f.name not in arrays:
                msg = f"The model lacks '{f.name}': an earlier version of tilegrn saved it. Train it again."
                raise InputError(msg)
            if f.name == "distance":
                part = {k: arrays[f"distance.{k}"] for k in ("data", "indices", "indptr", "shape")}
                shape = (int(part["shape"][0]), int(part["shape"][1]))
                distance = sparse.csr_matrix((part["data"], part["indices"], part["indptr"]), shape=shape)
                distance.check_format(full_check=True)  # compiled code follows these numbers unchecked
                values[f.name] = distance
            elif f.name == "median_depth":
                values[f.name] = float(arrays[f.name])
            else:
                values[f.name] = arrays[f.name]
        return cls(**values)


def window_features(loadings: NDArray[np.float32], idf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardise LSI loadings over windows: what a window token starts from."""
    scaled = loadings * idf[:, None]
    return np.asarray((scaled - scaled.mean(0)) / np.maximum(scaled.std(0), 1e-9), dtype=np.float32)
