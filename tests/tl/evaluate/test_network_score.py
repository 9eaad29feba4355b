"""Evaluation, readers, writers and regulons against plain computations and scikit-learn."""

from __future__ import annotations

import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.metrics import average_precision_score, roc_auc_score
from tests._small import copied
from tests.tl._ready import ready

from tilegrn._stats.ranking import METRICS, interval_of_mean, rank_metrics
from tilegrn.errors import InputError, ToolError
from tilegrn.io._networks import read_crispri, read_network, write_network
from tilegrn.tl.evaluate._link_score import evaluate_links
from tilegrn.tl.evaluate._network_rivals import baseline_network, correlation
from tilegrn.tl.evaluate._network_score import evaluate_network
from tilegrn.tl.network._regulons import regulons

COLUMNS = ["chrom", "start", "end", "gene", "regulated"]


@pytest.fixture(scope="module")
def mdata():
    return ready(1, 120)


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_metrics_equal_scikit_learn_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    truth = rng.random(400) < 0.1
    score = np.round((rng.random(400) + 0.5 * truth) * levels)
    got = dict(zip(METRICS, rank_metrics(score, truth), strict=True))
    assert got["auroc"] == pytest.approx(roc_auc_score(truth, score))
    assert got["auprc"] == pytest.approx(average_precision_score(truth, score))
    assert got["auprc_ratio"] == pytest.approx(got["auprc"] / truth.mean())
    draws = [truth[np.lexsort((rng.random(400), -score))[: truth.sum()]].mean() for _ in range(800)]
    assert got["early_precision"] == pytest.approx(np.mean(draws), abs=0.02)


def test_metrics_without_positives_are_nan_and_intervals_hold_the_mean():
    assert np.isnan(rank_metrics(np.arange(5.0), np.zeros(5, bool))).all()
    mean, low, high = interval_of_mean(np.r_[np.random.default_rng(0).normal(1, 1, 50), np.nan], n_boot=500, seed=0)
    assert low < mean < high
    assert high - low == pytest.approx(4 / np.sqrt(50), rel=0.25)


def test_truth_scores_one_and_noise_chance(mdata):
    truth = mdata.uns["simulation"]["edges"]
    perfect = evaluate_network(truth.assign(score=1.0), truth, mdata=mdata, baselines=[], min_targets=2)
    assert perfect.table.loc["edges", "auroc_pooled"] == 1
    assert perfect.table.loc["edges", "auprc_macro"] == 1
    assert perfect.signs == (1.0, len(truth))
    assert perfect.n_candidates == perfect.n_sources * 40 - perfect.n_sources
    rng = np.random.default_rng(0)
    tfs, genes = [f"Tf{i + 1}" for i in range(8)], list(mdata["rna"].var_names)
    noise = pd.DataFrame([(t, g, rng.random()) for t in tfs for g in genes], columns=["source", "target", "score"])
    chance = evaluate_network(noise, truth, mdata=mdata, min_targets=2)
    assert abs(chance.table.loc["edges", "auroc_pooled"] - 0.5) < 0.12
    assert list(chance.table.index) == ["edges", "correlation", "trees", "motif", "distance", "potential"]
    gap = chance.per_tf.pivot_table(index="source", columns="network", values="auroc")
    assert chance.differences.loc["motif", "auroc"] == pytest.approx((gap["edges"] - gap["motif"]).mean())
    assert "candidate edges" in repr(chance)


def test_candidates_case_and_messages(mdata):
    truth = mdata.uns["simulation"]["edges"]
    upper = truth.assign(source=truth["source"].str.upper(), target=truth["target"].str.upper())
    edges = truth.assign(score=np.arange(len(truth), dtype=float))
    a = evaluate_network(edges, truth, mdata=mdata, baselines=[])
    b = evaluate_network(edges, upper, mdata=mdata, baselines=[])
    pd.testing.assert_frame_equal(a.table, b.table)
    few = evaluate_network(edges, truth, mdata=mdata, baselines=[], candidates=truth.iloc[:20])
    assert (few.n_candidates, few.n_true) == (20, 20)
    with pytest.raises(InputError, match="gene names"):
        evaluate_network(edges, pd.DataFrame({"source": ["X"], "target": ["Y"]}), mdata=mdata)
    with pytest.raises(InputError, match="source"):
        evaluate_network(edges, truth.drop(columns="source"), mdata=mdata)


