"""Data in files and behind dask give what the same data in memory give, a block of cells at a time."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")
from tests.tl._ready import TINY, simulated, sizes_of

import tilegrn as grn
from tilegrn._core import rows as R
from tilegrn._core import store
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError, StaleError


def walked(mdata, like):
    """Prepare, keeping no sums of cells over windows."""
    grn.pp.bin_peaks(mdata, sizes_of(like), keep_cells=False)
    grn.pp.tss_distance(mdata, like.uns["simulation"]["tss"])
    grn.pp.add_binding(mdata, like.uns["simulation"]["binding"])
    grn.pp.split_cells(mdata, seed=0)
    grn.pp.scale(mdata)
    return mdata


def in_file(mdata, path):
    grn.io.write_h5mu(path, mdata)
    return grn.io.read_h5mu(path, backed=True)


def in_folder(mdata, path):
    with no_pull():
        mdata.write_zarr(str(path))
    return grn.io.read_zarr(path, backed=True)


def behind_dask(mdata):
    import dask.array as da
    from scipy import sparse

    mods = {}
    for name, adata in mdata.mod.items():
        x = da.from_array(adata.X.toarray(), chunks=(50, adata.n_vars)).map_blocks(sparse.csr_matrix)
        mods[name] = ad.AnnData(x, obs=adata.obs.copy(), var=adata.var.copy())
    with no_pull():
        return md.MuData(mods)


@pytest.fixture(scope="module")
def whole():
    like = simulated()
    mdata = walked(simulated(), like)
    model = grn.tl.train(mdata, config=TINY, progress=False)
    grn.tl.predict(mdata, model)
    return mdata, model, like


@pytest.fixture
def lazily(monkeypatch):
    """Nothing is small enough to be brought to memory, and a block is seven cells."""
    monkeypatch.setattr(R, "SMALL", -1)
    monkeypatch.setattr(R, "_rows_in_block", lambda x: 7)


@pytest.mark.filterwarnings("ignore:Depth alone explains")
@pytest.mark.parametrize("kind", ["file", "dask", "memory", "zarr"])
def test_training_and_all_that_follows(kind, whole, lazily, tmp_path):
    kept, model, like = whole
    raw = simulated()
    mdata = {
        "file": lambda: in_file(raw, tmp_path / "x.h5mu"),
        "dask": lambda: behind_dask(raw),
        "zarr": lambda: in_folder(raw, tmp_path / "x.zarr"),
    }.get(kind, lambda: raw)()
    walked(mdata, like)
    assert "windows" not in mdata["atac"].obsm
    assert "scaled" not in mdata["rna"].layers
    np.testing.assert_allclose(mdata["rna"].var["scale_max"], kept["rna"].var["scale_max"])
    again = grn.tl.train(mdata, config=TINY, progress=False)
    assert again.record["input_sha256"] == model.record["input_sha256"]
    np.testing.assert_allclose(again.preparation.loadings, model.preparation.loadings, atol=1e-5)
    grn.tl.predict(mdata, again)
    np.testing.assert_allclose(mdata["rna"].layers["predicted"], kept["rna"].layers["predicted"], atol=2e-4)
    # with one and the same model, what follows is the same but for the last digits
    grn.tl.edges(mdata, model, groupby="cell_type" if "cell_type" in mdata["rna"].obs else None)
    grn.tl.edges(kept, model, groupby="cell_type" if "cell_type" in mdata["rna"].obs else None)
    mine, theirs = (grn.get.edges(m).set_index(["group", "source", "target"])["score"] for m in (mdata, kept))
    pd.testing.assert_series_equal(mine.sort_index(), theirs.sort_index(), rtol=1e-3)
    tf, window = model.vocabulary.tfs[0], grn.get.windows(kept).index[3]
    for change in ({"tf": tf}, {"tf": None, "close": [window]}):
        mine, theirs = (
            grn.tl.knockout(m, model, **change).set_index("target")["log2_fold_change"] for m in (mdata, kept)
        )
        pd.testing.assert_series_equal(mine.sort_index(), theirs.sort_index(), atol=1e-5)
    mine, theirs = (grn.tl.links(m).set_index(["peak", "target"])["score"] for m in (mdata, kept))
    pd.testing.assert_series_equal(mine.sort_index(), theirs.sort_index(), atol=1e-6)
    if kind == "zarr":
        assert hasattr(mdata["atac"].X, "dask")
        grn.tl.predict_file(mdata, model, tmp_path / "p.zarr", batch_size=50)
        some = pd.DataFrame({"chrom": "chr1", "start": [10_000, 500_000], "end": [10_600, 500_500]})
        some["gene"] = str(kept["rna"].var_names[0])
        pd.testing.assert_series_equal(grn.tl.score_pairs(mdata, some), grn.tl.score_pairs(kept, some), atol=1e-6)
        grn.tl.predict(kept, model)
        kinds = {"baselines": ["mean", "lsi"], "n_bootstrap": 0}
        cards = [
            grn.tl.scorecard(mdata, predicted=ad.read_zarr(tmp_path / "p.zarr"), **kinds),
            grn.tl.scorecard(kept, **kinds),
        ]
        mine, theirs = (card.table.drop(columns="seconds") for card in cards)
        pd.testing.assert_frame_equal(mine, theirs, atol=1e-4)


def test_counts_changed_since_are_noticed(whole):
    like = whole[2]
    mdata = walked(simulated(), like)
    assert store.cell_windows(mdata).sum() == mdata["atac"].obs["window_total"].sum()
    with no_pull():
        part = mdata[mdata.obs_names[::3]].copy()
    np.testing.assert_array_equal(store.cell_windows(part).toarray(), store.cell_windows(mdata).toarray()[::3])
    mdata["atac"].X = mdata["atac"].X * 0.5  # as a normalisation in place does
    with pytest.raises(StaleError, match=r"changed since the windows were laid.*bin_peaks"):
        store.cell_windows(mdata)


def test_the_sums_are_kept_when_asked_for(whole):
    like = whole[2]
    mdata = walked(simulated(), like)
    mine = store.cell_windows(mdata)
    grn.pp.bin_peaks(mdata, sizes_of(like), keep_cells=True)
    assert "window_total" not in mdata["atac"].obs
    np.testing.assert_array_equal(mdata["atac"].obsm["windows"].toarray(), mine.toarray())


@pytest.mark.parametrize("end", ["h5ad", "h5mu", "zarr"])
def test_predictions_in_a_file(end, whole, tmp_path, lazily):
    mdata, model, _ = whole
    path = tmp_path / f"p.{end}"
    before = mdata["rna"].layers["predicted"].copy()
    grn.tl.predict_file(mdata, model, path, batch_size=50)
    made = {"h5ad": ad.read_h5ad, "zarr": ad.read_zarr, "h5mu": lambda p: grn.io.read_h5mu(p)["rna"]}[end](path)
    np.testing.assert_allclose(made.X, before, atol=1e-5)
    np.testing.assert_array_equal(mdata["rna"].layers["predicted"], before)
    assert list(made.obs_names) == list(mdata["rna"].obs_names)
    assert list(made.var["predicted_from"]) == list(mdata["rna"].var["predicted_from"])
    np.testing.assert_allclose(made.obs["size_factor"], mdata.uns["tilegrn"]["predict"]["size_factor"], rtol=1e-6)
    with pytest.raises(InputError, match="exists"):
        grn.tl.predict_file(mdata, model, path)


def test_some_cells_and_genes_in_half_precision(whole, tmp_path):
    mdata, model, _ = whole
    genes, cells = list(mdata["rna"].var_names[[7, 2]]), list(mdata["rna"].obs_names[[30, 4, 11]])
    grn.tl.predict_file(mdata, model, tmp_path / "p.h5ad", genes=genes, cells=cells, dtype="float16")
    made = ad.read_h5ad(tmp_path / "p.h5ad")
    assert made.X.dtype == np.float16
    assert (list(made.obs_names), list(made.var_names)) == (cells, genes)
    np.testing.assert_allclose(made.X, mdata["rna"].layers["predicted"][[30, 4, 11]][:, [7, 2]], atol=2e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "p.csv"}, "end it in one of"),
        ({"genes": ["GeneX"]}, "not in the data"),
        ({"cells": ["nobody"]}, "not in the data"),
        ({"dtype": "int8"}, "float32"),
    ],
)
def test_what_cannot_be_written_is_said_before(change, said, whole, tmp_path):
    mdata, model, _ = whole
    with pytest.raises(InputError, match=said):
        grn.tl.predict_file(mdata, model, **{"path": tmp_path / "p.h5ad", **change})
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(whole, tmp_path, monkeypatch):
    mdata, model, _ = whole
    real = type(model).iter_rates

    def failing(self, *args, **kwargs):
        yield next(real(self, *args, **kwargs))
        raise OSError("disk full")

    monkeypatch.setattr(type(model), "iter_rates", failing)
    with pytest.raises(OSError, match="disk full"):
        grn.tl.predict_file(mdata, model, tmp_path / "p.h5ad", batch_size=20)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Depth alone explains")
def test_a_scorecard_of_a_file(whole, tmp_path):
    mdata, model, _ = whole
    grn.tl.predict_file(mdata, model, tmp_path / "p.h5ad")
    kinds = {"baselines": ["mean", "lsi"], "n_bootstrap": 20}
    mine = grn.tl.scorecard(mdata, predicted=ad.read_h5ad(tmp_path / "p.h5ad", backed="r"), **kinds)
    theirs = grn.tl.scorecard(mdata, **kinds)
    pd.testing.assert_frame_equal(mine.table.drop(columns="seconds"), theirs.table.drop(columns="seconds"))


def test_a_scorecard_of_some_of_the_cells(whole):
    mdata, _, _ = whole
    card = grn.tl.scorecard(mdata, baselines=["mean"], max_cells=6, n_bootstrap=0)
    assert card.parameters["n_cells"] == 6
    assert "6 held-out cells" in card.sentence
    with pytest.raises(InputError, match="at least 3 cells"):
        grn.tl.scorecard(mdata, baselines=["mean"], max_cells=2)
