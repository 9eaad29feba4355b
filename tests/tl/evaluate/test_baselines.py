"""Baselines: right solutions, no leak of held-out cells, no gene that sees itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from tests.tl.evaluate._judged import N_GENES, N_TFS, judged, rows

from tilegrn._stats import metrics as M
from tilegrn.errors import InputError
from tilegrn.tl.evaluate import _baseline_data as D
from tilegrn.tl.evaluate import _baselines as B

pytest.importorskip("torch")

from tilegrn.tl.evaluate._baseline_nets import NetConfig, fit_deepset, fit_mlp

QUICK = NetConfig(hidden=16, rank=4, epochs=3, window_width=4)
ALL = np.arange(N_GENES)
FITS = {
    "mean": B.fit_mean,
    "depth": B.fit_depth,
    "ridge": B.fit_ridge,
    "low_rank": B.fit_low_rank,
    "lightgbm": lambda inputs, **k: B.fit_lightgbm(inputs, n_trees=10, n_axes=3, **k),
    "mlp": lambda inputs, **k: fit_mlp(inputs, config=QUICK, **k),
    "deepset": lambda inputs, **k: fit_deepset(inputs, config=QUICK, **k),
}


def inputs_of(mdata, change=None):
    rna, atac = mdata["rna"].X.copy(), mdata["atac"].X.copy()
    if change is not None:
        rna, atac = change(rna, atac)
    splits = tuple(rows(mdata, part) for part in ("train", "val", "test"))
    return D.make_inputs(rna, atac, mdata["rna"].var["is_tf"].to_numpy(), splits)


@pytest.fixture(scope="module")
def mdata():
    return judged()


@pytest.fixture(scope="module")
def inputs(mdata):
    return inputs_of(mdata)


def predict(name, inputs):
    if name == "lightgbm":
        pytest.importorskip("lightgbm")
    fitted = FITS[name](inputs, seed=0)
    return fitted.predict(ALL, inputs.size_factor[inputs.test])


@pytest.mark.parametrize("name", FITS)
def test_held_out_cells_do_not_enter_the_fit(name, mdata, inputs):
    """Other counts in all test cells but one leave that one's prediction as it was, to the bit."""
    first = rows(mdata, "test")[0]
    others = rows(mdata, "test")[1:]

    def scramble(rna, atac):
        rng = np.random.default_rng(9)
        out = []
        for x in (rna.tolil(), atac.tolil()):
            x[others] = rng.poisson(3.0, size=(len(others), x.shape[1]))
            out.append(sparse.csr_matrix(x, dtype=np.float32))
        return out

    changed = inputs_of(mdata, scramble)
    assert (changed.counts[first] != inputs.counts[first]).nnz == 0
    before, after = predict(name, inputs), predict(name, changed)
    np.testing.assert_allclose(after[0][0], before[0][0], rtol=1e-5, atol=1e-6)
    if name != "mean":
        assert not np.allclose(after[0][1:], before[0][1:], rtol=1e-3)


@pytest.mark.parametrize("name", FITS)
def test_a_gene_does_not_see_itself(name, mdata, inputs):
    """Test counts of a TF moved to another gene of the cell (same depth) leave the TF's own prediction as it was."""
    tf, plain = 3, N_GENES - 1
    test = rows(mdata, "test")

    def move(rna, atac):
        x = rna.tolil()
        total = x[test, plain].toarray() + x[test, tf].toarray()
        x[test, plain] = total
        x[test, tf] = 0
        return sparse.csr_matrix(x, dtype=np.float32), atac

    changed = inputs_of(mdata, move)
    np.testing.assert_allclose(changed.size_factor, inputs.size_factor)
    before, after = predict(name, inputs)[0], predict(name, changed)[0]
    np.testing.assert_allclose(after[:, tf], before[:, tf], rtol=1e-4, atol=1e-5)
    if name in ("ridge", "low_rank", "mlp", "deepset"):
        assert np.abs(after[:, N_TFS:] - before[:, N_TFS:]).max() > 1e-4, "the other genes do see that TF"


def test_ridge_equals_the_normal_equations_with_each_tf_left_out(inputs):
    fitted = B.fit_ridge(inputs)
    alpha, stretch = fitted.chosen["alpha"], fitted.chosen["stretch"]
    x = np.hstack([inputs.tf, inputs.context]).astype(float)
    y = inputs.logged[inputs.train].toarray()
    got = fitted.predict(ALL, inputs.size_factor[inputs.test])[0]
    for gene in (0, 5, N_TFS - 1, N_TFS, 40):
        use = np.delete(np.arange(x.shape[1]), gene) if gene < N_TFS else np.arange(x.shape[1])
        a = x[inputs.train][:, use]
        centre = a.mean(0)
        a = a - centre
        beta = np.linalg.solve(a.T @ a + alpha * np.eye(len(use)), a.T @ (y[:, gene] - y[:, gene].mean()))
        want = y[:, gene].mean() + stretch * (x[inputs.test][:, use] - centre) @ beta
        np.testing.assert_allclose(got[:, gene], want, rtol=1e-4, atol=1e-5)