def test_correlation_and_distance_baselines_equal_plain_ones(mdata):
    x = sparse.random(60, 9, density=0.5, random_state=0, format="csr")
    got = correlation(x, np.array([0, 1]), np.arange(9))
    np.testing.assert_allclose(got, np.abs(np.corrcoef(x.toarray().T))[:2], atol=1e-6)
    tfs, genes = np.arange(8), np.arange(40)
    near = baseline_network(mdata, "distance", tfs, genes)
    potential = baseline_network(mdata, "potential", tfs, genes)
    bound, reach = mdata["rna"].varm["homer_binding"], mdata["rna"].varm["tss_distance"]
    opened = np.asarray(mdata["atac"].obsm["windows"].mean(0)).ravel()
    level = np.asarray(mdata["rna"].X.mean(0)).ravel()
    for t, g in [(0, 12), (3, 30), (7, 5)]:
        both = np.intersect1d(bound[t].indices, reach[g].indices)
        both = both[opened[both] > 0]
        d = np.array([np.exp(-(reach[g, w] - 1) / 25_000) for w in both])
        b = np.array([bound[t, w] for w in both])
        assert near[t, g] == pytest.approx(d.max(initial=0))
        assert potential[t, g] == pytest.approx((level[t] * b * d * opened[both]).sum(), rel=1e-5)


def test_trees_find_the_tf_that_drives_a_gene():
    from tilegrn.tl.evaluate._network_rivals import tree_importance

    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(300, 6))
    x[:, 5] = x[:, 1] + 0.3 * rng.gamma(2.0, size=300)
    found = tree_importance(sparse.csr_matrix(x), np.arange(5), np.array([5, 1]), seed=0)
    assert found[:, 0].argmax() == 1
    assert found[1, 1] == 0


def test_tested_pairs_are_ranked_by_the_windows_they_touch(mdata):
    truth = mdata.uns["simulation"]["truth"]
    spans = truth["cre"].str.extract(r"^(.+):(\d+)-(\d+)$")
    true = pd.DataFrame(
        {"chrom": spans[0], "start": spans[1].astype(int), "end": spans[2].astype(int), "gene": truth["target"]}
    ).drop_duplicates()
    false = true.assign(gene=np.roll(true["gene"].to_numpy(), 7))
    false = false[
        ~pd.Series(list(zip(false["start"], false["gene"], strict=True)), index=false.index).isin(
            set(zip(true["start"], true["gene"], strict=True))
        )
    ]
    tested = pd.concat([true.assign(regulated=1), false.assign(regulated=0)], ignore_index=True)
    links = truth[truth["window"] != ""].assign(cre=lambda t: t["window"], score=1.0)
    found = evaluate_network(links, tested, mdata=mdata)
    assert found.n_true == len(true)
    assert found.table.loc["edges", "auroc"] > 0.9
    assert found.table.loc["distance", "auroc"] > 0.9
    assert list(found.table.index) == ["edges", "distance", "distance x accessibility"]
    one = found.pairs.iloc[0]
    assert one["distance x accessibility"] <= one["distance"] * 50
    with pytest.raises(InputError, match="regulated"):
        evaluate_links(links, tested.drop(columns="regulated"), mdata=mdata)


