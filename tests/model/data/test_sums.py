"""Sums over open windows and their lists against loops, compiled and not, with their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from tilegrn.model.data import sums  # noqa: E402
from tilegrn.model.data.sums import Lists, OpenWindows, open_sums, pair_sums, row_sums  # noqa: E402


def some(seed=0, cells=6, windows=20, columns=9, dtype=np.float64):
    rng = np.random.default_rng(seed)
    opened = sparse.random(cells, windows, density=0.3, format="csr", random_state=seed, dtype=dtype)
    opened.data[:] = rng.uniform(0.1, 1, opened.nnz)
    lists = sparse.random(windows, columns, density=0.4, format="csr", random_state=seed + 1, dtype=dtype)
    lists.sort_indices()
    t = torch.from_numpy
    return (
        opened,
        lists,
        OpenWindows(t(opened.indptr.astype(np.int64)), t(opened.indices.astype(np.int64))),
        Lists(t(lists.indptr.astype(np.int64)), t(lists.indices.astype(np.int64))),
        t(opened.data),
        t(lists.data),
    )


@pytest.fixture(params=["compiled", "slices", "threads"])
def way(request, monkeypatch):
    """The compiled loops in one thread and in three, and the slices that other devices use."""
    if request.param == "slices":
        monkeypatch.setattr(sums, "_SLICE", 7)
        monkeypatch.setattr(sums, "_is_cpu", lambda _: False)
    monkeypatch.setattr(sums, "_threads", lambda n: min(n, 3) if request.param == "threads" else 1)


@pytest.mark.usefixtures("way")
def test_pair_sums_are_a_product_of_matrices():
    opened, lists, o, l, value, weight = some()
    np.testing.assert_allclose(pair_sums(o, value, l, weight, 9).numpy(), (opened @ lists).toarray())


@pytest.mark.usefixtures("way")
def test_open_sums_are_entries_of_a_product():
    opened, lists, o, l, _, weight = some()
    dense = np.random.default_rng(1).normal(size=(6, 9))
    every = dense @ lists.toarray().T
    expected = every[np.repeat(np.arange(6), np.diff(opened.indptr)), opened.indices]
    np.testing.assert_allclose(open_sums(o, torch.from_numpy(dense), l, weight).numpy(), expected)


@pytest.mark.usefixtures("way")
def test_gradients_equal_differences():
    _, _, o, l, value, weight = some(seed=3)
    dense = torch.randn(6, 9, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: pair_sums(o, v, l, weight, 9), (value.requires_grad_(),))
    assert torch.autograd.gradcheck(lambda d: open_sums(o, d, l, weight), (dense.requires_grad_(),))


def test_empty_cells_and_windows():
    none = OpenWindows(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    lists = Lists(torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    out = pair_sums(none, torch.zeros(0), lists, torch.zeros(0), 5)
    assert out.shape == (3, 5)
    assert not out.any()


@pytest.mark.parametrize("threads", [1, 3])
def test_row_sums_have_the_gradient_of_a_product(threads, monkeypatch):
    monkeypatch.setattr(sums, "_threads", lambda n: min(n, threads))
    opened, _, o, _, there, _ = some(seed=4)
    opened.data[2] = 0.0
    there = torch.from_numpy(opened.data).float()
    table = torch.randn(20, 5, requires_grad=True)
    again = table.detach().clone().requires_grad_()
    weight = torch.randn(6, 5)
    got, want = row_sums(table, o.window, o.start[:-1], there), torch.from_numpy(opened.toarray()).float() @ again
    torch.testing.assert_close(got, want)
    (got * weight).sum().backward()
    (want * weight).sum().backward()
    torch.testing.assert_close(table.grad, again.grad)
    assert type(got.grad_fn).__name__ == "_RowSumsBackward"


def test_row_sums_pass_gradients_to_the_weights_of_windows():
    _, _, o, _, there, _ = some(seed=5)
    table = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    there = there.requires_grad_()
    assert torch.autograd.gradcheck(lambda t, w: row_sums(t, o.window, o.start[:-1], w), (table, there))
