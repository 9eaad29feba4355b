"""Edges and the pair score: the column link, what windows share, and what a pair's support is."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from tests._small import copied
from tests.tl.network._networked import networked, trained

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.edges_table import edges as get_edges
from tilegrn.tl.network._edges import edges
from tilegrn.tl.network._support import support_of
from tilegrn.tl.training._inputs import cell_data
from tilegrn.tl.training._source import read_source


def as_pairs(triplets):
    span = triplets["cre"].astype(str).str.extract(r"^(.+):(\d+)-(\d+)$")
    pairs = pd.DataFrame({"chrom": span[0], "start": span[1].astype(int), "end": span[2].astype(int)})
    return pairs.assign(gene=triplets["target"].astype(str).to_numpy())


def factors(mdata, model):
    """Binding, and accessibility of all cells, of the model's windows by name."""
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=True)
    v = model.vocabulary
    data = cell_data(source, v, model.preparation, model.config)
    opened = np.asarray(data.windows[np.arange(data.n_cells)].mean(axis=0)).ravel()
    names = list(v.grid.names(v.windows))
    binding = support_of(model, source).binding.toarray()
    return pd.DataFrame(binding, index=list(v.tfs), columns=names), pd.Series(opened, index=names)


def test_link_is_what_score_pairs_says_of_the_window_and_the_gene():
    mdata, _ = networked()
    triplets = get_edges(mdata, level="triplet")
    assert triplets["link"].dtype == np.float32
    assert len(triplets) > 500
    np.testing.assert_allclose(triplets["link"], grn.tl.score_pairs(mdata, as_pairs(triplets)), rtol=1e-4)


def test_link_is_that_of_the_group():
    mdata, model = networked()
    edges(mdata, model, groupby="cell_type", max_cells=3, max_edges=40)
    triplets = get_edges(mdata, level="triplet")
    sizes = mdata.obs["cell_type"].astype(str).value_counts()
    large = list(sizes.index[sizes >= 10])
    assert len(large) > 1
    for group in large:
        part = triplets[triplets["group"] == group].reset_index(drop=True)
        wanted = grn.tl.score_pairs(mdata, as_pairs(part), groupby="cell_type", group=group)
        np.testing.assert_allclose(part["link"], wanted, rtol=1e-4)
    everyone = grn.tl.score_pairs(mdata, as_pairs(triplets))
    assert np.abs(triplets["link"] - everyone.to_numpy()).max() > 0.001


def test_a_single_cell_has_the_links_of_all_through_the_windows_that_it_has_open():
    mdata, model = trained()
    mdata = copied(mdata)
    cell = str(mdata.obs_names[3])
    edges(mdata, model, cells=[cell], per_cell=True, max_cres=50)
    triplets = get_edges(mdata, level="triplet")
    np.testing.assert_allclose(triplets["link"], grn.tl.score_pairs(mdata, as_pairs(triplets)), rtol=1e-4)
    opened = mdata["atac"].obsm["windows"][3]
    names = store.get_grid(mdata).names(opened.indices[opened.data > 0])
    assert set(triplets["cre"].astype(str)) <= set(names)


def test_windows_share_an_edge_by_binding_and_link():
    mdata, model = networked()
    binding, _ = factors(mdata, model)
    triplets = get_edges(mdata, level="triplet")
    bound = [binding.at[t, w] for t, w in zip(triplets["source"], triplets["cre"].astype(str), strict=True)]
    triplets = triplets.assign(value=np.array(bound) * triplets["link"])
    for (_, _), part in itertools.islice(triplets.groupby(["source", "target"], observed=True), 0, None, 7):
        np.testing.assert_allclose(part["score"] / part["score"].sum(), part["value"] / part["value"].sum(), rtol=1e-4)
    best = triplets.sort_values("value", ascending=False, kind="stable").drop_duplicates(["source", "target"])
    table = get_edges(mdata).merge(best, on=["source", "target"], suffixes=("", "_best"))
    ties = table["cre"].astype(str) != table["cre_best"].astype(str)
    assert ties.mean() < 0.01


def test_support_is_the_sum_over_windows_of_its_four_factors():
    mdata, model = networked()
    binding, opened = factors(mdata, model)
    triplets, table = get_edges(mdata, level="triplet"), get_edges(mdata)
    decay = store.get_record(mdata, K.REC_TSS)["decay"]
    triplets = triplets.assign(window=triplets["cre"].astype(str))
    value = [
        binding.at[t.source, t.window] * opened[t.window] * np.exp(-t.distance / decay) * np.sqrt(t.link)
        for t in triplets.itertuples()
    ]
    wanted = triplets.assign(value=value).groupby(["source", "target"], observed=True)["value"].sum().reset_index()
    both = wanted.merge(table, on=["source", "target"])
    assert len(both) == len(table)
    np.testing.assert_allclose(both["support"], both["value"], rtol=1e-4)


def test_edges_of_a_file_are_those_of_memory(tmp_path):
    mdata, model = networked()
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    filed = grn.io.read_h5mu(tmp_path / "x.h5mu", backed=True)
    edges(filed, model, max_cells=40, max_cres=50)
    one, other = (get_edges(m, level="triplet") for m in (filed, mdata))
    assert list(one["cre"].astype(str)) == list(other["cre"].astype(str))
    for column in ("link", "score", "attribution"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-5)


def test_networks_of_before_the_column_are_read_and_written_as_they_were(tmp_path):
    mdata, _ = networked()
    record = mdata.uns["tilegrn"]["edges"]
    record["triplets"] = record["triplets"].drop(columns="link")
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    back = grn.io.read_h5mu(tmp_path / "x.h5mu")
    triplets = get_edges(back, level="triplet")
    assert "link" not in triplets
    assert len(get_edges(back, level="triplet", format="celloracle"))
    assert len(get_edges(back, level="triplet", format="scenicplus")) == len(triplets)
