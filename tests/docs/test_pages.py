"""The code on the pages runs: Python in one namespace a page, and commands as far as their options go."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.docs import _sandbox
from tilegrn.cli._parser import parser

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NOT_RUN = {"howto/ecosystem.md"}
"""Pages whose code needs packages or files of others."""

PAGES = sorted(
    page
    for page in (*DOCS.glob("howto/*.md"), DOCS / "walk.md", DOCS / "faq.md", DOCS / "index.md", DOCS / "install.md")
    if page.relative_to(DOCS).as_posix() not in NOT_RUN
)
EVERYWHERE = [
    *sorted(p for p in DOCS.rglob("*.md") if not {"_build", "generated"} & set(p.parts)),
    DOCS.parent / "README.md",
]


def blocks(page: Path, *languages: str) -> list[tuple[int, str]]:
    """Return line numbers and texts of fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: found.start()].count("\n") + 2, found[2]) for found in FENCE.finditer(text) if found[1] in languages
    ]


def named(page: Path) -> str:
    return page.relative_to(DOCS.parent).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=named)
def test_python(page, finished, inside):
    names = inside(finished)
    with _sandbox.quiet(), _sandbox.tiny():
        for line, code in blocks(page, "python"):
            # Shifted, so that a traceback names the page's own lines.
            exec(compile("\n" * (line - 1) + code, named(page), "exec"), names)
    _sandbox.close_figures()


@pytest.mark.parametrize("page", [p for p in EVERYWHERE if blocks(p, "py")], ids=named)
def test_scripts_compile(page):
    """``py`` marks what cannot run in a test, such as a script that starts further processes."""
    for line, code in blocks(page, "py"):
        compile("\n" * (line - 1) + code, named(page), "exec")


def commands(page: Path) -> list[str]:
    text = "\n".join(code.replace("\\\n", " ") for _, code in blocks(page, "console", "bash", "sh"))
    found = re.findall(r"^(?:srun )?tilegrn (.+)$", text, re.MULTILINE)
    return [command for command in found if "COMMAND" not in command]


@pytest.mark.parametrize("page", [p for p in EVERYWHERE if commands(p)], ids=named)
def test_commands(page):
    for command in commands(page):
        parser().parse_args(shlex.split(re.sub(r"\$\w+", "7", command), comments=True))
