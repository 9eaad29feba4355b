"""Blocks behind dask: begun ahead where a cluster computes, as many at a time as it has threads; the same numbers."""

import numpy as np
import pytest
from scipy import sparse

from tilegrn._core import dask_rows, rows
from tilegrn._core.rows import Checked, Picked, as_rows, blocks, column_sums, in_memory

da = pytest.importorskip("dask.array")

X = sparse.random(60, 9, 0.3, format="csr", random_state=0, dtype=np.float32)


def lazily(x, n=10):
    return da.from_array(x.toarray(), chunks=(n, x.shape[1])).map_blocks(sparse.csr_matrix)


@pytest.fixture
def begun(monkeypatch):
    """Record rows that are begun and rows that are asked for; three threads compute."""
    log = []
    begin, read = dask_rows.DaskRows.begin, dask_rows.DaskRows.__getitem__
    monkeypatch.setattr(rows, "cluster_threads", lambda: 3)
    monkeypatch.setattr(
        dask_rows.DaskRows, "begin", lambda self, r: (log.append(("begun", int(r[0]))), begin(self, r))[1]
    )
    monkeypatch.setattr(
        dask_rows.DaskRows, "__getitem__", lambda self, r: (log.append(("read", int(r[0]))), read(self, r))[1]
    )
    return log


def test_the_next_blocks_are_begun_while_one_is_in_use(begun):
    behind = as_rows(lazily(X))
    got = sparse.vstack([part for _, part in blocks(behind)])
    assert (got != X).nnz == 0
    assert begun[:5] == [("begun", 0), ("begun", 10), ("begun", 20), ("read", 0), ("begun", 30)]
    assert [at for what, at in begun if what == "begun"] == [at for what, at in begun if what == "read"]
    assert not behind._begun  # nothing is kept that was used


def test_through_what_looks_at_picks_and_renames(begun):
    order = np.arange(60)[::-1]
    place = np.array([0, 1, -1, 0, 2, 2, -1, 1, 0])
    picked = Picked(Checked(as_rows(lazily(X)), lambda part, _: part), order, place=place, width=3)
    dense = X.toarray()[::-1]
    wanted = np.stack([dense[:, place == k].sum(1) for k in range(3)], axis=1)
    np.testing.assert_allclose(in_memory(picked).toarray(), wanted, rtol=1e-6)
    assert ("begun", 59) in begun


def test_nothing_is_begun_without_a_cluster():
    behind = as_rows(lazily(X))
    assert dask_rows.cluster_threads() == 0
    np.testing.assert_allclose(column_sums(behind), X.toarray().sum(0), rtol=1e-6)
    assert not behind._begun


def test_rows_out_of_order_are_read_in_order_once(monkeypatch):
    asked = []
    read = dask_rows.DaskRows.__getitem__
    monkeypatch.setattr(dask_rows.DaskRows, "__getitem__", lambda self, r: (asked.append(r), read(self, r))[1])
    order = np.random.default_rng(0).permutation(60)[:40]
    np.testing.assert_array_equal(in_memory(as_rows(lazily(X)), order).toarray(), X.toarray()[order])
    assert (np.diff(np.concatenate(asked)) > 0).all()


def test_runs_within_a_block_compute_it_once():
    made = []

    def noted(block, block_info=None):
        made.append(block_info[None]["chunk-location"][0])
        return sparse.csr_matrix(block)

    meta = sparse.csr_matrix((0, 0), dtype="f4")
    behind = as_rows(da.from_array(X.toarray(), chunks=(10, 9)).map_blocks(noted, meta=meta))
    got = [behind[np.arange(first, min(first + 4, 60))] for first in range(0, 60, 4)]
    assert (sparse.vstack(got) != X).nnz == 0
    # runs of four that end in the next block compute both, those within a block nothing that is there
    assert made.count(0) == 2
    assert len(made) <= 14
    for first in range(0, 60, 2):
        behind[np.arange(first, first + 2)]
    assert len(made) <= 14 + 6


@pytest.mark.slow
def test_the_workers_of_a_cluster_compute(tmp_path):
    distributed = pytest.importorskip("distributed")
    import os

    seen = tmp_path / "seen"
    seen.mkdir()

    def noted(block):
        (seen / f"{os.getpid()}").touch()
        return sparse.csr_matrix(block)

    behind = da.from_array(X.toarray(), chunks=(6, 9)).map_blocks(noted, meta=sparse.csr_matrix((0, 0), dtype="f4"))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert dask_rows.cluster_threads() == 2
        np.testing.assert_allclose(column_sums(as_rows(behind)), X.toarray().sum(0), rtol=1e-6)
        pids = {str(pid) for pid in client.run(os.getpid).values()}
    used = {p.name for p in seen.iterdir()}
    assert used == pids
    assert str(os.getpid()) not in used
