"""The reliability plot shows the table."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.tl.test_reliability import spreading

import tilegrn as grn
from tilegrn.errors import MissingStepError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def mdata():
    mdata = spreading()
    grn.tl.reliability(mdata, n_bootstrap=50)
    return mdata


def lines(ax):
    return {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}


def test_points_are_the_bins(mdata):
    figure, ax = plt.subplots()
    result = grn.tl.reliability(mdata, n_bootstrap=50)
    assert grn.pl.reliability(mdata, ax=ax) is ax
    figure.draw_without_rendering()
    alone = lines(ax)["counting noise alone"]
    np.testing.assert_allclose(alone.get_xdata(), result.table["poisson_rms"])
    np.testing.assert_allclose(alone.get_ydata(), result.table["observed_rms"])
    (both,) = (c for c in ax.containers if c.get_label() == "counting noise and calibrated spread")
    np.testing.assert_allclose(both[0].get_xdata(), result.table["predicted_rms"])
    ends = np.array([s[:, 1] for s in both[2][0].get_segments()])
    np.testing.assert_allclose(ends, result.table[["observed_rms_low", "observed_rms_high"]])
    (diagonal,) = (line for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_a_result_is_drawn_like_its_record_and_without_intervals(mdata):
    a = grn.pl.reliability(mdata)
    b = grn.pl.reliability(grn.tl.reliability(mdata, n_bootstrap=0, key_added="other"))
    np.testing.assert_array_equal(
        lines(a)["counting noise alone"].get_xdata(), lines(b)["counting noise alone"].get_xdata()
    )
    assert [len(c[2]) for c in b.containers] == [0]


def test_without_a_result_the_call_is_named():
    with pytest.raises(MissingStepError, match=r"Run grn\.tl\.reliability"):
        grn.pl.reliability(spreading())
