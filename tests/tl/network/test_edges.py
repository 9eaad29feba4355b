"""Attributions against the predicted change and against brute force; edges against plain loops."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tests.tl.network._networked import networked, trained  # noqa: E402

import tilegrn as grn  # noqa: E402
from tilegrn._core.edges_table import edges as get_edges  # noqa: E402
from tilegrn.errors import InputError, MissingStepError  # noqa: E402
from tilegrn.model.net.cis_shares import tf_gene_shares, triplet_shares  # noqa: E402
from tilegrn.model.net.gates import gated  # noqa: E402
from tilegrn.tl.network import _attribution as A  # noqa: E402
from tilegrn.tl.network._covariation import conditional_covariation  # noqa: E402
from tilegrn.tl.network._edges import edges  # noqa: E402
from tilegrn.tl.network._support import combine, jaccard, ranks  # noqa: E402
from tilegrn.tl.training._inputs import cell_data  # noqa: E402
from tilegrn.tl.training._source import read_source  # noqa: E402


def _data(mdata, model, rows=None):
    source = read_source(mdata, rna="rna", atac="atac", layer=None, for_training=False)
    return cell_data(source, model.vocabulary, model.preparation, model.config, rows=rows)


def _explained(model, data, **kwargs):
    undo = A.frozen(model.networks[0])
    steps = A.choose_steps(model, model.networks[0], data)
    try:
        return A.attribute(model, model.networks[0], data, steps=steps, **kwargs)
    finally:
        undo()


def test_attributions_add_up_to_the_change_that_prediction_shows():

    mdata, model = trained()
    data = _data(mdata, model)
    found = _explained(model, data, batch_size=50)
    none = dataclasses.replace(data, tfs=sparse.csr_matrix(data.tfs.shape, dtype=np.float32))
    here, gone = (np.concatenate([r[0] for _, r, _ in model.iter_rates(d)]) for d in (data, none))
    change = np.log(here.astype(np.float64) / gone).mean(0)
    plain = np.setdiff1d(np.arange(len(model.vocabulary.genes)), model.preparation.tf_target)
    total = found.total().sum(0)[plain]
    assert np.abs(change[plain]).max() > 1e-3
    assert np.abs(total - change[plain]).sum() < 0.01 * np.abs(change[plain]).sum()
    assert found.error < 0.01


def test_cells_that_need_more_points_get_them():
    mdata, model = trained()
    data, net = _data(mdata, model), model.networks[0]
    undo = A.frozen(net)
    try:
        first = A.attribute(model, net, data, steps=1)
        steps, found = A.complete(model, net, data, 1)
    finally:
        undo()
    assert first.error > 0.01 >= found.error
    assert steps > 1


def test_cis_attribution_equals_brute_force_integration():
    mdata, model = trained()
    net = model.networks[0]
    with torch.no_grad():  # make the head matter
        kept = {n: p.clone() for n, p in net.cis.named_parameters()}
        torch.manual_seed(0)
        for p in net.cis.parameters():
            p.add_(torch.randn_like(p) * 0.5)
    try:
        data = _data(mdata, model, np.arange(6))
        batch = next(model.batches(data, batch_size=6))
        side = net.genes()
        got = tf_gene_shares(net.cis, batch, side.cis)
        slow = np.zeros_like(got)
        steps = 60
        for k in range(steps):
            gate = torch.full_like(batch.tf_value, (k + 0.5) / steps).requires_grad_()
            out = net.cis(
                gated(
                    batch,
                    model.preparation,
                    model.config,
                    tf_gate=gate,
                    window_gate=torch.ones_like(batch.open_there),
                ),
                side.cis,
            ).sum(0)
            for g in range(0, len(out), 5):
                (grad,) = torch.autograd.grad(out[g], gate, retain_graph=True)
                for cell, place in itertools.product(range(6), range(grad.shape[1])):
                    t = int(batch.tf_token[cell, place])
                    if t < len(model.vocabulary.tfs):
                        slow[t, g] += float(grad[cell, place]) / steps
        assert np.abs(slow).max() > 1e-3
        np.testing.assert_allclose(got[:, ::5], slow[:, ::5], rtol=2e-3, atol=2e-5)
        # Over all windows and binding TFs of a gene, triplets add up to what its TFs have.
        gene = int(np.abs(got).sum(0).argmax())
        tf, window = (a.ravel() for a in np.indices((len(got), len(model.vocabulary.windows))))
        each = triplet_shares(net.cis, batch, side.cis, tf, window, np.full(len(tf), gene))
        np.testing.assert_allclose(np.bincount(tf, weights=each), got[:, gene], rtol=1e-4, atol=1e-6)
    finally:
        with torch.no_grad():
            for n, p in net.cis.named_parameters():
                p.copy_(kept[n])


def test_a_tf_that_no_cell_expresses_gets_nothing_and_no_gene_explains_itself():
    mdata, model = trained()
    data = _data(mdata, model, np.arange(30))

    tfs = data.tfs.toarray()
    tfs[:, 2] = 0
    found = _explained(model, dataclasses.replace(data, tfs=sparse.csr_matrix(tfs)))
    total = found.total()
    assert not total[2].any()
    for t, g in enumerate(model.preparation.tf_target):
        assert total[t, g] == 0


def test_parameters_and_mode_are_given_back():
    _, model = trained()
    net = model.networks[0].train()
    undo = A.frozen(net)
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    undo()
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    net.eval()


def test_triplets_add_up_to_edges_and_hold_only_bound_windows_within_reach():
    mdata, _model = networked()
    table, triplets = get_edges(mdata), get_edges(mdata, level="triplet")
    assert list(triplets.columns[:7]) == ["group", "source", "target", "cre", "score", "sign", "stability"]
    both = triplets.groupby(["source", "target"], observed=True)[["score", "attribution"]].sum().reset_index()
    both = both.merge(table, on=["source", "target"], suffixes=("_sum", ""))
    assert len(both) == len(table)
    np.testing.assert_allclose(both["score_sum"], both["score"], rtol=1e-4)
    np.testing.assert_allclose(both["attribution_sum"], both["attribution"], rtol=1e-3, atol=1e-6)
    bound, near = mdata["rna"].varm["homer_binding"], mdata["rna"].varm["tss_distance"]
    names = dict(zip(grn.get.windows(mdata).index, grn.get.windows(mdata)["window"], strict=True))
    genes = mdata["rna"].var_names
    for row in triplets.iloc[::17].itertuples():
        w = names[str(row.cre)]
        assert bound[genes.get_loc(row.source), w] > 0
        assert row.distance == near[genes.get_loc(row.target), w] - 1


def test_every_bound_pair_is_an_edge_and_no_other():
    mdata, _model = networked()
    bound, near = mdata["rna"].varm["homer_binding"], mdata["rna"].varm["tss_distance"]
    genes, table = list(mdata["rna"].var_names), get_edges(mdata)
    opened = np.asarray(mdata["atac"].obsm["windows"].sum(0)).ravel() > 0
    expressed = set(table["source"].astype(str))
    found = set(zip(table["source"].astype(str), table["target"].astype(str), strict=True))
    for t in expressed:
        mine = np.zeros(bound.shape[1], dtype=bool)
        mine[bound[genes.index(t)].indices] = True
        for g, name in enumerate(genes):
            reach = near[g].indices
            assert ((t, name) in found) == bool((mine & opened)[reach].any() and name != t)


def test_indirect_edges_come_last_and_are_marked():
    mdata, model = networked()
    edges(mdata, model, max_cells=20, indirect=True)
    table = get_edges(mdata)
    kind = table["kind"].astype(str).to_numpy()
    assert "indirect" in kind
    first = int(np.flatnonzero(kind == "indirect")[0])
    assert set(kind[first:]) == {"indirect"}
    assert (table["cre"].astype(str)[kind == "indirect"] == "").all()
    assert (np.diff(table["score"]) <= 0).all()


@pytest.mark.slow
def test_groups_and_single_cells():
    mdata, model = networked()
    edges(mdata, model, groupby="cell_type", max_cells=10, max_edges=7, max_cres=1)
    table = get_edges(mdata)
    assert set(table["group"].astype(str)) == set(mdata.obs["cell_type"].astype(str))
    assert (table.groupby("group", observed=True).size() <= 7).all()
    cells = list(mdata.obs_names[:2])
    edges(mdata, model, cells=cells, per_cell=True)
    assert list(get_edges(mdata)["group"].cat.categories) == cells
    assert len(get_edges(mdata, group=cells[1], n=3)) == 3
    with pytest.raises(InputError, match="per_cell"):
        edges(mdata, model, per_cell=True)


def test_same_seed_gives_the_same_network_and_files_keep_it(tmp_path):
    mdata, model = networked()
    again = edges(mdata, model, max_cells=40, max_cres=50, copy=True)
    assert get_edges(again).equals(get_edges(mdata))
    grn.io.write_h5mu(tmp_path / "x.h5mu", mdata)
    back = get_edges(grn.io.read_h5mu(tmp_path / "x.h5mu"))
    assert list(back["source"].astype(str)) == list(get_edges(mdata)["source"].astype(str))
    np.testing.assert_array_equal(back["score"], get_edges(mdata)["score"])


def test_messages_name_the_mend():
    mdata, _ = trained()
    with pytest.raises(MissingStepError, match=r"grn\.tl\.edges"):
        get_edges(mdata)
    full, model = networked()
    with pytest.raises(InputError, match="no target"):
        get_edges(full, targets="Nope")
    with pytest.raises(InputError, match="max_cells"):
        edges(full, model, max_cells=0)


def test_overlap_and_ranks_by_sets():
    rng = np.random.default_rng(0)
    scores = [rng.random(200).astype(np.float32) for _ in range(3)]
    places = [ranks(s) for s in scores]
    tops = [set(np.argsort(-s)[:30]) for s in scores]
    slow = np.mean([len(a & b) / len(a | b) for a, b in itertools.combinations(tops, 2)])
    assert jaccard(places, 30) == pytest.approx(slow)
    assert jaccard(places[:1], 30) != jaccard(places[:1], 30)
    none = np.zeros(3, np.float32)
    mixed, sign = combine(np.array([0.5, -2.0, 3.0], np.float32), none, np.array([0.2, 0.1, 0.0], np.float32))
    assert mixed[1] > mixed[0] > mixed[2] > 0
    assert list(sign) == [1, -1, 1]


def test_covariation_equals_a_regression_with_the_other_tfs_and_depth():
    rng = np.random.default_rng(3)
    level = rng.gamma(2.0, size=(300, 5))
    level[:, 4] = level[:, 0] * 2 + 0.3 * rng.gamma(2.0, size=300)
    counts = sparse.csr_matrix(rng.poisson(level * rng.lognormal(0, 0.3, (300, 1))).astype(np.float32))
    got = conditional_covariation(counts, np.array([0, 1, 2]), np.array([3, 4, 1]))
    depth = np.asarray(counts.sum(1)).ravel()
    size = np.maximum(depth, 1) / np.median(depth)
    x = np.log1p(counts.toarray() / size[:, None])

    def z(v):
        return (v - v.mean(0)) / v.std(0)

    def ridge(columns, target):
        a = np.column_stack([z(x[:, columns]), z(np.log(size))])
        return np.linalg.solve(a.T @ a / 300 + 0.01 * np.eye(a.shape[1]), a.T @ z(x[:, target]) / 300)[:-1]

    np.testing.assert_allclose(got[:, 0], ridge([0, 1, 2], 3), atol=1e-5)
    np.testing.assert_allclose(got[:, 1], ridge([0, 1, 2], 4), atol=1e-5)
    np.testing.assert_allclose(got[[0, 2], 2], ridge([0, 2], 1), atol=1e-5)
    assert got[1, 2] == 0


def test_direct_effects_count_as_much_as_the_group_expresses_the_tf():
    mdata, model = trained()
    tf = model.vocabulary.tfs[0]
    level = mdata["rna"][:, tf].X.toarray().ravel()
    mdata.obs["has"] = np.where(level > 0, "yes", "no")
    edges(mdata, model, groupby="has")
    table = get_edges(mdata)
    effect = table[table["source"] == tf].pivot_table(
        index="target", columns="group", values="direct_effect", observed=True
    )
    effect = effect.dropna()
    effect = effect[effect["yes"] != 0]
    n = int((level == 0).sum())
    assert len(effect) > 3
    share = 10 / (n + 10)  # none of it is expressed here: what is left are the 10 average cells
    relative = effect["no"] / effect["yes"]
    np.testing.assert_allclose(relative, relative.iloc[0], rtol=1e-4)
    assert 0 < relative.iloc[0] < share
