"""Check the built documentation: every link to a page, a file or a place on a page leads there, and no markup shows.

    python tools/check_links.py docs/_build/html

Needs no network: links to other sites are counted and not opened. Ends with an error that lists what leads nowhere.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DIRECTIVE = re.compile(r"^\s*(\.\. [\w:-]+::|:::|```)", re.MULTILINE)
"""Markup that was shown as it was written: a page was read as another format."""
LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


class Page(HTMLParser):
    """The links of a page, and the places on it that links can name."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = {"", "top"}
        self.markup: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag links to, and its name."""
        values = dict(attrs)
        self._code += tag in {"pre", "code", "script", "style"}
        self.places |= {value for key in ("id", "name") if (value := values.get(key))}
        if target := values.get(LINKS.get(tag, "")):
            self.links.append(target)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of code."""
        self._code -= tag in {"pre", "code", "script", "style"}

    def handle_data(self, data: str) -> None:
        """Note markup outside of code."""
        if not self._code:
            self.markup += DIRECTIVE.findall(data)


def read(path: Path) -> Page:
    """Return the links and places of an HTML file."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(folder: Path) -> tuple[list[str], int, int]:
    """Return dead links and markup that shows, as ``page: what``, and the numbers of inner and outer links."""
    found = sorted(folder.rglob("*.html"))
    pages = {path: read(path) for path in found if "_static" not in path.parts}  # there lie the theme's templates
    dead: list[str] = []
    inner = outer = 0
    for path, page in pages.items():
        dead += [f"{path.relative_to(folder)}: '{words}' is shown as it was written" for words in page.markup]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                outer += 1
                continue
            inner += 1
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(folder) or not target.is_file():
                dead.append(f"{path.relative_to(folder)}: {link}: no such page or file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                dead.append(f"{path.relative_to(folder)}: {link}: no such place on the page")
    return sorted(set(dead)), inner, outer


def main(argv: list[str]) -> int:
    """Check the folder named and say what was found."""
    folder = Path(argv[0] if argv else "docs/_build/html").resolve()
    if not (folder / "index.html").is_file():
        sys.stderr.write(f"'{folder}' holds no built documentation: make docs\n")
        return 2
    dead, inner, outer = faults(folder)
    sys.stdout.write("".join(f"{line}\n" for line in dead))
    sys.stdout.write(f"{inner} links inside, {outer} to other sites, which were not opened; {len(dead)} faults\n")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
