"""Draw which room of the package imports which, into docs/_static/rooms.png.

    python tools/draw_rooms.py

Rooms stand from the top floor down; a number says how many modules of the row's room import one of the column's. All
numbers lie right of the diagonal: imports run downwards. Ends with an error where one does not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
import numpy as np

ROOMS = (
    *("cli", "pl", "datasets", "tl.evaluate", "tl.network", "tl.pairs", "tl.training", "pp", "get"),
    *("io", "motifs", "model", "_stats", "_core", "errors"),
)
OUT = Path(__file__).resolve().parents[1] / "docs" / "_static" / "rooms.png"


def room_of(module: str) -> str | None:
    """Room of a module; None for the package itself, whose __init__ only hands names on."""
    name = module.removeprefix("tilegrn.")
    return next((room for room in ROOMS if name == room or name.startswith(f"{room}.")), None)


def counted() -> np.ndarray:
    """Rooms x rooms: modules of one that import from the other."""
    graph = grimp.build_graph("tilegrn")
    out = np.zeros((len(ROOMS), len(ROOMS)), dtype=int)
    for module in graph.modules:
        here = room_of(module)
        there = {room_of(other) for other in graph.find_modules_directly_imported_by(module)}
        for room in there - {here, None}:
            if here is not None:
                out[ROOMS.index(here), ROOMS.index(room)] += 1
    return out


def main() -> None:
    """Draw, and say where an import runs upwards."""
    n = counted()
    up = [f"{ROOMS[i]} imports {ROOMS[j]}" for i, j in np.argwhere(n) if i > j]
    fig, ax = plt.subplots(figsize=(7.2, 6.4), layout="constrained")
    ax.imshow(np.where(n > 0, np.sqrt(n), np.nan), cmap="Blues", vmin=-1, vmax=np.sqrt(n.max()) * 1.4)
    for i, j in np.argwhere(n):
        ax.text(j, i, str(n[i, j]), ha="center", va="center", fontsize=9)
    ax.plot([-0.5, len(ROOMS) - 0.5], [-0.5, len(ROOMS) - 0.5], color="0.7", lw=1)
    ax.set_xticks(range(len(ROOMS)), ROOMS, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(ROOMS)), ROOMS)
    ax.set_xlabel("is imported")
    ax.set_ylabel("imports")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.savefig(OUT, dpi=150)
    sys.exit("\n".join(up) if up else None)


if __name__ == "__main__":
    main()
