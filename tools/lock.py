"""Write .ci/lock.txt: every package of the environment in which CI tests, with the SHA-256 of its file.

    python tools/lock.py

pip resolves anew what pyproject.toml and constraints.txt ask for (all groups), for the Python and platform that run
this; other Pythons and platforms skip the lines. `make LOCK=.ci/lock.txt ...` installs exactly these files.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("test", "dev", "doc")
HEAD = """# Written by tools/lock.py: the files with which CI tests, for the Python and platform named in each line.
"""


def lines(report: dict) -> list[str]:
    """One line a package of pip's report, by name."""
    marker = (
        f'python_version == "{sys.version_info[0]}.{sys.version_info[1]}" and sys_platform == "{sys.platform}" '
        f'and platform_machine == "{platform.machine()}"'
    )
    out = []
    for item in report["install"]:
        if "dir_info" in item["download_info"]:
            continue  # tilegrn itself
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        out.append(f"{name.lower()}=={version} ; {marker} --hash=sha256:{digest}")
    return sorted(out)


def main() -> None:
    """Resolve and write."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "-c", "constraints.txt", "."]
        for group in GROUPS:
            command += ["--group", group]
        subprocess.run(command, cwd=ROOT, check=True)
        found = lines(json.loads(report.read_text()))
    (ROOT / ".ci" / "lock.txt").write_text(HEAD + "\n".join(found) + "\n")


if __name__ == "__main__":
    main()
