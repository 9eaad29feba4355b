"""The one place that knows which mudata is installed.

mudata 0.3 copies columns of the modalities into ``mdata.obs`` on every update, with a FutureWarning, unless told not
to; mudata 0.4 does not, and has no such option.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tilegrn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

__all__ = ["assembled", "copied", "fitting_name", "no_pull", "quiet_update"]


@contextmanager
def no_pull() -> Iterator[None]:
    """Keep mudata from copying columns between the modalities and the MuData, whatever its version.

    It draws names for columns in passing by from Python's random numbers, which are the user's: they are put back.
    """
    import mudata

    drawn = random.getstate()
    set_options: Any = getattr(mudata, "set_options", None)
    # Not its own context manager: that one logs to the root logger, which installs a handler there.
    before = None if set_options is None else set_options(pull_on_update=False).opts
    try:
        yield
    finally:
        if before is not None:
            set_options(**before)
        random.setstate(drawn)


def quiet_update(mdata: MuData) -> None:
    """Bring the global cell and feature axes up to date with the modalities, and nothing else."""
    with no_pull():
        mdata.update()


def fitting_name(global_name: Hashable, names: Iterable[Hashable]) -> Hashable:
    """Return the name that a global index must have: that of all modalities' indices, else none.

    mudata 0.3 cannot copy, nor read, a MuData with columns whose global index is called otherwise.
    """
    held = set(names)
    common = held.pop() if len(held) == 1 else None
    return global_name if global_name == common else common


def assembled(mods: Mapping[str, AnnData], *, obs: pd.DataFrame, var: pd.DataFrame, **slots: Any) -> MuData:
    """Put a MuData together from its parts, as reading does, with index names that mudata can handle.

    Parameters
    ----------
    mods
        The modalities.
    obs, var
        The global tables; left as they are.
    **slots
        ``uns``, ``obsm``, ``varm``, ``obsp``, ``varp``, ``obsmap``, ``varmap`` and ``axis``, as mudata takes them.
    """
    import mudata

    obs_name = fitting_name(obs.index.name, (a.obs.index.name for a in mods.values()))
    var_name = fitting_name(var.index.name, (a.var.index.name for a in mods.values()))
    if "axis" in slots:
        slots["axis"] = int(slots["axis"])  # read from a file it is numpy's, which no JSON of zarr takes
    with no_pull():
        return mudata.MuData(dict(mods), obs=obs.rename_axis(obs_name), var=var.rename_axis(var_name), **slots)


def copied(mdata: MuData) -> MuData:
    """Copy a MuData, also one whose index names mudata's own copy stumbles over.

    Raises
    ------
    InputError
        If its counts stay in a file: a copy in memory would hold all that was meant not to be held.
    """
    if mdata.isbacked:
        msg = (
            f"The counts of this MuData stay in '{mdata.file.filename}', so no copy of it can be made in memory. Leave "
            "out copy=True (the file is only read), or read it whole: grn.io.read_h5mu(path)."
        )
        raise InputError(msg)
    fits = all(
        getattr(mdata, axis).index.name
        == fitting_name(getattr(mdata, axis).index.name, (getattr(a, axis).index.name for a in mdata.mod.values()))
        for axis in ("obs", "var")
    )
    with no_pull():
        if fits:
            return mdata.copy()
        slots = ("uns", "obsm", "varm", "obsp", "varp", "obsmap", "varmap")
        return assembled(
            {name: adata.copy() for name, adata in mdata.mod.items()},
            obs=mdata.obs.copy(),
            var=mdata.var.copy(),
            axis=mdata.axis,
            **{slot: deepcopy(dict(getattr(mdata, slot))) for slot in slots},
        )
