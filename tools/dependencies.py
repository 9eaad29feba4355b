"""Print tilegrn's dependencies as pip requirements, read from pyproject.toml so that no second list can drift.

Usage: python tools/dependencies.py [--floors] [--only NAME ...] [--without NAME ...]

``--floors`` pins every dependency to the oldest version that pyproject.toml allows.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main() -> None:
    """Write one requirement a line to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--floors", action="store_true", help="pin to the oldest allowed versions")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="list these packages alone")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="leave these packages out")
    args = parser.parse_args()
    only, without = ({name.lower() for name in names} for names in (args.only, args.without))
    for requirement in tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is None:
            sys.exit(f"cannot read the requirement {requirement!r}")
        if name[0].lower() in without or (only and name[0].lower() not in only):
            continue
        sys.stdout.write((requirement.replace(">=", "==", 1) if args.floors else requirement) + "\n")


if __name__ == "__main__":
    main()
