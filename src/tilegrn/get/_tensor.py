"""Dense slices of the TF x window x TG scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn import _store
from tilegrn._potential import pooled_potentials
from tilegrn._symbols import match_symbols
from tilegrn._triplets import triplet_sums
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData
    from numpy.typing import NDArray

__all__ = ["Tensor", "tensor"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A dense slice of TF x window x TG scores.

    Attributes
    ----------
    values
        TFs x windows x genes, float64.
    tfs, windows, genes
        Labels of the axes.
    """

    values: NDArray[np.float64]
    tfs: list[str]
    windows: list[str]
    genes: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of TFs, windows and genes."""
        return self.values.shape


def tensor(
    mdata: MuData,
    cells: str | Sequence[str],
    *,
    tfs: Sequence[str] | None = None,
    windows: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    max_gb: float = 1.0,
    layer: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
) -> Tensor:
    """Build a dense slice of the TF x window x TG scores of one cell, or of the mean of several.

    Entry (t, w, g) is the sum over the peaks p of window w of binding score(t, p) x expression(t) x accessibility(p) x
    distance score(p, g), as :func:`tilegrn.tl.potentials` gives it in sparse form.

    Parameters
    ----------
    mdata
        Multiome data after ``bin_peaks``, ``tss_distance`` and ``add_binding``.
    cells
        One barcode, or several whose counts are averaged.
    tfs, windows, genes
        Labels to keep, in this order; all when None (windows: all that hold peaks).
    max_gb
        Refuse to build more than this many gigabytes.
    layer
        Layer of the RNA counts; None is X.
    rna, atac
        Names of the modalities.

    Returns
    -------
    :class:`Tensor`: TFs x windows x genes, float64, with its labels.

    Raises
    ------
    InputError
        If the slice does not fit ``max_gb``, or a label is unknown.
    MissingStepError
        If a step was not run; the message names it.
    """
    pooled = pooled_potentials(mdata, cells, layer=layer, rna=rna, atac=atac)
    grid = _store.get_grid(mdata)
    tf_labels = list(pooled.tfs) if tfs is None else [str(t) for t in tfs]
    gene_labels = list(pooled.genes) if genes is None else [str(g) for g in genes]
    occupied = np.unique(pooled.peak_window[pooled.peak_window >= 0])
    number = occupied if windows is None else grid.numbers(windows)
    if (number < 0).any():
        bad = np.asarray(windows, dtype=object)[number < 0]
        msg = (
            f"{len(bad)} windows are none of this assembly, e.g. '{bad[0]}'; grn.get.windows(mdata) lists those with "
            f"peaks."
        )
        raise InputError(msg)
    size = len(tf_labels) * len(number) * len(gene_labels) * 8 / 1e9
    if size > max_gb:
        msg = (
            f"{len(tf_labels)} TFs x {len(number)} windows x {len(gene_labels)} genes would take {size:.1f} GB, more "
            f"than "
            f"max_gb={max_gb}. Name fewer tfs, windows or genes, or use the sparse grn.tl.potentials(mdata)."
        )
        raise InputError(msg)
    tf_pos, gene_pos = match_symbols(tf_labels, pooled.tfs), match_symbols(gene_labels, pooled.genes)
    for labels, pos, what in ((tf_labels, tf_pos, "TFs with binding"), (gene_labels, gene_pos, f"genes of '{rna}'")):
        if (pos < 0).any():
            msg = f"{int((pos < 0).sum())} labels are no {what}, e.g. '{labels[int(np.flatnonzero(pos < 0)[0])]}'."
            raise InputError(msg)
    position = pd.Index(number)
    region = position.get_indexer(pd.Index(pooled.peak_window))
    values = np.zeros((len(tf_labels), len(number), len(gene_labels)))
    for part in triplet_sums(pooled.tf_peak[:, tf_pos], pooled.peak_tg[:, gene_pos], region.astype(np.int64)):
        values[part.tf, part.region, part.gene] = part.score
    return Tensor(values, tf_labels, [str(n) for n in grid.names(number)], gene_labels)
