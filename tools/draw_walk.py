"""Draw from counts to windows, a model, and what comes out, into docs/_static/walk.svg.

    python tools/draw_walk.py

Nothing but strings, in a width that a phone shows at a legible size.
"""

from __future__ import annotations

from pathlib import Path

OUT = Path(__file__).parents[1] / "docs" / "_static" / "walk.svg"
WIDTH, HEIGHT = 640, 1010
# Okabe and Ito's colours, told apart by eyes of every kind; shapes and words carry the meaning too.
INK, GREY, PALE = "#222222", "#666666", "#f2f2f2"
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
CALL = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
TEXT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"


def text(
    x: float, y: float, words: str, *, size: int = 20, colour: str = INK, anchor: str = "start", **more: str
) -> str:
    """Return words; further arguments are attributes of SVG with _ for -."""
    looks = {"font_family": TEXT} | more
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in looks.items())
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{extra}>{words}</text>'


def call(x: float, y: float, words: str, *, size: int = 17, anchor: str = "start") -> str:
    """Return the name of a function."""
    return text(x, y, words, size=size, colour=GREY, anchor=anchor, font_family=CALL)


def box(x: float, y: float, w: float, h: float, *, line: str = GREY, fill: str = "white") -> str:
    """Return a rounded box."""
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" fill="{fill}" stroke="{line}" stroke-width="2.5"/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight arrow."""
    ends = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {ends} stroke="{INK}" stroke-width="2.5" marker-end="url(#tip)"/>'


def counts() -> list[str]:
    """Draw the two matrices of the input."""
    parts = [
        box(20, 16, 600, 110, fill=PALE),
        text(40, 50, "Your MuData: raw counts of the same cells", font_weight="bold"),
    ]
    parts += [call(40, 78, "grn.io.read_h5mu"), call(40, 104, "grn.pp.intersect_cells")]
    for x, colour, name, columns in ((352, ORANGE, "rna: genes", 5), (490, BLUE, "atac: peaks", 6)):
        shade = [(i * 7 + j * 5 + (i * j) % 3) % 4 for i in range(2) for j in range(columns)]
        for k, value in enumerate(shade):
            i, j = divmod(k, columns)
            spot = f'x="{x + 18 * j}" y="{64 + 16 * i}" width="16" height="14"'
            parts.append(f'<rect {spot} fill="{colour}" fill-opacity="{0.15 + 0.28 * value:.2f}"/>')
        parts.append(text(x, 115, name, size=16))
    return parts


def locus() -> list[str]:
    """Draw the genome in windows, with peaks, a motif and a gene."""
    top, base = 160, 352
    parts = [box(20, top, 600, 318), text(40, top + 34, "The genome in 1 kb windows", font_weight="bold")]
    parts.append(call(40, top + 60, "grn.pp.bin_peaks"))
    edges = [60 + 74 * i for i in range(8)]
    parts += [
        f'<rect x="{x}" y="{base - 34}" width="74" height="34" fill="{PALE if i % 2 else "white"}" stroke="#bbbbbb"/>'
        for i, x in enumerate(edges[:-1])
    ]
    parts += [
        f'<rect x="{x}" y="{base - h}" width="{w}" height="{h}" fill="{BLUE}" fill-opacity=".75"/>'
        for x, w, h in ((72, 40, 24), (226, 30, 14), (290, 42, 30), (508, 46, 27))
    ]
    parts.append(f'<line x1="40" y1="{base}" x2="600" y2="{base}" stroke="{INK}" stroke-width="2.5"/>')
    parts.append(
        f'<path d="M530 {base} v-62 h30" fill="none" stroke="{INK}" stroke-width="2.5" marker-end="url(#tip)"/>'
    )
    parts.append(text(598, base - 72, "gene", size=17, anchor="end"))
    arcs = ((92, 60, 2.5), (311, 82, 4.5))
    parts += [
        f'<path d="M{x} {base - 36} C {x + 30} {base - 36 - h}, 490 {base - 36 - h}, 524 {base - 36}" '
        f'fill="none" stroke="{GREEN}" stroke-width="{w}"/>'
        for x, h, w in arcs
    ]
    parts.append(text(300, base - 116, "distance to the TSS", size=17, colour=GREEN, anchor="middle"))
    parts.append(f'<path d="M304 {base + 6} l10 20 h-20 z" fill="{RED}"/>')
    parts.append(f'<circle cx="304" cy="{base + 42}" r="17" fill="{RED}"/>')
    parts.append(text(304, base + 48, "TF", size=16, colour="white", anchor="middle", font_weight="bold"))
    parts.append(text(40, base + 48, "binding of TFs (motif hits)", size=17, colour=RED))
    parts.append(text(340, base + 48, "exp(-distance / 25 kb)", size=17, colour=GREEN))
    parts.append(call(40, base + 78, "grn.pp.add_binding"))
    parts.append(call(40, base + 102, "grn.pp.homer_binding"))
    parts.append(call(340, base + 78, "grn.pp.tss_distance"))
    return parts