def test_depth_equals_a_poisson_regression(inputs):
    from scipy.optimize import minimize

    fitted = B.fit_depth(inputs)
    part, penalty = fitted.parts[0], fitted.chosen["penalty"]
    x, k = inputs.context[inputs.train, -2:].astype(float), inputs.counts[inputs.train].toarray()
    sf = inputs.size_factor[inputs.train]
    for gene in (0, 20, 41):

        def loss(b, gene=gene):
            eta = b[0] + x @ b[1:] + np.log(inputs.mean_rate[gene])
            prior = 0.5 * (1e-3 * b[0] ** 2 + penalty * (b[1:] ** 2).sum())
            return (sf * np.exp(eta) - k[:, gene] * eta).sum() + prior

        want = minimize(loss, np.zeros(3)).x
        got = [part.intercept[gene] - np.log(inputs.mean_rate[gene]), *part.coef[:, gene]]
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_full_rank_is_ridge_and_low_rank_is_its_projection(inputs):
    x = np.hstack([inputs.tf, inputs.context])
    solved = B._solve(x[inputs.train], inputs.logged[inputs.train])
    coef = solved.coef(50.0)
    fitted_values = (x[inputs.train] - solved.x_mean) @ coef
    axes = solved.gene_axes(50.0)
    n = int((np.linalg.norm(axes, axis=1) > 0).sum())
    assert 40 < n <= N_GENES
    np.testing.assert_allclose(axes[:n] @ axes[:n].T, np.eye(n), atol=1e-4)
    _, _, vt = np.linalg.svd(fitted_values, full_matrices=False)
    np.testing.assert_allclose(np.abs((vt[:3] * axes[:3]).sum(1)), 1, atol=1e-5)


def test_more_features_than_cells(mdata):
    few = tuple(r[:n] for r, n in zip((rows(mdata, p) for p in ("train", "val", "test")), (20, 10, 10), strict=True))
    inputs = D.make_inputs(mdata["rna"].X, mdata["atac"].X, mdata["rna"].var["is_tf"].to_numpy(), few)
    assert np.hstack([inputs.tf, inputs.context]).shape[1] > 20
    for fit in (B.fit_ridge, B.fit_low_rank):
        expected, mean = fit(inputs).predict(ALL, inputs.size_factor[inputs.test])
        assert np.isfinite(expected).all()
        assert (mean >= 0).all()


def test_without_validation_cells_a_part_of_the_training_cells_chooses(inputs):
    from dataclasses import replace

    alone = replace(inputs, val=np.array([], dtype=np.int64))
    fit_on, choose_on = alone.tuning_cells(0)
    assert not set(fit_on) & set(choose_on)
    assert sorted([*fit_on, *choose_on]) == sorted(inputs.train)
    assert np.isfinite(B.fit_ridge(alone).predict(ALL, inputs.size_factor[inputs.test])[0]).all()


def test_lsi_is_fitted_on_training_cells_and_applied_to_all(mdata):
    x = (mdata["atac"].X > 0).astype(np.float32)
    train = rows(mdata, "train")
    scores, loadings = D.lsi(sparse.csr_matrix(x), train, n_components=5)
    dense = x.toarray()
    idf = np.log1p(len(train) / np.maximum(dense[train].sum(0), 1)) * (dense[train].sum(0) > 0)
    weighted = dense * np.log1p(1e4 / np.maximum(dense.sum(1, keepdims=True), 1)) * idf
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    _, _, vt = np.linalg.svd(weighted[train], full_matrices=False)
    np.testing.assert_allclose(np.abs((vt[:2] * loadings.T[:2]).sum(1)), 1, atol=5e-3)
    np.testing.assert_allclose(scores, weighted @ loadings, atol=1e-5)


def test_networks_are_the_same_for_the_same_seed_and_leave_the_global_one_alone(inputs):
    import torch

    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (fit_deepset(inputs, seed=s, config=QUICK) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    sf = inputs.size_factor[inputs.test]
    np.testing.assert_array_equal(a.predict(ALL, sf)[0], b.predict(ALL, sf)[0])
    assert not np.array_equal(a.predict(ALL, sf)[0], c.predict(ALL, sf)[0])


def test_several_seeds_are_averaged(inputs):
    sf = inputs.size_factor[inputs.test]
    both = fit_mlp(inputs, seed=1, n_models=2, config=QUICK).predict(ALL, sf)[1]
    one, two = (fit_mlp(inputs, seed=s, config=QUICK).predict(ALL, sf)[1] for s in (1, 2))
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-6)


@pytest.mark.parametrize(("times", "weight"), [(1, 0.9), (100, 0.0)])
def test_targets_are_softened_as_the_models_are(mdata, times, weight):
    """In deep cells the model is trained on counts alone, and so is the network beside it."""
    inputs = inputs_of(mdata, lambda rna, atac: (rna * times, atac))
    soft, plain = (fit_mlp(inputs, teacher=t, config=QUICK) for t in (True, False))
    assert soft.chosen["teacher_weight"] == pytest.approx(weight)
    assert "teacher_weight" not in plain.chosen
    sf = inputs.size_factor[inputs.test]
    same = np.array_equal(soft.predict(ALL, sf)[0], plain.predict(ALL, sf)[0])
    assert same == (weight == 0)


def test_perceptron_recovers_the_programs():
    mdata = judged(seed=4)
    inputs = inputs_of(mdata)
    sf = inputs.size_factor[inputs.test]
    expected, mean = fit_mlp(inputs, seed=0).predict(ALL[N_TFS:], sf)
    np.testing.assert_allclose(M.expected_log1p(mean / sf[:, None], sf), expected, rtol=1e-5)
    observed = inputs.logged[inputs.test][:, N_TFS:].toarray()
    truth = mdata["rna"].layers["predicted"][inputs.test][:, N_TFS:]
    assert M.pearson(observed, expected).mean() > 0.75 * M.pearson(observed, truth).mean()


def test_too_few_training_cells(mdata):
    splits = (np.array([0]), np.array([1]), np.array([2]))
    with pytest.raises(InputError, match="at least 2 training cells"):
        D.make_inputs(mdata["rna"].X, mdata["atac"].X, mdata["rna"].var["is_tf"].to_numpy(), splits)
