"""How much memory a training needs, told before it starts, and how much there is."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tilegrn._core.rows import held, values_stored
from tilegrn.errors import InputError

if TYPE_CHECKING:
    from tilegrn.model.config import ModelConfig
    from tilegrn.tl.training._source import Source

__all__ = ["check_memory", "expected_memory", "n_weights"]

logger = logging.getLogger(__name__)

_CSR = 8
"""Bytes of a value in a sparse matrix: float32, and its column as int32."""
_PAIR = 60
"""Bytes of a pair of window and gene: its lists in both directions, distance and weight, and while they are made."""
_OPEN = 120
"""Bytes of an open window in a batch: numbers as int64 twice, values, and the next batch that is made meanwhile."""
_GENE = 12
"""Arrays of cells x genes that a step holds at most."""
_BASE = 60e6
"""What lies between the arrays, and loaded code."""
_UNSURE = 1.5
"""Factor within which the sum is right: see docs/reliability.md."""
_CGROUP = Path("/sys/fs/cgroup")
_GB = 1e9


def n_weights(config: ModelConfig, *, n_windows: int, n_genes: int, n_tfs: int) -> int:
    """Return the number of weights of a network, to a few per cent."""
    d, pooled = config.width, config.pooled
    seen = n_tfs + config.n_components + config.n_guided + 2
    state = config.n_latents * d
    tables = d * (n_windows + 2 * n_tfs + config.n_loadings)
    start = config.hidden * (seen + state)
    layers = 8 * d * d * (1 + config.n_blocks) + 4 * d * (d + pooled)
    return tables + start + layers + config.rank * (seen + state) + n_genes * (config.rank + 4)


def expected_memory(
    source: Source, n_cells: int, n_targets: int, config: ModelConfig, *, saving: bool = False
) -> dict[str, float]:
    """Return the bytes that a training adds to those of its data, part by part.

    Parameters
    ----------
    n_cells
        Cells that are trained on or validate.
    n_targets
        Genes that are predicted.
    saving
        Whether checkpoints are written: what is saved is there again for a moment, and is read back.
    """
    stored = [(values_stored(x) or 0.0) if held(x) else 0.0 for x in (source.counts, source.open)]
    share = n_cells / max(len(source.cells), 1)
    n_windows, n_open = len(source.windows), (values_stored(source.open) or 0.0) / max(len(source.cells), 1)
    weights = 4.0 * n_weights(config, n_windows=n_windows, n_genes=n_targets, n_tfs=int(source.is_tf.sum()))
    copies = 5 + (config.teacher is None)  # gradients, two moments, average, the best, and the start if it may stay
    batch = min(config.batch_size, n_cells)
    used = min(n_windows, batch * n_open)
    return {
        "matrices": _CSR * sum(stored) * (1 + share),
        "network": weights + 4.0 * n_windows * (2 * config.n_loadings + config.rank) + _PAIR * source.distance.nnz,
        "optimiser and copies": weights * (copies + 10 * saving),
        "a step": (
            4.0 * _GENE * batch * n_targets + _OPEN * batch * n_open + 16.0 * used * (config.width + config.pooled)
        ),
        "the rest": _BASE,
    }


def check_memory(source: Source, n_cells: int, n_targets: int, config: ModelConfig, *, saving: bool = False) -> None:
    """Say how much memory a training needs, and warn or refuse where there is less.

    Raises
    ------
    InputError
        If it needs more than one and a half times all that the machine, or the container, has.
    """
    parts = expected_memory(source, n_cells, n_targets, config, saving=saving)
    need = sum(parts.values())
    logger.info(
        "About %.2g GB for training (%s)", need / _GB, ", ".join(f"{name} {n / _GB:.2g}" for name, n in parts.items())
    )
    free, whole = _there()
    mend = (
        "Keep fewer cells, genes or peaks, choose a smaller ModelConfig(batch_size=...) or (width=...), or a machine "
        "with more memory."
    )
    if whole is not None and need > _UNSURE * whole:
        msg = f"Training needs about {need / _GB:.2g} GB of memory, and there are {whole / _GB:.2g} GB in all. {mend}"
        raise InputError(msg)
    if free is not None and need > free:
        logger.warning(
            "Training needs about %.2g GB of memory, and %.2g GB are free: it may be killed. %s",
            need / _GB,
            free / _GB,
            mend,
        )


def _there() -> tuple[float | None, float | None]:
    """Bytes that are free, and bytes in all, of the machine or the container; None where the system does not tell."""
    free = whole = None
    try:
        whole = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on every system
        return None, None
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text(Path("/proc/meminfo")))
    free = float(found[1]) * 1024 if found else whole
    # Limits of containers, of the second and of the first kind of cgroups; what is read from files can be given back.
    for limit, used, cache in (
        ("memory.max", "memory.current", r"^inactive_file (\d+)"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", r"^total_inactive_file (\d+)"),
    ):
        most, now = _text(_CGROUP / limit).strip(), _text(_CGROUP / used).strip()
        if most.isdigit() and now.isdigit() and int(most) < whole:
            back = re.search(cache, _text((_CGROUP / used).with_name("memory.stat")), re.MULTILINE)
            whole = float(most)
            free = min(free, whole - float(now) + (float(back[1]) if back else 0.0))
    return free, whole


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
