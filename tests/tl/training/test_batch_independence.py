"""Predictions of cells with more than 10,000 open windows do not depend on which cells stand beside them."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

pytest.importorskip("torch")

from tests._small import copied
from tests.tl._ready import TINY

import tilegrn as grn
from tilegrn._core.mudata import no_pull
from tilegrn._stats.metrics import expected_log1p

SIZES = {"chr1": 11_000_000, "chr2": 1_000_000}
N_CELLS = 32
TFS = ["Ta", "Tb", "Tc"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def wide():
    """Deep cells: a peak in each of 12,000 windows, nine in ten of them open in every cell."""
    rng = np.random.default_rng(4)
    peaks = [f"{c}:{s + 200}-{s + 700}" for c, n in SIZES.items() for s in range(0, n, 1000)]
    genes = [*TFS, *(f"G{i}" for i in range(9))]
    state = rng.normal(size=(N_CELLS, 1))
    opened = rng.poisson(np.exp(0.9 + 0.1 * state @ rng.normal(size=(1, len(peaks)))))
    counts = rng.poisson(np.exp(0.5 + 0.5 * state @ rng.normal(size=(1, len(genes)))))
    counts[:6, 0] = 0  # cells without Ta
    rna, atac = (ad.AnnData(sparse.csr_matrix(x.astype(np.float32))) for x in (counts, opened))
    rna.obs_names = atac.obs_names = [f"c{i}" for i in range(N_CELLS)]
    rna.var_names, atac.var_names = genes, peaks
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    grn.pp.bin_peaks(mdata, SIZES)
    sites = [("chr2" if i > 9 else "chr1", 300_000 + 50_000 * i) for i in range(len(genes))]
    tss = pd.DataFrame([(g, c, p, "+") for g, (c, p) in zip(genes, sites, strict=True)])
    grn.pp.tss_distance(mdata, tss.set_axis(["gene", "chrom", "pos", "strand"], axis=1))
    hits = pd.DataFrame({"source_id": np.repeat(TFS, 400), "peak_id": rng.choice(peaks[:1500], 1200)})
    grn.pp.add_binding(mdata, hits.drop_duplicates().assign(tf_motifs_in_peak=1))
    grn.pp.split_cells(mdata, val=0.1)
    return mdata


@pytest.fixture(scope="module")
def fitted():
    mdata = wide()
    assert np.diff(mdata["atac"].obsm["windows"].indptr).min() > 10_000
    model = grn.tl.train(
        mdata, config=TINY, max_epochs=1, exclude_chromosomes=["chr2"], progress=False, accelerator="cpu"
    )
    grn.tl.predict(mdata, model)
    assert set(mdata["rna"].var["predicted_from"]) == {"trained", "windows"}
    return mdata, model, mdata["rna"].layers["predicted"].copy()


def some(mdata, cells):
    with no_pull():
        return mdata[mdata.obs_names[cells]].copy()


@pytest.mark.parametrize("cells", [[5], [31], [30, 3, 17, 22, 8], list(np.random.default_rng(0).permutation(N_CELLS))])
def test_a_cell_is_predicted_alike_alone_in_company_and_in_any_order(fitted, cells):
    mdata, model, whole = fitted
    few = some(mdata, cells)
    grn.tl.predict(few, model)
    rows = mdata.obs_names.get_indexer(few["rna"].obs_names)
    np.testing.assert_allclose(few["rna"].layers["predicted"], whole[rows], **CLOSE)


@pytest.mark.parametrize(("batch_size", "n_cells"), [(1, 5), (7, 16), (128, N_CELLS)])
def test_the_size_of_batches_does_not_matter(fitted, batch_size, n_cells):
    mdata, model, whole = fitted
    few = some(mdata, list(range(n_cells)))
    grn.tl.predict(few, model, batch_size=batch_size)
    rows = mdata.obs_names.get_indexer(few["rna"].obs_names)
    np.testing.assert_allclose(few["rna"].layers["predicted"], whole[rows], **CLOSE)


def test_knockouts_start_from_the_predictions(fitted):
    """One group per cell: rates before are those predicted, and what is not expressed changes nothing."""
    mdata, model, whole = fitted
    few = some(mdata, [2, 4, 20, 29])
    few.obs["cell"] = few.obs_names.to_numpy()
    table = grn.tl.knockout(few, model, "Ta", direct=False, groupby="cell", batch_size=3).set_index(["group", "target"])
    grn.tl.predict(few, model)
    size = few.uns["tilegrn"]["predict"]["size_factor"]
    trained = list(model.vocabulary.genes)
    columns = mdata["rna"].var_names.get_indexer(trained)
    for i, cell in enumerate(few["rna"].obs_names):
        own = table.loc[cell].loc[trained]
        row = mdata.obs_names.get_loc(cell)
        rate = own["mean_rate"].to_numpy(np.float32)[None]
        np.testing.assert_allclose(expected_log1p(rate, size[[i]])[0], whole[row, columns], **CLOSE)
        silent = few["rna"].X[i, 0] == 0
        assert (np.abs(own["log2_fold_change"]).max() < 1e-6) == silent
    assert {0.0} < set(few["rna"].X[:, [0]].toarray().ravel())


def test_edges_explain_the_rates_that_are_predicted(fitted):
    """Attributions of a cell's TFs add up to the predicted log rate less that without any TF."""
    mdata, model, _ = fitted
    few = some(mdata, [9])
    cell = few.obs_names[0]
    everyone = copied(mdata)
    grn.tl.edges(everyone, model, cells=[cell], per_cell=True, indirect=True)
    table = grn.get.edges(everyone, group=cell)
    bare = grn.tl.knockout(few, model, dict.fromkeys(TFS, 0.0), direct=False).set_index("target")
    got = table.astype({"target": str}).groupby("target")["attribution"].sum()
    plain = [g for g in model.vocabulary.genes if g not in TFS]
    want = -np.log(2) * bare["model_log2_fold_change"]
    assert want[plain].abs().max() > 1e-3
    np.testing.assert_allclose(got.reindex(plain, fill_value=0.0), want[plain], atol=0.02 * want[plain].abs().max())
