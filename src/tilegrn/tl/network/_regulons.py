"""Activity of TFs in single cells from the expression of their targets."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from tilegrn._core import check, store
from tilegrn._core.edges_table import as_edges
from tilegrn._core.symbols import find_symbols, warn_ambiguous
from tilegrn._stats.metrics import normalised_log1p, size_factors
from tilegrn.errors import InputError, ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from mudata import MuData

__all__ = ["regulons"]

_BLOCK: Final = 50_000_000
"""Cells x genes that decoupler makes dense at a time."""


def regulons(
    mdata: MuData,
    edges: pd.DataFrame | None = None,
    *,
    n_targets: int = 100,
    min_targets: int = 5,
    group: str | None = None,
    layer: str | None = None,
    key_added: str = "tf_activity",
    rna: str = "rna",
    copy: bool = False,
) -> MuData | None:
    """Score the activity of each TF in each cell by its targets (univariate linear model).

    Per cell and TF: the t-value of the slope of log-normalised expression over all genes on the TF's weights (score x
    sign of its targets, 0 for other genes), by ``ulm`` of decoupler (Badia-i-Mompel et al. 2022), which
    ``pip install "tilegrn[decoupler]"`` brings.

    Parameters
    ----------
    mdata
        After :func:`edges`, or with ``edges`` given.
    edges
        A table ``source, target, score, sign`` instead of the stored network.
    n_targets
        Best targets of a TF that make its regulon; the TF itself is never among them.
    min_targets
        TFs with fewer targets among the genes get no activity.
    group
        Group of cells whose network is used; the mean score over the groups by default.
    layer
        Layer of the RNA counts; X by default.
    key_added
        Where to write.
    rna
        Name of the modality.
    copy
        Work on a copy.

    Returns
    -------
    ``None``, or the changed copy. Written are:

    ``rna.obsm[key_added]``
        Cells x TFs, float32: t-values; above 0 where activated targets are high and repressed ones low.
    ``mdata.uns["tilegrn"]["regulons"]``
        ``tfs``: names of the columns; ``net``: ``source, target, weight``, genes named as in the data.

    Raises
    ------
    InputError
        If no TF has enough targets.
    ToolError
        If decoupler is not installed.

    Examples
    --------
    >>> grn.tl.regulons(mdata, group="all", min_targets=3)
    >>> mdata["rna"].obsm["tf_activity"].shape  # cells x TFs
    (150, 8)
    """
    import matplotlib as mpl

    try:
        with mpl.rc_context():  # what decoupler loads for its plots changes the legends of everyone
            import decoupler
    except ImportError as error:
        msg = 'regulons needs decoupler: pip install "tilegrn[decoupler]".'
        raise ToolError(msg) from error
    import pandas as pd
    from anndata import AnnData

    out = check.start(mdata, rna, copy=copy)
    adata = out.mod[rna]
    table = as_edges(out if edges is None else edges)
    if group is not None:
        table = table[table["group"].astype(str) == group]
    score = table["score"].to_numpy(dtype=np.float64) if "score" in table else np.ones(len(table))
    sign = table["sign"].to_numpy(dtype=np.float64) if "sign" in table else np.ones(len(table))
    net = pd.DataFrame(
        {"source": table["source"].astype(str), "target": table["target"].astype(str), "weight": score * sign}
    )
    net = net.groupby(["source", "target"], as_index=False)["weight"].mean()
    net = net[(net["source"] != net["target"]) & (net["weight"] != 0)]
    found = find_symbols(net["target"], adata.var_names)
    warn_ambiguous(found, "the edges", f"'{rna}'", "They are left out; spell them as the genes are.", stacklevel=2)
    net = net.assign(target=adata.var_names.to_numpy(dtype=object)[found.position])[found.position >= 0]
    order = np.lexsort((-np.abs(net["weight"].to_numpy()), net["source"].to_numpy().astype(str)))
    net = net.iloc[order].groupby("source", sort=False).head(n_targets)
    size = net["source"].value_counts()
    few = size[size < min_targets]
    if len(few) == len(size):
        msg = f"No TF has {min_targets} targets among the genes of '{rna}'; lower min_targets."
        raise InputError(msg)
    if len(few):
        msg = f"{len(few)} of {len(size)} TFs have fewer than {min_targets} targets and get no activity."
        warnings.warn(msg, UserWarning, stacklevel=2)
        net = net[~net["source"].isin(few.index)]
    net = net.reset_index(drop=True)
    counts = check.counts(adata, rna, layer, warn_empty=False)
    depth = np.asarray(counts.sum(1), dtype=np.float64).ravel()
    seen = np.flatnonzero(depth > 0)  # decoupler takes no cell without counts, whose slopes are 0
    cells = AnnData(
        normalised_log1p(counts, np.maximum(size_factors(depth), 1e-3))[seen],
        obs=pd.DataFrame(index=adata.obs_names[seen].to_numpy(dtype=object)),
        var=pd.DataFrame(index=adata.var_names.to_numpy(dtype=object)),
    )
    with _same_threads():
        decoupler.mt.ulm(cells, net, tmin=min_targets, empty=False, bsize=max(1, _BLOCK // adata.n_vars))
    tfs = cells.obsm["score_ulm"].columns.to_numpy(dtype=object)
    activity = np.zeros((adata.n_obs, len(tfs)), dtype=np.float32)
    activity[seen] = cells.obsm["score_ulm"].to_numpy()
    store.set_elem(adata, "obsm", key_added, activity)
    store.put_record(out, "regulons", {"tfs": tfs, "net": net, "key": key_added})
    return out if copy else None


@contextmanager
def _same_threads() -> Iterator[None]:
    """Give torch its number of threads back, which numba's parallel loops change for the whole process."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)