def test_formats_of_known_networks(tmp_path, real_data):
    trrust = tmp_path / "t.tsv"
    trrust.write_text(
        "Sp1\tCdk1\tActivation\t1\nSp1\tCdk1\tRepression\t2\nMyc\tTert\tUnknown\t3\nMyc\tA\tRepression\t4\n"
    )
    got = read_network(trrust)
    assert got.to_numpy().tolist() == [["Myc", "A", -1], ["Myc", "Tert", 0], ["Sp1", "Cdk1", 0]]
    beeline = tmp_path / "b.csv"
    beeline.write_text("Gene1,Gene2\nSOX2,NES\n")
    assert read_network(beeline).to_numpy().tolist() == [["SOX2", "NES", 0]]
    bad = tmp_path / "x.csv"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"x\.csv"):
        read_network(bad)
    assert len(read_network(real_data("networks/collectri_human.csv.gz"))) > 40_000
    mouse = read_network(real_data("networks/trrust_mouse.tsv.gz"))
    assert (mouse["sign"] == 1).sum() > (mouse["sign"] == -1).sum() > 1000


def test_crispri_tables(tmp_path):
    file = tmp_path / "c.tsv"
    file.write_text(
        "chrom\tchromStart\tchromEnd\tmeasuredGeneSymbol\tRegulated\nchr1\t10\t20\tG\tTRUE\nchr1\t5\t9\tG\tFALSE\n"
    )
    got = read_crispri(file)
    assert got["regulated"].tolist() == [True, False]
    assert got["start"].dtype == np.int64
    file.write_text("chrom\tstart\tend\tgene\tregulated\nchr1\t30\t20\tG\t1\n")
    with pytest.raises(InputError, match="row 1"):
        read_crispri(file)


