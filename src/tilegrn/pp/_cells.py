"""The same cells, in one order, in both modalities."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tilegrn._core import check, splits, store
from tilegrn._core import keys as K
from tilegrn._core.barcodes import matched_cores, shared_barcodes, suggestion
from tilegrn._core.mudata import quiet_update
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData

__all__ = ["intersect_cells", "shared_barcodes", "split_cells"]

logger = logging.getLogger(__name__)

_MAX_LOST = 0.2
"""Share of the smaller modality's cells that quality control of the other takes at most, without a word about it."""
_MIN_LOST = 0.02
"""Share below which lost cells are not worth a warning even if another spelling of barcodes would keep them."""


def _warn_of_loss(names: dict[str, pd.Index], shared: pd.Index, rna: str, atac: str, *, stacklevel: int) -> None:
    """Warn if cells are lost that were in the smaller modality, more than quality control takes.

    Raw barcodes of one modality beside filtered cells of the other are no loss: what counts is the smaller one.
    """
    n_least = min(len(n) for n in names.values())
    lost = n_least - len(shared)
    if lost <= _MIN_LOST * n_least:
        return
    pair = (names[rna], names[atac])
    mendable = len(shared) + lost / 2 <= matched_cores(*pair)
    if lost <= _MAX_LOST * n_least and not mendable:
        return
    counts = ", ".join(f"'{name}' has {len(index)}" for name, index in names.items())
    alone = "; ".join(
        f"'{name}' alone has e.g. {list(map(str, only[:3]))}"
        for name, index in names.items()
        if len(only := index[~index.isin(shared)])
    )
    warnings.warn(
        f"Only {len(shared)} cells are kept, which all modalities share: {counts} ({lost} of {n_least} cells of the "
        f"smallest are lost, {lost / n_least:.0%}). {alone}.{suggestion(*pair)}",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def intersect_cells(mdata: MuData, *, rna: str = "rna", atac: str = "atac", copy: bool = False) -> MuData | None:
    """Keep the cells that all modalities share, in the order of the RNA.

    Cell annotation (``obs``, ``obsm``, layers) follows the cells, that of the MuData too. Other modalities than the two
    are cut to the same cells. A warning with counts and barcodes says if this takes more than a fifth of the smallest
    modality, or cells that barcodes spelt another way would keep.

    Parameters
    ----------
    mdata
        Multiome data.
    rna, atac
        Names of the modalities.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    ``None``, or the changed copy.

    Raises
    ------
    InputError
        On repeated barcodes, disjoint barcodes (with examples and a suggestion), a missing modality, or if cells would
        have to be taken out of counts that stay in a file.

    Examples
    --------
    >>> grn.pp.intersect_cells(mdata)
    >>> list(mdata["rna"].obs_names) == list(mdata["atac"].obs_names)
    True
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    shared = shared_barcodes(mdata.mod[rna].obs_names, mdata.mod[atac].obs_names)
    others = [m for m in mdata.mod if m not in (rna, atac)]
    for name in others:
        shared = shared[shared.isin(mdata.mod[name].obs_names)]
        if not len(shared):
            msg = f"Modality '{name}' shares no cell with '{rna}' and '{atac}'; drop it: del mdata.mod['{name}']."
            raise InputError(msg)
    names = {name: a.obs_names for name, a in mdata.mod.items()}
    before = {name: len(index) for name, index in names.items()}
    _warn_of_loss(names, shared, rna, atac, stacklevel=2)
    if all(a.obs_names.equals(shared) for a in mdata.mod.values()) and mdata.obs_names.equals(shared):
        logger.info("All %d cells are in every modality, in one order.", len(shared))
        return mdata if copy else None
    if mdata.isbacked:
        msg = (
            "The cells of the modalities differ or stand in another order, and the counts stay in "
            f"'{mdata.file.filename}', which is only read. Once, with enough memory: mdata = grn.io.read_h5mu(path), "
            "grn.pp.intersect_cells(mdata), grn.io.write_h5mu(another_path, mdata); then open that with backed=True."
        )
        raise InputError(msg)
    for name in list(mdata.mod):
        if not mdata.mod[name].obs_names.equals(shared):
            mdata.mod[name] = mdata.mod[name][shared].copy()
    quiet_update(mdata)
    _order_cells(mdata, shared)
    logger.info("Kept %d shared cells of %s.", len(shared), before)
    return mdata if copy else None


def _order_cells(mdata: MuData, cells: pd.Index) -> None:
    """Bring the MuData's own annotation into the order of its modalities, by barcode.

    An update leaves it in the order in which it first saw the cells, although modalities were sorted since.
    """
    order = mdata.obs_names.get_indexer(cells)
    if (order == np.arange(len(order))).all():
        return
    obsm, obsp = ({k: v for k, v in held.items() if k not in mdata.mod} for held in (mdata.obsm, mdata.obsp))
    mdata.obs = mdata.obs.iloc[order]
    for key, value in obsm.items():
        mdata.obsm[key] = value.iloc[order] if isinstance(value, pd.DataFrame) else value[order]
    for key, value in obsp.items():
        mdata.obsp[key] = value[order][:, order]
    for name in mdata.mod:
        mdata.obsmap[name] = np.asarray(mdata.obsmap[name])[order]


def split_cells(
    mdata: MuData,
    by: str | None = None,
    *,
    test: float | None = None,
    val: float | None = None,
    test_groups: Sequence[str] | None = None,
    val_groups: Sequence[str] | None = None,
    seed: int = 0,
    key_added: str = K.SPLIT,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> MuData | None:
    """Decide which cells train, tune and test, once, for every later step.

    Parameters
    ----------
    mdata
        Multiome data with paired cells.
    by
        Column of ``obs`` (library, donor, sample) whose groups are held out whole; None splits by cells.
    test, val
        Fractions of cells. By default 1,000 cells are for the test, at most a fifth and at least a twentieth of all
        (with ``by``: groups that hold a fifth), and 120 for validation, at most a twentieth and at least a hundredth.
    test_groups, val_groups
        Groups of ``by`` to hold out; drawn from ``seed`` when None (validation cells are then drawn from the rest).
    seed
        Seed of the draw, which depends on the names of the cells and not on their order.
    key_added
        Column of ``mdata.obs`` to write.
    rna, atac, copy
        As in :func:`intersect_cells`.

    Returns
    -------
    ``None``, or the changed copy. Writes ``mdata.obs[key_added]``, categorical ``train`` / ``val`` / ``test``.

    Raises
    ------
    InputError
        If cells are not paired, the column or groups do not exist, or a part would be empty.

    Examples
    --------
    >>> grn.pp.split_cells(mdata, "sample", test_groups=["S3"], seed=0)
    >>> mdata.obs["split"].cat.categories.tolist()
    ['train', 'val', 'test']
    """
    mdata = check.start(mdata, rna, atac, copy=copy)
    adata, _ = check.paired(mdata, rna, atac)
    if by is None:
        if test_groups is not None or val_groups is not None:
            msg = "test_groups and val_groups need by=, the obs column that holds the groups."
            raise InputError(msg)
        labels = splits.draw_split(adata.obs_names, test=test, val=val, seed=seed)
    else:
        labels = splits.split_from_groups(
            check.cell_labels(mdata, by, rna, atac),
            adata.obs_names,
            test_groups=test_groups,
            val_groups=val_groups,
            test=test,
            val=val,
            seed=seed,
        )
    held = {part: float((labels == part).mean()) for part in (K.TEST, K.VAL)}
    store.put_split(mdata, adata.obs_names, labels, key_added, {"by": by or "", "seed": seed, **held})
    return mdata if copy else None
