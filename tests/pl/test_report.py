"""The report: one file that needs nothing else, says what was not run, and takes no name for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tests.tl.evaluate._judged import judged

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn._core.mudata import quiet_update
from tilegrn.errors import InputError, WriteError
from tilegrn.pl._html import Html, tag

EVIL = "<script>alert('$x$')</script>"


class Page(HTMLParser):
    """Checks that elements are closed in order, and keeps tags, attributes and text."""

    VOID = frozenset({"meta", "img", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    mdata = judged()
    best = int(np.argmax(np.var(mdata["rna"].layers["predicted"], axis=0)))
    names = mdata["rna"].var_names.to_list()
    names[best] = EVIL
    mdata["rna"].var_names = names
    quiet_update(mdata)
    grn.tl.scorecard(mdata, baselines=("mean", "ridge"), n_bootstrap=50, groupby="kind", min_group_cells=20)
    store.put_record(mdata, K.REC_TRAIN, {"train_loss_0": np.array([3.0, 2.0]), "val_loss_0": np.array([3.5, 2.5])})
    network = pd.DataFrame(
        {
            "group": "all",
            "source": ["G01", "G02"],
            "target": [EVIL, "G30"],
            "cre": ["chr1:0-1000", "chr1:1000-2000"],
            "score": [1.0, 0.5],
            "sign": [1, -1],
            "stability": np.nan,
        }
    )
    store.put_record(mdata, K.REC_EDGES, {"network": network, "triplets": network})
    path = tmp_path_factory.mktemp("report") / "report.html"
    before = plt.get_fignums()
    made = grn.pl.report(
        mdata, None, path, title=f"A & {EVIL}", warned=["5 < 6", "5 < 6"], files={"a&b.csv": "x"}, run={"Command": EVIL}
    )
    assert made == path
    assert plt.get_fignums() == before
    return path.read_text("utf-8"), Page(path.read_text("utf-8"))


def test_it_is_whole_and_needs_no_other_file(page):
    text, parsed = page
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert len(text) < 1_500_000
    for _, attrs in parsed.tags:
        for where in ("src", "href"):
            assert attrs.get(where, "data:").startswith(("data:", "#"))
    assert not {"script", "iframe", "object"} & {name for name, _ in parsed.tags}
    assert "url(" not in text
    assert "@import" not in text


def test_it_can_be_read_by_all(page):
    _, parsed = page
    assert len(parsed.all("h1")) == 1
    assert len(parsed.all("img")) >= 9
    assert all(len(img["alt"]) > 20 for img in parsed.all("img"))
    assert all(int(img["width"]) <= 390 - 32 for img in parsed.all("img")), "legible on a phone without zooming"
    assert len(parsed.all("caption")) == len(parsed.all("table")) >= 3
    assert all(th["scope"] in ("row", "col") for th in parsed.all("th"))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {a["href"].removeprefix("#") for a in parsed.all("a")}
    assert links == {s["id"] for s in parsed.all("section")}
    assert {s["aria-labelledby"] for s in parsed.all("section")} <= set(ids)
    assert any(m.get("name") == "viewport" for m in parsed.all("meta"))


def test_names_are_text(page):
    text, parsed = page
    assert "<script" not in text
    assert EVIL in "".join(parsed.text)
    assert sum(EVIL in img["alt"] for img in parsed.all("img")) == 1
    assert "A & <script>" in "".join(parsed.text)


def test_it_says_what_was_found_and_what_was_not_run(page):
    _, parsed = page
    said = "".join(parsed.text)
    assert "Across 240 held-out cells" in said
    assert "300 cells to train on, 60 to validate, 240 held out" in said
    assert "tilegrn's lead in mean r" in said
    assert re.search(r"Not shown\. .*grn\.pp\.tss_distance", said)
    assert said.count("5 < 6") == 1
    assert "compatibility" not in {s["id"] for s in parsed.all("section")}
    assert "median" in said


def test_contrast_of_text(page):
    text, _ = page

    def light(colour):
        full = colour if len(colour) == 6 else "".join(2 * c for c in colour)
        parts = [int(full[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    themes = re.findall(r":root\{[^}]*--ink[^}]*\}", text)
    assert len(themes) == 2
    for theme in themes:
        colour = {k: light(v) for k, v in re.findall(r"--(\w+):#(\w+)", theme)}
        for name in ("ink", "soft", "link"):
            high, low = sorted((colour[name], colour["paper"]), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_it_is_written_whole_or_not_at_all(tmp_path):
    mdata = judged()
    with pytest.raises((InputError, WriteError)):
        grn.pl.report(mdata, None, tmp_path / "absent" / "report.html")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="atac2"):
        grn.pl.report(mdata, None, tmp_path / "report.html", atac="atac2")


def test_of_bare_data_every_section_names_its_call(tmp_path):
    mdata = judged()
    del mdata.obs["split"], mdata["rna"].layers["predicted"]
    del mdata.uns["tilegrn"]
    said = "".join(Page(grn.pl.report(mdata, None, tmp_path / "r.html").read_text("utf-8")).text)
    for call in ("grn.tl.scorecard", "grn.tl.train", "grn.tl.predict", "grn.tl.edges", "grn.pp.bin_peaks"):
        assert call in said


def test_only_html_is_not_escaped():
    assert tag("p", "<b>", Html("<i></i>"), attrs={"title": '"'}) == '<p title="&quot;">&lt;b&gt;<i></i></p>'
