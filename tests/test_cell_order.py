"""Annotation follows cells by their names, in whatever order the modalities and the MuData have them."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tilegrn as grn
from tests._small import BINDING, SIZES, TSS, copied, small
from tilegrn._core import check
from tilegrn._core.mudata import no_pull, quiet_update


def labelled(n=12):
    """Cells whose batch can be told from their name; the label in ``mdata.obs`` alone."""
    mdata = small(n)
    mdata.obs["batch"] = [f"b{int(c[1:]) % 3}" for c in mdata.obs_names]
    return mdata


def of_name(cells):
    return [f"b{int(c[1:]) % 3}" for c in cells]


def sorted_otherwise(mdata, order):
    """Both modalities in another order, as after sorting them without ``update()``."""
    with no_pull():
        for name in ("rna", "atac"):
            mdata.mod[name] = mdata[name][order].copy()
    return mdata


def filtered(mdata, rows):
    with no_pull():
        for name in ("rna", "atac"):
            mdata.mod[name] = mdata[name][rows].copy()
    return mdata


def with_a_third(mdata, extra=5):
    """A third modality with more cells, which come first in ``mdata.obs``."""
    names = [*(f"x{i}" for i in range(extra)), *mdata.obs_names[::-1]]
    third = ad.AnnData(np.ones((len(names), 2), dtype=np.float32), pd.DataFrame(index=names))
    batch = mdata.obs["batch"]
    with no_pull():
        out = md.MuData({"prot": third, **{k: v.copy() for k, v in mdata.mod.items()}})
    out.obs["batch"] = batch.reindex(out.obs_names)
    out.uns.update(mdata.uns)
    return out


KINDS = {
    "as it was": lambda m: m,
    "sorted": lambda m: sorted_otherwise(m, np.random.default_rng(1).permutation(m.n_obs)),
    "filtered": lambda m: filtered(m, [7, 3, 11, 0, 5, 2, 8, 1, 6]),
    "with a third": with_a_third,
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_belong_to_their_cells(kind):
    mdata = KINDS[kind](labelled())
    assert check.cell_labels(mdata, "batch", "rna", "atac").tolist() == of_name(mdata["rna"].obs_names)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_held_out_whole(kind):
    mdata = KINDS[kind](labelled())
    grn.pp.split_cells(mdata, "batch", test_groups=["b1"], val_groups=["b2"])
    cells = mdata["rna"].obs_names
    got = mdata.obs["split"].reindex(cells).astype(str).tolist()
    assert got == [{"b0": "train", "b1": "test", "b2": "val"}[b] for b in of_name(cells)]
    if kind == "filtered":
        assert set(mdata.obs_names) == set(cells)
        assert mdata.obs["batch"].tolist() == of_name(mdata.obs_names)


def ready(mdata):
    grn.pp.bin_peaks(mdata, SIZES)
    with pytest.warns(UserWarning, match="no TSS"):
        grn.pp.tss_distance(mdata, TSS)
    grn.pp.add_binding(mdata, BINDING)
    return mdata


@pytest.mark.parametrize("kind", KINDS)
def test_potentials_of_groups(kind):
    mdata = KINDS[kind](ready(labelled()))
    got = grn.tl.potentials(mdata, groupby="batch")
    for name, found in got.items():
        mine = [c for c, b in zip(mdata["rna"].obs_names, of_name(mdata["rna"].obs_names), strict=True) if b == name]
        want = grn.tl.potentials(mdata, mine)
        assert found.n_cells == len(mine)
        np.testing.assert_allclose(found.tf_tg.toarray(), want.tf_tg.toarray())


def test_a_mask_finds_its_cells_by_name():
    mdata = sorted_otherwise(ready(labelled()), np.arange(12)[::-1])
    mask = mdata.obs["batch"] == "b1"
    want = grn.tl.potentials(mdata, [c for c in mdata["rna"].obs_names if of_name([c]) == ["b1"]])
    np.testing.assert_allclose(grn.tl.potentials(mdata, mask).tf_tg.toarray(), want.tf_tg.toarray())
    with pytest.raises(grn.errors.InputError, match=r"mask without names.*another order"):
        grn.tl.potentials(mdata, mask.to_numpy())


def test_cells_without_a_label_are_named():
    mdata = labelled()
    more = ad.concat([mdata["rna"], ad.AnnData(mdata["rna"].X[:1], pd.DataFrame(index=["late"]), mdata["rna"].var)])
    with no_pull():
        mdata.mod["rna"] = more
    with pytest.raises(
        grn.errors.InputError, match=r"mdata\.obs\['batch'\] has no value for 1 of 13 cells, e\.g\. 'late'"
    ):
        check.cell_labels(mdata, "batch", "rna", "atac")


def test_columns_that_disagree_are_said():
    mdata = labelled()
    mdata["atac"].obs["batch"] = ["b9", *of_name(mdata["atac"].obs_names[1:])]
    with pytest.warns(UserWarning, match=r"'batch' differs between mdata\.obs and mdata\['atac'\]\.obs for 1 of 12"):
        grn.pp.split_cells(mdata, "batch")


def matrices(mdata):
    """Every written matrix, rows and columns by name."""
    rna, atac = mdata["rna"], mdata["atac"]
    return {
        "cells x windows": (atac.obs_names, atac.obsm["windows"]),
        "peaks x windows": (atac.var_names, atac.varm["windows"]),
        "peaks x TFs": (atac.var_names, atac.varm["homer_binding_score"]),
        "genes x windows": (rna.var_names, rna.varm["tss_distance"]),
        "TFs x windows": (rna.var_names, rna.varm["homer_binding"]),
        "scaled windows": (atac.obs_names, atac.obsm["windows_scaled"]),
        "scaled TFs": (rna.obs_names, rna.layers["scaled"]),
    }


def walk(mdata):
    grn.pp.intersect_cells(mdata)
    grn.pp.split_cells(mdata, "batch", test_groups=["b1"], val=0)
    ready(mdata)
    grn.pp.scale(mdata)
    return mdata


@pytest.fixture(scope="module")
def straight():
    return walk(labelled())


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_permuted_cells_genes_peaks_and_modalities_give_the_same(straight, random):
    def shuffled(names):
        return random.sample(list(names), len(names))

    plain = labelled()
    parts = {
        name: plain[name][shuffled(plain[name].obs_names), shuffled(plain[name].var_names)].copy()
        for name in shuffled(["rna", "atac"])
    }
    with no_pull():
        mdata = md.MuData(parts)
    mdata.obs["batch"] = of_name(mdata.obs_names)
    walk(mdata)
    rna, atac = straight["rna"], straight["atac"]
    want = matrices(straight)
    for what, (rows, mat) in matrices(mdata).items():
        names, expected = want[what]
        columns = slice(None)
        if what == "scaled TFs":
            columns = mdata["rna"].var_names.get_indexer(rna.var_names)
        got = mat[rows.get_indexer(names)][:, columns]
        np.testing.assert_allclose(got.toarray(), expected.toarray(), rtol=1e-6, err_msg=what)
    sort = ["peak_id", "target_id", "TSS_dist"]
    a, b = (grn.get.peak_tg(m).astype({"peak_id": str, "target_id": str}) for m in (straight, mdata))
    pd.testing.assert_frame_equal(*(t.sort_values(sort, ignore_index=True) for t in (a, b)))
    a, b = (grn.tl.potentials(m, groupby="batch") for m in (straight, mdata))
    assert set(a) == set(b)
    for name in a:
        genes = b[name].genes.get_indexer(a[name].genes)
        np.testing.assert_allclose(b[name].tf_tg.toarray()[:, genes], a[name].tf_tg.toarray(), rtol=1e-6)
    assert atac.n_obs == mdata["atac"].n_obs
    quiet_update(copied(mdata))
