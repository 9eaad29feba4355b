"""Make the files that every later version has to read: python -m tests.archive.make, once before a release.

They are never made anew; a new version adds a folder of its own.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
from tests.tl._ready import TINY, sizes_of

import tilegrn as grn

HERE = Path(__file__).parent


def make(folder: Path) -> None:
    """Write a MuData with every record of preparation and training, a model, and what it predicts."""
    folder.mkdir(parents=True)
    mdata = grn.datasets.simulate(n_cells=40, n_genes=12, n_peaks=40, n_tfs=4, n_chroms=2, seed=3)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, mdata.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, mdata.uns["simulation"]["binding"])
    grn.pp.split_cells(mdata, seed=0)
    config = dataclasses.replace(TINY, width=8, hidden=8, n_components=4, n_loadings=4, rank=3)
    model = grn.tl.train(mdata, config=config, seed=1, progress=False, accelerator="cpu", max_epochs=1)
    grn.tl.predict(mdata, model)
    del mdata.uns["simulation"]
    plain = folder / "cells.h5mu"
    grn.io.write_h5mu(plain, mdata)
    (folder / "cells.h5mu.gz").write_bytes(
        gzip.compress(plain.read_bytes(), 9, mtime=0)
    )  # HDF5's gaps shrink to nothing
    plain.unlink()
    model.save(folder / "model")
    predicted = np.asarray(mdata["rna"].layers["predicted"], dtype=np.float64)
    known = {"genes": list(mdata["rna"].var_names), "of_first_cell": predicted[0].tolist(), "n_cells": mdata.n_obs}
    (folder / "known.json").write_text(json.dumps(known) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(HERE / grn.__version__)
