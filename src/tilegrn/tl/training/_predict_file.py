"""Predictions of any number of cells, written to a file as they are made."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tilegrn._core import check
from tilegrn._core import keys as K
from tilegrn._core.atomic import new_file, new_folder
from tilegrn._core.mudata import no_pull
from tilegrn._core.symbols import match_symbols
from tilegrn.errors import InputError
from tilegrn.io.h5mu._columns import storable_frame
from tilegrn.io.h5mu._guarded import guarded
from tilegrn.tl.training._predict import Predictions
from tilegrn.tl.training._source import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.grn_model import GRNModel

__all__ = ["predict_file"]

logger = logging.getLogger(__name__)

_KINDS = (".h5ad", ".h5mu", ".zarr")
_SPREAD = f"{K.PREDICTED}_sd"


def predict_file(
    mdata: MuData,
    model: GRNModel,
    path: str | Path,
    *,
    genes: Sequence[str] | None = None,
    cells: str | Sequence[str] | NDArray[np.bool_] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    batch_size: int = 128,
    device: str | None = None,
    overwrite: bool = False,
) -> None:
    """Predict as :func:`predict` does and write the result to a file, a block of cells at a time.

    Memory follows the block, not the cells; with a MuData that is backed or has dask arrays
    (``grn.io.read_h5mu(path, backed=True)``), none of the counts are held either. The MuData is left as it is.

    Parameters
    ----------
    mdata, model
        As for :func:`predict`.
    path
        ``*.h5ad`` or ``*.zarr`` for an AnnData, ``*.h5mu`` for a MuData with the one modality ``rna``. The file is
        there whole or not at all.
    genes
        Genes to write, in this order; all by default. All are computed in any case.
    cells
        Barcodes, a mask or one barcode; all by default.
    dtype
        Half the room with ``"float16"``: three digits, of values that are below 10.
    rna, atac, layer, batch_size, device
        As for :func:`predict`.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    Nothing. The file holds in ``X`` the expected ``log1p(count / size factor)`` (cells x genes, NaN where a gene cannot
    be predicted), with several networks in ``layers["predicted_sd"]`` their calibrated spread, in ``obs`` the RNA's
    annotation and the ``size_factor``, in ``var`` ``predictable`` and ``predicted_from``, in ``uns["tilegrn"]`` where
    it comes from. Open it in place with ``anndata.read_h5ad(path, backed="r")``; :func:`scorecard` takes that as
    ``predicted=``.

    Raises
    ------
    InputError
        If the path is none of these kinds or exists, a gene or cell is unknown, or as :func:`predict`.

    Examples
    --------
    >>> atlas = grn.io.read_h5mu("sample.h5mu", backed=True)  # counts stay in the file
    >>> grn.pp.bin_peaks(atlas, "genome.chrom.sizes")
    >>> grn.pp.tss_distance(atlas, "tss.bed")
    >>> grn.tl.predict_file(atlas, model, "predictions.h5ad", dtype="float16")
    """
    target = Path(path)
    if target.suffix not in _KINDS:
        msg = f"'{target.name}' does not say what to write; end it in one of {', '.join(_KINDS)}."
        raise InputError(msg)
    if target.exists() and not overwrite:
        msg = f"'{target}' exists; give another path, or overwrite=True."
        raise InputError(msg)
    if dtype not in ("float32", "float16"):
        msg = f"dtype is {dtype!r}; it must be 'float32' or 'float16'."
        raise InputError(msg)
    check.start(mdata, rna, atac, copy=False)
    adata = mdata.mod[rna]
    rows = check.rows_of(mdata, cells, adata.obs_names)
    columns = np.arange(adata.n_vars)
    if genes is not None:
        columns = match_symbols(list(genes), [str(g) for g in adata.var_names])
        if (columns < 0).any():
            unknown = [g for g, at in zip(genes, columns, strict=True) if at < 0]
            msg = f"{len(unknown)} of the genes asked for are not in the data, e.g. {unknown[:3]}."
            raise InputError(msg)
    source = read_source(mdata, rna=rna, atac=atac, layer=layer, for_training=False)
    made = Predictions(model, source, rows)
    made.warn_lost(stacklevel=3)
    # As write_h5mu does: what a file cannot hold is converted, or named before the work.
    obs = storable_frame(adata.obs.iloc[rows].assign(size_factor=made.data.size_factor), f"mod['{rna}'].obs")
    var = pd.DataFrame(
        {K.PREDICTABLE: (made.origin != "none")[columns], "predicted_from": made.origin[columns]},
        index=pd.Index(adata.var_names[columns].to_numpy(dtype=object), name=adata.var_names.name),
    )
    names = ["X"] + ([f"layers/{_SPREAD}"] if len(model.networks) > 1 else [])
    record = {
        "n_networks": len(model.networks),
        "median_depth": float(model.preparation.median_depth),
        "spread_factor": float(model.spread_factor or 1.0),
        "calibrated": len(names) > 1 and model.spread_factor is not None,
        "model_input_sha256": str(model.record.get("input_sha256", "")),
    }
    with _opened(target, obs, var, {K.UNS: {K.REC_PREDICT: record}}, names, np.dtype(dtype), batch_size) as arrays:
        for at, values, spread in made.blocks(batch_size=batch_size, device=device):
            for array, block in zip(arrays, (values, spread), strict=False):
                array[int(at[0]) : int(at[-1]) + 1] = block[:, columns].astype(dtype)
    logger.info("Predictions of %d genes in %d cells are in %s.", len(columns), len(rows), target)


@contextmanager
def _opened(
    target: Path,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    uns: dict[str, Any],
    names: list[str],
    dtype: np.dtype[Any],
    n_rows: int,
) -> Iterator[list[Any]]:
    """Give arrays of a new file, by their names in the AnnData, to be filled."""
    import anndata
    from scipy import sparse

    shape = (len(obs), len(var))
    # Written empty, so that everything but the numbers is as anndata writes it.
    frame = anndata.AnnData(sparse.csr_matrix(shape, dtype=np.float32), obs=obs, var=var, uns=uns)
    frame.layers.update({n.partition("/")[2]: frame.X for n in names[1:]})
    rows_in_chunk = max(1, min(n_rows, shape[0]))
    if target.suffix == ".zarr":
        import zarr

        with new_folder(target) as folder, warnings.catch_warnings():
            # Which zarr format is written is anndata's choice, and the user's setting of it; not ours to warn of.
            warnings.filterwarnings("ignore", message="Writing zarr v2", category=UserWarning)
            frame.write_zarr(folder)
            group = zarr.open_group(folder, mode="r+")
            yield [_replaced(group, n, shape, dtype, rows_in_chunk) for n in names]
            zarr.consolidate_metadata(folder)
        return
    import h5py

    inside = "mod/rna/" if target.suffix == ".h5mu" else ""
    with new_file(target) as path, guarded(path) as file:
        if inside:
            import mudata

            with no_pull():
                mudata.write_h5mu(file, mudata.MuData({"rna": frame}))
        else:
            with h5py.File(file, "w") as handle:
                anndata.io.write_elem(handle, "/", frame)
        with h5py.File(file, "r+") as handle:
            yield [_replaced(handle, inside + n, shape, dtype, rows_in_chunk) for n in names]


def _replaced(group: Any, name: str, shape: tuple[int, int], dtype: np.dtype[Any], rows: int) -> Any:
    """Put a dense array in the place of an empty one, as anndata stores it."""
    del group[name]
    make = group.create_array if hasattr(group, "create_array") else group.create_dataset
    array = make(name, shape=shape, dtype=dtype, chunks=(rows, max(1, min(shape[1], 1 << 12))))
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array
