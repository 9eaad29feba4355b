"""The package against the notebook, on real data: chr1 of the mouse cortex, one cell and all cells pooled."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests import notebook
from tilegrn._core.mudata import quiet_update
from tilegrn.motifs._resolve import resolve

RTOL = 1e-6


@pytest.fixture(scope="module")
def chr1(real_data):
    mdata = grn.io.read_h5mu(real_data("multiome/mouse_cortex_mm10.h5mu"))
    table = pd.read_parquet(real_data("multiome/mouse_cortex_mm10_promoter_binding.parquet"))
    tss = pd.read_csv(
        real_data("reference/mm10_refseq_tss.bed.gz"),
        sep="\t",
        header=None,
        names=["chrom", "start", "end", "gene", "score", "strand"],
    )
    on_chr1 = mdata["atac"].var_names.str.startswith("chr1:")
    mdata.mod["atac"] = mdata["atac"][:, on_chr1].copy()
    quiet_update(mdata)
    with warnings.catch_warnings():
        # Cells empty on chr1, genes without a TSS, names without a gene: told, and not at issue here.
        warnings.simplefilter("ignore", UserWarning)
        grn.pp.bin_peaks(mdata, "mm10")
        grn.pp.tss_distance(mdata, "mm10", anchor="end", multiple="all", decay=250_000)
        grn.pp.add_binding(mdata, table)
    genes = mdata["rna"].var_names
    oracle_tss = tss[(tss["chrom"] == "chr1") & tss["gene"].isin(genes)]
    # The notebook knows a TF only by its own symbol; motifs of families (Nf1, Irf, Ap1) vanish there and count here.
    tfs = resolve(sorted(table["source_id"].unique()), genes).tfs
    families = {tf for source, members in tfs.items() for tf in members if source != tf}
    own = table["source_id"].isin(set(genes) - families)
    homer = table[table["peak_id"].isin(mdata["atac"].var_names) & own]
    assert homer["source_id"].nunique() > 50
    return mdata, oracle_tss, homer


def long(matrix, rows, columns, names):
    m = matrix.tocoo()
    return pd.Series(
        m.data, index=pd.MultiIndex.from_arrays([np.asarray(rows)[m.row], np.asarray(columns)[m.col]], names=names)
    )


def same(ours, theirs):
    """Every entry of either that is not zero is in both, equal to RTOL."""
    ours, theirs = ours[ours != 0], theirs[theirs != 0]
    assert len(theirs) > 0
    assert set(ours.index) == set(theirs.index)
    np.testing.assert_allclose(ours.reindex(theirs.index).to_numpy(), theirs.to_numpy(), rtol=RTOL)


def test_peak_tg_table(chr1):
    mdata, tss, _ = chr1
    ours = grn.get.peak_tg(mdata)
    theirs = notebook.genes_near_peaks(notebook.peak_table(mdata["atac"].var_names), tss)
    key = ["peak_id", "target_id", "TSS_dist"]
    ours = ours.astype({"peak_id": str, "target_id": str}).sort_values(key).reset_index(drop=True)
    theirs = theirs.sort_values(key).reset_index(drop=True)
    assert len(ours) == len(theirs) > 4000
    pd.testing.assert_frame_equal(ours[key], theirs[key], check_dtype=False)
    np.testing.assert_allclose(ours["TSS_dist_score"], theirs["TSS_dist_score"], rtol=RTOL)


@pytest.mark.parametrize("pooled", [False, True], ids=["one cell", "pseudobulk"])
def test_potentials_and_windowed_sums(chr1, pooled):
    mdata, tss, homer = chr1
    rna, atac = mdata["rna"], mdata["atac"]
    # The cell with the most counts on both sides, so that one cell is not an empty comparison.
    depth = np.asarray(atac.X.sum(axis=1)).ravel() * np.asarray(rna[:, rna.var["is_tf"]].X.sum(axis=1)).ravel()
    cell = rna.obs_names[depth.argmax()]
    cells = None if pooled else cell
    pick = slice(None) if pooled else [cell]
    expression = pd.Series(np.asarray(rna[pick].X.astype(float).mean(axis=0)).ravel(), index=rna.var_names)
    accessibility = pd.Series(np.asarray(atac[pick].X.astype(float).mean(axis=0)).ravel(), index=atac.var_names)
    peaks = notebook.peak_table(atac.var_names)
    near = notebook.genes_near_peaks(peaks, tss)
    bind = notebook.binding_potential(homer, expression)
    reg = notebook.regulatory_potential(near, accessibility)
    scores = notebook.triplet_scores(bind, reg)
    windows, tied = notebook.windowed(scores, peaks)

    got = grn.tl.potentials(mdata, cells)
    theirs = bind.set_index(["peak_id", "source_id"])["tf_peak_binding_potential"]
    ours = long(got.tf_peak, got.peaks, got.tfs, theirs.index.names)
    assert set(homer["source_id"]) <= set(got.tfs)
    same(ours[ours.index.get_level_values(1).isin(set(homer["source_id"]))], theirs)

    theirs = reg.groupby(["peak_id", "target_id"])["peak_tg_regulatory_potential"].sum()
    same(long(got.peak_tg, got.peaks, got.genes, theirs.index.names), theirs)

    names = sorted(set(homer["source_id"]))
    theirs = scores.dropna().groupby(["source_id", "peak_id", "target_id"])["tf_peak_tg_score"].sum()
    ours = got.scores(level="peak", tfs=names).set_index(["source_id", "peak_id", "target_id"])["tf_peak_tg_score"]
    ours.index = ours.index.set_levels([level.astype(str) for level in ours.index.levels])
    same(ours, theirs)

    ours = got.scores(level="window", tfs=names).set_index(["source_id", "window_id", "target_id"])[
        "tf_window_tg_score"
    ]
    ours.index = ours.index.set_levels([level.astype(str) for level in ours.index.levels])
    table = grn.get.windows(mdata)
    membership = atac.varm["windows"].tocsr()
    of_tied = {table.index[table["window"] == membership[i].indices[0]][0] for i in atac.var_names.get_indexer(tied)}
    ours = ours[~ours.index.get_level_values(1).isin(of_tied)]
    theirs = windows.set_index(["source_id", "window_id", "target_id"])["tf_window_tg_score"]
    theirs = theirs[~theirs.index.get_level_values(1).isin(of_tied)]
    same(ours, theirs)


def test_tensor_is_the_pivot_of_the_windowed_sums(chr1):
    mdata, _, _ = chr1
    got = grn.tl.potentials(mdata)
    table = got.scores()
    tfs = sorted(table["source_id"].astype(str).unique())[:5]
    genes = sorted(table["target_id"].astype(str).unique())[:7]
    cube = got.tensor(tfs=tfs, genes=genes)
    assert cube.shape == (5, len(grn.get.windows(mdata)), 7)
    part = table[table["source_id"].isin(tfs) & table["target_id"].isin(genes)]
    filled = {
        (cube.tfs[t], cube.windows[w], cube.genes[g]): cube.values[t, w, g] for t, w, g in np.argwhere(cube.values)
    }
    want = {tuple(map(str, k)): v for *k, v in part.itertuples(index=False)}
    assert filled.keys() == want.keys()
    for key, value in want.items():
        assert filled[key] == pytest.approx(value, rel=RTOL)


def test_dense_tensor_that_does_not_fit_is_refused(chr1):
    mdata, _, _ = chr1
    with pytest.raises(grn.errors.InputError, match=r"GB, more than max_gb=0.01.*scores"):
        grn.tl.potentials(mdata, mdata["rna"].obs_names[0]).tensor(max_gb=0.01)
