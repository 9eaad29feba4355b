"""Distances as users read them: in bp, whatever the scores become."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import tilegrn as grn
from tilegrn._core.mudata import no_pull

SIZES = {"chr1": 4_000_000}


def placed(positions, *sites):
    """Peaks at positions of chr1, and one gene with TSSs at the sites."""
    peaks = [f"chr1:{p}-{p + 300}" for p in positions]
    rna = ad.AnnData(sparse.csr_matrix(np.ones((3, 1), np.float32)), pd.DataFrame(index=list("abc")))
    atac = ad.AnnData(sparse.csr_matrix(np.ones((3, len(peaks)), np.float32)), rna.obs.copy())
    rna.var_names, atac.var_names = ["Gene"], peaks
    with no_pull():
        mdata = md.MuData({"rna": rna, "atac": atac})
    grn.pp.bin_peaks(mdata, SIZES)
    table = pd.DataFrame({"chrom": "chr1", "pos": list(sites), "gene": "Gene", "strand": "-"})
    return mdata, table


@pytest.mark.parametrize("multiple", ["nearest", "all"])
def test_two_tss_at_nearly_one_distance_are_not_taken_for_a_nearer_one(multiple):
    mdata, table = placed([700_000], 700_999 + 30_000, 700_999 + 33_000)
    grn.pp.tss_distance(mdata, table, multiple=multiple)
    found = grn.get.window_tg(mdata)
    assert found["TSS_dist"].tolist() == [30_000]
    want = np.exp(-30 / 25) + (np.exp(-33 / 25) if multiple == "all" else 0.0)
    np.testing.assert_allclose(found["TSS_dist_score"], want, rtol=1e-12)


@pytest.mark.parametrize("decay", [500, 5_000, 1e6])
def test_no_pair_within_reach_is_lost_to_a_short_decay(decay):
    mdata, table = placed([150_000, 1_020_000, 1_960_000, 2_100_000], 1_020_100)
    grn.pp.tss_distance(mdata, table, decay=decay)
    assert sorted(grn.get.window_tg(mdata)["TSS_dist"]) == [0, 1_020_100 - 150_999, 1_960_000 - 1_020_100]
    assert sorted(grn.get.peak_tg(mdata)["TSS_dist"]) == [0, 1_020_100 - 150_299, 1_960_000 - 1_020_100]
