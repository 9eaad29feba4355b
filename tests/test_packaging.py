"""The files of packaging/ say what pyproject.toml and the command line say."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tilegrn.cli._parser import parser

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (FOLDER / "conda" / "meta.yaml").read_text()
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Names that conda spells another way."""
REQUIRED = {
    "name", "description", "project_home", "documentation_home", "install", "license", "tags", "version", "category",
    "contact",
}  # fmt: skip
KNOWN = REQUIRED | {"tutorials_home", "publications", "logo", "test_command"}
"""Schema 2.0 of scverse/ecosystem-packages."""


def test_scverse_listing():
    yaml = pytest.importorskip("yaml")
    meta = yaml.safe_load((FOLDER / "scverse" / "meta.yaml").read_text())
    assert REQUIRED <= set(meta) <= KNOWN
    assert meta["name"] == meta["install"]["pypi"] == PROJECT["name"]
    assert meta["install"]["conda"] == f"bioconda::{PROJECT['name']}"
    assert str(meta["version"]) == PROJECT["version"]
    assert meta["license"] == PROJECT["license"] == "BSD-3-Clause"
    assert meta["category"] == "ecosystem"  # the only one that may be asked for
    assert len(set(meta["tags"])) == len(meta["tags"]) > 0
    assert all(meta[k].startswith("https://") for k in ("project_home", "documentation_home", "tutorials_home"))
    assert meta["description"].count(".") <= 2, "one or two sentences"


def test_placeholders_agree():
    yaml = pytest.importorskip("yaml")
    meta = yaml.safe_load((FOLDER / "scverse" / "meta.yaml").read_text())
    home, docs = (re.search(rf'{{% set {name} = "(.+)" %}}', RECIPE)[1] for name in ("home", "docs"))
    assert meta["project_home"] == home
    assert meta["documentation_home"] == docs
    assert meta["tutorials_home"].startswith(docs + "/")
    assert RECIPE.count(home) == RECIPE.count(docs) == 1
    maintainers = re.search(r"recipe-maintainers:.*\n((?:    - .+\n)+)", RECIPE)[1].split("\n    - ")
    assert [m.removeprefix("    - ").strip() for m in maintainers] == meta["contact"]


def requirements(section: str) -> dict[str, str]:
    block = re.search(rf"^  {section}:\n((?:    - .*\n)+)", RECIPE, flags=re.MULTILINE)[1]
    return {name: bound for name, _, bound in (line[6:].partition(" ") for line in block.splitlines())}


def test_recipe_is_in_step_with_the_project():
    assert f'{{% set version = "{PROJECT["version"]}" %}}' in RECIPE
    named = [re.fullmatch(r"([\w-]+)(>=.*)", d).groups() for d in PROJECT["dependencies"]]
    wanted = {CONDA.get(name, name): bound for name, bound in named}
    assert requirements("run") == wanted | {"python": PROJECT["requires-python"]}
    assert requirements("host")["python"] == PROJECT["requires-python"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert [f"{name}{requirements('host')[name]}" for name in ("hatchling",)] == build
    for name, place in PROJECT["scripts"].items():
        assert f"- {name} = {place}\n" in RECIPE
    assert f"license: {PROJECT['license']}\n" in RECIPE
    assert re.search(r"sha256: [0-9a-f]{64}\n", RECIPE)


def test_image_copies_what_is_there_and_runs_without_rights():
    text = (FOLDER / "Dockerfile").read_text()
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE) for name in line.split()
    }
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    assert "-c constraints.txt" in text
    final = text.rpartition("\nFROM ")[2]
    assert "USER tilegrn" in final
    assert final.index("USER tilegrn") < final.index('ENTRYPOINT ["tilegrn"]')
    extras = re.search(r'"\.\[(.+)\]"', text)[1].split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"])
    low, high = (int(c.rpartition("3.")[2]) for c in (PROJECT["requires-python"], PROJECT["classifiers"][-3]))
    assert low <= int(re.search(r"^ARG PYTHON=3\.(\d+)$", text, flags=re.MULTILINE)[1]) <= high


@pytest.mark.parametrize("name", ["run.sbatch", "array.sbatch", "ddp.sbatch"])
def test_jobs_are_shell_and_use_options_that_exist(name):
    path = FOLDER / "slurm" / name
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text()
    known = set(re.findall(r"--[a-z][a-z-]*", parser()._subparsers._group_actions[0].choices["run"].format_help()))
    calls = re.findall(r"tilegrn run.*|(?:run|array)\.sbatch [a-z].*", text)
    used = {o for call in calls for o in re.findall(r"--[a-z][a-z-]*", call)}
    assert used <= known
    assert used or name == "ddp.sbatch"


@pytest.mark.parametrize("done", [False, True])
def test_an_array_takes_its_line_and_skips_what_is_done(tmp_path, done):
    (tmp_path / "samples.txt").write_text("one.h5mu\ntwo.h5mu\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tilegrn").write_text('#!/bin/bash\necho "$@"\n')
    (tmp_path / "bin" / "tilegrn").chmod(0o755)
    if done:
        (tmp_path / "two-tilegrn").mkdir()
        (tmp_path / "two-tilegrn" / "run.json").write_text("{}")
    said = subprocess.run(
        ["bash", str(FOLDER / "slurm" / "array.sbatch"), "samples.txt", "--genome", "mm10"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "2", "SLURM_CPUS_PER_TASK": "3"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    ran = "run two.h5mu --out two-tilegrn --genome mm10 --threads 3 --accelerator auto"
    assert said == ("two-tilegrn is there already." if done else ran)


def test_version_stands_in_the_citation_too():
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_lock_holds_every_dependency_by_the_sum_of_its_file():
    """Of the package and of all groups that CI installs; versions that pyproject.toml allows."""
    lock = {}
    for line in (ROOT / ".ci" / "lock.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement, digest = line.split(" --hash=sha256:")
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
            found = Requirement(requirement)
            lock[canonicalize_name(found.name)] = next(iter(found.specifier)).version
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked = list(PROJECT["dependencies"])
    for group in ("test", "dev", "doc"):
        asked += [r for r in groups[group] if isinstance(r, str)]
    for text in asked:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)], prereleases=True), text
