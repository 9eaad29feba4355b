"""The checker of links finds what is dead, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "check_links.py"


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(
        '<h1 id="here">a</h1><a href="#here"></a><a href="sub/b.html#far%20away"></a><img src="x.png">'
        '<a href="https://example.org/none"></a><a href="mailto:a@b.c"></a>'
    )
    (tmp_path / "sub" / "b.html").write_text('<p id="far away"></p><a href="../index.html"></a><a href="../"></a>')
    return tmp_path


def test_a_good_site(checker, site, capsys):
    assert checker.faults(site) == ([], 5, 2)
    assert checker.main([str(site)]) == 0
    assert "; 0 faults" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("#gone", "no such place"),
        ("sub/b.html#gone", "no such place"),
        ("sub/c.html", "no such page"),
        ("gone.png", "no such page"),
        ("../outside.html", "no such page"),
    ],
)
def test_a_dead_link(checker, site, capsys, link, why):
    (site / "c.html").write_text(f'<a href="{link}"></a>')
    assert checker.main([str(site)]) == 1
    assert f"c.html: {link}: {why}" in capsys.readouterr().out


def test_markup_that_shows(checker, site):
    """Pages of the API once said ``.. autofunction:: edges`` and nothing else."""
    (site / "c.html").write_text("<pre>.. note:: an example</pre><p>.. autofunction:: edges</p>")
    assert checker.faults(site)[0] == ["c.html: '.. autofunction::' is shown as it was written"]


def test_not_built(checker, tmp_path):
    assert checker.main([str(tmp_path)]) == 2