def test_writers_bring_back_the_same_network(tmp_path):
    edges = pd.DataFrame(
        {
            "source": ["A&B", "T"],
            "target": ["G<1>", "A&B"],
            "score": [0.5, 0.25],
            "sign": [1, -1],
            "stability": [1.0, np.nan],
        }
    )
    write_network(tmp_path / "n.csv.gz", edges)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "n.csv.gz"), edges)
    write_network(tmp_path / "d.csv", pd.concat([edges, edges.assign(score=0.1)]), format="decoupler")
    assert pd.read_csv(tmp_path / "d.csv")["weight"].tolist() == [0.5, -0.25]
    write_network(tmp_path / "n.graphml", edges)
    graph = nx.read_graphml(tmp_path / "n.graphml")
    pd.testing.assert_frame_equal(nx.to_pandas_edgelist(graph)[list(edges)], edges)
    assert dict(graph.nodes(data="is_tf")) == {"A&B": True, "G<1>": False, "T": True}
    with pytest.raises(InputError, match="more than once"):
        write_network(tmp_path / "n.graphml", pd.concat([edges, edges]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.csv", "n.csv.gz", "n.graphml"]


def test_activity_is_the_slope_of_a_regression(mdata):
    pytest.importorskip("decoupler")
    truth = mdata.uns["simulation"]["edges"].assign(score=lambda t: t["strength"])
    out = regulons(mdata, truth, min_targets=1, copy=True)
    activity = out["rna"].obsm["tf_activity"]
    names = list(out.uns["tilegrn"]["regulons"]["tfs"])
    counts = mdata["rna"].X.toarray()
    net = out.uns["tilegrn"]["regulons"]["net"].pivot(index="target", columns="source", values="weight")
    weights = net.reindex(mdata["rna"].var_names).fillna(0.0)
    assert list(weights) == names
    for i in (0, 60, 119):
        x = np.log1p(counts[i] / (counts[i].sum() / np.median(counts.sum(1))))
        fits = [stats.linregress(weights[t], x) for t in names]
        np.testing.assert_allclose(activity[i], [f.slope / f.stderr for f in fits], rtol=1e-4)
    level = np.log1p(counts)
    r = [
        np.corrcoef(activity[:, k], level[:, list(mdata["rna"].var_names).index(t)])[0, 1] for k, t in enumerate(names)
    ]
    assert np.mean(r) > 0.05
    with pytest.raises(InputError, match="min_targets"):
        regulons(mdata, truth, min_targets=1000)
    empty = copied(mdata)
    empty["rna"].X.data[: empty["rna"].X.indptr[1]] = 0
    regulons(empty, truth, min_targets=1)
    assert (empty["rna"].obsm["tf_activity"][0] == 0).all()


def test_regulons_name_the_extra(mdata, monkeypatch):
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(ToolError, match=r'pip install "tilegrn\[decoupler\]"'):
        regulons(mdata, mdata.uns["simulation"]["edges"])


def test_names_that_differ_in_case_are_two_genes():
    edges = pd.DataFrame(
        [("Dl", "Aa", 3.0), ("dl", "Bb", 2.0), ("Cc", "aA", 1.0), ("Cc", "Bb", 0.5)],
        columns=["source", "target", "score"],
    )
    # aA is no target of the truth, so it must not pass for Aa, and 'dl' of the edges not for 'Dl'.
    truth = pd.DataFrame({"source": ["Dl", "Dl", "CC"], "target": ["BB", "Aa", "Aa"]})
    found = evaluate_network(edges, truth, targets="truth", min_targets=1, baselines=[])
    table = found.per_tf.set_index("source")
    assert list(table.index) == ["Cc", "Dl"]
    assert table.loc["Cc", "auroc"] == 0.0  # Cc -> Bb is listed, Cc -> Aa is not
    with pytest.warns(UserWarning, match=r"'DL' of the truth for 'Dl', 'dl' of the data"):
        few = evaluate_network(edges, truth.replace({"source": {"CC": "DL"}}), min_targets=1, baselines=[])
    assert few.n_sources == 1


def test_tested_pairs_keep_genes_apart_that_differ_in_case():
    edges = pd.DataFrame({"cre": "chr1:0-1000", "target": ["Dl", "dl", "Xx"], "score": [3.0, 1.0, 2.0]})
    pairs = pd.DataFrame({"chrom": "chr1", "start": 10, "end": 20, "gene": ["dl", "Dl", "XX"], "regulated": [0, 1, 1]})
    found = evaluate_links(edges, pairs, mdata=None)
    assert found.pairs["edges"].tolist() == [1.0, 3.0, 2.0]
    with pytest.warns(UserWarning, match="'DL' of the tested pairs"):
        found = evaluate_links(edges, pairs.replace({"gene": {"Dl": "DL"}}), mdata=None)
    assert found.pairs["edges"].tolist() == [1.0, 0.0, 2.0]


def test_tested_pairs_find_chromosomes_called_otherwise(mdata):
    record = mdata.uns["tilegrn"]["tss"]
    sites = list(zip(map(str, record["chrom"]), map(int, record["pos"]), map(str, record["gene"]), strict=True))[:9]
    pairs = pd.DataFrame([(c, p - 200, p + 200, g, i % 2) for i, (c, p, g) in enumerate(sites)], columns=COLUMNS)
    edges = pd.DataFrame({"cre": [f"{c}:{p - p % 1000}-{p - p % 1000 + 1000}" for c, p, _ in sites]})
    edges = edges.assign(target=[g for *_, g in sites], score=np.arange(1.0, len(sites) + 1))
    bare = pairs.assign(chrom=pairs["chrom"].str.removeprefix("chr"))
    for data in (mdata, None):
        want = evaluate_links(edges, pairs, mdata=data)
        assert (want.pairs["edges"] > 0).all()
        pd.testing.assert_frame_equal(evaluate_links(edges, bare, mdata=data).pairs, want.pairs)
        other = edges.assign(cre=edges["cre"].str.removeprefix("chr"))
        pd.testing.assert_frame_equal(evaluate_links(other, pairs, mdata=data).table, want.table)
        with pytest.raises(InputError, match=r"No tested pair is on a chromosome of the (data|edges): .*'2L'"):
            evaluate_links(edges, pairs.assign(chrom="2L"), mdata=data)
    some = pairs.assign(chrom=["chrX", *pairs["chrom"][1:]])
    with pytest.warns(UserWarning, match=r"1 of 9 tested pairs are on chromosomes that the data do not have.*'chrX'"):
        assert len(evaluate_links(edges, some, mdata=mdata).pairs) == 8
    with pytest.raises(InputError, match="No window of the edges is on a chromosome of the data"):
        evaluate_links(edges.assign(cre="2L:1000-2000"), pairs, mdata=mdata)
