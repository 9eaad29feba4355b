"""Pieces of an HTML page that stands alone: everything that is no :class:`Html` is escaped, figures lie inside."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matplotlib.axes import Axes

__all__ = ["Html", "figure", "figures", "page", "pairs", "section", "table", "tag"]

_VOID = frozenset({"img", "link", "meta"})
_CSS = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#535a63;--paper:#fff;--line:#d5d9df;--tint:#f3f5f7;--link:#1b5e83}
@media (prefers-color-scheme:dark){
:root{--ink:#e4e7eb;--soft:#a9b1bb;--paper:#16191d;--line:#363c44;--tint:#1f2429;--link:#8cc4e6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.2;margin:1.5rem 0 .25rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
p{max-width:46rem;margin:.5rem 0}
figcaption,caption{color:var(--soft)}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:1rem 0;list-style:none}
nav a{display:inline-block;padding:.25rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem;margin:1rem 0}
figure{margin:0}
figure img{display:block;max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:4px}
figcaption,caption{font-size:.875rem;text-align:left;padding:.25rem 0}
.scroll{overflow-x:auto;max-width:100%;margin:1rem 0}
table{border-collapse:collapse;font-size:.875rem;overflow-wrap:normal}
th,td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th,td{white-space:nowrap}.words th,.words td:not(.n){white-space:normal;overflow-wrap:anywhere}
caption{max-width:calc(100vw - 2rem)}.words td{min-width:4rem}.words th{min-width:7rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tbody th{font-weight:600}
dl{display:grid;grid-template-columns:fit-content(8rem) 1fr;gap:.25rem 1rem;margin:1rem 0}
dt{color:var(--soft)}dd{margin:0}
pre,code{font-family:ui-monospace,monospace;font-size:.8125rem}
pre{background:var(--tint);padding:.75rem;overflow-x:auto;max-height:32rem;margin:.5rem 0}
summary{cursor:pointer;padding:.25rem 0}
footer{margin-top:3rem;padding-bottom:2rem;color:var(--soft);font-size:.875rem}
@media print{body{background:#fff;color:#000}nav{display:none}.scroll,pre{overflow:visible;max-height:none}}
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *children: str, attrs: Mapping[str, Any] | None = None) -> Html:
    """Return an element; attributes and children that are no :class:`Html` are escaped."""
    inner = "".join(c if isinstance(c, Html) else escape(str(c)) for c in children)
    told = "".join(f' {key}="{escape(str(value))}"' for key, value in (attrs or {}).items())
    return Html(f"<{name}{told}>" if name in _VOID else f"<{name}{told}>{inner}</{name}>")


def section(ident: str, title: str, *children: str) -> Html:
    """Return a section with its heading, which other places can link to."""
    heading = tag("h2", title, attrs={"id": f"{ident}-title"})
    return tag("section", heading, *children, attrs={"id": ident, "aria-labelledby": f"{ident}-title"})


def pairs(values: Mapping[str, Any]) -> Html:
    """Return a list of names and values."""
    return tag("dl", *(part for key, value in values.items() for part in (tag("dt", key), tag("dd", str(value)))))


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1, words: bool = False
) -> Html:
    """Return a table that scrolls in a box of its own where it is wider than the page.

    Parameters
    ----------
    caption
        What it shows.
    header
        Names of the columns.
    rows
        Cells as text; the first of a row is its heading.
    text
        So many columns from the left hold text; the others hold numbers and are set to the right.
    words
        Whether cells hold sentences, which may be broken, rather than names, which may not.
    """
    kinds: list[dict[str, str]] = [{} if i < text else {"class": "n"} for i in range(len(header))]
    head = tag("tr", *(tag("th", h, attrs={"scope": "col", **k}) for h, k in zip(header, kinds, strict=True)))
    body = []
    for row in rows:
        first, *rest = (
            tag("td" if i else "th", cell, attrs=k if i else {"scope": "row", **k})
            for i, (cell, k) in enumerate(zip(row, kinds, strict=True))
        )
        body.append(tag("tr", first, *rest))
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    # What scrolls must be reachable by the keyboard, and say what it is.
    kind = "scroll words" if words else "scroll"
    return tag("div", whole, attrs={"class": kind, "role": "region", "aria-label": caption, "tabindex": 0})


def figure(draw: Callable[[Axes], Any], *, alt: str, caption: str = "", size: tuple[float, float] = (3.5, 2.7)) -> Html:
    """Draw into axes of a figure of that size in inches, and return it as a picture that lies in the page."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # a name with dollar signs is a name
        drawn = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(drawn)
        draw(drawn.subplots())
        data = io.BytesIO()
        drawn.savefig(data, format="png", dpi=192, pil_kwargs={"optimize": True}, metadata={"Software": None})
    source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    width, height = (round(96 * side) for side in size)
    image = tag("img", attrs={"src": source, "alt": alt, "width": width, "height": height})
    return tag("figure", image, *([tag("figcaption", caption)] if caption else []))


def figures(*drawn: Html) -> Html:
    """Return figures side by side where there is room, one below the other on a phone."""
    return tag("div", *drawn, attrs={"class": "figures"})


def page(title: str, sections: Mapping[str, tuple[str, Html]], foot: Html) -> str:
    """Return the whole document: ``sections`` maps their id to the name in the contents and the section."""
    links = [tag("li", tag("a", name, attrs={"href": f"#{ident}"})) for ident, (name, _) in sections.items()]
    contents = tag("nav", tag("ul", *links), attrs={"aria-label": "Contents"})
    top = tag(
        "head",
        tag("meta", attrs={"charset": "utf-8"}),
        tag("meta", attrs={"name": "viewport", "content": "width=device-width,initial-scale=1"}),
        tag("title", title),
        tag("link", attrs={"rel": "icon", "href": "data:,"}),  # or a browser asks its host for one
        tag("style", Html(_CSS)),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), contents),
        tag("main", *(content for _, content in sections.values())),
        tag("footer", foot),
    )
    return f"<!DOCTYPE html>\n{tag('html', top, body, attrs={'lang': 'en'})}\n"
