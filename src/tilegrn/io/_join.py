"""RNA and ATAC that were read apart, as one MuData."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilegrn._core.barcodes import shared_barcodes
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["join"]


def join(rna: AnnData, atac: AnnData) -> MuData:
    """Put RNA and ATAC of the same cells into one MuData.

    Parameters
    ----------
    rna
        Raw counts, cells x genes.
    atac
        Accessibility, cells x peaks, such as from :func:`read_atac`. Neither is copied.

    Returns
    -------
    MuData with the modalities ``rna`` and ``atac``, all cells of both; :func:`tilegrn.pp.intersect_cells` keeps those
    that they share.

    Raises
    ------
    InputError
        If barcodes repeat, or none is in both: with examples, and the change that would match them.

    Examples
    --------
    >>> mdata = grn.io.join(ad.read_h5ad("rna.h5ad"), ad.read_h5ad("atac.h5ad"))
    >>> list(mdata.mod)
    ['rna', 'atac']
    """
    import mudata
    from anndata import AnnData

    for name, part in (("rna", rna), ("atac", atac)):
        if not isinstance(part, AnnData):
            msg = f"{name} must be an AnnData, not {type(part).__name__}."
            raise InputError(msg)
    shared_barcodes(rna.obs_names, atac.obs_names)
    with no_pull():
        return mudata.MuData({"rna": rna, "atac": atac})
