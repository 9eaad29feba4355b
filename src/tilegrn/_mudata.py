"""The one place that knows which mudata is installed.

mudata 0.3 copies columns of the modalities into ``mdata.obs`` on every update, with a FutureWarning, unless told not
to; mudata 0.4 does not, and has no such option.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mudata import MuData

__all__ = ["no_pull", "quiet_update"]


@contextmanager
def no_pull() -> Iterator[None]:
    """Keep mudata from copying columns between the modalities and the MuData, whatever its version."""
    import mudata

    set_options = getattr(mudata, "set_options", None)
    if set_options is None:
        yield
        return
    # Not its own context manager: that one logs to the root logger, which installs a handler there.
    before = set_options(pull_on_update=False).opts
    try:
        yield
    finally:
        set_options(**before)


def quiet_update(mdata: MuData) -> None:
    """Bring the global cell and feature axes up to date with the modalities, and nothing else."""
    with no_pull():
        mdata.update()
