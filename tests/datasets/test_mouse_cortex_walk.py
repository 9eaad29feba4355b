"""The whole walk on the sample: warnings are errors here, so this also says that plain use gives none."""

from __future__ import annotations

import numpy as np
import pytest

import tilegrn as grn

pytest.importorskip("torch")


@pytest.mark.slow
def test_the_walk_gives_no_warning_and_better_than_chance():
    mdata = grn.datasets.mouse_cortex()
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, "mm10")
    grn.pp.tss_distance(mdata, "mm10")
    grn.pp.split_cells(mdata, "sample", seed=0)
    grn.pp.scale(mdata)
    model = grn.tl.train(mdata, seed=0, max_epochs=2, progress=False)
    grn.tl.predict(mdata, model)
    card = grn.tl.scorecard(mdata, baselines=["mean"], n_bootstrap=0)
    assert card.table.set_index("method").loc["model", "pearson"] > 0.1
    best = grn.tl.links(mdata, groupby="cell_type", group="Oligo", top=1).set_index("target").loc["Mbp"]
    assert best["distance"] < 1000
    knocked = grn.tl.knockout(mdata, model, "Sox10")
    assert np.isfinite(knocked["log2_fold_change"]).all()
