"""How fast random batches and whole sweeps of rows come from where counts may lie; annbatch's loader beside them.

    python benchmarks/atlas.py 10k.h5mu --cells 10000 --peaks 60000
    python -c 'import tilegrn as grn; grn.io.write_zarr("10k.zarr", grn.io.read_h5mu("10k.h5mu"))'
    python benchmarks/row_sources.py 10k.h5mu 10k.zarr [OTHER_CHUNKS.zarr ...]

Peaks of one modality. A sweep is all rows once, from first to last, as every step reads them and as training puts them
aside; a batch is 256 rows drawn from all. annbatch (Python 3.12 and newer, ``pip install annbatch zarrs``) reads the
first folder: single rows (``chunk_size=1``), and runs of 32 rows of which 8,192 are held and mixed, as it recommends.
Prints a table, by the clock and by processor seconds of all threads.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from pathlib import Path

import h5py
import numpy as np

BATCH = 256
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}


class Rate:
    """Rows a second of a piece of work, by the clock and by the processors."""

    def __enter__(self):
        self.rows = 0
        self._clock, self._processor = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_):
        self.clock = self.rows / (time.monotonic() - self._clock)
        self.processor = self.rows / (time.process_time() - self._processor)

    def __str__(self):
        return f"{self.clock:,.0f} | {self.processor:,.0f}"


def sweep(rows) -> Rate:
    """Read all rows from the first to the last."""
    from tilegrn._core.rows import blocks

    with Rate() as rate:
        for at, _ in blocks(rows):
            rate.rows += len(at)
    return rate


def batches(rows, n: int) -> Rate:
    """Read random batches."""
    rng = np.random.default_rng(0)
    with Rate() as rate:
        for _ in range(n):
            rows[rng.choice(rows.shape[0], BATCH, replace=False)]
            rate.rows += BATCH
    return rate


def by_annbatch(group, n: int, **how) -> Rate:
    """Read batches by annbatch's loader, the first included."""
    import anndata as ad
    from annbatch import Loader

    loader = Loader(batch_size=BATCH, preload_to_gpu=False, to=None, **how)
    loader.add_dataset(ad.io.sparse_dataset(group))
    with Rate() as rate:
        for batch in loader:
            rate.rows += batch["X"].shape[0]
            if rate.rows >= n * BATCH:
                break
    return rate


def say(name: str, swept: Rate | None, random: Rate) -> None:
    """Print a row of the table."""
    print(f"| {name} | {' | ' if swept is None else swept} | {random} |", flush=True)


def main() -> None:
    """Measure and print."""
    import anndata as ad
    import zarr

    from tilegrn._core.rows import as_rows, put_aside
    from tilegrn.io import read_zarr

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("h5mu", type=Path)
    parser.add_argument("zarr", type=Path, nargs="+")
    parser.add_argument("--modality", default="atac")
    parser.add_argument("--batches", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    place, n = f"mod/{options.modality}/X", options.batches
    print("| source | rows a second, in order | of a processor | in random batches of 256 | of a processor |")
    print("|---|---|---|---|---|")
    with h5py.File(options.h5mu) as file:
        backed = as_rows(ad.io.sparse_dataset(file[place]))
        say("h5mu", sweep(backed), batches(backed, n))
        aside = put_aside(backed)
        say("temporary file of training", sweep(aside), batches(aside, 5 * n))
    here = [name for name in ("zarrs", "annbatch") if importlib.util.find_spec(name)]
    for folder in options.zarr:
        lazily = as_rows(read_zarr(folder, backed=True)[options.modality].X)
        say(f"{folder.name}, behind dask", sweep(lazily), batches(lazily, max(1, n // 5)))
    folder = options.zarr[0]
    lazily = as_rows(read_zarr(folder, backed=True)[options.modality].X)
    if "zarrs" in here:
        with zarr.config.set(ZARRS):
            say(f"{folder.name}, behind dask, with zarrs", sweep(lazily), batches(lazily, max(1, n // 5)))
    group = zarr.open_group(folder, mode="r", use_consolidated=False)[place]
    for said, config in (("annbatch", {}), *([("annbatch with zarrs", ZARRS)] if "zarrs" in here else [])):
        if "annbatch" not in here:
            break
        with zarr.config.set(config):
            whole = lazily.shape[0] // BATCH
            inorder = by_annbatch(group, whole, chunk_size=512, preload_nchunks=2, shuffle=False)
            single = by_annbatch(group, n, chunk_size=1, preload_nchunks=BATCH, shuffle=True)
            say(f"{folder.name}, {said}, single rows", inorder, single)
            runs = by_annbatch(group, whole, chunk_size=32, preload_nchunks=256, shuffle=True)
            say(f"{folder.name}, {said}, runs of 32", None, runs)


if __name__ == "__main__":
    main()