def model() -> list[str]:
    """Draw what the model reads and says."""
    top = 520
    parts = [box(20, top, 600, 186, line=INK), text(40, top + 34, "One model for all genes", font_weight="bold")]
    parts.append(call(600, top + 34, "grn.tl.train", anchor="end"))
    left = (
        (top + 52, "TF counts + open windows", "state of the cell"),
        (top + 116, "windows around the gene", "what its own windows add"),
    )
    for y, what, gives in left:
        parts.append(box(40, y, 312, 56, fill=PALE, line="#bbbbbb"))
        parts.append(text(54, y + 24, what, size=18))
        parts.append(text(54, y + 46, gives, size=16, colour=GREY))
    parts += [arrow(354, top + 80, 420, top + 102), arrow(354, top + 144, 420, top + 122)]
    parts.append(box(428, top + 72, 176, 78, fill="white", line=ORANGE))
    parts.append(text(516, top + 104, "expression of", size=18, anchor="middle"))
    parts.append(text(516, top + 130, "every gene", size=18, anchor="middle"))
    return parts


def results() -> list[str]:
    """Draw what comes out."""
    top = 756
    parts = []
    for x, title, lines, calls in (
        (20, "Predictions", ("held-out cells,", "beside baselines"), ("tl.predict", "tl.scorecard")),
        (226, "Edges", ("TF-window-gene,", "knock-outs"), ("tl.edges", "tl.knockout")),
        (432, "Links", ("peak - gene, by", "features and cells"), ("tl.links", "tl.score_pairs")),
    ):
        parts.append(box(x, top, 188, 196, fill=PALE))
        parts.append(text(x + 14, top + 34, title, size=21, font_weight="bold"))
        parts += [text(x + 14, top + 68 + 26 * i, line, size=18) for i, line in enumerate(lines)]
        parts += [call(x + 14, top + 138 + 26 * i, line, size=17) for i, line in enumerate(calls)]
    note = "Links need no model. Predictions are judged in cells that no step has seen."
    parts.append(text(320, 990, note, size=16, colour=GREY, anchor="middle"))
    return parts


def main() -> None:
    """Write the picture."""
    between = [
        arrow(320, 128, 320, 156),
        arrow(250, 480, 250, 516),
        arrow(114, 708, 114, 752),
        arrow(320, 708, 320, 752),
    ]
    looks = f'fill="none" stroke="{INK}" stroke-width="2.5" stroke-dasharray="7 6" marker-end="url(#tip)"'
    links = f'<path d="M622 420 h8 v300 h-104 v28" {looks}/>'
    title = (
        "From counts in a MuData to windows, distances and binding, to one model, and to predictions, edges and links"
    )
    place = 'viewBox="0 0 10 10" refX="8" refY="5" markerWidth="6" markerHeight="6" orient="auto"'
    tip = f'<marker id="tip" {place}><path d="M0 0 L10 5 L0 10 z"/></marker>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f"<defs>{tip}</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="white"/>',
        *counts(),
        *locus(),
        *model(),
        *results(),
        *between,
        links,
        "</svg>",
    ]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
