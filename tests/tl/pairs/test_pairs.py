"""Pair scores: features against slow counts, what must not matter, what is missing, and real CRISPRi pairs."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit
from tests.tl.pairs._paired import asked, built, paired, slow_features, tss_table

from tilegrn import io, pp, tl
from tilegrn._stats.ranking import rank_metrics
from tilegrn.errors import InputError, MissingStepError
from tilegrn.tl.pairs._evidence import cell_axes, fit_profiles, shrunken
from tilegrn.tl.pairs._fit_pairs import auprc_table

SITES = tss_table()


@pytest.fixture(scope="module")
def mdata():
    return paired()


@pytest.fixture(scope="module")
def scored(mdata):
    return tl.score_pairs(mdata, asked(), groupby="type", group="b", tss=SITES, return_features=True)


def test_features_equal_slow_counts(mdata, scored):
    pairs = asked()
    slow = slow_features(mdata, pairs, "b")
    assert scored.index.equals(pairs.index)
    for name in slow:
        np.testing.assert_allclose(scored[name], slow[name], atol=1e-9, err_msg=name)
    assert scored["expression"].isna().sum() == pairs["gene"].str.startswith("X").sum() > 0


def test_score_is_the_weighted_sum_that_the_table_says(mdata, scored):
    weights = tl.PairWeights.shipped()
    name = scored.attrs["features"]
    assert name == "base + other groups"
    rows = weights.table[weights.table["set"] == name].set_index("feature")
    odds = np.full(len(scored), rows.loc["intercept", "weight"])
    for feature in rows.index.drop("intercept"):
        x = scored[feature].fillna(rows.loc[feature, "mean"]).to_numpy()
        odds += (x - rows.loc[feature, "mean"]) / rows.loc[feature, "sd"] * rows.loc[feature, "weight"]
    evidence = scored["correlation"] * weights.evidence * scored.attrs["effective_axes"]
    np.testing.assert_allclose(scored["evidence"], evidence)
    np.testing.assert_allclose(scored["score"], expit(odds + evidence))
    assert scored["score"].between(0, 1, inclusive="neither").all()
    assert scored["score"].is_unique
    plain = tl.score_pairs(mdata, asked(), groupby="type", group="b", tss=SITES)
    assert isinstance(plain, pd.Series)
    np.testing.assert_array_equal(plain, scored["score"])


def test_each_row_is_scored_by_itself_in_its_place(mdata, scored):
    pairs = asked()
    some = pairs.iloc[[7, 3, 3, 41]].assign(more="x")
    got = tl.score_pairs(mdata, some, groupby="type", group="b", tss=SITES)
    np.testing.assert_allclose(got, scored["score"].iloc[[7, 3, 3, 41]], rtol=1e-12)
    assert got.index.equals(some.index)


@pytest.mark.parametrize("change", ["depth", "cells twice", "order of cells", "order of features", "modalities"])
def test_what_must_not_matter(scored, change):
    mdata = paired()
    rna, atac = mdata["rna"].copy(), mdata["atac"].copy()
    rng = np.random.default_rng(3)
    tolerance = 1e-5  # of the singular vectors
    columns = [c for c in scored if c not in ("score", "correlation", "evidence")]
    if change == "depth":
        other = paired(factor=3)
    elif change == "cells twice":
        other = paired(repeat=2)
    elif change == "order of cells":
        rows = rng.permutation(rna.n_obs)
        other = built(rna[rows].copy(), atac[rows].copy())
    elif change == "order of features":
        other = built(rna[:, rng.permutation(rna.n_vars)].copy(), atac[:, rng.permutation(atac.n_vars)].copy())
    else:
        other = built(rna, atac, order=("atac", "rna"))
    got = tl.score_pairs(other, asked(), groupby="type", group="b", tss=SITES, return_features=True)
    np.testing.assert_allclose(got[columns], scored[columns], atol=1e-9)
    if change in ("depth", "cells twice"):  # more counts are other evidence, and nothing else changes
        without = [
            tl.score_pairs(m, asked(), groupby="type", group="b", tss=SITES, evidence=False) for m in (other, mdata)
        ]
        np.testing.assert_allclose(*without)
    else:
        np.testing.assert_allclose(got["score"], scored["score"], rtol=tolerance)


def test_more_groups_change_little_and_no_group_uses_other_weights(mdata, scored):
    split = mdata["rna"].obs["type"].astype(str).to_numpy().copy()
    split[(split == "c") & (np.arange(len(split)) % 2 == 0)] = "d"
    with_four = paired()
    for part in with_four.mod.values():
        part.obs["four"] = split
    got = tl.score_pairs(with_four, asked(), groupby="four", group="b", tss=SITES, return_features=True)
    assert (got["expression_elsewhere"] - scored["expression_elsewhere"]).abs().mean() < 0.2
    alone = tl.score_pairs(mdata, asked(), tss=SITES, return_features=True)
    assert alone.attrs["features"] == "base"
    assert not [c for c in alone if c.endswith("_elsewhere")]
    assert alone["score"].is_unique


def test_genes_without_tss_and_unknown_chromosomes_are_lowest_and_finite(mdata, scored):
    pairs = asked()
    odd = pd.concat(
        [
            pairs,
            pairs.iloc[:3].assign(gene="Nope"),
            pairs.iloc[:2].assign(chrom="chr9"),
            pairs[pairs["chrom"] == "chr1"].iloc[:1].assign(chrom="chr2"),
        ],
        ignore_index=True,
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got = tl.score_pairs(mdata, odd, groupby="type", group="b", tss=SITES)
    said = " ".join(str(w.message) for w in seen)
    assert "6 of 66 pairs have a gene without a TSS" in said
    assert "2 of 66 elements" in said
    assert "chr9" in said
    assert np.isfinite(got).all()
    assert got.iloc[60:].max() < got.iloc[:60].min()
    np.testing.assert_allclose(got.iloc[:60], scored["score"], rtol=1e-12)


def test_genes_in_between_are_those_of_the_data_without_a_table(mdata):
    known = asked()[lambda t: t["gene"].str.startswith("G")]
    own = tl.score_pairs(mdata, known, return_features=True)
    table = tl.score_pairs(mdata, known, tss=SITES, return_features=True)
    assert (own["genes_between"] <= table["genes_between"] + 1e-12).all()
    assert own["genes_between"].sum() < table["genes_between"].sum()
    np.testing.assert_array_equal(own["distance"], table["distance"])


def test_activity_from_a_column_and_a_bed_and_breadth(mdata, tmp_path):
    pairs = asked().assign(bulk=np.linspace(0, 40, 60), broad=np.arange(60) % 2 == 0)
    common = {"groupby": "type", "group": "b", "tss": SITES, "return_features": True}
    got = tl.score_pairs(mdata, pairs, activity="bulk", breadth="broad", **common)
    assert got.attrs["features"] == "base + other groups + activity + breadth"
    np.testing.assert_allclose(got["activity"], np.log(pairs["bulk"] / (pairs["end"] - pairs["start"]) * 1000 + 1))
    bed = tmp_path / "peaks.bed"
    rows = [
        (c, max(s - 10, 0), s + 5, "p", k) for k, (c, s) in enumerate(zip(pairs["chrom"], pairs["start"], strict=True))
    ]
    bed.write_text("track name=x\n" + "".join("\t".join(map(str, r)) + "\n" for r in rows))
    total = sum(r[4] for r in rows)
    slow = [
        sum(r[4] for r in rows if r[0] == c and r[1] < e and r[2] > s) / total * 1e6
        for c, s, e in zip(pairs["chrom"], pairs["start"], pairs["end"], strict=True)
    ]
    found = io.read_activity(bed, pairs)
    np.testing.assert_allclose(found, slow)
    by_bed = tl.score_pairs(mdata, pairs, activity=bed, **common)
    np.testing.assert_allclose(by_bed["activity"], np.log(found / (pairs["end"] - pairs["start"]) * 1000 + 1))
    for text, match in (("chr1\t5\t2\n", "line 1"), ("chr7\t5\t20\n", "chr7"), ("chr1\tx\t20\n", "line 1")):
        bed.write_text(text)
        with pytest.raises(InputError, match=match):
            tl.score_pairs(mdata, pairs, activity=bed, tss=SITES)
    with pytest.raises(InputError, match="end"):
        io.read_activity(bed, pairs.drop(columns="end"))


def test_activity_from_a_bigwig(tmp_path):
    pytest.importorskip("pyBigWig")
    import pyBigWig

    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 1000), ("chr2", 500)])
        file.addEntries(["chr1", "chr1", "chr2"], [10, 100, 0], ends=[20, 200, 50], values=[3.0, 1.0, 2.0])
    elements = pd.DataFrame(
        {"chrom": ["chr1", "chr1", "chr2", "chr9"], "start": [15, 900, 40, 1], "end": [110, 5000, 60, 9]}
    )
    got = io.read_activity(path, elements)
    np.testing.assert_allclose(got, np.array([5 * 3 + 10, 0, 20, 0]) / (30 + 100 + 100) * 1e6)


def test_profiles_are_least_squares_fits(mdata):
    """Against an explicit weighted regression of counts on an intercept and the axes."""
    peaks, genes = sparse.csr_matrix(mdata["atac"].X), sparse.csr_matrix(mdata["rna"].X)
    axes = cell_axes(peaks, 6)
    found = fit_profiles(peaks, genes, axes)

    def slow(counts):
        depth = counts.sum(1)
        design = np.column_stack([np.ones(len(axes)), axes]) * np.sqrt(depth)[:, None]
        rate = counts / depth[:, None]
        beta = np.linalg.lstsq(design, rate * np.sqrt(depth)[:, None], rcond=None)[0]
        fitted = np.column_stack([np.ones(len(axes)), axes]) @ beta
        return fitted

    p, g = slow(peaks.toarray()), slow(genes.toarray())
    depth = genes.toarray().sum(1)
    weight = depth / depth.sum()
    centred = [x - weight @ x for x in (p, g)]
    cov = (centred[0] * weight[:, None]).T @ centred[1]
    slow_r = cov / np.sqrt(
        np.outer((centred[0] ** 2 * weight[:, None]).sum(0), (centred[1] ** 2 * weight[:, None]).sum(0)) + 1e-300
    )
    # All axes kept here, so that the cosine is the correlation of the fits.
    if found.peak_sum.shape[1] == axes.shape[1]:
        a, b = found.peak_sum, found.gene_sum
        cosine = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        np.testing.assert_allclose(cosine, slow_r, atol=1e-6)
    assert 1 <= found.n_effective <= 6
    short = shrunken(found.peak_sum, found.peak_counts)
    assert (np.linalg.norm(short, axis=1) <= 1 + 1e-6).all()


def test_noise_gives_no_evidence():
    rng = np.random.default_rng(0)
    peaks = sparse.csr_matrix(rng.poisson(0.3, (300, 400)).astype(np.float32))
    genes = sparse.csr_matrix(rng.poisson(0.5, (300, 900)).astype(np.float32))
    assert fit_profiles(peaks, genes, cell_axes(peaks, 10)).n_effective == 0


def test_errors_say_what_to_do(mdata):
    pairs = asked()
    cases = [
        (pairs.drop(columns="gene"), {}, "gene"),
        (pairs.assign(end=pairs["start"]), {}, "half-open"),
        (pairs.assign(start=-1), {}, "start of row 0"),
        (pairs.assign(start=np.nan), {}, "start of row 0"),
        (pairs.iloc[:0], {}, "no rows"),
        (pairs.assign(chrom="chr77"), {}, "assembly"),
        (pairs, {"groupby": "type"}, "group="),
        (pairs, {"group": "b"}, "groupby="),
        (pairs, {"groupby": "type", "group": "z"}, "z"),
        (pairs, {"breadth": "nope"}, "nope"),
        (pairs.assign(b=np.nan), {"activity": "b"}, "not a number"),
        (pairs.assign(b=-1.0), {"activity": "b"}, "negative"),
        (pairs, {"activity": "no_such.bed"}, "no_such"),
    ]
    for table, arguments, match in cases:
        with pytest.raises(InputError, match=match):
            tl.score_pairs(mdata, table, tss=SITES, **arguments)
    with pytest.raises(InputError, match="DataFrame"):
        tl.score_pairs(mdata, [1], tss=SITES)
    bare = paired()
    del bare.uns["tilegrn"]
    with pytest.raises(MissingStepError, match="bin_peaks"):
        tl.score_pairs(bare, pairs)


def test_fitted_weights_are_those_of_scikit_learn_and_come_back_from_disk(mdata, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    pairs = asked(400)
    rng = np.random.default_rng(0)
    slow = slow_features(mdata, pairs, "b")
    known = pairs["gene"].str.startswith("G").to_numpy()
    odds = -2.5 * (slow["distance"] - slow["distance"].mean())
    pairs["regulated"] = (rng.random(len(pairs)) < expit(odds - 1)).astype(int)
    fit = tl.fit_pairs(mdata, pairs, groupby="type", group="b", tss=SITES, n_boot=50, origin={"what": "a test"})
    rows = fit.table[fit.table["set"] == "base + other groups"].set_index("feature")
    x = slow.loc[known, rows.index.drop("intercept")]
    sk = LogisticRegression(C=0.1, max_iter=1000).fit(StandardScaler().fit_transform(x), pairs["regulated"][known])
    np.testing.assert_allclose(rows["weight"].drop("intercept"), sk.coef_[0], atol=1e-4)
    table = fit.validation.set_index("score")
    chrom, truth = pairs["chrom"].to_numpy()[known], pairs["regulated"].to_numpy()[known].astype(bool)
    held = np.zeros(known.sum())
    for c in np.unique(chrom):
        scale = StandardScaler().fit(x[chrom != c])
        one = LogisticRegression(C=0.1, max_iter=1000).fit(scale.transform(x[chrom != c]), truth[chrom != c])
        held[chrom == c] = one.decision_function(scale.transform(x[chrom == c]))
    assert table.loc["base + other groups", "auprc"] == pytest.approx(rank_metrics(held, truth)[1], abs=1e-3)
    assert table.loc["distance", "gain"] == 0
    assert (table["auprc_low"] <= table["auprc"]).all()
    path = tmp_path / "w.json"
    fit.save(path)
    back = tl.PairWeights.load(path)
    pd.testing.assert_frame_equal(back.table, fit.table)
    assert back.origin == fit.origin
    assert "a test" in repr(back)
    new = tl.score_pairs(mdata, pairs, groupby="type", group="b", tss=SITES, weights=back, evidence=False)
    assert rank_metrics(new.to_numpy(), pairs["regulated"].to_numpy() == 1)[0] > 0.7
    with pytest.raises(InputError, match="fit_pairs"):
        tl.score_pairs(mdata, pairs.assign(b=1.0), activity="b", weights=back, tss=SITES)
    with pytest.raises(InputError, match="0 or 1"):
        tl.fit_pairs(mdata, pairs.assign(regulated=2), tss=SITES)
    with pytest.raises(InputError, match="chromosomes"):
        tl.fit_pairs(mdata, pairs.assign(regulated=0), tss=SITES)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"w\.json"):
        tl.PairWeights.load(path)


def test_gain_is_a_paired_difference():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.2
    score = truth + rng.normal(0, 1, 300)
    table = auprc_table({"a": score, "b": score.copy()}, truth, against="a", n_boot=40, seed=0).set_index("score")
    assert table.loc["b", ["gain", "gain_low", "gain_high"]].eq(0).all()
    assert table.loc["a", "auprc_low"] < table.loc["a", "auprc_high"]


def test_shipped_weights_have_signs_that_make_sense():
    weights = tl.PairWeights.shipped()
    assert set(weights.origin) >= {"what", "tested pairs", "cells measured", "method", "pairs", "fitted"}
    assert len(weights.sets) == 8
    wide = weights.table.pivot_table(index="feature", columns="set", values="weight")
    for feature, sign in {
        "distance": -1,
        "genes_between": -1,
        "nearer_genes": -1,
        "accessibility_between": -1,
        "gene_density": -1,
        "accessibility": 1,
        "activity": 1,
        "accessibility_elsewhere": -1,
        "expression_elsewhere": -1,
        "breadth": -1,
    }.items():
        assert (np.sign(wide.loc[feature].dropna()) == sign).all(), feature


@pytest.mark.slow
def test_crispri_pairs_of_k562(real_data):
    """Cross-validated by chromosome, and the shipped weights are those of these pairs."""
    pairs = pd.read_csv(real_data("networks/crispri_K562_hg38_odd_chromosomes.tsv.gz"), sep="\t")
    mdata = io.read_h5mu(real_data("multiome/cell_lines_hg38.h5mu"))
    pp.bin_peaks(mdata, "hg38")
    with pytest.warns(UserWarning, match="no TSS|no window"):
        pp.tss_distance(mdata, "hg38")
    with pytest.warns(UserWarning, match="without a TSS"):
        fit = tl.fit_pairs(
            mdata,
            pairs,
            groupby="cell_type",
            group="K562",
            activity="bulk_dhs_rpm",
            breadth="ubiquitous",
            n_boot=100,
        )
    table = fit.validation.set_index("score")
    assert table.loc["base + other groups + evidence", "auprc"] > 0.58
    assert table.loc["base + other groups + activity + breadth + evidence", "auprc"] > 0.67
    assert (table["gain_low"].drop("distance") > 0).all()
    shipped = tl.PairWeights.shipped()
    np.testing.assert_allclose(fit.table["weight"], shipped.table["weight"], atol=2e-3)
    with pytest.warns(UserWarning, match="without a TSS"):
        score = tl.score_pairs(mdata, pairs, groupby="cell_type", group="K562")
    assert np.isfinite(score).all()
    assert score.index.equals(pairs.index)


def test_a_model_has_no_part_in_the_score_and_that_is_said(mdata, scored):
    with pytest.warns(UserWarning, match="model is not read"):
        got = tl.score_pairs(mdata, asked(), object(), groupby="type", group="b", tss=SITES)
    np.testing.assert_array_equal(got, scored["score"])
