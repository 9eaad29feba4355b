"""The real sample that is part of the package."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from tilegrn._core.atomic import sha256
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["mouse_cortex"]

FILE = "mouse_cortex.h5mu"
SHA256 = "f72cb05acea24961d950c58de4f06ddec8279ea42c8dad32ece0446ce68cfb66"
"""Also in data/ORIGIN.md; tools/make_mouse_cortex.py prints it."""


def mouse_cortex() -> MuData:
    """Read the real cells that are part of the package: adult mouse cortex by SNARE-seq, on mm10.

    2,400 of the 6,968 cells of GSE126074 (Chen, Lake and Zhang, *Nature Biotechnology* 2019): the 200 deepest of each
    type, or all where there are fewer, then the deepest of all; cells that the authors left unassigned are out. Types
    are therefore not in the proportions of the tissue, and cells are deeper than the whole set's. Eight libraries, 14
    types, 1,460 genes with a peak within 1 Mb that at least 10 of the cells show, 10,387 peaks that are open in at
    least 8. A cell has a median of 364 RNA counts of these genes and 107 counts in peaks: real, and sparse.

    Nothing is downloaded. Each call reads the file anew.

    Returns
    -------
    MuData with

    - ``rna``: cells × genes, raw counts (CSR float32); ``var["is_tf"]`` marks 101 genes that are known TFs, so that
      :func:`tilegrn.tl.train` works without binding
    - ``atac``: cells × peaks named ``chr1:4935062-4935319``, raw counts (CSR float32)
    - ``obs`` of both and of the MuData: ``cell_type``, ``cell_type_fine`` and ``sample``, the library (categorical).
      L2/3, L4/5 and L6 are excitatory neurons by layer, Clau those of the claustrum; Pvalb, Sst, Npy and CGE inhibitory
      neurons; Astro, OPC, Oligo and MGC (microglia) glia; Endo and Peri cells of vessels
    - ``uns["cell_type_colors"]`` of both and of the MuData, as scanpy reads it

    Raises
    ------
    InputError
        If the file of the installed package is missing or damaged.

    Examples
    --------
    >>> mdata = grn.datasets.mouse_cortex()
    >>> mdata.n_obs
    2400
    """
    with resources.as_file(resources.files("tilegrn").joinpath("data", FILE)) as path:
        if not path.is_file() or sha256(path) != SHA256:
            msg = (
                f"The sample '{path}' is missing or damaged; pip install --force-reinstall --no-deps tilegrn mends it."
            )
            raise InputError(msg)
        return read_h5mu(path)
